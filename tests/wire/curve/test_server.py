"""The server's side of the CURVE handshake: our two sides agree, and one octet wrong anywhere is refused."""

import pytest
from support.handshake import (
    CLIENT,
    KEY,
    OTHER_SERVER,
    PROPERTIES,
    SERVER,
    Server,
    client,
    curve_of,
    fault_of,
    hello_and_initiate,
)
from support.zmtp import command_frame

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.cookie import cookie_key, seal_cookie
from curveproxy.wire.curve.keys import KeyPair, short_nonce
from curveproxy.wire.errors import Fault


@pytest.mark.parametrize("step", [1, 7, 10_000], ids=["octet by octet", "by sevens", "in one piece"])
def test_both_sides_agree(step: int) -> None:
    server, peer = Server(OTHER_SERVER, SERVER), client()

    def feed(octets: bytes) -> bytes:
        pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
        return b"".join(peer.receive_untrusted(piece) for piece in pieces)

    assert peer.start()[12:17] == b"CURVE"
    initiate = feed(server.welcome(feed(curve_server.GREETING)))
    feed(server.ready(initiate))
    assert peer.done
    assert peer.negotiated.metadata == {"Socket-Type": b"ROUTER"}
    assert server.hello.server == SERVER
    assert server.initiate.client == CLIENT.public
    assert server.initiate.properties == PROPERTIES
    assert server.initiate.shared == curve_of(peer).key
    assert server.initiate.nonce == 2
    assert not server.initiate.little_endian
    assert (curve_of(peer).seal_nonce, curve_of(peer).open_nonce) == (2, 1)


def test_one_wrong_octet_anywhere_in_hello_is_refused() -> None:
    hello, _ = hello_and_initiate(Server())
    faults = set()
    for at in range(len(hello)):
        spoiled = hello[:at] + bytes([hello[at] ^ 0x40]) + hello[at + 1 :]
        faults.add(fault_of(lambda spoiled=spoiled: Server().welcome(spoiled)))  # type: ignore[misc]
    assert faults == {Fault.COMMAND, Fault.HELLO, Fault.HELLO_VERSION, Fault.HELLO_BOX}


def test_one_wrong_octet_anywhere_in_initiate_is_refused() -> None:
    server = Server()
    _, initiate = hello_and_initiate(server)
    faults = set()
    for at in range(9, len(initiate)):  # before that are the frame's flags and size
        spoiled = initiate[:at] + bytes([initiate[at] ^ 0x40]) + initiate[at + 1 :]
        faults.add(fault_of(lambda spoiled=spoiled: server.ready(spoiled)))  # type: ignore[misc]
    assert faults == {Fault.COMMAND, Fault.COOKIE, Fault.INITIATE, Fault.INITIATE_BOX}


def test_a_hello_for_another_server_key_does_not_open() -> None:
    hello, _ = hello_and_initiate(Server())
    assert fault_of(lambda: Server(OTHER_SERVER).welcome(hello)) == Fault.HELLO_BOX


def test_a_transient_key_of_zeros_does_not_open() -> None:
    hello, _ = hello_and_initiate(Server())
    assert fault_of(lambda: Server().welcome(hello[:82] + bytes(32) + hello[114:])) == Fault.HELLO_BOX


def test_a_hello_that_boxes_something_else_is_malformed() -> None:
    transient = KeyPair.generate()
    nonce = short_nonce(1)
    sealed = sodium.seal(b"x" * 64, box.HELLO + nonce, sodium.shared_key(SERVER.public, transient.secret))
    hello = command_frame(b"HELLO", spec.CURVE_VERSION + bytes(72) + transient.public + nonce + sealed)
    assert fault_of(lambda: Server().welcome(hello)) == Fault.HELLO


def test_a_cookie_of_another_connection_or_a_rotated_key_does_not_open() -> None:
    for key in (cookie_key(bytes(range(32)), b"socket 2"), cookie_key(bytes(32), b"socket 1")):
        server = Server(cookie_keys=[key])
        _, initiate = hello_and_initiate(server)
        assert fault_of(lambda server=server, initiate=initiate: server.ready(initiate)) == Fault.COOKIE  # type: ignore[misc]


def test_a_cookie_of_the_key_before_still_opens() -> None:
    server = Server(cookie_keys=[cookie_key(bytes(32), b"socket 1"), KEY])
    server.ready(hello_and_initiate(server)[1])
    assert server.initiate.client == CLIENT.public


def forged_initiate(
    server: Server,
    *,
    vouched_transient: bytes | None = None,
    vouched_server: bytes = SERVER.public,
    voucher: KeyPair = CLIENT,
    octets: bytes = b"",
    nonce: bytes = short_nonce(2),
) -> bytes:
    """INITIATE of a client who vouches for what it should not, or says what it should not."""
    transient, server_transient = KeyPair.generate(), KeyPair.generate()
    server.hello = curve_server.Hello(transient.public, short_nonce(1), SERVER, b"")
    cookie = seal_cookie(transient.public, server_transient.secret, sodium.randombytes(16), KEY)
    vouch = box.seal_vouch(
        voucher, vouched_transient or transient.public, vouched_server, server_transient.public, bytes(16)
    )
    shared = sodium.shared_key(server_transient.public, transient.secret)
    return command_frame(
        b"INITIATE", cookie + nonce + sodium.seal(CLIENT.public + vouch + octets, box.INITIATE + nonce, shared)
    )


def test_the_vouch_is_checked_in_both_halves_and_its_key() -> None:
    server = Server()
    server.ready(forged_initiate(server))
    for forged in (
        forged_initiate(server, vouched_transient=KeyPair.generate().public),
        forged_initiate(server, vouched_server=OTHER_SERVER.public),
        forged_initiate(server, vouched_server=bytes(32)),
        forged_initiate(server, voucher=KeyPair.generate()),
    ):
        assert fault_of(lambda forged=forged: server.ready(forged)) == Fault.VOUCH  # type: ignore[misc]


def test_malformed_metadata_is_judged_after_the_vouch() -> None:
    server = Server()
    assert fault_of(lambda: server.ready(forged_initiate(server, octets=b"\x05abc"))) == Fault.METADATA


@pytest.mark.parametrize(
    ("hello", "initiate", "little"), [(1, 2, False), (288, 289, True), (255, 256, False), (1, 1, False)]
)
def test_the_order_of_a_clients_nonces_is_told_by_its_first_two(hello: int, initiate: int, little: bool) -> None:
    order = "little" if little else "big"
    server = Server()
    frame = forged_initiate(server, nonce=initiate.to_bytes(8, order))  # type: ignore[arg-type]
    server.hello = curve_server.Hello(b"", hello.to_bytes(8, order), SERVER, b"")  # type: ignore[arg-type]
    server.ready(frame)
    assert server.initiate.little_endian is little
    assert server.initiate.nonce == initiate


def test_an_initiate_whose_nonce_does_not_follow_is_malformed() -> None:
    server = Server()
    for nonce in (0, 3, 2**64 - 1):
        assert fault_of(lambda nonce=nonce: server.ready(forged_initiate(server, nonce=short_nonce(nonce)))) == (  # type: ignore[misc]
            Fault.INITIATE
        )


def test_no_secret_shows_in_a_repr() -> None:
    server = Server()
    _, initiate = hello_and_initiate(server)
    server.ready(initiate)
    shown = repr((SERVER, server.hello, server.initiate))
    for secret in (SERVER.secret, server.hello.shared, server.initiate.shared):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown

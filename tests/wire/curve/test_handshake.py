"""The two turns of the server's handshake, on each twin: one octet wrong anywhere is refused, and has its reason."""

from types import ModuleType

import pytest
from support import curve
from support.curve import Keys
from support.handshake import (
    BINDING,
    CLIENT,
    KEY,
    OTHER_SERVER,
    ROTATING,
    SERVER,
    Server,
    fault_of,
    hello_and_initiate,
)
from support.zmtp import command_frame, read_frames

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box
from curveproxy.wire.curve.cookie import seal_cookie
from curveproxy.wire.curve.keys import KeyPair, short_nonce
from curveproxy.wire.errors import Fault, PeerError

# Public keys that nobody can have: each makes the same of any secret.
LOW_ORDER = (bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f")


def test_hello_is_answered_by_the_key_that_opens_it(twin: ModuleType) -> None:
    mine, transient, chance = Keys.new(), KeyPair.generate(), bytes(range(32))
    body = curve.hello(mine, SERVER.public, nonce=7)
    found = twin.answer_hello_untrusted(body, (OTHER_SERVER, SERVER), ROTATING, BINDING, transient, chance)
    server, nonce, welcome = found
    assert server is SERVER
    assert nonce == short_nonce(7)
    [frame] = read_frames(welcome)
    assert curve.read_welcome(frame.body, SERVER.public, mine).server_transient == transient.public
    cookie = curve.read_welcome(frame.body, SERVER.public, mine).cookie
    assert curve.read_cookie(cookie, KEY) == (mine.public, transient.secret)
    assert (cookie[:16], frame.body[8:24]) == (chance[:16], chance[16:])


def test_one_wrong_octet_anywhere_in_hello_is_refused(twin: ModuleType) -> None:
    hello, _ = hello_and_initiate(Server(twin=twin))
    faults = set()
    for at in range(len(hello)):
        spoiled = hello[:at] + bytes([hello[at] ^ 0x40]) + hello[at + 1 :]
        faults.add(fault_of(lambda spoiled=spoiled: Server(twin=twin).welcome(spoiled)))  # type: ignore[misc]
    assert faults == {Fault.COMMAND, Fault.HELLO, Fault.HELLO_VERSION, Fault.HELLO_BOX}


def test_one_wrong_octet_anywhere_in_initiate_is_refused(twin: ModuleType) -> None:
    server = Server(twin=twin)
    _, initiate = hello_and_initiate(server)
    faults = set()
    for at in range(9, len(initiate)):  # before that are the frame's flags and size
        spoiled = initiate[:at] + bytes([initiate[at] ^ 0x40]) + initiate[at + 1 :]
        faults.add(fault_of(lambda spoiled=spoiled: server.ready(spoiled)))  # type: ignore[misc]
    assert faults == {Fault.COMMAND, Fault.COOKIE, Fault.INITIATE, Fault.INITIATE_BOX}


def test_a_hello_for_another_server_key_does_not_open(twin: ModuleType) -> None:
    hello, _ = hello_and_initiate(Server(twin=twin))
    assert fault_of(lambda: Server(OTHER_SERVER, twin=twin).welcome(hello)) == Fault.HELLO_BOX


@pytest.mark.parametrize("public", LOW_ORDER)
def test_a_transient_key_that_nobody_can_have_does_not_open(twin: ModuleType, public: bytes) -> None:
    hello, _ = hello_and_initiate(Server(twin=twin))
    assert fault_of(lambda: Server(twin=twin).welcome(hello[:82] + public + hello[114:])) == Fault.HELLO_BOX


def test_even_a_cookie_with_a_transient_key_that_nobody_can_have_opens_nothing(twin: ModuleType) -> None:
    for public in LOW_ORDER:
        cookie = seal_cookie(public, bytes(range(32)), bytes(16), KEY)
        body = b"\x08INITIATE" + cookie + short_nonce(2) + bytes(144)
        with pytest.raises(PeerError) as error:
            twin.open_initiate_untrusted(body, SERVER.public, (ROTATING,), BINDING, short_nonce(1))
        assert error.value.fault == Fault.INITIATE_BOX


def test_a_hello_that_boxes_something_else_is_malformed(twin: ModuleType) -> None:
    transient = KeyPair.generate()
    nonce = short_nonce(1)
    sealed = sodium.seal(b"x" * 64, box.HELLO + nonce, sodium.shared_key(SERVER.public, transient.secret))
    hello = command_frame(b"HELLO", spec.CURVE_VERSION + bytes(72) + transient.public + nonce + sealed)
    assert fault_of(lambda: Server(twin=twin).welcome(hello)) == Fault.HELLO


def test_a_cookie_of_another_connection_or_a_rotated_key_does_not_open(twin: ModuleType) -> None:
    for server in (Server(good=(bytes(32), b"x" * 32), twin=twin), Server(binding=b"socket 2", twin=twin)):
        _, initiate = hello_and_initiate(server)
        assert fault_of(lambda server=server, initiate=initiate: server.ready(initiate)) == Fault.COOKIE  # type: ignore[misc]


def test_a_cookie_of_the_key_before_still_opens(twin: ModuleType) -> None:
    server = Server(good=(bytearray(32), bytearray(ROTATING)), twin=twin)
    server.ready(hello_and_initiate(server)[1])
    assert server.initiate.client == CLIENT.public


def forged_initiate(
    server: Server,
    *,
    vouched_transient: bytes | None = None,
    vouched_server: bytes = SERVER.public,
    voucher: KeyPair = CLIENT,
    client: bytes = CLIENT.public,
    octets: bytes = b"",
    nonce: bytes = short_nonce(2),
) -> bytes:
    """INITIATE of a client who vouches for what it should not, or says what it should not."""
    transient, server_transient = KeyPair.generate(), KeyPair.generate()
    server.server, server.hello_nonce = SERVER, short_nonce(1)
    cookie = seal_cookie(transient.public, server_transient.secret, sodium.randombytes(16), KEY)
    vouch = box.seal_vouch(
        voucher, vouched_transient or transient.public, vouched_server, server_transient.public, bytes(16)
    )
    shared = sodium.shared_key(server_transient.public, transient.secret)
    return command_frame(
        b"INITIATE", cookie + nonce + sodium.seal(client + vouch + octets, box.INITIATE + nonce, shared)
    )


def test_the_vouch_is_checked_in_both_halves_and_its_key(twin: ModuleType) -> None:
    server = Server(twin=twin)
    server.ready(forged_initiate(server))
    for forged in (
        forged_initiate(server, vouched_transient=KeyPair.generate().public),
        forged_initiate(server, vouched_server=OTHER_SERVER.public),
        forged_initiate(server, vouched_server=bytes(32)),
        forged_initiate(server, voucher=KeyPair.generate()),
        *[forged_initiate(server, client=public) for public in LOW_ORDER],
    ):
        assert fault_of(lambda forged=forged: server.ready(forged)) == Fault.VOUCH  # type: ignore[misc]


def test_malformed_metadata_is_judged_after_the_vouch(twin: ModuleType) -> None:
    server = Server(twin=twin)
    assert fault_of(lambda: server.ready(forged_initiate(server, octets=b"\x05abc"))) == Fault.METADATA


@pytest.mark.parametrize(
    ("hello", "initiate", "little"), [(1, 2, False), (288, 289, True), (255, 256, False), (1, 1, False)]
)
def test_the_order_of_a_clients_nonces_is_told_by_its_first_two(
    twin: ModuleType, hello: int, initiate: int, little: bool
) -> None:
    order = "little" if little else "big"
    server = Server(twin=twin)
    frame = forged_initiate(server, nonce=initiate.to_bytes(8, order))  # type: ignore[arg-type]
    server.hello_nonce = hello.to_bytes(8, order)  # type: ignore[arg-type]
    server.ready(frame)
    assert server.initiate.little_endian is little
    assert server.initiate.nonce == initiate


def test_an_initiate_whose_nonce_does_not_follow_is_malformed(twin: ModuleType) -> None:
    server = Server(twin=twin)
    for nonce in (0, 3, 2**64 - 1):
        assert fault_of(lambda nonce=nonce: server.ready(forged_initiate(server, nonce=short_nonce(nonce)))) == (  # type: ignore[misc]
            Fault.INITIATE
        )

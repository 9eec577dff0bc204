"""The client's side of the CURVE handshake."""

import gc
from types import FunctionType, ModuleType

import pytest
from support import zmtp
from support.handshake import (
    CLIENT,
    PROPERTIES,
    SERVER,
    Server,
    client,
    curve_of,
    fault_of,
)
from support.zmtp import COMMAND, command_frame, error

from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.suites import Suite, available_suites
from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.client import CurveInitiator
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.offer import Terms
from curveproxy.wire.security import Curve, Records, Security
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import frame
from curveproxy.wire.zmtp.greeting import MAJOR_END


def test_octets_behind_ready_are_kept_for_the_session() -> None:
    server, peer = Server(), client()
    initiate = peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING)))
    peer.receive_untrusted(server.ready(initiate) + b"behind")
    assert peer.negotiated.leftover == b"behind"


def test_metadata_of_ready_comes_back() -> None:
    server, peer = Server(), client()
    initiate = peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING)))
    peer.receive_untrusted(server.ready(initiate))
    assert metadata.encode(peer.negotiated.metadata) == metadata.encode({"Socket-Type": b"ROUTER"})


@pytest.mark.parametrize(
    ("nonce", "counter", "little_endian"),
    [
        (bytes(7) + b"\1", 1, False),
        (b"\1" + bytes(7), 1, True),
        (bytes(6) + b"\1\0", 256, False),
        (b"\0\1" + bytes(6), 256, True),
        (b"\x80" + bytes(6) + b"\1", (128 << 56) + 1, False),
    ],
)
def test_ready_shows_in_which_order_a_server_counts(nonce: bytes, counter: int, little_endian: bool) -> None:
    server, peer = Server(), client()
    server.ready(peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING))))
    sealed = sodium.seal(b"", box.READY + nonce, server.initiate.shared)
    peer.receive_untrusted(frame(spec.COMMAND, layout.READY.pack(spec.READY_NAME, nonce) + sealed))
    assert (curve_of(peer).open_nonce, curve_of(peer).little_endian) == (counter, little_endian)


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"HTTP/1.1 400", Fault.NOT_ZMTP),
        (b"HTTPS", Fault.NOT_ZMTP),
        (b"\xff" + bytes(8) + b"\x7f\x01", Fault.ZMTP_VERSION),
        (b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(64, b"\0"), Fault.MECHANISM),
        (curve_server.GREETING + curve_server.error("400"), Fault.REFUSED),
        (curve_server.GREETING + command_frame(b"HELLO", bytes(194)), Fault.ROLE),
        (curve_server.GREETING + command_frame(b"HELP", bytes(194)), Fault.COMMAND),
        (curve_server.GREETING + command_frame(b"WELCOME", bytes(160)), Fault.WELCOME),
        (curve_server.GREETING + command_frame(b"WELCOME", bytes(161)), Fault.WELCOME),
    ],
)
def test_our_client_says_what_a_server_did_wrong(octets: bytes, fault: Fault) -> None:
    assert fault_of(lambda: client().receive_untrusted(octets)) == fault


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (curve_server.error("400"), "refused: 400"),
        (curve_server.error("sessions_limit"), "refused: sessions_limit"),
        (curve_server.error("\x1b[2J"), "refused"),
        (command_frame(b"ERROR", b""), "refused"),
        (zmtp.frame(error(b"400"), COMMAND, long=True), "refused: 400"),
        (zmtp.frame(error(b"\xff" * 255), COMMAND), "refused"),
        (zmtp.frame(error(b"400") + bytes(400), COMMAND), "command"),
        (command_frame(b"READY", bytes(40)), "ready"),
        (zmtp.frame(b"", COMMAND), "ready: too short"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000], ids=["octet by octet", "in one piece"])
def test_our_client_understands_a_refusal_and_a_false_ready(answer: bytes, told: str, step: int) -> None:
    server, peer = Server(), client()
    peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING)))
    pieces = [answer[at : at + step] for at in range(0, len(answer), step)]
    with pytest.raises(PeerError) as caught:
        list(map(peer.receive_untrusted, pieces))
    assert str(caught.value).startswith(told)
    assert "\x1b" not in str(caught.value)


def test_a_refusal_of_any_size_is_not_waited_for() -> None:
    server, peer = Server(), client()
    peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING)))
    huge = zmtp.frame(error(b"400"), COMMAND, size=1 << 62)
    assert fault_of(lambda: peer.receive_untrusted(huge)) == Fault.COMMAND


def test_a_key_that_no_server_can_have_is_told_as_a_welcome_that_can_not_come() -> None:
    peer = CurveInitiator(bytes(32), CLIENT, KeyPair.generate(), bytes(16), PROPERTIES)
    assert fault_of(lambda: peer.receive_untrusted(curve_server.GREETING)) == Fault.WELCOME


def test_step_by_step_our_mechanism_comes_behind_the_servers() -> None:
    server = Server()
    peer = CurveInitiator(SERVER.public, CLIENT, KeyPair.generate(), bytes(16), PROPERTIES, stepwise=True)
    started = peer.start()
    assert len(started) == MAJOR_END
    assert peer.receive_untrusted(curve_server.GREETING[:-1]) == b""
    answer = peer.receive_untrusted(curve_server.GREETING[-1:])
    whole = started + answer
    assert whole[: spec.GREETING_SIZE] == client().start()
    initiate = peer.receive_untrusted(server.welcome(whole[spec.GREETING_SIZE :]))
    peer.receive_untrusted(server.ready(initiate))
    assert peer.done


# --- records


def agreed(offered: Terms | None, wanted: Terms | None) -> tuple[CurveInitiator, Security, bytes]:
    """A client behind its handshake with a server that wants these, what that server has of it, and their key."""
    server, peer = Server(), client()
    if offered is not None:
        peer.offer_records(offered)
    initiate = peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING)))
    server.ready(initiate)
    found = server.initiate.agree(wanted)
    ready, security = curve_server.conclude(server.initiate, SERVER.public, found, {"Socket-Type": b"ROUTER"})
    peer.receive_untrusted(ready)
    return peer, security, server.initiate.shared


@pytest.mark.parametrize("suite", available_suites())
def test_both_sides_have_each_other_s_chains_and_padding(suite: Suite) -> None:
    peer, theirs, _ = agreed(Terms(available_suites(), 64), Terms([suite]))
    ours = peer.negotiated.security
    assert isinstance(ours, Records)
    assert isinstance(theirs, Records)
    assert ours.seal_chain != ours.open_chain
    assert theirs == Records(suite, ours.open_chain, ours.seal_chain, peer_pads=True, pad_to=0)
    assert (ours.suite, ours.peer_pads, ours.pad_to) == (suite, False, 64)
    assert peer.negotiated.metadata["X-Curveproxy-Records"] == bytes([1, 0, suite])


def test_without_aes_in_the_processor_the_other_suite_is_agreed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sodium, "has_fast_aes", lambda: False)
    terms = Terms(available_suites())
    assert terms.offer == b"\x01\x00\x01"
    peer, theirs, _ = agreed(Terms([Suite.AEGIS_256, Suite.XSALSA20_POLY1305]), terms)
    assert isinstance(peer.negotiated.security, Records)
    assert isinstance(theirs, Records)
    assert peer.negotiated.security.suite == theirs.suite == Suite.XSALSA20_POLY1305


def test_two_sessions_have_nothing_in_common() -> None:
    terms = Terms([Suite.XSALSA20_POLY1305])
    chains = set[bytes]()
    for _ in range(2):
        peer, _, _ = agreed(terms, terms)
        security = peer.negotiated.security
        assert isinstance(security, Records)
        chains |= {security.seal_chain, security.open_chain}
        assert not any(chain.hex() in repr(peer.negotiated) or repr(chain) in repr(peer.negotiated) for chain in chains)
    assert len(chains) == 4


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [(None, Terms([Suite.XSALSA20_POLY1305])), (Terms([Suite.XSALSA20_POLY1305]), None)],
    ids=["no offer", "no answer"],
)
def test_without_offer_or_answer_messages_are_what_they_were(offered: Terms | None, wanted: Terms | None) -> None:
    peer, theirs, shared = agreed(offered, wanted)
    assert isinstance(theirs, Curve)
    assert curve_of(peer).key == theirs.key == shared


@pytest.mark.parametrize("answer", [b"\x01\x00\x02", b"", b"\x02\x00\x01", b"\x01\x00\x01\x01"], ids=bytes.hex)
def test_an_answer_that_was_not_offered_is_a_fault_of_ready(answer: bytes) -> None:
    server, peer = Server(), client()
    peer.offer_records(Terms([Suite.XSALSA20_POLY1305]))
    server.ready(peer.receive_untrusted(server.welcome(peer.receive_untrusted(curve_server.GREETING))))
    ready = curve_server.ready(server.initiate.shared, {"X-Curveproxy-Records": answer})
    assert fault_of(lambda: peer.receive_untrusted(ready)) == Fault.READY


def test_the_key_of_the_session_is_forgotten_where_there_are_records() -> None:
    terms = Terms([Suite.XSALSA20_POLY1305])
    peer, _, shared = agreed(terms, terms)
    within = reachable(peer)
    assert CLIENT.public in within
    assert shared not in within
    peer, _, shared = agreed(None, None)
    assert shared in reachable(peer), "it seals messages"


def reachable(root: object) -> set[bytes]:
    """All octets that can be reached from an object by way of others like it."""
    found, seen, due = set[bytes](), set[int](), [root]
    while due:
        each = due.pop()
        if isinstance(each, bytes):
            found.add(each)
        elif id(each) not in seen and not isinstance(each, type | ModuleType | FunctionType):
            seen.add(id(each))
            due += gc.get_referents(each)
    return found

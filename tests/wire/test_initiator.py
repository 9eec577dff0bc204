"""The contract of the connecting side: whatever an Initiator speaks, it is fed and asked in the same way."""

from collections.abc import Callable

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st
from support import curve
from support.certificates import answer
from support.curve import Keys
from support.zmtp import command_frame

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.asking import CertificateQuestion
from curveproxy.wire.curve.client import CurveInitiator
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import LocalError, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Curve, Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect, frame
from curveproxy.wire.zmtp.greeting import greeting
from curveproxy.wire.zmtp.metadata import encode
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import NullInitiator, Pacing
from curveproxy.wire.zmtp.v1 import V1Initiator
from curveproxy.wire.zmtp.v2 import V2Initiator

OURS, THEIRS = {"Socket-Type": b"DEALER"}, {"Socket-Type": b"ROUTER"}
SERVER, SERVER_TRANSIENT, CLIENT, TRANSIENT = (KeyPair.from_secret(bytes([number]) * 32) for number in range(1, 5))
SESSION = sodium.shared_key(SERVER_TRANSIENT.public, TRANSIENT.secret)


@frozen
class Case:
    """make: a fresh initiator; said: all that its peer says; found: what is then negotiated."""

    make: Callable[[], Initiator]
    said: bytes
    found: Negotiated


def _curve_said() -> bytes:
    server = Keys(SERVER.public, SERVER.secret)
    body = curve.welcome(server, TRANSIENT.public, SERVER_TRANSIENT.public, bytes(96))
    welcome = frame(spec.COMMAND, body)
    return curve_server.GREETING + welcome + curve_server.ready(SESSION, THEIRS)


V1_SAID = b"\x05\x00name"
V2_SAID = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x06" + b"\x00\x04name"
V3_SAID = greeting(spec.NULL, as_server=False) + command_frame(b"READY", encode(THEIRS))
V1_FOUND = Negotiated({"Identity": b"name"}, Version(Dialect.V1, 0), Plain())
V2_FOUND = Negotiated({**THEIRS, "Identity": b"name"}, Version(Dialect.V2, 0), Plain())
V3_FOUND = Negotiated(THEIRS, Version(Dialect.V3, spec.MINOR), Plain())
QUESTION_FOUND = Negotiated({}, Version(Dialect.V3, spec.MINOR), Plain())
CURVE_FOUND = Negotiated(
    THEIRS,
    Version(Dialect.V3, spec.MINOR),
    Curve(SESSION, box.MESSAGE_FROM_CLIENT, 2, box.MESSAGE_FROM_SERVER, 1),
)

CASES = {
    "V1": Case(lambda: V1Initiator(b"me"), V1_SAID, V1_FOUND),
    "V2": Case(lambda: V2Initiator(OURS), V2_SAID, V2_FOUND),
    "plain, of ZMTP 1.0": Case(lambda: PlainInitiator(OURS), V1_SAID, V1_FOUND),
    "plain, of ZMTP 2.0": Case(lambda: PlainInitiator(OURS), V2_SAID, V2_FOUND),
    "CURVE": Case(
        lambda: CurveInitiator(SERVER.public, CLIENT, TRANSIENT, bytes(16), OURS), _curve_said(), CURVE_FOUND
    ),
}
CASES["CURVE, stepwise"] = evolve(
    CASES["CURVE"],
    make=lambda: CurveInitiator(SERVER.public, CLIENT, TRANSIENT, bytes(16), OURS, stepwise=True),
)
CASES["a question"] = Case(CertificateQuestion, answer(b"a text", b"another"), QUESTION_FOUND)
for _pacing in Pacing:
    CASES[f"NULL, {_pacing.name}"] = Case(lambda pacing=_pacing: NullInitiator(OURS, pacing), V3_SAID, V3_FOUND)  # type: ignore[misc]
    CASES[f"plain, {_pacing.name}"] = Case(lambda pacing=_pacing: PlainInitiator(OURS, pacing), V3_SAID, V3_FOUND)  # type: ignore[misc]

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def feed(peer: Initiator, said: bytes, step: int) -> tuple[bytes, Negotiated | None]:
    """What it sends in all, and what it has negotiated with all that is left of ``said``; None when it refuses."""
    sent, at = peer.start(), 0
    try:
        while at < len(said) and not peer.done:
            sent += peer.receive_untrusted(said[at : at + step])
            at += step
    except PeerError:
        return b"", None
    if not peer.done:
        return sent, None
    return sent, evolve(peer.negotiated, leftover=peer.negotiated.leftover + said[at:])


@each_case
@pytest.mark.parametrize("step", [1, 7, 1000], ids=["octet by octet", "by sevens", "in one piece"])
@pytest.mark.parametrize("behind", [b"", b"behind"], ids=len)
def test_it_negotiates_the_same_in_pieces_of_any_size(case: Case, step: int, behind: bytes) -> None:
    sent, found = feed(case.make(), case.said + behind, step)
    assert found == evolve(case.found, leftover=behind)
    assert (sent, found) == feed(case.make(), case.said + behind, 1 << 16)


@each_case
def test_it_is_done_with_the_last_octet_and_not_before(case: Case) -> None:
    peer = case.make()
    for at in range(len(case.said)):
        assert not peer.done
        with pytest.raises(LocalError):
            _ = peer.negotiated
        peer.receive_untrusted(case.said[at : at + 1])
    assert peer.done


@each_case
def test_it_is_not_fed_when_it_is_done(case: Case) -> None:
    peer = case.make()
    peer.receive_untrusted(case.said)
    with pytest.raises(LocalError):
        peer.receive_untrusted(b"more")


@each_case
def test_damage_anywhere_is_judged_the_same_in_pieces_of_any_size(case: Case) -> None:
    for at in range(len(case.said)):
        spoiled = case.said[:at] + bytes([case.said[at] ^ 0x41]) + case.said[at + 1 :]
        assert feed(case.make(), spoiled, 1) == feed(case.make(), spoiled, 1 << 16)


@each_case
@given(octets=st.binary(max_size=100), kept=st.integers(0, 80))
def test_garbage_raises_nothing_but_its_fault(case: Case, octets: bytes, kept: int) -> None:
    feed(case.make(), case.said[:kept] + octets, 1)


@each_case
def test_no_secret_shows_in_what_was_negotiated(case: Case) -> None:
    peer = case.make()
    peer.receive_untrusted(case.said)
    assert repr(SESSION)[2:-1] not in repr(peer.negotiated)

"""A backend in plain ZMTP: in which pacing it is greeted, and what is remembered of it."""

import errno
from typing import Any

import pytest
from attrs import evolve
from support.fakes import RecordingObserver

from curveproxy.proxy.connect.approach import Judgement, Progress, Then
from curveproxy.proxy.connect.attempt import AttemptError
from curveproxy.proxy.connect.backend import Backend, BackendApproach
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.null import Pacing

V1, V3 = Version(Dialect.V1, 0), Version(Dialect.V3, 1)
DEALER, PAIR = {"Socket-Type": b"DEALER"}, {"Socket-Type": b"PAIR"}
SETTINGS = ServiceSettings("test", Endpoint("tcp", "*"), Endpoint("tcp", "127.0.0.1", 1), ())
NOT_ZMTP, MECHANISM, READY = (PeerError(fault) for fault in (Fault.NOT_ZMTP, Fault.MECHANISM, Fault.READY))
# What a backend says to show its version, and no more.
VERSION = b"\xff" + bytes(7) + b"\x01\x7f\x03"


def backend(**more: Any) -> Backend:
    return Backend(evolve(SETTINGS, **more), RecordingObserver())


def approach_of(backend: Backend, metadata: dict[str, bytes] = DEALER) -> BackendApproach:
    [approach] = backend.approaches(metadata)
    assert isinstance(approach, BackendApproach)
    return approach


def answers(backend: Backend, version: Version, kind: bytes = b"ROUTER") -> None:
    """A dial has reached it."""
    sock: Any = None
    approach_of(backend).succeeded(Established(sock, {"Socket-Type": kind}, version, Plain()))


@pytest.mark.parametrize(
    ("pacing", "error", "says", "then"),
    [
        (Pacing.PIPELINED, NOT_ZMTP, b"", Pacing.STEPWISE),
        (Pacing.PIPELINED, EOFError(), VERSION, Pacing.STEPWISE),
        (Pacing.PIPELINED, MECHANISM, VERSION, None),
        (Pacing.STEPWISE, EOFError(), VERSION, Pacing.PEER_FIRST),
        (Pacing.STEPWISE, ConnectionResetError(errno.ECONNRESET, "reset"), VERSION, Pacing.PEER_FIRST),
        (Pacing.STEPWISE, EOFError(), b"", None),
        (Pacing.STEPWISE, READY, VERSION, None),
        (Pacing.PEER_FIRST, EOFError(), VERSION, None),
    ],
)
def test_a_greeting_that_was_cut_short_is_tried_in_another_pacing(
    pacing: Pacing, error: AttemptError, says: bytes, then: Pacing | None
) -> None:
    approach = approach_of(backend())
    approach.pacing = pacing
    approach.initiator().receive_untrusted(says)
    judged = approach.judge(error, Progress.GREETING)
    assert judged.then == (Then.END if then is None else Then.AGAIN)
    assert approach.pacing == (pacing if then is None else then)


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT])
def test_where_there_is_no_connection_the_next_address_is_tried(number: int) -> None:
    judged = approach_of(backend()).judge(OSError(number, "no"), Progress.CONNECTING)
    assert judged.then == Then.NEXT


def test_what_the_system_has_too_little_of_is_not_its_fault() -> None:
    judged = approach_of(backend()).judge(OSError(errno.ENOSPC, "full"), Progress.CONNECTING)
    assert isinstance(judged.error, RefusedError)


@pytest.mark.parametrize("metadata", [{"Identity": b"\0x"}, {"Socket-Type": b"X" * 300}], ids=str)
def test_what_no_client_must_be_shown_is_its_handshakes_fault(metadata: dict[str, bytes]) -> None:
    judged = approach_of(backend()).accept(Negotiated(metadata, V3, Plain()))
    assert isinstance(judged, Judgement)
    assert isinstance(judged.error, DialError)
    assert (judged.error.failure, judged.then) == (BackendFailure.HANDSHAKE, Then.END)


def test_a_type_that_does_not_fit_ends_it() -> None:
    judged = approach_of(backend()).accept(Negotiated({"Socket-Type": b"PUB"}, V3, Plain()))
    assert isinstance(judged, Judgement)
    assert isinstance(judged.error, DialError)
    assert (judged.error.failure, judged.then) == (BackendFailure.SOCKET_TYPE, Then.END)
    assert approach_of(backend()).accept(Negotiated({"Socket-Type": b"ROUTER"}, V3, Plain())) == b"ROUTER"


def test_one_that_is_known_to_speak_zmtp_3_is_greeted_in_one_piece() -> None:
    behind = backend()
    assert approach_of(behind).pacing == Pacing.STEPWISE
    answers(behind, V3)
    assert approach_of(behind).pacing == Pacing.PIPELINED
    approach_of(behind).failed()
    assert approach_of(behind).pacing == Pacing.STEPWISE, "it may be another program by now"
    answers(behind, V3)
    assert not behind.configure(SETTINGS)
    assert approach_of(behind).pacing == Pacing.PIPELINED
    assert behind.configure(evolve(SETTINGS, backend=Endpoint("tcp", "127.0.0.1", 2)))
    assert approach_of(behind).pacing == Pacing.STEPWISE
    assert approach_of(behind).endpoint.port == 2


def test_an_old_one_is_not_dialled_for_who_does_not_fit_it() -> None:
    behind = backend(backend_socket_type="PULL")
    assert behind.misfit(DEALER) is None
    answers(behind, V1, b"PULL")
    assert isinstance(behind.misfit(DEALER), DialError)
    assert behind.misfit({"Socket-Type": b"PUSH"}) is None


def test_a_pair_that_may_be_an_old_one_takes_one_connection() -> None:
    behind = backend()
    assert behind.takes_one(DEALER) is None
    assert behind.takes_one(PAIR)
    answers(behind, V3, b"PAIR")
    assert behind.takes_one(PAIR) is False


def test_an_old_one_is_told_an_identity_only_where_that_is_wished() -> None:
    for wished in (True, False):
        initiator = approach_of(backend(zmtp1_identities=wished), {**DEALER, "Identity": b"me"}).initiator()
        assert initiator.start()[8] == (3 if wished else 1)

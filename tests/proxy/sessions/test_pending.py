"""A client between the proof of its key and its session: each way through its states ends once, and says so once."""

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping

import pytest
import trio
from support.fakes import RecordingApplying, RecordingObserver, admitted, applicant
from support.reactor import LoneReactor
from support.zmtp import metadata as encoded

from curveproxy.policy.access.terms import Grant
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.connect.dial_request import DialHandler, DialRequest
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.reactor import WRITE, FailsAlone, Handler
from curveproxy.proxy.net.sockets import EXHAUSTED
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.proxy.sessions.pending import PendingSession
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire import spec
from curveproxy.wire.security import Plain, Version
from curveproxy.wire.zmtp.frame import Dialect

PROPERTIES = {"Socket-Type": b"ROUTER", "Identity": b""}


class Dial(DialRequest):
    """A dial that waits until the test ends it."""

    def __init__(self, handler: DialHandler) -> None:
        self.handler = handler

    def refuse(self, error: RefusedError) -> None:
        self.handler.refused(error)


class Owner:
    """A service, as its pending sessions know it: it keeps what they ask of it, in its order.

    objection, grant: what ``review`` says, if it is another than before; claim_error: what a claim raises.
    refuses: what a dial comes to at once.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.work: list[tuple[FailsAlone, Callable[[], Awaitable[None]]]] = []
        self.metadata: Mapping[str, bytes] = {}
        self.objection: RefusedError | None = None
        self.grant: Grant | None = None
        self.claim_error: Exception | None = None
        self.refuses: DialError | RefusedError | None = None
        self.session: tuple[Established, Established] | None = None

    def spawn(self, owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        self.calls.append("spawn")
        self.work.append((owner, work))

    async def run(self) -> None:
        """Do what was spawned, with the boundary of a server."""
        owner, work = self.work.pop()
        try:
            await work()
        except Exception as error:
            owner.failed(error)

    async def claim(self, who: AdmittedClient) -> None:
        self.calls.append("claim")
        if self.claim_error is not None:
            raise self.claim_error

    def dial(self, handler: DialHandler, who: AdmittedClient, metadata: Mapping[str, bytes]) -> DialRequest | None:
        self.calls.append("dial")
        self.metadata = metadata
        if self.refuses is not None:
            handler.refused(self.refuses)
            return None
        return Dial(handler)

    def review(self, applicant: Applicant, grant: Grant, upstream: Established) -> Grant | RefusedError:
        self.calls.append("review")
        return self.objection or self.grant or grant

    def settled(self, pending: PendingSession) -> None:
        self.calls.append("settled")

    def begin_session(self, pending: PendingSession, downstream: Established, upstream: Established) -> None:
        self.calls.append("begin_session")
        self.session = downstream, upstream

    def give_back(self, upstream: Established) -> None:
        self.calls.append("give_back")
        upstream.socket.close()


class Case:
    """One pending session, and all that stands around it."""

    def __init__(self) -> None:
        self.owner, self.observer, self.reactor = Owner(), RecordingObserver(), LoneReactor(16)
        self.applying = RecordingApplying(applicant(b"me"))
        self.service, there = socket.socketpair()
        self.upstream = Established(there, PROPERTIES, Version(Dialect.V3, 1), Plain())
        self.pending = PendingSession(
            self.owner, self.applying, admitted(b"me"), self.reactor, self.observer, self.owner.spawn
        )

    def is_refused(self, outcome: Outcome, detail: str = "") -> bool:
        """Whether it was refused so, once, and is over."""
        assert self.observer.take() == [("refused", outcome, detail, "alice")]
        assert self.applying.refused == [outcome]
        assert self.owner.calls.count("settled") == 1
        assert len(self.reactor) == 0
        return self.owner.session is None

    def close(self) -> None:
        self.applying.close()
        self.service.close()
        self.upstream.socket.close()
        self.reactor.close()


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.close()


def test_what_it_is_about_can_be_seen(case: Case) -> None:
    assert case.pending.who.identity == b"me"
    assert case.pending.applicant is case.applying.applicant


def test_an_identity_that_nobody_has_is_not_claimed(case: Case) -> None:
    case.pending.begin(claims=False)
    assert case.owner.calls == ["dial"]
    assert case.owner.metadata == case.applying.applicant.metadata


async def test_an_identity_is_claimed_before_the_service_is_dialled(case: Case) -> None:
    case.pending.begin(claims=True)
    assert case.owner.calls == ["spawn"]
    await case.owner.run()
    assert case.owner.calls == ["spawn", "claim", "dial"]
    assert case.observer.events == []


def test_the_service_is_there_a_session_begins_behind_ready(case: Case) -> None:
    case.pending.begin(claims=False)
    case.pending.connected(case.upstream)
    assert case.owner.calls == ["dial", "settled", "review", "begin_session"]
    assert case.owner.session is not None
    downstream, upstream = case.owner.session
    assert (downstream.socket, upstream) == (case.applying.socket, case.upstream)
    assert case.applying.welcomed == PROPERTIES
    assert case.observer.events == [], "that it is admitted, the service reports"
    assert len(case.reactor) == 1, "its socket is registered before the client is in"


def test_a_session_begins_on_the_grounds_of_the_moment_when_the_service_is_there(case: Case) -> None:
    case.owner.grant = Grant("alice", ends_at=5.0)
    case.pending.begin(claims=False)
    assert case.pending.who.grant == Grant()
    case.pending.connected(case.upstream)
    assert case.pending.who.grant == case.owner.grant


def test_a_service_s_metadata_is_cut_to_what_any_client_takes(case: Case) -> None:
    more = {f"X-{letter}": bytes(spec.READY_METADATA_MAX // 3) for letter in "ABCDE"}
    case.upstream = Established(case.upstream.socket, PROPERTIES | more, Version(Dialect.V3, 1), Plain())
    case.pending.begin(claims=False)
    case.pending.connected(case.upstream)
    assert case.applying.welcomed is not None
    assert PROPERTIES.items() <= case.applying.welcomed.items()
    assert len(encoded(case.applying.welcomed)) <= spec.READY_METADATA_MAX
    assert case.applying.welcomed.keys() & more.keys()


def test_whoever_is_not_allowed_any_more_when_the_service_is_there_gets_no_ready(case: Case) -> None:
    case.pending.begin(claims=False)
    case.owner.objection = RefusedError(Outcome.CLIENT_UNKNOWN)
    case.pending.connected(case.upstream)
    assert case.owner.calls == ["dial", "settled", "review", "give_back"]
    assert case.is_refused(Outcome.CLIENT_UNKNOWN)
    assert case.applying.welcomed is None


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (RefusedError(Outcome.PEER_CLOSED, "it takes no READY"), Outcome.PEER_CLOSED, "it takes no READY"),
        (ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)), Outcome.PEER_CLOSED, ""),
        (OSError(errno.ENOBUFS, "full"), Outcome.SESSIONS_LIMIT, EXHAUSTED[errno.ENOBUFS]),
        (OSError("without a number"), Outcome.PEER_CLOSED, ""),
    ],
    ids=["no READY", "reset", "exhausted", "no number"],
)
def test_a_client_that_can_not_be_answered_is_refused_and_the_service_given_back(
    case: Case, error: Exception, outcome: Outcome, detail: str
) -> None:
    case.pending.begin(claims=False)
    case.applying.error = error
    case.pending.connected(case.upstream)
    assert case.owner.calls[-1] == "give_back"
    assert case.is_refused(outcome, detail)


def test_a_full_epoll_is_no_fault_of_the_client(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, handler: Handler, events: int) -> None:
        assert events & WRITE
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(case.reactor, "register", full)
    case.pending.begin(claims=False)
    case.pending.connected(case.upstream)
    assert case.applying.welcomed is None, "before READY, for whoever has that is in"
    assert case.is_refused(Outcome.SESSIONS_LIMIT, EXHAUSTED[errno.ENOSPC])


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (DialError(BackendFailure.TIMEOUT, "no answer"), Outcome.BACKEND_UNAVAILABLE, "timeout: no answer"),
        (RefusedError(Outcome.SERVICE_BUSY), Outcome.SERVICE_BUSY, ""),
    ],
    ids=["a dial that failed", "a dial that was not made"],
)
@pytest.mark.parametrize("when", ["at once", "later"])
def test_no_service_is_a_refusal(
    case: Case, error: DialError | RefusedError, outcome: Outcome, detail: str, when: str
) -> None:
    if when == "at once":
        case.owner.refuses = error
    case.pending.begin(claims=False)
    if when == "later":
        case.pending.refused(error)
    assert case.owner.calls == ["dial", "settled"]
    assert case.is_refused(outcome, detail)


async def test_a_claim_that_is_not_granted_is_a_refusal_and_nothing_is_dialled(case: Case) -> None:
    case.owner.claim_error = RefusedError(Outcome.IDENTITY_IN_USE)
    case.pending.begin(claims=True)
    await case.owner.run()
    assert case.owner.calls == ["spawn", "claim", "settled"]
    assert case.is_refused(Outcome.IDENTITY_IN_USE)


async def test_a_claim_that_breaks_is_reported_and_ends_this_client_alone(case: Case) -> None:
    case.owner.claim_error = ValueError("ours")
    case.pending.begin(claims=True)
    await case.owner.run()
    assert case.observer.events.pop(0) == ("unexpected", "ours")
    assert case.is_refused(Outcome.INTERNAL)


def test_a_dial_that_breaks_is_reported_and_ends_this_client_alone(case: Case) -> None:
    case.pending.begin(claims=False)
    case.pending.failed(ValueError("ours"))
    assert case.observer.events.pop(0) == ("unexpected", "ours")
    assert case.is_refused(Outcome.INTERNAL)


def test_what_breaks_behind_the_end_is_reported_and_refuses_nobody_twice(case: Case) -> None:
    case.pending.begin(claims=False)
    case.pending.connected(case.upstream)
    case.pending.failed(ValueError("ours"))
    assert case.observer.take() == [("unexpected", "ours")]
    assert case.applying.refused == []
    assert case.owner.calls.count("settled") == 1


def test_an_error_of_ours_as_ready_is_made_ends_this_client_and_gives_the_service_back(case: Case) -> None:
    case.pending.begin(claims=False)
    case.applying.error = ValueError("ours")
    case.pending.connected(case.upstream)
    assert case.observer.events.pop(0) == ("unexpected", "ours")
    assert case.owner.calls[-1] == "give_back"
    assert case.is_refused(Outcome.INTERNAL)


async def test_it_is_cancelled_before_its_claim_has_begun(case: Case) -> None:
    case.pending.begin(claims=True)
    case.pending.cancel(RefusedError(Outcome.SHUTDOWN))
    assert case.is_refused(Outcome.SHUTDOWN)
    await case.owner.run()
    assert case.owner.calls == ["spawn", "settled"], "nothing is claimed any more"


@pytest.mark.parametrize("error", [None, RefusedError(Outcome.IDENTITY_IN_USE)], ids=["granted", "refused"])
async def test_it_is_cancelled_while_its_identity_is_claimed(case: Case, error: RefusedError | None) -> None:
    begun, may_end = trio.Event(), trio.Event()

    async def claim(who: AdmittedClient) -> None:
        begun.set()
        await may_end.wait()
        if error is not None:
            raise error

    case.owner.claim = claim  # type: ignore[method-assign]
    case.pending.begin(claims=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.owner.run)
        await begun.wait()
        case.pending.cancel(RefusedError(Outcome.PEER_CLOSED, "it has come again"))
        may_end.set()
    assert case.is_refused(Outcome.PEER_CLOSED, "it has come again")
    assert "dial" not in case.owner.calls


def test_it_is_cancelled_while_its_service_is_dialled(case: Case) -> None:
    case.pending.begin(claims=False)
    case.pending.cancel(RefusedError(Outcome.SHUTDOWN))
    assert case.owner.calls == ["dial", "settled"], "the dial is ended, and tells it"
    assert case.is_refused(Outcome.SHUTDOWN)


def test_an_event_before_the_session_takes_the_socket_over_does_nothing(case: Case) -> None:
    case.pending.begin(claims=False)
    case.pending.ready(WRITE)
    assert (case.observer.events, case.owner.calls) == ([], ["dial"])

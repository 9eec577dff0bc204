"""The contract of whoever a reactor serves, for all that there are.

Whoever has ended bears another turn, for it may have been scheduled before, and is not told of twice. ``failed`` ends
it alone, once, and reports the error.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define
from support.loopback import tcp_pair
from support.reactor import LoneReactor
from support.relaying import Relay

from curveproxy.policy.access.terms import ANYBODY
from curveproxy.policy.metadata import Said
from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import CurveMechanism
from curveproxy.proxy.accept.half_open import HalfOpen
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.connect.attempt import DialAttempt
from curveproxy.proxy.connect.connections import Connections, FinishingConnection
from curveproxy.proxy.connect.dialer import DialEnv, Dialer
from curveproxy.proxy.connect.recovery import Recovery
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.deadlines import Count
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.linger import LingeringClose, LingeringCloses
from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.proxy.relay.pump import Pump
from curveproxy.proxy.sessions.pending import PendingSession
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Outcome
from curveproxy.wire.curve.keys import KeyPair

Spawned = Callable[[], Awaitable[None]]


class Watched(LoneReactor):
    """Remembers who was registered."""

    def __init__(self) -> None:
        super().__init__(16)
        self.registered: list[Any] = []

    def register(self, descriptor: int, handler: Any, events: int = READ, *, again: bool = False) -> None:
        super().register(descriptor, handler, events, again=again)
        self.registered.append(handler)


@define
class Case:
    """A handler at work, and another of the same owner.

    ends: what was told of its end, or the other's; errors: of ours that were reported.
    end: ends it in an ordinary way; is_open: whether its connection, or the other's, is still there.
    """

    handler: Any
    other: Any
    ends: list[object]
    errors: list[BaseException]
    end: Callable[[], object]
    is_open: Callable[[Any], bool]


class Stage:
    """What the cases are made of, and what is to be closed behind them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self.reactor = stack, Watched()
        self.ends, self.errors = list[object](), list[BaseException]()
        stack.callback(self.reactor.close)
        self.observer: Any = SimpleNamespace(
            unexpected=self.errors.append,
            refused=lambda outcome, *_: self.ends.append(outcome),
            backend_failed=lambda *_: None,
            backend_up=lambda *_: None,
            accepted=lambda: None,
            notice=lambda *_, **__: None,
        )
        self.settings = ServiceSettings(
            "test", Endpoint("tcp", "127.0.0.1"), Endpoint("tcp", "127.0.0.1", 1), (KeyPair.generate(),)
        )

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A connection over TCP: the near end is the handler's, the far end stays open."""
        near, far = (self._stack.enter_context(end) for end in tcp_pair())
        return near, far

    def service(self) -> Endpoint:
        """A service that accepts and says nothing."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return Endpoint("tcp", *listener.getsockname())

    def enter(self, context: Any) -> Any:
        return self._stack.enter_context(context)

    def callback(self, call: Callable[[], object]) -> None:
        self._stack.callback(call)

    def spawn(self, *_: object) -> None:
        """Nothing that is spawned here has to run."""


def half_open(stage: Stage) -> Case:
    gate: Any = SimpleNamespace(
        settings=stage.settings, observer=stage.observer, name_of=lambda _: "", on_recovery=lambda _: None
    )
    capacity = Capacity(1000)
    admission = Admission(
        [gate],
        CurveMechanism(CookieKeys(), TransientKeys()),
        stage.reactor,
        LingeringCloses(stage.reactor, Count()),
        capacity,
        lambda: False,
    )
    for _ in range(2):
        near, _ = stage.pair()
        admission.enter(near, near.getpeername())
    handler, other = stage.reactor.registered
    assert isinstance(handler, HalfOpen)
    end = lambda: admission.evict_oldest()  # noqa: E731
    return Case(handler, other, stage.ends, stage.errors, end, lambda each: each.socket.fileno() != -1)


def lingering_close(stage: Stage) -> Case:
    closes = LingeringCloses(stage.reactor, Count())
    for _ in range(2):
        closes.begin(stage.pair()[0], b"last", stage.errors.append)
    handler, other = stage.reactor.registered
    assert isinstance(handler, LingeringClose)
    stage.callback(closes.close_all)
    end = lambda: closes.close_oldest()  # noqa: E731
    return Case(handler, other, stage.ends, stage.errors, end, lambda each: each.socket.fileno() != -1)


class Wanting:
    """Who wants a service, and hears what becomes of it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def connected(self, peer: Established) -> None:
        self._stage.ends.append(peer)

    def refused(self, error: Exception) -> None:
        self._stage.ends.append(error)

    def failed(self, error: Exception) -> None:
        self._stage.ends.append(error)
        self._stage.errors.append(error)


def dial_attempt(stage: Stage) -> Case:
    settings = ServiceSettings("test", stage.settings.listen, stage.service(), stage.settings.server_keys)
    recovery = Recovery(stage.observer, stage.spawn, lambda: None)
    dialer = Dialer(settings, stage.observer, DialEnv(stage.reactor, stage.spawn, lambda: False), recovery)
    dials = [dialer.dial(Wanting(stage), {"Socket-Type": b"DEALER"}) for _ in range(2)]
    handler, other = stage.reactor.registered
    assert isinstance(handler, DialAttempt)
    sockets: dict[Any, Any] = {each: each.socket for each in (handler, other)}
    for sock in sockets.values():
        stage.enter(closing(sock))
    first = dials[0]
    assert first is not None
    end = lambda: first.refuse(RefusedError(Outcome.SHUTDOWN))  # noqa: E731
    return Case(handler, other, stage.ends, stage.errors, end, lambda each: sockets[each].fileno() != -1)


def finishing_connection(stage: Stage) -> Case:
    def settles(_: Spawned) -> None:
        stage.ends.append("settles")

    connections = Connections(stage.reactor, settles, stage.errors.append)
    connections.allow_one(True)
    ends = [stage.pair() for _ in range(2)]
    for near, _ in ends:
        connections.lend()
        connections.take_back(near)
    handler, other = stage.reactor.registered
    assert isinstance(handler, FinishingConnection)
    sockets = {handler: ends[0][0], other: ends[1][0]}

    def end() -> None:
        ends[0][1].close()
        handler.ready(READ | GONE)

    return Case(handler, other, stage.ends, stage.errors, end, lambda each: sockets[each].fileno() != -1)


def pending_session(stage: Stage) -> Case:
    open_: dict[Any, bool] = {}
    sockets = list[socket.socket]()

    class Owner:
        """A service that reaches nobody."""

        def dial(self, *_: object) -> None: ...

        def settled(self, pending: PendingSession) -> None:
            open_[pending] = False

        def spawn(self, *_: object) -> None: ...

    class Applying:
        """A connection of an applicant."""

        def __init__(self) -> None:
            self.socket, _ = stage.pair()
            sockets.append(self.socket)
            self.applicant, self.grant = Applicant("here", 0.0, bytes(32), bytes(32), Said.of({})), ANYBODY

        def welcome(self, metadata: Mapping[str, bytes]) -> Established:
            raise AssertionError(metadata)

        def refuse(self, outcome: Outcome) -> None:
            assert stage.ends[-1] == outcome
            self.socket.close()

    owner: Any = Owner()
    both = []
    for number in range(2):
        who = AdmittedClient("alice", "here", bytes(32), bytes(32), b"", number)
        both.append(PendingSession(owner, Applying(), who, stage.reactor, stage.observer, owner.spawn))
        open_[both[-1]] = True
        both[-1].begin(claims=False)
    end = lambda: both[0].cancel(RefusedError(Outcome.SHUTDOWN))  # noqa: E731
    return Case(both[0], both[1], stage.ends, stage.errors, end, lambda each: open_[each])


def of_a_session(stage: Stage, handler_of: Callable[[Relay], Any]) -> Case:
    class Counting(Relay):
        def session_ended(self, session: Any, upstream: socket.SocketType) -> None:
            stage.ends.append(session.reason)
            super().session_ended(session, upstream)

    one, another = (Counting() for _ in range(2))
    for each in (one, another):
        stage.callback(each.client.close)
        stage.callback(each.service.close)
        stage.callback(each.session.close)
    relays = {handler_of(one): one, handler_of(another): another}
    handler, other = relays
    end = lambda: one.session.abort(Closed.DRAINED)  # noqa: E731
    return Case(handler, other, stage.ends, one.errors, end, lambda each: relays[each].ended is None)


def pump(stage: Stage) -> Case:
    case = of_a_session(stage, lambda relay: relay.near.reader)
    assert isinstance(case.handler, Pump)
    return case


CASES = [half_open, lingering_close, dial_attempt, finishing_connection, pending_session, pump]


@pytest.fixture(params=CASES, ids=[make.__name__ for make in CASES])
async def case(request: pytest.FixtureRequest) -> Any:
    with ExitStack() as stack:
        yield request.param(Stage(stack))


def serve(handler: Any) -> None:
    """All that a reactor may call."""
    if hasattr(handler, "ready"):
        for events in (READ, WRITE, GONE, READ | WRITE | GONE):
            handler.ready(events)
    if hasattr(handler, "resume"):
        handler.resume()


async def test_who_has_ended_bears_another_turn_and_is_told_of_once(case: Case) -> None:
    case.end()
    assert not case.is_open(case.handler)
    told = list(case.ends)
    serve(case.handler)
    serve(case.handler)
    assert case.ends == told
    assert case.errors == []
    assert case.is_open(case.other)


async def test_an_error_ends_its_own_handler_once_and_is_reported(case: Case) -> None:
    error = ValueError("ours")
    case.handler.failed(error)
    assert not case.is_open(case.handler)
    assert case.is_open(case.other)
    assert case.errors == [error]
    told = list(case.ends)
    serve(case.handler)
    assert (case.ends, case.errors) == (told, [error])


async def test_an_error_behind_the_end_is_reported_and_ends_nothing_more(case: Case) -> None:
    case.end()
    told = list(case.ends)
    for error in (ValueError("ours"), ValueError("again")):
        case.handler.failed(error)
        assert case.errors.pop() is error
    assert case.ends == told
    assert case.is_open(case.other)

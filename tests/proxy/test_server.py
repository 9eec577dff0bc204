"""A server: services are opened all or none, listeners stay, whoever crowds one port pays, a drain has its order."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import evolve
from support.client import RawClient, answers
from support.curve import Keys
from support.fakes import ANYBODY, RecordingObserver
from support.loopback import free_endpoint
from support.peer import Peer, Refused, connect, listens
from support.service import RawService, echo
from support.tasks import until

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.limits import RESERVED_DESCRIPTORS, AdmissionLimits
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.linger import LINGER_SECONDS
from curveproxy.proxy.net.listening import BindError
from curveproxy.proxy.server import TICK_SECONDS, Server
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Outcome
from curveproxy.wire.curve.keys import KeyPair

ANY_PORT = Endpoint.parse("tcp://127.0.0.1:0")
NOBODY = "tcp://127.0.0.1:1"


class Serving:
    """A server with services of these names. Their settings are in ``wanted``, their observers and keys by name."""

    def __init__(self, server: Server, backend: str) -> None:
        self.server, self.backend = server, backend
        self.wanted: dict[Service, ServiceSettings] = {}
        self.observers: dict[str, RecordingObserver] = {}
        self.keys: dict[str, Keys] = {}
        self.clients: list[Peer] = []

    def add(
        self,
        name: str,
        listen: Endpoint = ANY_PORT,
        clients: AccessList = ANYBODY,
        *,
        backend: str = "",
        admission: AdmissionLimits | None = None,
    ) -> Service:
        """One more that is wanted."""
        keys = self.keys[name] = Keys.new()
        settings = ServiceSettings(
            name,
            listen,
            Endpoint.parse(backend or self.backend),
            (KeyPair(keys.public, keys.secret),),
            admission=admission or AdmissionLimits(),
        )
        self.observers[name] = RecordingObserver()
        service = self.server.new_service(settings, clients, self.observers[name])
        self.wanted[service] = settings
        return service

    def open(self) -> None:
        self.server.open(self.wanted)

    def endpoint(self, service: Service) -> str:
        return str(self.server.listener_of(service).bound)

    def connect(self, service: Service) -> Peer:
        """Somebody who says nothing."""
        self.clients.append(peer := Peer(connect(self.endpoint(service))))
        return peer

    async def enter(self, service: Service) -> RawClient:
        """A client that is let in and answered. Raises Refused and EOFError."""
        client = RawClient(self.endpoint(service), self.keys[service.settings.name].public)
        self.clients.append(client)
        await trio.to_thread.run_sync(client.handshake)
        assert await trio.to_thread.run_sync(answers, client)
        return client

    async def is_refused(self, service: Service) -> RawClient:
        """A client that is told by ERROR that it is not let in."""
        client = RawClient(self.endpoint(service), self.keys[service.settings.name].public)
        self.clients.append(client)
        with pytest.raises(Refused):
            await trio.to_thread.run_sync(client.handshake)
        return client

    def events(self, name: str = "a") -> list[tuple[object, ...]]:
        """What happened, but for what happens to everybody."""
        return [event for event in self.observers[name].take() if event[0] not in ("accepted", "backend_up")]


@pytest.fixture
def backend() -> Iterator[RawService]:
    with RawService(echo) as service:
        yield service


@asynccontextmanager
async def serving(backend: str = NOBODY, server: Server | None = None) -> AsyncIterator[Serving]:
    """A server that runs. At the end it is drained without time to do so."""
    case = Serving(server or Server(descriptors=4096), backend)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(case.server.run)
            await trio.testing.wait_all_tasks_blocked()
            try:
                yield case
            finally:
                case.server.drain(0)
        assert case.server.sessions == 0
        assert not any(observer.errors for observer in case.observers.values())
    finally:
        for client in case.clients:
            client.close()


# --- opening


async def test_services_are_opened_before_the_server_runs_or_while_it_does(backend: RawService) -> None:
    case = Serving(server := Server(descriptors=4096), backend.endpoint)
    first = case.add("a")
    case.open()
    async with serving(backend.endpoint, server) as running:
        case.clients = running.clients
        await case.enter(first)
        second = case.add("b")
        case.open()
        await case.enter(second)
        assert server.services == [first, second]
        assert case.endpoint(first) != case.endpoint(second), "port 0 is another one for each"


async def test_where_one_can_not_be_opened_nothing_has_changed(backend: RawService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with serving(backend.endpoint) as case:
            first = case.add("a")
            case.open()
            client, bound = await case.enter(first), case.endpoint(first)
            free = free_endpoint()
            case.wanted[first] = evolve(case.wanted[first], admission=AdmissionLimits(max_sessions=1))
            case.add("b", free)
            case.add("c", Endpoint("tcp", *taken.getsockname()))
            with pytest.raises(BindError):
                case.open()
            assert case.server.services == [first]
            assert first.settings.admission.max_sessions > 1
            assert case.endpoint(first) == bound
            assert not listens(str(free)), "what was opened before is closed again"
            assert await trio.to_thread.run_sync(answers, client)
            await case.enter(first)


async def test_a_listener_that_stays_is_not_closed_and_takes_other_settings(backend: RawService) -> None:
    async with serving(backend.endpoint) as case:
        service = case.add("a")
        case.open()
        client, bound = await case.enter(service), case.endpoint(service)
        silent = case.connect(service)
        await until(lambda: case.server.figures_of(service).half_open == 1)
        case.wanted[service] = evolve(case.wanted[service], admission=AdmissionLimits(max_sessions=1))
        case.open()
        assert case.endpoint(service) == bound
        assert await trio.to_thread.run_sync(answers, client)
        assert case.server.figures_of(service).half_open == 1
        with pytest.raises(EOFError):
            await case.enter(service)
        assert case.events()[-1][:2] == ("refused", Outcome.SESSIONS_LIMIT)
        silent.close()


async def test_a_service_that_is_not_wanted_any_more_is_closed_and_its_sessions_drained(backend: RawService) -> None:
    async with serving(backend.endpoint) as case:
        stays, goes = case.add("a"), case.add("b")
        case.open()
        inside, leaving = await case.enter(stays), await case.enter(goes)
        endpoint = case.server.listener_of(goes).bound
        half_open = case.connect(goes)
        await until(lambda: case.server.figures_of(goes).half_open == 1)
        case.observers["b"].take()
        del case.wanted[goes]
        case.open()
        assert not listens(str(endpoint))
        assert half_open.recv_until_closed().octets == b"\xff" + bytes(8) + b"\x7f\x03"
        assert case.events("b") == [("refused", Outcome.SHUTDOWN, "", "")]
        assert await trio.to_thread.run_sync(leaving.recv_until_closed) == (b"", False)
        leaving.close()
        await until(lambda: not goes.places_in_use)
        assert case.events("b") == [("closed", Closed.DRAINED)]
        assert case.server.services == [stays]
        assert await trio.to_thread.run_sync(answers, inside)


async def test_services_that_share_an_endpoint_are_told_apart_by_the_server_key(backend: RawService) -> None:
    async with serving(backend.endpoint) as case:
        endpoint = free_endpoint()
        first, second = case.add("a", endpoint), case.add("b", endpoint)
        case.open()
        assert case.server.listener_of(first) is case.server.listener_of(second)
        await case.enter(second)
        await case.enter(first)
        case.connect(second)
        await until(lambda: case.server.figures_of(first).half_open == 1)
        assert case.server.figures_of(second).half_open == 0, "it is not known yet which it wants: the first's"
        del case.wanted[first]
        case.open()
        assert case.server.figures_of(second).half_open == 1
        await case.enter(second)


async def test_a_unix_socket_goes_with_its_service(backend: RawService, tmp_path: Path) -> None:
    async with serving(backend.endpoint) as case:
        service = case.add("a", Endpoint("ipc", f"{tmp_path}/socket"))
        case.open()
        await case.enter(service)
        case.wanted.clear()
        case.open()
        assert list(tmp_path.iterdir()) == []


async def test_sockets_that_were_handed_over_are_listened_on_and_stay_open(backend: RawService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        async with serving(backend.endpoint, Server(descriptors=4096, handed_over=[one, other])) as case:
            assert case.server.unused == [one, other]
            service = case.add("a", Endpoint("tcp", *one.getsockname()))
            case.open()
            assert case.server.unused == [other]
            await case.enter(service)
            case.server.drain(0)
            assert case.server.unused == [one, other]
            assert one.fileno() != -1


# --- figures and sessions


async def test_figures_tell_of_descriptors_memory_and_each_service(backend: RawService) -> None:
    async with serving(backend.endpoint) as case:
        assert case.server.figures().services == []
        assert case.server.figures().buffered_limit == inf
        case.server.limit_memory(5e6)
        service = case.add("a")
        case.open()
        figures = case.server.figures()
        assert (figures.descriptors, figures.descriptors_limit) == (RESERVED_DESCRIPTORS, 4096)
        assert (figures.buffered, figures.buffered_limit) == (0, 5e6)
        assert (figures.buffered_waiting, figures.ended_for_memory) == (0, 0)
        assert figures.half_open_held_back == case.server.turns.seconds_held_back
        [of_service] = figures.services
        assert (of_service.name, of_service.endpoint) == ("a", case.endpoint(service))
        assert of_service == case.server.figures_of(service)
        await case.enter(service)
        case.connect(service)
        await until(lambda: case.server.figures_of(service).half_open)
        assert case.server.figures().descriptors == RESERVED_DESCRIPTORS + 3
        assert case.server.sessions == case.server.figures_of(service).sessions == 1


async def test_sessions_are_seen_by_service_and_ended_by_number(backend: RawService) -> None:
    async with serving(backend.endpoint) as case:
        first, second = case.add("a"), case.add("b")
        case.open()
        await case.enter(first)
        client = await case.enter(second)
        [view] = case.server.session_views("b")
        assert [each.service for each in case.server.session_views()] == ["a", "b"]
        assert [each.service for each in case.server.session_views("a")] == ["a"]
        assert list(case.server.session_views("c")) == []
        assert case.server.end_session(view.number) is view
        assert await trio.to_thread.run_sync(client.recv_until_closed) == (b"", False)
        client.close()
        await until(lambda: not len(second.sessions))
        assert case.events("b")[-1] == ("closed", Closed.DRAINED)
        assert case.server.end_session(view.number) is None


# --- deadlines


async def test_deadlines_are_looked_at_several_times_a_second(mock_clock: trio.testing.MockClock) -> None:
    async with serving() as case:
        service = case.add("a", admission=AdmissionLimits(handshake_seconds=5.0))
        case.open()
        case.connect(service)
        await until(lambda: case.server.figures_of(service).half_open == 1)
        for _ in range(19):
            mock_clock.jump(TICK_SECONDS)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert case.events() == []
        mock_clock.jump(2 * TICK_SECONDS)
        await until(lambda: not case.server.figures_of(service).half_open)
        assert case.events() == [("refused", Outcome.TIMEOUT, "", "")]


async def test_an_error_of_ours_at_a_deadline_is_reported_and_the_others_are_looked_at(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as case:
        case.add("a")
        second = case.add("b")
        case.open()

        def fails(now: float) -> None:
            raise ValueError("ours")

        seen: list[float] = []
        monkeypatch.setattr(case.server.services[0], "expire", fails)
        monkeypatch.setattr(second, "expire", seen.append)
        for _ in range(2):
            mock_clock.jump(TICK_SECONDS)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(seen) == 2
        assert case.events() == [("unexpected", "ours")] * 2
        case.observers["a"].errors.clear()


# --- descriptors that are short


async def test_the_listener_with_most_half_open_connections_makes_room() -> None:
    async with serving() as case:
        crowded, other = case.add("a"), case.add("b")
        case.open()
        oldest = case.connect(other)
        crowd = [case.connect(crowded) for _ in range(3)]
        await until(lambda: [case.server.figures_of(each).half_open for each in (crowded, other)] == [3, 1])
        assert case.server._listeners.evict()
        assert case.events("a") == [("refused", Outcome.EVICTED, "", "")]
        assert case.events("b") == []
        assert crowd[0].recv_until_closed().octets
        assert case.server._listeners.evict()
        assert case.server._listeners.evict()
        assert [case.server.figures_of(each).half_open for each in (crowded, other)] in ([1, 0], [0, 1])
        assert case.server._listeners.evict()
        assert not case.server._listeners.evict()
        oldest.close()


async def test_a_lingering_close_makes_room_before_anybody_who_may_come_in() -> None:
    async with serving() as case:
        service = case.add("a", clients=AccessList())
        case.open()
        refused = await case.is_refused(service)
        case.connect(service)
        await until(lambda: case.server.figures_of(service).half_open == 1)
        assert case.server._listeners.evict()
        assert case.server.figures_of(service).half_open == 1
        assert case.server._listeners.evict()
        assert case.server.figures_of(service).half_open == 0
        refused.close()


async def test_where_descriptors_are_short_the_fullest_listener_makes_room_for_who_comes() -> None:
    async with serving(server=Server(descriptors=RESERVED_DESCRIPTORS + 3)) as case:
        crowded, other = case.add("a"), case.add("b")
        case.open()
        for _ in range(3):
            case.connect(crowded)
        await until(lambda: case.server.figures_of(crowded).half_open == 3)
        case.connect(other)
        await until(lambda: case.server.figures_of(other).half_open == 1)
        assert case.server.figures_of(crowded).half_open == 2
        assert case.events() == [("refused", Outcome.EVICTED, "", "")]


# --- tasks


class Owner:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def failed(self, error: Exception) -> None:
        self.errors.append(str(error))


async def test_what_a_task_raises_ends_its_owner_alone() -> None:
    async with serving() as case:
        failing, well, done = Owner(), Owner(), trio.Event()

        async def fails() -> None:
            await trio.sleep(0)
            raise ValueError("ours")

        async def works() -> None:
            await trio.sleep(0)
            done.set()

        case.server.spawn(failing, fails)
        case.server.spawn(well, works)
        with trio.fail_after(10):
            await done.wait()
        await until(lambda: failing.errors)
        assert (failing.errors, well.errors) == (["ours"], [])


async def test_a_task_ends_with_the_server() -> None:
    ended: list[bool] = []

    async def works() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async with serving() as case:
        case.server.spawn(Owner(), works)
        await trio.testing.wait_all_tasks_blocked()
    assert ended == [True]


# --- the drain


async def test_a_drain_listens_no_more_at_once_and_refuses_who_is_half_open_or_in_the_backlog() -> None:
    async with serving() as case:
        service = case.add("a")
        case.open()
        endpoint = case.server.listener_of(service).bound
        half_open = case.connect(service)
        await until(lambda: case.server.figures_of(service).half_open == 1)
        waiting = case.connect(service)  # the server has had no turn to accept it
        assert not case.server.draining
        case.server.drain(30)
        assert case.server.draining
        assert not listens(str(endpoint))
        assert case.events() == [("refused", Outcome.SHUTDOWN, "", "")] * 2
        for client in (half_open, waiting):
            assert client.recv_until_closed().octets == b"\xff" + bytes(8) + b"\x7f\x03"


async def test_a_drain_without_sessions_is_over_at_once(mock_clock: trio.testing.MockClock) -> None:
    server = Server(descriptors=4096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await trio.testing.wait_all_tasks_blocked()
        server.drain(30)
    assert trio.current_time() == 0


async def test_a_drain_lets_sessions_go_on_sends_them_away_and_then_cuts_them_off(
    backend: RawService, mock_clock: trio.testing.MockClock
) -> None:
    async with serving(backend.endpoint) as case:
        service = case.add("a")
        case.open()
        leaves, stays = await case.enter(service), await case.enter(service)
        case.events()
        case.server.drain(30)

        async def pass_to(now: float) -> None:
            while trio.current_time() < now:
                mock_clock.jump(0.25)
                await trio.testing.wait_all_tasks_blocked(0.001)

        await pass_to(19)
        assert await trio.to_thread.run_sync(answers, leaves)
        assert case.events() == []
        await pass_to(27)
        for client in (leaves, stays):
            assert (await trio.to_thread.run_sync(client.recv_until_closed)) == (b"", False)
        leaves.close()
        await until(lambda: case.server.sessions == 1)
        assert case.events() == [("closed", Closed.DRAINED)]
        await pass_to(31)
        await until(lambda: case.server.sessions == 0)
        assert case.events() == [("closed", Closed.DRAINED)]


async def test_a_session_of_a_service_that_was_taken_out_is_waited_for_too(
    backend: RawService, mock_clock: trio.testing.MockClock
) -> None:
    async with serving(backend.endpoint) as case:
        service = case.add("a")
        case.open()
        await case.enter(service)
        case.wanted.clear()
        case.open()
        case.server.drain(LINGER_SECONDS)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert case.server.sessions == 1
        mock_clock.jump(100)
        await until(lambda: case.server.sessions == 0)
        assert case.events()[-1] == ("closed", Closed.DRAINED)

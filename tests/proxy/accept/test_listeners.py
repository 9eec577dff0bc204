"""All listeners of a process: bound all or none, kept where they stay, and who crowds one of them pays."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

import pytest
import trio
import trio.testing
from attrs import evolve
from support.client import RawClient
from support.gates import RecordingGate, egress
from support.loopback import free_endpoint, has_closed
from support.peer import Refused, listens
from support.reactor import LoneReactor
from support.tasks import until

from curveproxy.proxy.accept.listeners import Listeners, place_of
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.linger import LINGER_SECONDS
from curveproxy.proxy.net.listening import BindError
from curveproxy.proxy.settings import ServiceKind
from curveproxy.reasons import Outcome


class Case:
    """The listeners of a process, and clients that connect to them; nobody accepts unless a listener is closed."""

    def __init__(self, handed_over: Sequence[socket.socket] = ()) -> None:
        self.reactor, self.capacity = LoneReactor(8), Capacity(1000)
        self.listeners = Listeners(self.reactor, self.capacity, handed_over)
        self.stack = ExitStack()

    def open(self, *gates: RecordingGate) -> None:
        """As a server does. Raises BindError."""
        behind: dict[tuple[Endpoint, str], list[RecordingGate]] = {}
        for gate in gates:
            behind.setdefault(place_of(gate.settings), []).append(gate)
        modes = {place_of(gate.settings): gate.settings.socket_mode for gate in gates}
        self.listeners.configure(behind, self.listeners.bind(modes, reuse_port=False))

    def connect(self, gate: RecordingGate) -> socket.socket:
        bound = self.listeners.of(gate).bound
        return self.stack.enter_context(socket.create_connection((bound.host, bound.port), timeout=10))

    def close(self) -> None:
        self.listeners.close()
        self.stack.close()
        assert (len(self.reactor), self.capacity.half_open.number) == (0, 0)
        self.reactor.close()


@pytest.fixture
async def case() -> AsyncIterator[Case]:
    case = Case()
    yield case
    case.close()


def gate_at(endpoint: Endpoint, name: str = "test") -> RecordingGate:
    gate = RecordingGate(name)
    gate.settings = evolve(gate.settings, listen=endpoint)
    return gate


def test_services_that_name_one_port_share_a_place_and_port_0_is_another_for_each() -> None:
    fixed, any_port = Endpoint("tcp", "127.0.0.1", 5555), Endpoint("tcp", "127.0.0.1", 0)
    assert place_of(gate_at(fixed, "a").settings) == place_of(gate_at(fixed, "b").settings)
    assert place_of(gate_at(any_port, "a").settings) != place_of(gate_at(any_port, "b").settings)


async def test_each_service_has_its_listener_and_those_of_one_place_share_it(case: Case) -> None:
    endpoint = free_endpoint()
    first, second, third = gate_at(endpoint, "a"), gate_at(endpoint, "b"), RecordingGate("c")
    case.open(first, second, third)
    assert set(case.listeners) == {case.listeners.of(first), case.listeners.of(third)}
    assert len(list(case.listeners)) == 2
    assert case.listeners.of(second).gates == [first, second]
    assert case.listeners.of(first).bound == endpoint


async def test_where_one_can_not_be_bound_none_is(case: Case) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stays = RecordingGate("a")
        case.open(stays)
        endpoint = free_endpoint()
        with pytest.raises(BindError):
            case.open(stays, gate_at(endpoint, "b"), gate_at(Endpoint("tcp", *taken.getsockname()), "c"))
        assert not listens(str(endpoint))
        assert [listener.gates for listener in case.listeners] == [[stays]]
        assert listens(str(case.listeners.of(stays).bound))


async def test_a_listener_that_stays_is_the_same_and_takes_its_services_anew(case: Case) -> None:
    endpoint = free_endpoint()
    first, second = gate_at(endpoint, "a"), gate_at(endpoint, "b")
    case.open(first)
    listener = case.listeners.of(first)
    case.open(second)
    assert case.listeners.of(second) is listener
    assert list(case.listeners) == [listener]
    assert listener.gates == [second]


@pytest.mark.parametrize("same_gate", [True, False], ids=["of one name", "of another"])
async def test_a_service_may_become_an_egress_and_the_reverse_on_the_same_socket(case: Case, same_gate: bool) -> None:
    endpoint = free_endpoint()
    first = gate_at(endpoint, "a")
    case.open(first)
    listener = case.listeners.of(first)
    await half_open(case, first, 2)
    assert first.observer.take() == [("accepted",)] * 2
    second = first if same_gate else gate_at(endpoint, "b")
    second.settings = evolve(second.settings, egress=egress(client_socket_type="PULL"))
    case.open(second)
    assert case.listeners.of(second) is listener
    assert first.observer.take() == [("refused", Outcome.SHUTDOWN, "", "")] * 2, "they speak the other mechanism"
    assert (listener.kind, listener.gates, listener.half_open) == (ServiceKind.EGRESS, [second], 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.reactor.run)
        case.connect(second).send(b"\x01\x00")
        await until(lambda: second.applied)
        second.applied[0].socket.close()
        nursery.cancel_scope.cancel()
    second.settings = evolve(second.settings, egress=None)
    case.open(second)
    assert listener.kind == ServiceKind.INGRESS


async def test_a_listener_that_is_not_wanted_any_more_is_closed_and_refuses_its_backlog(case: Case) -> None:
    first, second = RecordingGate("a"), RecordingGate("b")
    case.open(first, second)
    goes = case.listeners.of(second).bound
    client = case.connect(second)
    case.open(first)
    assert not listens(str(goes))
    assert second.observer.take() == [("accepted",), ("refused", Outcome.SHUTDOWN, "", "")]
    while not has_closed(client):
        pass
    assert listens(str(case.listeners.of(first).bound))


async def test_when_all_are_closed_nobody_listens(case: Case) -> None:
    gate = RecordingGate()
    case.open(gate)
    bound = case.listeners.of(gate).bound
    case.listeners.close()
    assert not listens(str(bound))


async def test_sockets_that_were_handed_over_are_used_where_they_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        case = Case([one, other])
        assert case.listeners.unused == [one, other]
        gate = gate_at(Endpoint("tcp", *other.getsockname()))
        case.open(gate)
        assert case.listeners.unused == [one]
        assert case.listeners.of(gate).listens_on(other)
        case.close()
        assert case.listeners.unused == [one, other]
        assert other.fileno() != -1, "whoever made it keeps it"


async def half_open(case: Case, gate: RecordingGate, many: int) -> None:
    """So many clients who say nothing, and have been accepted."""
    listener = case.listeners.of(gate)
    for _ in range(many):
        case.connect(gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.reactor.run)
        while listener.half_open < many:
            await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()


async def test_the_listener_with_most_half_open_connections_makes_room(case: Case) -> None:
    crowded, other = RecordingGate("a"), RecordingGate("b")
    case.open(other, crowded)
    await half_open(case, other, 1)
    await half_open(case, crowded, 3)
    assert [case.listeners.evict() for _ in range(2)] == [True, True]
    assert [case.listeners.of(gate).half_open for gate in (crowded, other)] == [1, 1]
    assert [case.listeners.evict() for _ in range(3)] == [True, True, False]
    assert [event[1] for event in crowded.observer.take() if event[0] == "refused"] == [Outcome.EVICTED] * 3
    assert case.capacity.half_open.number == 0


async def test_where_nobody_listens_there_is_nobody_to_end(case: Case) -> None:
    assert not case.listeners.evict()


async def test_what_lingers_makes_room_before_anybody_who_may_come_in(case: Case) -> None:
    gate = RecordingGate()
    case.open(gate)
    await half_open(case, gate, 1)
    listener = case.listeners.of(gate)
    for end in (case.listeners.evict, lambda: case.listeners.expire(trio.current_time() + LINGER_SECONDS + 1)):
        await refused(case, gate)
        assert (case.capacity.half_open.number, listener.half_open) == (2, 1)
        end()
        assert (case.capacity.half_open.number, listener.half_open) == (1, 1)


async def refused(case: Case, gate: RecordingGate) -> None:
    """A client that has proved its key, and is told that it is not let in."""
    gate.refusal = RefusedError(Outcome.CLIENT_UNKNOWN)
    client = case.stack.enter_context(RawClient(str(case.listeners.of(gate).bound), gate.keys.public))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.reactor.run)
        with pytest.raises(Refused):
            await trio.to_thread.run_sync(client.handshake)
        nursery.cancel_scope.cancel()


async def test_its_tasks_keep_cookies_and_keys_going(case: Case) -> None:
    async with trio.open_nursery() as nursery:
        for task in case.listeners.tasks:
            nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert len(nursery.child_tasks) == 2, "none ends by itself"
        nursery.cancel_scope.cancel()

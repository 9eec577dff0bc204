"""The accept loop: it goes on behind an error, and without a descriptor."""

import errno
import os
import socket
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from support.accepting import Accepting, accepting
from support.gates import RecordingGate
from support.tasks import until

from curveproxy.proxy.accept.listener import ACCEPTS, Listener
from curveproxy.reasons import Outcome


def connect(at_work: Accepting) -> socket.socket:
    bound = at_work.listener.bound
    return socket.create_connection((bound.host, bound.port))


async def test_it_knows_where_it_listens_and_whom_it_has() -> None:
    async with accepting() as at_work:
        listener = at_work.listener
        assert listener.addresses == [listener.bound.address]
        assert listener.listens_on(at_work.listening.sockets[0])
        with socket.socket() as another:
            assert not listener.listens_on(another)
        with connect(at_work):
            await until(lambda: listener.half_open == 1)
            assert listener.evict_oldest()
            assert not listener.evict_oldest()


async def test_more_than_one_turns_worth_are_all_accepted() -> None:
    async with accepting() as at_work:
        clients = [connect(at_work) for _ in range(2 * ACCEPTS + 3)]
        await until(lambda: at_work.listener.half_open == len(clients))
        for client in clients:
            client.close()


async def test_what_waits_when_it_closes_is_refused_too() -> None:
    at_work = Accepting(RecordingGate())
    clients = [connect(at_work) for _ in range(3)]  # nobody has accepted them
    at_work.listener.close()
    events = at_work.gates[0].observer.events
    assert [event[1] for event in events if event[0] == "refused"] == [Outcome.SHUTDOWN] * 3
    at_work.listener.close()
    with pytest.raises(ConnectionRefusedError):
        connect(at_work)
    for client in clients:
        client.close()
    at_work.reactor.close()


async def test_an_error_of_ours_in_one_connection_closes_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        def fails(*_: Any) -> None:
            monkeypatch.undo()
            raise ValueError("ours")

        monkeypatch.setattr(at_work.admission, "enter", fails)
        with connect(at_work) as first, connect(at_work):
            await until(lambda: at_work.listener.half_open == 1)
            assert gate.observer.events[0] == ("unexpected", "ours")
            with suppress(ConnectionResetError):
                assert await trio.to_thread.run_sync(first.recv, 1) == b""


async def test_an_error_of_ours_in_the_loop_is_reported_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        def fails(*_: Any) -> bool:
            monkeypatch.undo()
            raise ValueError("ours")

        monkeypatch.setattr(Listener, "_accept", fails)
        with connect(at_work):
            await until(lambda: at_work.listener.half_open == 1)
            assert gate.observer.errors


class Exhausted:
    """A listening socket of a process that has no descriptor left, for so many accepts."""

    def __init__(self, sock: socket.socket, times: int) -> None:
        self._sock, self.times = sock, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def accept(self) -> Any:
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._sock.accept()


async def test_without_a_descriptor_one_is_freed_or_it_rests_and_goes_on() -> None:
    at_work = Accepting(RecordingGate())
    gate, [sock] = at_work.gates[0], at_work.listening.sockets
    exhausted: Any = Exhausted(sock, 1)
    asked: list[bool] = []

    def make_room(answer: bool) -> bool:
        asked.append(answer)
        return answer

    at_work.make_room = lambda: make_room(True)
    with connect(at_work):
        assert at_work.listener._accept(exhausted)
        assert (at_work.listener.half_open, asked) == (1, [True])
    at_work.make_room = lambda: make_room(False)
    with connect(at_work):
        exhausted.times = 1
        assert not at_work.listener._accept(exhausted), "it has to rest"
        assert at_work.listener._accept(exhausted)
        assert at_work.listener.half_open == 2
    exhausted.times = 1
    assert at_work.listener._accept(exhausted), "nobody waits: Linux says so before it looks"
    assert not gate.observer.errors
    at_work.listener.close()
    at_work.reactor.close()


async def test_while_it_rests_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        def full(*_: Any) -> bool:
            monkeypatch.undo()
            return False

        monkeypatch.setattr(Listener, "_accept", full)
        with connect(at_work):
            await until(lambda: at_work.listener.half_open == 1)
            assert gate.observer.events[0] == ("notice", "no descriptor is left")


async def test_other_services_take_its_place_and_their_settings_hold_at_once() -> None:
    first, second = RecordingGate("first"), RecordingGate("second", max_half_open=1)
    async with accepting(first) as at_work:
        with connect(at_work), connect(at_work):
            await until(lambda: at_work.listener.half_open == 2)
            at_work.listener.configure([second])
            assert list(at_work.listener.gates) == [second]
            with connect(at_work):
                await until(lambda: at_work.listener.half_open == 1)
                outcomes = [event[1] for event in first.observer.events if event[0] == "refused"]
                assert outcomes == [Outcome.EVICTED] * 2
                assert second.observer.events == [("accepted",)]
                at_work.listener.close()
                assert second.observer.events[-1] == ("refused", Outcome.SHUTDOWN, "", "")


async def test_who_is_late_is_ended_by_its_tick() -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates
        with connect(at_work):
            await until(lambda: at_work.listener.half_open == 1)
            at_work.listener.expire(trio.current_time() + gate.settings.admission.handshake_seconds + 1)
            assert gate.observer.events[-1] == ("refused", Outcome.TIMEOUT, "", "")


async def test_it_stops_when_it_is_closed_and_not_before(nursery: trio.Nursery) -> None:
    at_work = Accepting(RecordingGate())
    ended = trio.Event()

    async def run() -> None:
        await at_work.listener.run()
        ended.set()

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked()
    assert not ended.is_set()
    at_work.listener.close()
    with trio.fail_after(10):
        await ended.wait()
        await at_work.listener.run()  # of one that is closed there is nothing to run
    at_work.reactor.close()

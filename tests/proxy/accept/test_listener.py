"""Whoever connects is accepted, one at a time; it goes on behind an error, and without a descriptor."""

import errno
import os
import socket
from contextlib import suppress
from math import inf
from typing import Any, cast

import pytest
import trio
from support.accepting import Accepting, accepting
from support.gates import RecordingGate
from support.tasks import until

from curveproxy.proxy.accept.admission import LATE_IN_A_TURN
from curveproxy.proxy.accept.listener import Listener
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


async def test_all_who_wait_are_accepted_one_after_another() -> None:
    async with accepting() as at_work:
        clients = [connect(at_work) for _ in range(20)]
        await until(lambda: at_work.listener.half_open == len(clients))
        for client in clients:
            client.close()


async def test_whoever_was_accepted_gets_on_before_others_are() -> None:
    """Twenty have something to say, and twenty more wait: these come in between, and not in a lump."""
    at_work = Accepting(RecordingGate())
    at_work.listener.start()
    clients = [connect(at_work) for _ in range(20)]
    while at_work.listener.half_open < len(clients):
        at_work.reactor.serve(inf)
    told = at_work.gates[0].observer
    told.take()
    for client in clients:
        client.close()
    clients += [connect(at_work) for _ in range(20)]
    for _ in range(60):
        at_work.reactor.serve(-inf)  # one at a time
    words = [str(event[0]) for event in told.take()]
    assert (words.count("refused"), words.count("accepted")) == (20, 20)
    assert "accepted" in words[:15], "they do not wait for all of those"
    assert words[:30].count("refused") == 20, "but as many of those come first"
    at_work.listener.close()
    for client in clients:
        client.close()
    at_work.reactor.close()


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


async def test_an_error_of_ours_in_accepting_is_reported_and_it_goes_on_at_the_next_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        def fails(*_: Any) -> bool:
            monkeypatch.undo()
            raise ValueError("ours")

        monkeypatch.setattr(Listener, "_accept", fails)
        with connect(at_work):
            await until(lambda: gate.observer.errors)
            assert at_work.listener.half_open == 0
            at_work.listener.expire(trio.current_time())
            await until(lambda: at_work.listener.half_open == 1)


class Exhausted:
    """A listening socket of a process that has no descriptor left, for so many accepts."""

    def __init__(self, sock: socket.socket, times: int) -> None:
        self._sock, self.times = sock, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _accept(self) -> Any:
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return cast("Any", self._sock)._accept()


async def test_without_a_descriptor_one_is_freed_or_it_rests_until_the_next_tick() -> None:
    at_work = Accepting(RecordingGate())
    listener, gate, [sock] = at_work.listener, at_work.gates[0], at_work.listening.sockets
    exhausted: Any = Exhausted(sock, 0)
    cast("list[Any]", at_work.listening.sockets)[0] = exhausted
    asked: list[bool] = []

    def make_room(answer: bool) -> bool:
        asked.append(answer)
        return answer

    def turns() -> None:
        for _ in range(3):
            at_work.reactor.serve(inf)

    listener.start()
    at_work.make_room = lambda: make_room(True)
    exhausted.times = 1
    with connect(at_work):
        turns()
        assert (listener.half_open, asked) == (1, [True])
    at_work.make_room = lambda: make_room(False)
    exhausted.times = 1
    with connect(at_work):
        turns()
        assert listener.half_open <= 1, "it rests"
        assert asked == [True, False]
        assert ("notice", "no descriptor is left") in gate.observer.take()
        listener.expire(trio.current_time())
        turns()
        assert gate.observer.take()[0] == ("accepted",)
    exhausted.times = 1
    assert listener._accept(exhausted), "nobody waits: Linux says so before it looks"
    assert asked == [True, False]
    assert not gate.observer.errors
    listener.close()
    at_work.reactor.close()


async def test_where_the_system_can_watch_no_more_it_tries_again_at_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = Accepting(RecordingGate())
    [gate] = at_work.gates

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, connect(at_work):
        patch.setattr(at_work.reactor, "register", full)
        at_work.listener.start()
        at_work.listener.expire(trio.current_time())
        assert len(gate.observer.errors) == 2
        patch.undo()
        at_work.listener.expire(trio.current_time())
        at_work.reactor.serve(inf)
        assert at_work.listener.half_open == 1
    at_work.listener.close()
    at_work.reactor.close()


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


async def test_of_many_who_are_late_a_few_are_ended_in_a_turn() -> None:
    at_work = Accepting(RecordingGate(handshake_seconds=0.001))
    at_work.listener.start()
    clients = [connect(at_work) for _ in range(3 * LATE_IN_A_TURN)]
    while at_work.listener.half_open < len(clients):
        at_work.reactor.serve(inf)
    await trio.sleep(0.002)
    at_work.listener.expire(trio.current_time())
    left = [at_work.listener.half_open]
    while left[-1]:
        at_work.reactor.serve(-inf)
        left.append(at_work.listener.half_open)
    assert left == [2 * LATE_IN_A_TURN, LATE_IN_A_TURN, 0]
    assert [event[1] for event in at_work.gates[0].observer.events if event[0] == "refused"] == [Outcome.TIMEOUT] * len(
        clients
    )
    at_work.listener.close()
    for client in clients:
        client.close()
    at_work.reactor.close()


async def test_it_stops_when_it_is_closed_and_not_before() -> None:
    async with accepting() as at_work:
        assert len(at_work.reactor) == 1
        at_work.listener.close()
        assert len(at_work.reactor) == 0
        at_work.listener.start()  # of one that is closed there is nothing to start
        at_work.listener.ready(0)
        assert len(at_work.reactor) == 0

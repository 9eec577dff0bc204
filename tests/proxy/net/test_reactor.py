"""The reactor: real sockets under an edge-triggered epoll, and the order in which handlers are served."""

import socket
from math import inf

import pytest
import trio
import trio.testing
from support.reactor import LoneReactor

from curveproxy.proxy.net.reactor import GONE, READ


class Handler:
    """Keeps what it is told; a resumption is an event of 0."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.errors: list[Exception] = []
        self.error: Exception | None = None

    def ready(self, events: int) -> None:
        self.events.append(events)
        if self.error:
            raise self.error

    def resume(self) -> None:
        self.ready(0)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


async def test_the_mark_keeps_a_handler_asleep_until_a_unit_is_whole() -> None:
    """Real sockets: SO_RCVLOWAT under an edge-triggered epoll inside another."""
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listener.getsockname()) as near, listener, listener.accept()[0] as far:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
        reactor, handler = LoneReactor(4), Handler()
        reactor.register(far.fileno(), handler)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            for _ in range(9):
                near.send(b"x")
                await trio.sleep(0.005)
            assert handler.events == []
            near.send(b"x")
            with trio.fail_after(5):
                while not handler.events:
                    await trio.sleep(0.001)
            assert handler.events[-1] & READ
            near.shutdown(socket.SHUT_WR)
            with trio.fail_after(5):
                while not handler.events[-1] & GONE:
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        reactor.unregister(far.fileno())
        assert len(reactor) == 0
        reactor.close()


def test_what_is_left_is_shown_again_behind_the_others_where_that_is_wanted() -> None:
    reactor, order = LoneReactor(4), list[str]()

    class Named(Handler):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def ready(self, events: int) -> None:
            order.append(self.name)

    pairs = [socket.socketpair() for _ in range(2)]
    reactor.register(pairs[0][1].fileno(), Named("again"), again=True)
    reactor.register(pairs[1][1].fileno(), Named("once"))
    for _ in range(2):
        for near, _far in pairs:
            near.send(b"x")
        reactor.serve(-inf)
        reactor.serve(-inf)
    assert sorted(order[:2]) == sorted(order[2:]) == ["again", "once"]
    order.clear()
    for _ in range(3):
        reactor.serve(inf)
    assert order == ["again"] * 3
    for near, far in pairs:
        near.close()
        far.close()
    reactor.close()


def test_who_asks_again_and_again_has_one_turn() -> None:
    reactor, busy, other = LoneReactor(4), Handler(), Handler()
    for _ in range(100):
        reactor.schedule(busy)
    reactor.schedule(other)
    reactor.schedule(busy)
    reactor.serve(inf)
    assert (busy.events, other.events) == ([0], [0])
    reactor.close()


def test_behind_its_time_a_turn_goes_on_with_one_handler_of_each_queue_and_nobody_is_forgotten() -> None:
    reactor, order = LoneReactor(16), list[str]()

    class Named(Handler):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def ready(self, events: int) -> None:
            super().ready(events)
            order.append(self.name)
            if self.name == "busy":
                reactor.schedule(self)

    busy, pairs = [Named("busy") for _ in range(3)], [socket.socketpair() for _ in range(4)]
    ready = [Named("ready") for _ in pairs]
    for handler, (near, far) in zip(ready, pairs, strict=True):
        near.send(b"x")
        reactor.register(far.fileno(), handler)
    for handler in busy:
        reactor.schedule(handler)
    for _ in range(2):
        assert reactor.serve(-inf)
    assert order == ["busy", "ready"] * 2
    assert reactor.is_busy
    reactor.unregister(pairs[2][1].fileno())  # with what was fetched for it
    for _ in range(2):
        reactor.serve(-inf)
    assert [len(handler.events) for handler in ready] == [1, 1, 0, 1]
    assert [len(handler.events) for handler in busy] == [2, 1, 1]
    reactor.close()
    for near, far in pairs:
        near.close()
        far.close()


async def test_only_who_is_registered_counts_and_whatever_has_no_handler_may_be_unregistered() -> None:
    reactor, pairs = LoneReactor(1), [socket.socketpair() for _ in range(3)]
    near, far = [one.fileno() for one, _ in pairs], [other.fileno() for _, other in pairs]
    for descriptor in reversed(far):
        reactor.register(descriptor, Handler())
    reactor.hand_over(far[0], Handler())
    assert len(reactor) == 3
    for descriptor in (far[1], far[1], -1, near[0], max(far) + 1000):
        reactor.unregister(descriptor)
    assert len(reactor) == 2
    reactor.register(far[1], Handler())
    assert len(reactor) == 3
    reactor.close()
    for one, other in pairs:
        one.close()
        other.close()


@pytest.mark.parametrize("how", ["ready", "scheduled"])
async def test_an_error_is_told_to_its_handler_and_nobody_else(how: str) -> None:
    reactor, bad, good = LoneReactor(1), Handler(), Handler()
    bad.error = ValueError("ours")
    near, far = socket.socketpair()
    if how == "ready":
        near.send(b"x")
        reactor.register(far.fileno(), bad)
    else:
        reactor.schedule(bad)
    reactor.schedule(good)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        with trio.fail_after(5):
            while not good.events:
                await trio.sleep(0)
        nursery.cancel_scope.cancel()
    assert bad.errors == [bad.error]
    assert good.errors == []
    reactor.close()
    near.close()
    far.close()

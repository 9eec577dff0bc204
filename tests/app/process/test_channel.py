"""Requests and answers between two processes, and descriptors beside them."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from curveproxy.app.process.channel import ControlChannel, GoneError, MessageSocket, Requests


@asynccontextmanager
async def channels(requests: Requests) -> AsyncIterator[tuple[ControlChannel, ControlChannel, list[int]]]:
    """Two ends, of which the second answers, and the descriptors that it has been sent."""
    one, other = map(ControlChannel, socket.socketpair())
    descriptors: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.serve, {})
        nursery.start_soon(other.serve, requests, descriptors.extend)
        yield one, other, descriptors
        one.close()
        other.close()


async def slow(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


async def test_answers_come_in_their_own_order() -> None:
    async with channels({"sleep": slow}) as (one, _, _), trio.open_nursery() as nursery:
        order: list[float] = []

        async def ask(seconds: float) -> None:
            order.append(await one.ask("sleep", seconds=seconds))

        for seconds in (0.2, 0.0):
            nursery.start_soon(ask, seconds)
    assert order == [0.0, 0.2]


async def test_what_is_told_is_called_before_what_is_asked_later() -> None:
    heard: list[object] = []

    async def count() -> int:
        return len(heard)

    async with channels({"hear": lambda fact: heard.append(fact), "count": count}) as (one, _, _):
        one.tell("hear", fact={"a": [1, None, "é"]})
        one.tell("hear", fact=2)
        assert await one.ask("count") == 2
    assert heard == [{"a": [1, None, "é"]}, 2]


async def test_descriptors_come_beside_a_request_of_any_size() -> None:
    async def length(text: str) -> int:
        return len(text)

    read, write = os.pipe()
    async with channels({"length": length}) as (one, _, descriptors):
        assert await one.ask("length", descriptors=[write], text="x" * 1_000_000) == 1_000_000
        [copy] = descriptors
        os.write(copy, b"here")
        assert os.read(read, 4) == b"here"
    for descriptor in (read, write, copy):
        os.close(descriptor)


async def test_who_waits_hears_that_the_other_end_is_gone() -> None:
    gone: list[str] = []

    async with channels({"sleep": slow}) as (one, other, _):

        async def ask(when: str) -> None:
            try:
                await one.ask("sleep", seconds=9)
            except GoneError:
                gone.append(when)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "before")
            await trio.testing.wait_all_tasks_blocked()
            other.close()
        await ask("after")
    assert gone == ["before", "after"]


async def test_a_message_has_its_own_descriptors() -> None:
    one, other = (MessageSocket(sock) for sock in socket.socketpair())
    read, write = os.pipe()
    await one.send(["first"])
    await one.send(["second"], [write])
    assert await other.receive() == (["first"], [])
    message, [received] = await other.receive()
    os.write(received, b"through it")
    assert (message, os.read(read, 99)) == (["second"], b"through it")
    for descriptor in (read, write, received):
        os.close(descriptor)
    one.close()
    with pytest.raises(EOFError):
        await other.receive()
    other.close()

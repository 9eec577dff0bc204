"""Questions and answers between two processes, with descriptors beside them."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from curveproxy.app.process.channel import ControlChannel, GoneError, MessageSocket


@asynccontextmanager
async def channels() -> AsyncIterator[tuple[ControlChannel, ControlChannel, list[str]]]:
    """Two ends that listen; what the second one was told."""
    one, other = (ControlChannel(sock) for sock in socket.socketpair())
    heard: list[str] = []

    async def double(number: int) -> int:
        await trio.sleep(0.01 / number)  # those that come later are answered earlier
        return 2 * number

    async def size(of: str) -> int:
        return len(of)

    words: dict[str, Callable[..., Any]] = {"double": double, "size": size, "note": lambda text: heard.append(text)}
    no_words: dict[str, Callable[..., Any]] = {}
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.listen, no_words)
            nursery.start_soon(other.listen, words)
            yield one, other, heard
            one.close()
            other.close()


async def test_each_question_has_its_answer_in_whatever_order_they_come() -> None:
    async with channels() as (one, _, heard):
        answers = {}

        async def ask(number: int) -> None:
            answers[number] = await one.ask("double", number=number)

        async with trio.open_nursery() as nursery:
            for number in range(1, 9):
                nursery.start_soon(ask, number)
        assert answers == {number: 2 * number for number in range(1, 9)}
        one.tell("note", text="no answer")
        assert await one.ask("size", of="x" * 1_000_000) == 1_000_000, "larger than the socket's buffer"
        assert heard == ["no answer"], "in the order of the questions"


async def test_who_asks_an_end_that_is_gone_hears_of_it() -> None:
    async with channels() as (one, other, _):
        other.close()
        with pytest.raises(GoneError):
            await one.ask("double", number=1)
        with pytest.raises(GoneError):
            await one.ask("double", number=1)


async def test_descriptors_come_beside_their_message() -> None:
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

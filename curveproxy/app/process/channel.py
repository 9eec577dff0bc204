"""Between the process that looks after workers and one of them: JSON over a Unix socket, descriptors beside it.

Nobody else has an end of it. Either end may ask the other. A question has a number, and its answer the same one: they
may come in another order. What wants no answer has none.
"""

import json
import socket
import struct
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from math import inf
from typing import Any

import trio

SIZE = struct.Struct(">I")
# SCM_MAX_FD of Linux.
MOST_DESCRIPTORS = 253


class GoneError(Exception):
    """The other end does not answer any more."""


class ControlChannel:
    """One end of a channel, at which questions are asked and answered."""

    def __init__(self, sock: socket.socket) -> None:
        self._channel = MessageSocket(sock)
        self._say, self._said = trio.open_memory_channel[tuple[list[Any], Sequence[int]]](inf)
        self._numbers = count()
        self._waiting: dict[int, trio.MemorySendChannel[Any]] = {}
        self._is_gone = False

    async def listen(
        self, words: Mapping[str, Callable[..., Any]], take: Callable[[list[int]], None] | None = None
    ) -> None:
        """Answer, and take answers, until the other end is gone.

        words: what may be asked. They are called in the order of the questions; an answer that is wanted is awaited.
        take: gets the descriptors that come beside a question, before it is answered.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            with suppress(EOFError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                while True:
                    (number, *message), descriptors = await self._channel.receive()
                    if take is not None:
                        take(descriptors)
                    if len(message) == 1:
                        if (waiting := self._waiting.pop(number, None)) is not None:
                            waiting.send_nowait(message[0])
                        continue
                    word, facts = message
                    answer = words[word](**facts)
                    if number is not None:
                        nursery.start_soon(self._answer, number, answer)
            nursery.cancel_scope.cancel()
        self._is_gone = True
        for waiting in self._waiting.values():
            waiting.close()

    async def _send_all(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for message, descriptors in self._said:
                await self._channel.send(message, descriptors)
        self.close()  # so that whoever listens hears of it too

    async def _answer(self, number: int, answer: Awaitable[Any]) -> None:
        self._say.send_nowait(([number, await answer], ()))

    async def ask(self, word: str, *, descriptors: Sequence[int] = (), **facts: Any) -> Any:
        """What the other end answers. Raises GoneError."""
        send, receive = trio.open_memory_channel[Any](1)
        number = next(self._numbers)
        self._waiting[number] = send
        try:
            if self._is_gone:
                raise GoneError
            self._say.send_nowait(([number, word, facts], descriptors))
            return await receive.receive()
        except trio.EndOfChannel:
            raise GoneError from None
        finally:
            self._waiting.pop(number, None)

    def tell(self, word: str, **facts: Any) -> None:
        """What wants no answer."""
        self._say.send_nowait(([None, word, facts], ()))

    def close(self) -> None:
        self._channel.close()


class MessageSocket:
    """One end. Raises trio.BrokenResourceError or EOFError when there is no other end any more."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(sock)
        self._stream = trio.SocketStream(self._socket)
        self._sending = trio.Lock()

    async def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Send what JSON can hold. Whole or not at all: it is not cancelled in the middle."""
        octets = json.dumps(message).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        async with self._sending:
            with trio.CancelScope(shield=True):
                try:
                    sent = await self._socket.sendmsg([SIZE.pack(len(octets))], rights)
                except OSError as error:
                    raise trio.BrokenResourceError from error
                await self._stream.send_all(SIZE.pack(len(octets))[sent:] + octets)

    async def receive(self) -> tuple[Any, list[int]]:
        """A message, and the descriptors beside it, which are the caller's now."""
        header, descriptors = b"", array("i")
        room = socket.CMSG_SPACE(MOST_DESCRIPTORS * descriptors.itemsize)
        while len(header) < SIZE.size:
            octets, rights, _, _ = await self._socket.recvmsg(SIZE.size - len(header), room)
            for level, kind, data in rights:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            header += self._some(octets)
        [size] = SIZE.unpack(header)
        body = bytearray()
        while len(body) < size:
            body += self._some(await self._stream.receive_some(size - len(body)))
        return json.loads(body), list(descriptors)

    @staticmethod
    def _some(octets: bytes) -> bytes:
        if not octets:
            raise EOFError
        return octets

    def close(self) -> None:
        self._socket.close()

"""Between the supervisor and one of its workers: JSON over a Unix socket, descriptors beside it.

Nobody else has an end of it. Either end may send requests. A message is one of::

    ["ask", number, request, facts]    a request that wants an answer
    ["tell", request, facts]           a request that wants none
    ["answer", number, value]          the answer to the request of that number; answers may come in another order
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

# What a request calls: by keywords, and its answer is awaited where one is wanted.
Requests = Mapping[str, Callable[..., Any]]


class GoneError(Exception):
    """The other end does not answer any more."""


class ControlChannel:
    """One end, which sends requests and answers those of the other end."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = MessageSocket(sock)
        self._queue, self._queued = trio.open_memory_channel[tuple[list[Any], Sequence[int]]](inf)
        self._numbers = count()
        self._waiting: dict[int, trio.MemorySendChannel[Any]] = {}
        self._is_gone = False

    async def serve(self, requests: Requests, accept_descriptors: Callable[[list[int]], None] = lambda _: None) -> None:
        """Answer requests and receive answers, until the other end is gone.

        requests: by their names; they are called in the order in which they were sent.
        accept_descriptors: gets the descriptors beside a request, before that is called.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            with suppress(EOFError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                while True:
                    message, descriptors = await self._socket.receive()
                    accept_descriptors(descriptors)
                    match message:
                        case ["ask", number, request, facts]:
                            nursery.start_soon(self._answer, number, requests[request](**facts))
                        case ["tell", request, facts]:
                            requests[request](**facts)
                        case ["answer", number, value]:
                            if (waiting := self._waiting.pop(number, None)) is not None:
                                waiting.send_nowait(value)
            nursery.cancel_scope.cancel()
        self._is_gone = True
        for waiting in self._waiting.values():
            waiting.close()

    async def _send_all(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for message, descriptors in self._queued:
                await self._socket.send(message, descriptors)
        self.close()  # which ends ``serve`` too

    async def _answer(self, number: int, value: Awaitable[Any]) -> None:
        self._queue.send_nowait((["answer", number, await value], ()))

    async def ask(self, request: str, *, descriptors: Sequence[int] = (), **facts: Any) -> Any:
        """Send a request and return its answer. Raises GoneError."""
        send, receive = trio.open_memory_channel[Any](1)
        number = next(self._numbers)
        self._waiting[number] = send
        try:
            if self._is_gone:
                raise GoneError
            self._queue.send_nowait((["ask", number, request, facts], descriptors))
            return await receive.receive()
        except trio.EndOfChannel:
            raise GoneError from None
        finally:
            self._waiting.pop(number, None)

    def tell(self, request: str, **facts: Any) -> None:
        """Send a request that wants no answer."""
        self._queue.send_nowait((["tell", request, facts], ()))

    def close(self) -> None:
        self._socket.close()


class MessageSocket:
    """Whole messages over a socket. Raises trio.BrokenResourceError or EOFError when the other end is gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(sock)
        self._stream = trio.SocketStream(self._socket)
        self._sending = trio.Lock()

    async def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Send what JSON can hold, whole or not at all: it is not cancelled in the middle."""
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
        """A message, and the descriptors beside it, which the caller has to close."""
        header, descriptors = b"", array("i")
        space = socket.CMSG_SPACE(MOST_DESCRIPTORS * descriptors.itemsize)
        while len(header) < SIZE.size:
            octets, rights, _, _ = await self._socket.recvmsg(SIZE.size - len(header), space)
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

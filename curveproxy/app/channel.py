"""Between the process that looks after workers and one of them: JSON over a Unix socket, descriptors beside it.

Nobody else has an end of it. A request has a number, and its answer the same one: they may come in another order.
"""

import json
import socket
import struct
from array import array
from collections.abc import Sequence
from typing import Any

import trio

SIZE = struct.Struct(">I")
# SCM_MAX_FD of Linux.
MOST_DESCRIPTORS = 253


class Channel:
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

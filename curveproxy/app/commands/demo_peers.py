"""The peers of ``curveproxy demo``: a service and a client of plain ZMTP, and one with CURVE that is refused.

They are built on ``wire``; no libzmq is needed.
"""

from contextlib import suppress
from typing import Self

import trio

from curveproxy.policy.socket_types import REP, REQ
from curveproxy.wire import sodium, spec
from curveproxy.wire.curve.client import CurveInitiator
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.zmtp.frame import frame, read_frame
from curveproxy.wire.zmtp.negotiation import PlainInitiator

CHUNK = 65536


class Conversation:
    """The messages of one plain connection. ``begin`` goes through its handshake."""

    def __init__(self, stream: trio.SocketStream, seen: bytes) -> None:
        self._stream, self._seen = stream, seen

    @classmethod
    async def begin(cls, stream: trio.SocketStream, socket_type: bytes) -> Self:
        """Either side of a plain connection, for neither waits for the other's first octet.

        Raises PeerError, EOFError when the other side closes, and trio.BrokenResourceError.
        """
        peer = PlainInitiator({"Socket-Type": socket_type})
        await _go_through(stream, peer)
        return cls(stream, peer.negotiated.leftover)

    async def send(self, *parts: bytes) -> None:
        """Send one message."""
        last = len(parts) - 1
        await self._stream.send_all(b"".join(frame(spec.MORE * (n < last), part) for n, part in enumerate(parts)))

    async def receive(self) -> list[bytes]:
        """The parts of the next message; commands are passed over. Raises EOFError when the other side closes."""
        parts: list[bytes] = []
        while True:
            while (found := read_frame(self._seen)) is None:
                self._seen += await _some(self._stream)
            flags, body, self._seen = found
            if not flags & spec.COMMAND:
                parts.append(body)
                if not flags & spec.MORE:
                    return parts


async def shout(stream: trio.SocketStream) -> None:
    """The service: a REP, which answers each request of one connection in capitals."""
    with suppress(PeerError, EOFError, trio.BrokenResourceError):
        talk = await Conversation.begin(stream, REP)
        while True:
            *envelope, request = await talk.receive()
            await talk.send(*envelope, request.upper())


async def ask(talk: Conversation, request: bytes) -> bytes:
    """The client, a REQ: its request, the service's answer. Raises EOFError."""
    await talk.send(b"", request)  # the empty delimiter of REQ and REP
    return (await talk.receive())[-1]


async def is_refused(stream: trio.SocketStream, server: bytes) -> bool:
    """Whether a handshake with a key that nobody has listed is refused. server: S, 32 octets."""
    peer = CurveInitiator(server, KeyPair.generate(), KeyPair.generate(), sodium.randombytes(16), {"Socket-Type": REQ})
    try:
        await _go_through(stream, peer)
    except (PeerError, EOFError, trio.BrokenResourceError):
        return True
    return False


async def _go_through(stream: trio.SocketStream, peer: Initiator) -> None:
    """Drive a handshake to its end."""
    await stream.send_all(peer.start())
    while not peer.done:
        await stream.send_all(peer.receive_untrusted(await _some(stream)))


async def _some(stream: trio.SocketStream) -> bytes:
    """Whatever comes next. Raises EOFError, after a reset too."""
    octets = b""
    with suppress(trio.BrokenResourceError):
        octets = bytes(await stream.receive_some(CHUNK))
    if not octets:
        raise EOFError("the other side has closed")
    return octets

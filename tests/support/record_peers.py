"""CURVE peers on blocking sockets that have records where the other side has them too; else they talk in MESSAGEs."""

import struct
from collections.abc import Sequence
from typing import Any

from support import zmtp
from support.client import CurvePeer, RawClient, RawServer
from support.records import MOST, Direction, derived, padded, root
from support.zmtp import COMMAND, LONG, MORE, Frame

PROPERTY = "X-Curveproxy-Records"
PADS = 1
MANY = 64  # records of one piece of stream


class RecordPeer(CurvePeer):
    """A peer that may have records.

    suites: those that it can; pad_to: its records are padded to a multiple of so many octets, 0 for none;
    most: the largest part of the stream in one record, where that does not take too many of them.
    sends, hears: both directions; None before records are agreed on.
    stream: what was opened and not taken yet.
    """

    suites: Sequence[int] = ()
    pad_to, most = 0, MOST
    sends: Direction | None = None
    hears: Direction | None = None
    stream = rest = b""

    @property
    def terms(self) -> bytes:
        """How an offer or an answer of this side begins."""
        return bytes([1, PADS * bool(self.pad_to)])

    def agree(self, initiate: bytes, ready: bytes, keys: tuple[bytes, bytes], said: bytes) -> None:
        """There are records from now on.

        initiate, ready: metadata as it stood in those boxes; keys: C and S; said: the other side's offer or answer.
        """
        begins = root(self.shared, initiate, ready, *keys, self.suite_of(said))
        chains = [derived(begins, text) for text in (b"client to server", b"server to client")]
        ours, theirs = chains[:: -1 if self.as_server else 1]
        suite = self.suite_of(said)
        self.sends = Direction(ours, suite, padded=bool(self.pad_to))
        self.hears = Direction(theirs, suite, padded=bool(said[1] & PADS))

    def suite_of(self, said: bytes) -> int:
        """The first of our suites that the other side names; 0 for none."""
        return next((suite for suite in self.suites if suite in said[2:]), 0)

    def seal(self, data: bytes, *, more: bool = False, command: bool = False, **special: Any) -> bytes:
        """One part of a message, or a command's body. special: of MESSAGEs, as ``CurvePeer.seal`` has it."""
        if self.sends is None:
            return super().seal(data, more=more, command=command, **special)
        return self.records(zmtp.frame(data, MORE * more | COMMAND * command))

    def records(self, stream: bytes) -> bytes:
        """A part of the stream as records, the last of which ends its key."""
        assert self.sends is not None
        most = min(max(self.most, len(stream) // MANY), MOST - 2 * bool(self.pad_to))
        records = []
        for at in range(0, len(stream), most):
            content = stream[at : at + most]
            sealed = padded(content, self.pad_to) if self.pad_to else content
            records.append(self.sends.seal(sealed, rekey=at + most >= len(stream)))
        return b"".join(records)

    def recv_frame(self) -> Frame:
        if self.hears is None:
            return super().recv_frame()
        header = self.take(2)
        if header[0] & LONG:
            header += self.take(7)
        return Frame(header[0] & ~LONG, self.take(int.from_bytes(header[1:], "big")))

    def take(self, size: int) -> bytes:
        """So many octets of the stream. Raises as ``recv_exactly``, and Unopened."""
        pieces, came = [self.stream], len(self.stream)
        self.stream = b""
        try:
            while came < size:
                piece = self.sock.recv(1 << 16)
                if not piece:
                    raise EOFError(f"closed after {came} of {size} octets")
                self.feed(piece)
                pieces.append(self.stream)
                came, self.stream = came + len(self.stream), b""
        finally:
            self.stream = b"".join(pieces)
        taken, self.stream = self.stream[:size], self.stream[size:]
        return taken

    def feed(self, octets: bytes) -> None:
        """Take octets that came. Raises Unopened."""
        assert self.hears is not None
        stream, self.rest = self.hears.open(self.rest + octets)
        self.stream += stream

    def open(self, frame: Frame) -> tuple[bytes, bool, bool]:
        if self.hears is None:
            return super().open(frame)
        return frame.body, bool(frame.flags & MORE), bool(frame.flags & COMMAND)


class RecordClient(RecordPeer, RawClient):
    """A client that offers records. suites, pad_to, most: see ``RecordPeer``; the rest as ``RawClient``."""

    def __init__(
        self, *endpoint: Any, suites: Sequence[int], pad_to: int = 0, most: int = MOST, **options: Any
    ) -> None:
        super().__init__(*endpoint, **options)
        self.suites, self.pad_to, self.most = suites, pad_to, most
        self.properties[PROPERTY] = self.terms + bytes(suites)
        self._offered = b""

    def initiate(self, *, metadata: bytes | None = None, **overrides: Any) -> None:
        self._offered = zmtp.metadata(self.properties) if metadata is None else metadata
        super().initiate(metadata=self._offered, **overrides)

    def ready(self) -> dict[str, bytes]:
        theirs = super().ready()
        if (answer := theirs.get(PROPERTY)) is not None:
            self.agree(self._offered, self.told, (self.keys.public, self.server), answer)
        return theirs


class RecordServer(RecordPeer, RawServer):
    """A server that answers an offer where it has a suite of it."""

    def ready(self, *, metadata: bytes | None = None, nonce: int | bytes | None = None) -> None:
        offer = self.theirs.get(PROPERTY, b"")
        if metadata is not None or not (suite := self.suite_of(offer)):
            super().ready(metadata=metadata, nonce=nonce)
            return
        metadata = zmtp.metadata({**self.properties, PROPERTY: self.terms + struct.pack("B", suite)})
        super().ready(metadata=metadata, nonce=nonce)
        self.agree(self.told, metadata, (self.client, self.keys.public), offer)

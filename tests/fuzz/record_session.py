"""Target of a session with records: both its pumps, between two pairs of sockets that take little at once.

What comes out of either end is what went into the other one, in the same order, with commands between two frames and
nowhere else; or how that began, where the session was told to end, or met what is invalid.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple
from unittest.mock import patch

import trio
from support import old, zmtp
from support.records import Direction
from support.relaying import CHAINS, LargePool, Relay, Side
from support.zmtp import COMMAND, MORE

from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay.pump import Pump
from curveproxy.reasons import Invalid
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect
from fuzz.material import Material
from fuzz.targets import target
from fuzz.traffic import Claim

TOPICS = (b"", b"A", b"B", b"A" * 9, b"CCC", b"D" * 300, b"E" * 4000)
SIZES = (3, 0, 1, 200, 253, 254, 255, 256, 700, 5000, 40_000)
V31 = Version(Dialect.V3, 1)
VERSIONS = (V31, Version(Dialect.V3, 0), Version(Dialect.V2, 0), Version(Dialect.V1, 0))
LIMIT = 1 << 20
ROOM = 4608  # what a socket takes at once, as Linux counts it
OURS = b"\x04PONGours"


class Said(NamedTuple):
    """What a side says. stream: its octets; frames: those of messages, as the other side reads them.

    pings: those in it, each behind so many octets of ``frames``. left_out: messages that the other side does not take.
    """

    stream: bytes
    frames: bytes
    pings: list[tuple[int, bytes]]
    left_out: int = 0


def framed(body: bytes, flags: int, dialect: Dialect, *, long: bool = False) -> bytes:
    """One frame of a message."""
    if dialect == Dialect.V1:
        return old.frame1(body, flags, long=long or None)
    return zmtp.frame(body, flags, long=long or None)


def some_words(
    material: Material, source: Dialect, sink: Dialect, topics: Sequence[bytes] = (b"",), *, is_plain: bool
) -> Said:
    """Frames and commands, whole. topics: with which messages begin that the other side is sent.

    is_plain: nobody has written them as records want them.
    """
    stream, frames, is_wanted = b"", b"", False
    begins = True
    pings: list[tuple[int, bytes]] = []
    for number in range(material.number(6)):
        body = bytes([65 + number]) * material.pick(SIZES)
        flags, long = MORE * material.flag(), is_plain and material.number(7) == 7
        if source == Dialect.V3 and material.number(3) == 3:
            ping = zmtp.ping(bytes([number]))
            stream, pings = stream + zmtp.frame(ping, COMMAND), [*pings, (len(frames), ping)]
        is_wanted = body.startswith(tuple(topics)) if begins else is_wanted
        begins, stream = not flags, stream + framed(body, flags, source, long=long)
        frames += framed(body, flags, sink) * is_wanted
    return Said(stream, frames, pings)


def some_subscriptions(material: Material, sink: Dialect) -> tuple[Said, list[bytes]]:
    """Subscriptions and what is none, and the topics. One before ZMTP 2.0 is told nothing of it."""
    stream, frames, topics, left_out = b"", b"", list[bytes](), 0
    for _ in range(material.number(4)):
        topic, form = material.pick(TOPICS), material.pick(["message", "command", "none"])
        if form == "none":
            stream, left_out = stream + zmtp.frame(b"none" + topic), left_out + 1
            continue
        message = zmtp.frame(b"\1" + topic)
        stream += message if form == "message" else zmtp.command_frame(b"SUBSCRIBE", topic)
        topics.append(topic)
        frames += b"" if sink == Dialect.V1 else message
    return Said(stream, frames, [], left_out), topics


Came = tuple[bytes, list[tuple[int, bytes]]]


def apart(octets: bytes, dialect: Dialect) -> Came:
    """What has come: frames of messages, and commands, each behind so many octets of those. A part of one is left."""
    frames, commands, at = b"", list[tuple[int, bytes]](), 0
    while (claim := Claim.of(octets[at:], dialect)).is_whole(octets[at:]):
        end = at + claim.begin + claim.size
        if claim.flags & COMMAND:
            commands.append((len(frames), octets[at + claim.begin : end]))
        else:
            frames += octets[at:end]
        at = end
    return frames if octets[at : at + 1] and octets[at] & COMMAND else frames + octets[at:], commands


class Tight(LargePool):
    """Its buffers have room for one record, and not for two."""

    read_size, read_size_max = 33_000, 40_000


class End:
    """One outer end: what it has to say yet, and what has come to it."""

    def __init__(self, sock: socket.socket, side: Side) -> None:
        self.sock, self.side, self.left, self.came = sock, side, b"", b""
        side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)

    @property
    def reader(self) -> Pump:
        """The pump that reads what it says."""
        return self.side.reader

    def say(self) -> bool:
        """Send what is taken. Whether anything was."""
        before = len(self.left)
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self.left = self.left[self.sock.send(self.left) :] if self.left else b""
        self.side.ready(READ)
        return len(self.left) < before

    def hear(self) -> bool:
        """Read what is there. Whether anything was."""
        before = len(self.came)
        with suppress(BlockingIOError, ConnectionResetError):
            while octets := self.sock.recv(1 << 16):
                self.came += octets
        self.side.ready(WRITE)
        return len(self.came) > before


class Talk:
    """Both ends of one session. version: of the side without records; publishes: that side does."""

    def __init__(self, material: Material, relay: Relay, version: Version, *, is_below: bool, publishes: bool) -> None:
        self.material, self.relay, (self.dialect, self.minor) = material, relay, version
        below, above = End(relay.client, relay.near), End(relay.service, relay.far)
        self.ends = self.boxed, self.plain = (below, above) if is_below else (above, below)
        sends, hears = CHAINS if is_below else CHAINS[::-1]
        self.direction = Direction(sends, relay.suite, padded=relay.padded)
        self.hears = Direction(hears, relay.suite, padded=bool(relay.pad_to))
        topics = [b""]
        if publishes:
            from_boxed, topics = some_subscriptions(material, self.dialect)
        else:
            from_boxed = some_words(material, Dialect.V3, self.dialect, is_plain=False)
        heeded = topics if publishes and self.dialect == Dialect.V1 else [b""]
        self.said = from_boxed, some_words(material, self.dialect, Dialect.V3, heeded, is_plain=True)
        self.streams = [said.stream for said in self.said]
        self.ours: list[bytes] = []  # commands that we had it put in
        self.is_whole, self.is_harmed = True, False  # all must come out; nobody knows what

    def say(self, which: int, size: int) -> None:
        """Let the next octets of a stream be said, by the side with records in a batch of them."""
        piece, self.streams[which] = self.streams[which][:size], self.streams[which][size:]
        if piece and not which:
            piece = self.direction.batch(piece, self.material.pick([64, 999, 32768]) if self.relay.padded else 0)
        self.ends[which].left += piece

    def act(self) -> None:
        """One of the things that may happen."""
        self.say(self.material.number(1), self.material.pick([1 << 20, 1, 2, 9, 100, 10_000, 66_000]))
        what = self.material.pick(["move", "move", "wait", "to plain", "to boxed", "hear"])
        if what == "move":
            self.move()
        elif what == "hear":
            self.hear()
        elif what == "to boxed" or (what == "to plain" and self.dialect == Dialect.V3):
            self.ours.append(OURS + bytes([len(self.ours)]))
            reader = self.plain.reader if what == "to boxed" else self.boxed.reader
            reader.send_command(self.ours[-1])
        self.relay.go_on()

    def move(self) -> bool:
        """Let all be said and heard that can be. Whether anything moved."""
        moved = False
        for end in self.ends:
            moved |= end.say()
            self.relay.go_on()
        return self.hear() or moved

    def hear(self) -> bool:
        """Let all be heard that can be. Whether anything was."""
        heard = False
        for end in self.ends:
            heard |= end.hear()
            self.relay.go_on()
        return heard

    def harm(self) -> None:
        """Let one stream be another one than was to be said."""
        which = self.material.number(1)
        self.streams[which] = self.material.damaged(self.streams[which], 1)
        self.is_harmed = self.streams[which] != self.said[which].stream
        self.is_whole = not self.is_harmed

    def end(self) -> None:
        """Say all that is left, and close."""
        leave = self.material.pick([None, None, self.relay.session.revoke, self.relay.session.drain])
        if leave is not None:
            leave()
            self.is_whole = False
        for which in range(2):
            self.say(which, 1 << 20)
        while self.move():
            pass
        if self.material.flag():
            self.close()

    def close(self) -> None:
        """Both ends say that nothing follows."""
        for end in self.ends:
            with suppress(OSError):
                end.sock.shutdown(socket.SHUT_WR)
            end.side.ready(READ | GONE)
            self.relay.go_on()
        while self.move():
            pass

    def check(self) -> None:
        """What came out of both ends."""
        assert self.relay.errors == []
        left_out = [Invalid.NOT_ACCEPTED] * self.said[0].left_out
        assert not self.is_whole or self.relay.invalid == left_out
        stream, rest = self.hears.open(self.boxed.came)
        assert not (self.is_whole and rest)
        boxed, plain = self.said
        pongs = [] if self.minor else [zmtp.command(b"PONG", ping[7:]) for _, ping in boxed.pings]
        self.check_end(apart(stream, Dialect.V3), plain, pongs)
        self.check_end(apart(self.plain.came, self.dialect), boxed if self.minor else boxed._replace(pings=[]), [])
        assert self.relay.pool.lent == []
        assert not (self.is_whole and self.relay.memory.held)

    def check_end(self, came: Came, said: Said, answers: list[bytes]) -> None:
        """answers: to PINGs that were not passed on. Like our own commands, a newer one may replace another."""
        frames, commands = came
        left = iter(self.ours)
        assert all(body in left for _, body in commands if body in self.ours), "ours come in their order, and once"
        passed = [(at, body) for at, body in commands if body not in (*self.ours, *answers)]
        if self.is_whole:
            assert frames == said.frames
            assert passed == said.pings
        elif not self.is_harmed:
            assert said.frames.startswith(frames)
            assert passed == said.pings[: len(passed)]


@target()
def record_session(material: Material) -> None:
    """One session, either side of which may have the records."""
    suite, padded, pad_to = material.pick([1, 2]), material.flag(), material.pick([0, 64, 1000])
    version, is_below, pool = material.pick(VERSIONS), material.flag(), material.pick([LargePool, Tight])
    side, versions = ("downstream", (V31, version)) if is_below else ("upstream", (version, V31))
    publishes, kinds = material.number(2) == 2, [b"DEALER", b"ROUTER"]
    if publishes:
        kinds = [b"SUB", b"PUB" if version.dialect == Dialect.V1 else b"XPUB"][:: 1 if is_below else -1]
    with (
        patch.object(trio, "current_time", lambda: 0.0),
        patch.multiple(Relay, suite=suite, padded=padded, pad_to=pad_to),
        Relay(pool=pool, boxed=side, kinds=(kinds[0], kinds[1]), versions=versions, max_message_bytes=LIMIT) as relay,
    ):
        talk = Talk(material, relay, version, is_below=is_below, publishes=publishes)
        if publishes and version.dialect == Dialect.V1:  # what it publishes before is lost
            talk.say(0, 1 << 20)
            while talk.move():
                pass
        if material.number(7) == 7:
            talk.harm()
        for _ in range(material.number(12)):
            talk.act()
        talk.end()
        talk.check()

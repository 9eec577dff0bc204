"""Who takes part in the sessions that are fuzzed: clients and services, and who stands between two proxies.

All of them are honest by themselves, and hold what comes to the law. ``mischief`` is done to what they send.
"""

import random
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from attrs import frozen
from support import curve, local, zmtp
from support.client import CurvePeer, RawClient
from support.curve import Keys
from support.old import Peer1
from support.peer import SECONDS, Peer, connect
from support.record_peers import RecordClient, RecordPeer, RecordServer
from support.records import MOST, TAG
from support.service import RawService
from support.zmtp import COMMAND, MORE, Frame, Malformed

from curveproxy.proxy.relay.session import LINGER_SECONDS
from curveproxy.wire.codec.suites import available_suites
from curveproxy.wire.zmtp.frame import Dialect
from fuzz.mischief import PAUSE, Mischief, OverError, misled, recorded, what_nobody_should
from fuzz.traffic import Claim

HEAR = 0.03  # seconds for which somebody listens who may not be answered
MANY = 1000  # messages: to ZMTP 1.0 nearly any octets are frames, and nobody waits until all of those are answered
ENDS = 5 * LINGER_SECONDS  # seconds within which a session ends that nobody wants
PATIENCE = 2.0  # seconds after which somebody leaves whose handshake may get no answer

Message = list[bytes]
PING = b"\x04PING\0\0fuzz"


@frozen
class Script:
    """What a client says: its messages, and after every so many of them it listens; pings: before each message."""

    messages: list[Message]
    listens_after: int = 1
    pings: bool = False


def numbered(*sizes: Sequence[int]) -> list[Message]:
    """Messages of parts of these sizes; each part says which it is."""
    return [
        [f"{number}.{part}".encode().ljust(size, b".") for part, size in enumerate(message)]
        for number, message in enumerate(sizes)
    ]


SCRIPTS = {
    "talk": Script(numbered([3], [220], [300], [5], [8000])),
    "parts": Script(numbered([3, 3], [3, 250, 3], [70_000, 3], [4, 4, 4, 4])),
    "pings": Script(numbered([3], [200], [3, 3]), pings=True),
    "burst": Script(numbered(*[[20]] * 60), listens_after=60),
    "large": Script(numbered([300_000], [3, 1_200_000], [3])),
}


# --- one side of a connection


class Gapless(CurvePeer):
    """Whoever gets MESSAGEs, and demands that none is missing between two."""

    counted: int | None = None

    def open(self, frame: Frame) -> tuple[bytes, bool, bool]:
        nonce, flags, _ = curve.read_message(frame.body, self.shared, self.receiver)
        number = int.from_bytes(nonce, "big")
        if self.counted not in (None, number - 1):
            raise Malformed(f"nonce {number} behind {self.counted}")
        if flags not in (0, curve.INNER_MORE, curve.INNER_COMMAND):
            raise Malformed(f"flags {flags} in a MESSAGE")
        self.counted = number
        return super().open(frame)


class InMessages(Gapless, RawClient):
    """A client of CURVE as libzmq is."""


class InRecords(RecordClient, Gapless):
    """A client that is half a curveproxy."""


class Server(RecordServer, Gapless):
    """A server that knows records, and MESSAGEs where its client does not."""


CURVE_CLIENTS: tuple[type[Peer], ...] = (InMessages, InMessages, InRecords)
PLAIN_CLIENTS: tuple[type[Peer], ...] = (local.Client, local.Client, local.Client2, local.Client1)

# How many segments each kind sends in its handshake.
HANDSHAKES: dict[type[Peer], int] = {
    InMessages: 3, InRecords: 3, local.Client: 4, local.Client2: 3, local.Client1: 1, Server: 3, Peer: 2,
}  # fmt: skip


def some_records(chance: random.Random) -> dict[str, Any]:
    """How somebody seals records who may do it in any way."""
    suites = [int(suite) for suite in available_suites()]
    return {
        "suites": chance.choice([suites, suites[-1:], suites[::-1]]),
        "pad_to": chance.choice([0, 0, 64, 1024]),
        "most": chance.choice([MOST, 4000, 100, 7]),
    }


def in_segments(sock: socket.socket) -> None:
    """Let each send be a segment, at once."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def say(peer: Peer, message: Message) -> None:
    """Send a message, each frame a segment."""
    for part, data in enumerate(message, 1):
        peer.send_raw(peer.seal(data, more=part < len(message)))


def opened(peer: Peer, frame: Frame) -> tuple[bytes, bool, bool]:
    """Data, more and command of a frame that a proxy has sent. Raises Malformed for what it must not send."""
    if frame.flags not in (0, MORE, COMMAND):
        raise Malformed(f"the proxy sent a frame with flags {frame.flags}")
    data, more, command = peer.open(frame)
    if command:
        name, context = zmtp.read_command(data)
        if not (name == b"PONG" and len(context) <= 16) and not (name == b"PING" and 2 <= len(context) <= 18):
            raise Malformed(f"the proxy passed on {data!r}")
    return data, more, command


def whole_frames(peer: Peer, octets: bytes) -> Iterator[Frame]:
    """Of what has come to a peer, the frames that are whole."""
    if isinstance(peer, RecordPeer) and peer.hears is not None:
        peer.feed(octets)
        octets = peer.stream
    dialect = Dialect.V1 if isinstance(peer, Peer1) else Dialect.V3
    at = 0
    while (claim := Claim.of(octets[at : at + 10], dialect)).begin:
        begin, end = at + claim.begin, at + claim.begin + claim.size
        if end > len(octets):
            return
        yield Frame(claim.flags, octets[begin:end])
        at = end


# --- services


class Service(RawService):
    """Echoes what it hears, holds it to the law, and remembers it by the identity of its client.

    keys: where it speaks CURVE; then it also has records, in some connections.
    plan: mischief, or an insider's words, for each connection in the order in which they came.
    said: the segments that it sent, likewise; only while ``records``.
    forgers: clients that were told what nobody can tell from the truth.
    """

    def __init__(self, *, speaks_curve: bool = False) -> None:
        super().__init__(self.talk, minor=1)
        self.heard: dict[bytes, list[Message]] = {}
        self.said: dict[bytes, list[bytes]] = {}
        self.plan: Callable[[int], Mischief | random.Random] | None = None
        self.forgers = set[bytes]()
        self.records, self.first = False, 0
        self.keys: Keys | None = None
        self.speaks_curve = speaks_curve

    @property
    def handshake(self) -> int:
        """How many segments of what it sends are its handshake."""
        return HANDSHAKES[Server if self.speaks_curve else Peer]

    def accept(self, timeout: float | None = SECONDS) -> Peer:
        plain = super().accept(timeout)
        in_segments(plain.sock)
        if not self.speaks_curve:
            return plain
        assert self.keys is not None
        server = Server(plain.sock, self.keys)
        server.minor, number = 1, len(self.accepted) - self.first
        for name, value in some_records(random.Random(number)).items():
            setattr(server, name, value if name != "suites" or number % 3 else ())
        self.accepted[-1] = server
        return server

    def talk(self, peer: Peer) -> None:
        """One connection."""
        plan = self.plan(self.accepted.index(peer) - self.first) if self.plan else None
        with ExitStack() as stack, suppress(OverError):
            if isinstance(plan, Mischief):
                stack.enter_context(misled(peer, plan))
            said = stack.enter_context(recorded(peer)) if self.records else []
            peer.handshake()
            identity = peer.theirs.get("Identity", b"")
            if plan and not (isinstance(plan, Mischief) and (self.speaks_curve or not plan.forges)):
                self.forgers.add(identity)
            self.said[identity] = said
            self.echo(peer, self.heard.setdefault(identity, []), plan if isinstance(plan, random.Random) else None)

    def echo(self, peer: Peer, heard: list[Message], insider: random.Random | None) -> None:
        """Answer for as long as somebody is there, and has not said far more than there is in any script."""
        parts: Message = []
        while len(heard) < MANY:
            frame = peer.recv_frame()
            if insider and insider.random() < 0.3:
                peer.send_raw(what_nobody_should(insider, peer))
            data, more, command = opened(peer, frame)
            if command:
                name, context = zmtp.read_command(data)
                if name == b"PING":
                    peer.send_command(b"PONG", context[2:])
                elif not insider:
                    raise Malformed("the proxy passed on the answer to what nobody has asked")
                continue
            parts.append(data)
            if not more:
                heard.append(parts)
                say(peer, parts)
                parts = []


# --- between an egress and the ingress that is its remote


class Chop:
    """Passes octets on in other pieces, some of them late."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.pauses = chance, 5

    def send(self, _: Peer, send: Callable[[bytes], None], octets: bytes) -> None:
        """As ``Mischief.send``."""
        ends = sorted(self.chance.randrange(len(octets)) for _ in range(self.chance.choice([0, 1, 2, 9])))
        for begin, end in zip([0, *ends], [*ends, len(octets)], strict=True):
            if end > begin:
                send(octets[begin:end])
            if self.pauses and self.chance.random() < 0.1:
                self.pauses -= 1
                time.sleep(PAUSE)


Harm = Mischief | Chop | None


class Stream:
    """One direction through ``Between``, unit by unit: a command of the handshake, and behind it a record or a frame.

    harm: what is done to its units, behind the handshake unless ``early``. units: those behind it, as they came.
    """

    def __init__(self, source: Peer, sink: Peer, harm: Harm, tag: int, *, early: bool) -> None:
        self.source, self.sink, self.harm, self._tag, self._early = source, sink, harm, tag, early
        self.units = list[bytes]()
        self._seen, self._passed, self._commands = b"", 0, 0
        self.is_over = self.is_lost = False

    def go_on(self) -> None:
        """Read what is there, and pass on what is whole."""
        piece = self.source.sock.recv(1 << 16)
        if self.is_lost:
            self.is_over = not piece
            return
        self._seen += piece
        try:
            while (size := self._unit_size()) and len(self._seen) >= size:
                self._pass_on(size)
            if not piece:
                if self._seen:
                    self._pass_on(len(self._seen))
                self.sink.finish()
        except OverError:
            self.is_lost = True
        self.is_over = not piece

    def _unit_size(self) -> int:
        """The size of the next unit; 0 while nothing is known of it. Of a greeting it is what has come."""
        seen = self._seen
        if self._passed < 64 or isinstance(self.harm, Chop):
            return min(len(seen), 64 - self._passed) if self._passed < 64 else len(seen)
        if self._commands < 2 or not self._tag:
            claim = Claim.of(seen)
            return claim.begin and claim.begin + claim.size
        return (int.from_bytes(seen[:2], "big") & 0x7FFF) + 3 + self._tag if len(seen) > 1 else 0

    def _pass_on(self, size: int) -> None:
        unit, self._seen = self._seen[:size], self._seen[size:]
        is_behind = self._commands >= 2
        self._commands += self._passed >= 64 and not is_behind
        self._passed += size
        if is_behind:
            self.units.append(unit)
        if self.harm is not None and (is_behind or self._early or isinstance(self.harm, Chop)):
            self.harm.send(self.sink, self.sink.send_raw, unit)
        else:
            self.sink.send_raw(unit)


class Between(RawService):
    """Stands between two proxies and has no key.

    target: the remote. tag: by how much a box of a record is longer, 0 where they have MESSAGEs.
    plan: what is done to both directions of a connection, in the order in which they came: to what goes to the
        remote, to what comes back; and whether it begins in the handshake.
    said: the units of both directions, of each connection; only while ``records``.
    """

    def __init__(self, target: str, tag: int) -> None:
        super().__init__(self.stand)
        self.target, self.tag = target, tag
        self.plan: Callable[[int], tuple[Harm, Harm, bool]] | None = None
        self.said = list[tuple[list[bytes], list[bytes]]]()
        self.records, self.first = False, 0

    def stand(self, near: Peer) -> None:
        """One connection."""
        there, back, early = self.plan(self.accepted.index(near) - self.first) if self.plan else (None, None, False)
        with Peer.to(self.target) as far:
            streams = Stream(near, far, there, self.tag, early=early), Stream(far, near, back, self.tag, early=early)
            for peer in (near, far):
                in_segments(peer.sock)
            if self.records:
                self.said.append((streams[0].units, streams[1].units))
            while waiting := {stream.source.sock: stream for stream in streams if not stream.is_over}:
                for sock in select.select(list(waiting), [], [])[0]:
                    waiting[sock].go_on()
                if any(peer.sock.fileno() < 0 for peer in (near, far)):
                    return


def record_tag(*, has_records: bool) -> int:
    """By how much a box of a record is longer between two proxies of this machine; 0 where they have none."""
    return TAG[int(available_suites()[0])] if has_records else 0


# --- clients


class Client:
    """Walks through a script, as far as it comes.

    lies: mischief on its octets; insider: says what nobody should; believes: whether all others are honest.
    messages: those that it has heard; heard: what has come since it only listened.
    """

    def __init__(self, raw: Peer, script: Script, *, believes: bool = True) -> None:
        self.raw, self.script, self.believes = raw, script, believes
        self.lies: Mischief | None = None
        self.insider: random.Random | None = None
        self.messages = list[Message]()
        self.heard = bytearray()
        self.is_admitted = False

    @classmethod
    def to(
        cls, endpoint: str, kind: type[Peer], server: bytes, identity: bytes, script: Script, chance: random.Random,
        *, believes: bool = True,
    ) -> "Client":  # fmt: skip
        """One that has connected. server: the key of whoever listens there, where that speaks CURVE."""
        raw: Peer
        if issubclass(kind, InRecords):
            raw = kind(endpoint, server, identity=identity, **some_records(chance))
        elif issubclass(kind, RawClient):
            raw = kind(endpoint, server, identity=identity)
        else:
            raw = kind(connect(endpoint), identity=identity, minor=1)
        in_segments(raw.sock)
        return cls(raw, script, believes=believes)

    @property
    def is_intact(self) -> bool:
        """Whether all that was said so far must be answered."""
        return self.believes and self.insider is None and not (self.lies and self.lies.harmed)

    @property
    def alters(self) -> bool:
        """Whether it says what nobody can tell from what it should say."""
        is_forged = self.lies is not None and self.lies.harmed and self.lies.forges
        return self.insider is not None or (is_forged and not isinstance(self.raw, CurvePeer))

    @property
    def handshake(self) -> int:
        """How many segments of what it sends are its handshake."""
        return HANDSHAKES[type(self.raw)]

    def walk(self, hello: dict[str, Any], initiate: dict[str, Any]) -> None:
        """All of it. Raises what ends it early."""
        raw, insider = self.raw, self.insider
        if hello or initiate or not self.believes or (self.lies and self.lies.spoils(self.handshake)):
            raw.sock.settimeout(PATIENCE)
        if isinstance(raw, RawClient):
            raw.greeting()
            raw.hello(**hello)
            raw.welcome()
            raw.initiate(**initiate)
            raw.ready()
        else:
            self.walk_plainly()
        raw.sock.settimeout(SECONDS)
        self.is_admitted = True
        due: list[Message] = []
        for number, message in enumerate(self.script.messages, 1):
            if insider and insider.random() < 0.3:
                raw.send_raw(what_nobody_should(insider, raw))
            if self.script.pings:
                raw.send_raw(raw.seal(PING, command=True))
            say(raw, message)
            due.append(message)
            if number % self.script.listens_after == 0:
                self.listen(due)
                due.clear()

    def walk_plainly(self) -> None:
        """The handshake of a client without CURVE, who may be taken for one of another version when it lies."""
        try:
            self.raw.handshake()
        except (AssertionError, IndexError) as error:
            if self.lies and self.lies.harmed:
                raise OverError from error
            raise

    def listen(self, due: list[Message]) -> None:
        """Hear the echo; who may not be answered hears what comes."""
        if self.is_intact and not self.heard:
            for message in due:
                heard = self.raw.recv()
                assert heard == message, f"said {message!r:.80}, heard {heard!r:.80}"
                self.messages.append(heard)
            return
        with suppress(TimeoutError):
            self.raw.sock.settimeout(HEAR)
            while piece := self.raw.sock.recv(1 << 20):
                self.heard += piece
        self.raw.sock.settimeout(SECONDS)

    def leave(self, chance: random.Random) -> None:
        """Go in one of three ways. Who waits for the other side's end must not wait for ever."""
        way = chance.choice([self.raw.finish, self.raw.finish, self.raw.close, self.raw.reset])
        with suppress(OSError):
            way()
        if way == self.raw.finish and self.raw.sock.fileno() >= 0:
            self.heard += self.raw.recv_until_closed(ENDS).octets
        self.raw.close()

    def check_heard(self) -> None:
        """All that came since it only listened is in order, up to where it ended."""
        parts: Message = []
        if not self.is_admitted or (self.alters and self.lies and self.lies.spoils(self.handshake)):
            return  # it is not known which version it was heard to speak
        for frame in whole_frames(self.raw, bytes(self.heard)):
            data, more, command = opened(self.raw, frame)
            if command:
                continue
            parts.append(data)
            if not more:
                self.messages.append(parts)
                parts = []

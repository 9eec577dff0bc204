"""The fuzzer of the running process: good sessions are recorded, then lived again with mischief in them.

Keys are fresh on every connection, so octets can not be played from a file: a script is. A live client walks through
it, or a live service answers it, and what either sends is damaged on its way at a place that the recording shows to
be there. An insider does not damage but seals, or says in the clear, what nobody should. After each batch the process
must stand as before, its books in balance; and nobody may have heard what was not said.

What is sent follows from the seed, the mode and the number of the batch.
"""

import json
import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from attrs import define, field, frozen
from support import curve, zmtp
from support.baseline import baseline
from support.client import RawClient
from support.curve import Keys
from support.peer import SECONDS, Peer, Refused
from support.process import Sidecar, toml
from support.service import RawService
from support.zmtp import COMMAND, MORE, Malformed

from curveproxy.proxy.relay.session import LINGER_SECONDS

MODES = ("disconnect", "drop")
CASES = 48  # of a batch
AT_ONCE = 16
LIMIT = 2 * 1024 * 1024
HANDSHAKE = 3  # segments: greeting, HELLO, INITIATE
ADMISSION = {
    "handshake_seconds": 30,
    "backend_connect_seconds": 1,
    "max_half_open_per_source": 10_000,
    "handshakes_per_second_per_source": 100_000,
}
# What large messages in many sessions at once leave with an allocator; a leak grows beyond it.
MEMORY = 64 * 1024 * 1024
PAUSE = 0.01  # seconds between two pieces of a slow sender
HEAR = 0.03  # seconds for which somebody listens who may not be answered
# Less than a session lingers: when all have left, there is nobody to whom it could owe anything.
GONE = 0.8 * LINGER_SECONDS
ENDS = 5 * LINGER_SECONDS  # seconds within which a session ends that nobody wants
PATIENCE = 0.5  # seconds after which somebody leaves whose handshake may get no answer

Message = list[bytes]
PING = b"\x04PING\0\0fuzz"


# --- scripts


def numbered(*sizes: Sequence[int]) -> list[Message]:
    """Messages of parts of these sizes; each part says which it is."""
    return [
        [f"{number}.{part}".encode().ljust(size, b".") for part, size in enumerate(message)]
        for number, message in enumerate(sizes)
    ]


@frozen
class Script:
    """What a client says: its messages, and after every so many of them it listens; pings: before each message."""

    messages: list[Message]
    listens_after: int = 1
    pings: bool = False


SCRIPTS = {
    "talk": Script(numbered([3], [220], [300], [5], [8000])),
    "parts": Script(numbered([3, 3], [3, 250, 3], [70_000, 3], [4, 4, 4, 4])),
    "pings": Script(numbered([3], [200], [3, 3]), pings=True),
    "burst": Script(numbered(*[[20]] * 60), listens_after=60),
    "large": Script(numbered([300_000], [3, 1_200_000], [3])),
}


# --- mischief: a segment is what one side sends in one piece


class Act(Enum):
    """What a sender does that is no octet."""

    PAUSE = auto()
    FINISH = auto()
    RESET = auto()
    HOLD = auto()  # what follows is sent behind the next segment


Pieces = list[bytes | Act]
Kind = Callable[[random.Random, bytes, bytes], Pieces]


def place(chance: random.Random, octets: bytes) -> int:
    """A place in a segment; headers, names and ends are the most likely."""
    return min(chance.choice([0, 1, 2, 9, 10, 17, len(octets) - 1, chance.randrange(len(octets))]), len(octets) - 1)


def flip(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    changed = bytearray(octets)
    for _ in range(chance.choice([1, 1, 3])):
        changed[place(chance, octets)] ^= 1 << chance.randrange(8)
    return [bytes(changed)]


def overwrite(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    at = place(chance, octets)
    noise = chance.randbytes(chance.choice([1, 8, 64]))
    return [(octets[:at] + noise + octets[at + len(noise) :])[: len(octets)]]


def insert(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    at = place(chance, octets)
    return [octets[:at] + chance.randbytes(chance.choice([1, 9, 300])) + octets[at:]]


def take_out(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    at = place(chance, octets)
    return [octets[:at] + octets[at + chance.choice([1, 9, 300]) :]]


def cut(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return [octets[: place(chance, octets)]]


def repeat(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return [octets, octets[: chance.choice([len(octets), place(chance, octets)])]]


def leave_out(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return []


def swap(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return [Act.HOLD, octets]


def splice(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return [octets[: chance.choice([0, len(octets), place(chance, octets)])], other]


def slow(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    at, then = sorted((place(chance, octets), place(chance, octets)))
    return [octets[:at], Act.PAUSE, octets[at:then], Act.PAUSE, octets[then:]]


def finish(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return [octets[: place(chance, octets)], Act.FINISH]


def reset(chance: random.Random, octets: bytes, other: bytes) -> Pieces:
    return [octets[: place(chance, octets)], Act.RESET]


KINDS: tuple[Kind, ...] = (
    flip, overwrite, insert, take_out, cut, repeat, leave_out, swap, splice, slow, finish, reset,
)  # fmt: skip


class OverError(Exception):
    """The side that did the mischief has left."""


class Mischief:
    """What is done to what one side sends.

    recorded: the segments that it sends in a good session; other: those of another one, to be spliced in.
    harmed: whether any octet did not go out as it should.
    """

    def __init__(self, chance: random.Random, recorded: list[bytes], other: list[bytes], first: int = 0) -> None:
        self.plan = {
            chance.randrange(min(first, len(recorded) - 1), len(recorded)): chance.choice(KINDS)
            for _ in range(chance.choice([1, 1, 2, 4]))
        }
        self.chance, self.other = chance, chance.choice(other)
        self.harmed, self._count, self._held = False, 0, b""

    def spoils(self, segments: int) -> bool:
        """Whether any of the first so many segments will not go out as it should."""
        return any(at < segments and kind is not slow for at, kind in self.plan.items())

    def send(self, peer: Peer, send: Callable[[bytes], None], octets: bytes) -> None:
        """Send one segment, as planned."""
        kind = self.plan.get(self._count)
        self._count += 1
        held, self._held = self._held, b""
        pieces: Pieces = kind(self.chance, octets, self.other) if kind else [octets]
        self.harmed |= kind not in (None, slow)
        if pieces and pieces[0] == Act.HOLD:
            self._held, pieces = b"".join(piece for piece in pieces if isinstance(piece, bytes)), []
        for piece in [*pieces, held]:
            if isinstance(piece, bytes):
                send(piece)
            elif piece == Act.PAUSE:
                time.sleep(PAUSE)
            else:
                peer.finish() if piece == Act.FINISH else peer.reset()
                raise OverError


@contextmanager
def misled(peer: Peer, mischief: Mischief) -> Iterator[None]:
    """All that the peer sends goes through mischief."""
    with patch.object(peer, "send_raw", partial(mischief.send, peer, peer.send_raw)):
        yield


@contextmanager
def recorded(peer: Peer) -> Iterator[list[bytes]]:
    """The segments that the peer sends."""
    said, send = list[bytes](), peer.send_raw

    def remember(octets: bytes) -> None:
        said.append(octets)
        send(octets)

    with patch.object(peer, "send_raw", remember):
        yield said


# --- insiders: they hold the key, or are the service


def noise(chance: random.Random) -> bytes:
    """What an insider says."""
    return chance.choice(
        [
            chance.randbytes(chance.choice([0, 1, 33, 255, 300])),
            zmtp.command(chance.choice([b"PING", b"PONG", b"SUBSCRIBE", b"ERROR", b""]), chance.randbytes(20)),
            zmtp.command(b"PING", chance.randbytes(chance.choice([0, 1, 2, 18, 19]))),
            b"x" * chance.choice([70_000, LIMIT - 9, LIMIT + 1]),
        ]
    )


def seal_what_nobody_should(chance: random.Random, client: RawClient) -> bytes:
    """A MESSAGE that opens, or would with another nonce."""
    flags = chance.choice([0, 1, 2, 2, 3, chance.randrange(256)])
    leap = chance.choice([None, None, None, 0, 2, 1 << 32, -2])
    nonce = None if leap is None else max(0, client.last + leap)
    return client.seal(noise(chance), flags=flags, nonce=nonce, outer=chance.choice([0, 0, 0, 1, 4, 0x40]))


def frame_what_nobody_should(chance: random.Random, _: Peer) -> bytes:
    """A plain frame that a service has no reason to send."""
    size = chance.choice([None, None, None, 0, 1 << 20, 1 << 62, 1 << 63, (1 << 64) - 1])
    flags = chance.choice([0, 1, COMMAND, COMMAND, 5, chance.randrange(256) & ~2])
    return zmtp.frame(noise(chance), flags, long=None if size is None else True, size=size)


def handshake_lie(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """What HELLO and INITIATE override."""
    some = chance.randbytes
    hello: list[dict[str, Any]] = [
        {"version": some(2)}, {"padding": some(72)}, {"public": bytes(32)}, {"public": some(32)}, {"nonce": some(8)},
        {"plaintext": some(64)}, {"box": some(80)}, {"flags": chance.randrange(256) & ~2},
        {"server": Keys.of(some(32)).public},
    ]  # fmt: skip
    bad = {"Socket-Type": chance.choice([b"PUB", b"", some(20)]), "Identity": chance.choice([b"\0x", b"x" * 256])}
    initiate: list[dict[str, Any]] = [
        {"cookie": some(96)}, {"client": bytes(32)}, {"client": some(32)}, {"vouch": some(96)}, {"nonce": some(8)},
        {"metadata": some(chance.choice([1, 40, 300]))}, {"metadata": zmtp.metadata(bad)}, {"metadata": bytes(4000)},
        {"plaintext": some(128)}, {"box": some(chance.choice([144, 200]))}, {"flags": chance.randrange(256) & ~2},
    ]  # fmt: skip
    if chance.random() < 0.5:
        return chance.choice(hello), {}
    return {}, chance.choice(initiate)


# --- the two honest sides


def say(peer: Peer, message: Message) -> None:
    """Send a message, each frame a segment."""
    for part, data in enumerate(message, 1):
        peer.send_raw(peer.seal(data, more=part < len(message)))


class Service(RawService):
    """Echoes what it hears, holds it to the law, and remembers it by the identity of its client.

    plan: mischief, or an insider's words, for each connection in the order in which they came.
    said: the segments that it sent, likewise; only while ``records``.
    """

    def __init__(self) -> None:
        super().__init__(self.talk, minor=1)
        self.heard: dict[bytes, list[Message]] = {}
        self.said: dict[bytes, list[bytes]] = {}
        self.plan: Callable[[int], Mischief | random.Random] | None = None
        self.records, self.first = False, 0

    def talk(self, peer: Peer) -> None:
        """One connection."""
        plan = self.plan(self.accepted.index(peer) - self.first) if self.plan else None
        with ExitStack() as stack, suppress(OverError):
            if isinstance(plan, Mischief):
                stack.enter_context(misled(peer, plan))
            said = stack.enter_context(recorded(peer)) if self.records else []
            peer.handshake()
            identity = peer.theirs["Identity"]
            self.said[identity] = said
            self.echo(peer, self.heard.setdefault(identity, []), plan if isinstance(plan, random.Random) else None)

    def echo(self, peer: Peer, heard: list[Message], insider: random.Random | None) -> None:
        """Answer for as long as somebody is there."""
        parts: Message = []
        while True:
            flags, body = peer.recv_frame()
            if insider and insider.random() < 0.3:
                peer.send_raw(frame_what_nobody_should(insider, peer))
            if flags == COMMAND:
                name, data = zmtp.read_command(body)
                if name != b"PING" or not 2 <= len(data) <= 18:
                    raise Malformed(f"the proxy passed on {body!r}")
                peer.send_command(b"PONG", data[2:])
                continue
            if flags not in (0, MORE):
                raise Malformed(f"the proxy sent a frame with flags {flags}")
            parts.append(body)
            if not flags:
                heard.append(parts)
                say(peer, parts)
                parts = []


class Client:
    """Walks through a script, as far as it comes.

    lies: mischief on its octets; insider: says what nobody should; believes: whether its service is honest.
    """

    def __init__(self, endpoint: str, server: bytes, identity: bytes, script: Script, *, believes: bool = True) -> None:
        self.raw = RawClient(endpoint, server, identity=identity)
        self.script, self.believes = script, believes
        self.lies: Mischief | None = None
        self.insider: random.Random | None = None
        self.heard = bytearray()  # since it only listens
        self.is_admitted = False

    @property
    def is_intact(self) -> bool:
        """Whether all that was said so far must be answered."""
        return self.believes and self.insider is None and not (self.lies and self.lies.harmed)

    def walk(self, hello: dict[str, Any], initiate: dict[str, Any]) -> None:
        """All of it. Raises what ends it early."""
        raw, insider = self.raw, self.insider
        if hello or initiate or not self.believes or (self.lies and self.lies.spoils(HANDSHAKE)):
            raw.sock.settimeout(PATIENCE)
        raw.greeting()
        raw.hello(**hello)
        raw.welcome()
        raw.initiate(**initiate)
        raw.ready()
        raw.sock.settimeout(SECONDS)
        self.is_admitted = True
        due: list[Message] = []
        for number, message in enumerate(self.script.messages, 1):
            if insider and insider.random() < 0.3:
                raw.send_raw(seal_what_nobody_should(insider, raw))
            if self.script.pings:
                raw.send_raw(raw.seal(PING, command=True))
            say(raw, message)
            due.append(message)
            if number % self.script.listens_after == 0:
                self.listen(due)
                due.clear()

    def listen(self, due: list[Message]) -> None:
        """Hear the echo; who may not be answered hears what comes."""
        if self.is_intact and not self.heard:
            for message in due:
                heard = self.raw.recv()
                assert heard == message, f"said {message!r:.80}, heard {heard!r:.80}"
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
        """All frames that came since it only listened are sealed, and none is missing between two."""
        octets, nonces = bytes(self.heard) if self.is_admitted else b"", list[int]()
        while (whole := whole_frame(octets)) is not None:
            body, octets = whole
            nonce, flags, data = curve.read_message(body, self.raw.shared, curve.FROM_SERVER)
            nonces.append(int.from_bytes(nonce, "big"))
            assert flags in (0, curve.INNER_MORE, curve.INNER_COMMAND)
            if flags == curve.INNER_COMMAND:
                name, context = zmtp.read_command(data)
                assert (name == b"PONG" and len(context) <= 16) or (name == b"PING" and 2 <= len(context) <= 18)
        assert nonces == list(range(nonces[0], nonces[0] + len(nonces))) if nonces else True


def whole_frame(octets: bytes) -> tuple[bytes, bytes] | None:
    """The body of the first frame, and what is behind it; None while it is not whole."""
    begin = 9 if octets[:1] and octets[0] & 2 else 2
    end = begin + int.from_bytes(octets[1:begin], "big")
    return (octets[begin:end], octets[end:]) if len(octets) >= max(begin, end) else None


# --- the stage


@define
class Stage:
    """A running proxy with two services of it: behind one an honest backend, behind the other one that may lie."""

    mode: str
    seed: int
    proxy: Sidecar = field(init=False)
    honest: Service = field(init=False)
    lying: Service = field(init=False)
    recorded: dict[str, tuple[list[bytes], list[bytes]]] = field(init=False, factory=dict)
    resident: int = field(init=False, default=0)
    _stack: ExitStack = field(init=False, factory=ExitStack)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.honest, self.lying = (stack.enter_context(Service()) for _ in range(2))
            config = ""
            for name, backend in (("honest", self.honest), ("lying", self.lying)):
                own = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": backend.endpoint}
                config += toml("[[service]]", {**own, "secret_keys": ["server.key_secret"]})
                config += toml("[service.clients]", {"allow": "any"})
                config += toml("[service.admission]", ADMISSION)
                config += toml("[service.messages]", {"max_message_bytes": LIMIT, "on_invalid": self.mode})
            self.proxy = stack.enter_context(Sidecar(config))
            for name in SCRIPTS:
                self.record(name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *ending: Any) -> None:
        self._stack.__exit__(*ending)

    def client(self, service: str, identity: str, script: str, *, believes: bool = True) -> Client:
        """One that has connected."""
        server = self.proxy.server.public
        return Client(self.proxy.endpoints[service], server, identity.encode(), SCRIPTS[script], believes=believes)

    def record(self, script: str) -> None:
        """Live through a script honestly: the segments that either side sends."""
        for name, service in (("honest", self.honest), ("lying", self.lying)):
            service.records = True
            client = self.client(name, script, script)
            with client.raw, recorded(client.raw) as said:
                client.walk({}, {})
            self.recorded[script] = said, service.said.pop(script.encode())
            service.records = False

    def batch(self, number: int) -> None:
        """So many cases, after which all is as before. Raises AssertionError, or what went wrong."""

        def chance(*what: object) -> random.Random:
            return random.Random(":".join(map(str, (self.seed, number, *what))))

        def plan(connection: int) -> Mischief | random.Random:
            own = chance("service", connection)
            if own.random() < 0.3:
                return own
            _, said = self.recorded[own.choice(list(SCRIPTS))]
            # A backend that fails in its handshake holds newcomers back for a second: not each time.
            return Mischief(own, said, said, first=own.choice([0, 2, 2, 2, 2, 2, 2, 2]))

        for service in (self.honest, self.lying):
            service.heard.clear()
            service.first = len(service.accepted)
        self.lying.plan = plan
        with baseline(self.proxy, memory=MEMORY, timeout=GONE):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                cases = [pool.submit(self.case, chance(case), f"{number}-{case}") for case in range(CASES)]
            checks = [case.result() for case in cases]
            self.lying.plan = None
            for name in ("honest", "lying"):
                with self.client(name, f"fresh {number}", "parts").raw as raw:
                    raw.handshake()
                    raw.send([b"still", b"there"])
                    assert raw.recv() == [b"still", b"there"]
        for check in checks:
            check()
        for service in (self.honest, self.lying):
            assert not service.errors, service.errors
            service.threads = [thread for thread in service.threads if thread.is_alive()]
        self.resident = self.resident or self.proxy.rss()
        assert self.proxy.rss() <= self.resident + MEMORY, "it grows from batch to batch"

    def case(self, chance: random.Random, name: str) -> Callable[[], None]:
        """One session; what is to be checked when all is over."""
        script = chance.choice(list(SCRIPTS))
        believes = chance.random() < 0.75
        client = self.client("honest" if believes else "lying", name, script, believes=believes)
        lie: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        with client.raw, ExitStack() as stack:
            if believes:
                kind = chance.choice(["octets", "octets", "octets", "insider", "handshake"])
                if kind == "octets":
                    said, other = (self.recorded[name][0] for name in (script, chance.choice(list(SCRIPTS))))
                    client.lies = Mischief(chance, said, other, first=chance.choice([0, HANDSHAKE, HANDSHAKE]))
                    stack.enter_context(misled(client.raw, client.lies))
                elif kind == "insider":
                    client.insider = chance
                else:
                    lie = handshake_lie(chance)
            try:
                client.walk(*lie)
            except (OSError, EOFError, Refused, OverError, Malformed) as error:
                if client.is_intact and lie == ({}, {}):
                    raise AssertionError(f"{name}, {script}: an honest client was cut off") from error
                if isinstance(error, Malformed) and client.is_admitted:
                    raise  # before, it may have said HELLO in another's words
            client.leave(chance)
            client.check_heard()

        def check() -> None:
            heard, said = self.honest.heard.get(name.encode(), []), SCRIPTS[script].messages
            if not believes or client.insider is not None or lie != ({}, {}):
                return
            if client.is_intact:
                assert heard == said, f"{name}, {script}: all was said well, and not all was heard"
            elif self.mode == "disconnect":
                assert heard == said[: len(heard)], f"{name}, {script}: what was heard is not how the words began"
            else:
                left = iter(said)
                assert all(message in left for message in heard), f"{name}, {script}: heard what was not said"

        return check


# --- runs


def run_one(mode: str, seed: int, number: int) -> None:
    """One batch of a proxy of its own."""
    with Stage(mode, seed) as stage:
        stage.batch(number)


def replay(text: str) -> None:
    """The batch that a failure's file tells."""
    failure = json.loads(text)
    run_one(failure["mode"], failure["seed"], failure["batch"])


def fuzz(mode: str, seed: int, seconds: float, failures: Path) -> bool:
    """Batches for so long; whether nothing failed. A failure is told, and written to a file."""
    print(f"sessions: {seconds:g} s, on_invalid = {mode}, seed {seed}", flush=True)
    number, until = 0, time.monotonic() + seconds
    try:
        with Stage(mode, seed) as stage:
            while time.monotonic() < until:
                stage.batch(number)
                number += 1
    except Exception:
        traceback.print_exc()
        path = failures / "sessions" / f"{mode}-{seed}-{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"mode": mode, "seed": seed, "batch": number}) + "\n")
        print(f"sessions: FAILED; python -m tests.fuzz --replay {path}")
        return False
    print(f"sessions: {number} batches of {CASES}", flush=True)
    return True

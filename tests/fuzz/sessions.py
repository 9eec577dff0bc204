"""The fuzzer of the running process: good sessions are recorded, then lived again with mischief in them.

Keys are fresh on every connection, so octets can not be played from a file: a script is. A live client walks through
it, or a live service answers it, or somebody stands between two proxies, and what one of them sends is damaged on its
way. An insider does not damage but seals, or says in the clear, what nobody should. After each batch the process must
stand as before, its books in balance; and nobody may have heard what was not said.

The one process is an ingress, an egress, and both ends of a connection between the two; messages are as CURVE has them,
or in records. What is sent follows from the seed, the mode and the number of the batch.
"""

import json
import os
import random
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from attrs import define, field
from support import local, zmtp
from support.baseline import baseline
from support.client import CurvePeer
from support.curve import Keys
from support.egress import Egress, table
from support.peer import Peer, Refused
from support.process import free_port, toml
from support.zmtp import Malformed

from curveproxy.proxy.relay.session import LINGER_SECONDS
from fuzz.mischief import LIMIT, Mischief, OverError, misled, recorded
from fuzz.parties import (
    CURVE_CLIENTS,
    HANDSHAKES,
    PLAIN_CLIENTS,
    SCRIPTS,
    Between,
    Chop,
    Client,
    Harm,
    InMessages,
    InRecords,
    Message,
    Script,
    Server,
    Service,
    record_tag,
)

MODES = ("disconnect", "drop")
CASES = 48  # of a batch
AT_ONCE = 16
HANDSHAKE_SECONDS = 30
CONNECT_SECONDS = {True: HANDSHAKE_SECONDS, False: 5}  # to a service that is honest; to one that may never answer
ADMISSION = {
    "handshake_seconds": HANDSHAKE_SECONDS,
    "max_half_open_per_source": 10_000,
    "handshakes_per_second_per_source": 100_000,
}
# What large messages in many sessions at once leave with an allocator; a leak grows beyond it.
MEMORY = 64 * 1024 * 1024
# Less than a session lingers: when all have left, there is nobody to whom it could owe anything.
GONE = 0.8 * LINGER_SECONDS


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


# --- the stage


class Route(NamedTuple):
    """A way through the process.

    name: of the table at which clients connect. kinds: of clients. service: at its end.
    is_honest: whether the service is, and whoever stands in between.
    """

    name: str
    kinds: Sequence[type[Peer]]
    service: Service
    is_honest: bool


@define
class Stage:
    """A running proxy with routes through it: behind some there are honest services, behind others such as may lie.

    said: what is said in good sessions, by the kind of who says it and the name of the script.
    """

    mode: str
    seed: int
    proxy: Egress = field(init=False)
    routes: Sequence[Route] = field(init=False)
    services: Sequence[Service] = field(init=False)
    whole: Between = field(init=False)
    torn: Between = field(init=False)
    said: dict[tuple[str, str], list[bytes]] = field(init=False, factory=dict)
    resident: int = field(init=False, default=0)
    _stack: ExitStack = field(init=False, factory=ExitStack)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            plain, liar, remote, false_remote = self.services = [
                stack.enter_context(Service(speaks_curve=curve)) for curve in (False, False, True, True)
            ]
            ingress, lying = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
            tag = record_tag(has_records=self.mode == "disconnect")
            self.whole, self.torn = (stack.enter_context(Between(ingress, tag)) for _ in range(2))
            self.proxy = Egress(
                config=self.ingress("honest", ingress, plain.endpoint, is_honest=True)
                + self.ingress("lying", lying, liar.endpoint, is_honest=False)
                + self.egress(
                    "egress",
                    remote.endpoint,
                    is_honest=True,
                    listen=f"ipc://@curveproxy-{os.getpid()}-{free_port()}",
                )
                + self.egress("lying-egress", false_remote.endpoint, is_honest=False)
                + self.egress("both", self.whole.endpoint, is_honest=True, pad_to=64)
                + self.egress("lying-both", lying, is_honest=False)
                + self.egress("torn", self.torn.endpoint, is_honest=False)
            )
            remote.keys = false_remote.keys = self.proxy.server
            stack.enter_context(self.proxy)
            self.routes = (
                Route("honest", CURVE_CLIENTS, plain, is_honest=True),
                Route("egress", PLAIN_CLIENTS, remote, is_honest=True),
                Route("both", PLAIN_CLIENTS, plain, is_honest=True),
                Route("lying", CURVE_CLIENTS, liar, is_honest=False),
                Route("lying-egress", PLAIN_CLIENTS, false_remote, is_honest=False),
                Route("lying-both", PLAIN_CLIENTS, liar, is_honest=False),
                Route("torn", PLAIN_CLIENTS, plain, is_honest=False),
            )
            self.record()
            self.visit("warm")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *ending: Any) -> None:
        self._stack.__exit__(*ending)

    @property
    def parties(self) -> Sequence[Service | Between]:
        """All that is not a client."""
        return [*self.services, self.whole, self.torn]

    def ingress(self, name: str, listen: str, backend: str, *, is_honest: bool) -> str:
        """The tables of a service."""
        own = {"name": name, "listen": listen, "backend": backend, "secret_keys": ["server.key_secret"]}
        return (
            toml("[[service]]", own)
            + toml("[service.clients]", {"allow": "any"})
            + toml("[service.admission]", {**ADMISSION, "backend_connect_seconds": CONNECT_SECONDS[is_honest]})
            + toml("[service.messages]", {"max_message_bytes": LIMIT, "on_invalid": self.mode})
        )

    def egress(self, name: str, remote: str, *, is_honest: bool, pad_to: int = 0, **given: object) -> str:
        """The tables of an egress."""
        own = {"client_socket_type": "DEALER", "connect_seconds": CONNECT_SECONDS[is_honest], **given}
        messages = {"max_message_bytes": LIMIT, "on_invalid": self.mode, "pad_to": pad_to}
        return (
            table(name, remote, **own)
            + toml("[egress.limits]", {"handshake_seconds": HANDSHAKE_SECONDS})
            + toml("[egress.messages]", messages)
        )

    def client(self, route: Route, kind: type[Peer], identity: bytes, script: Script, chance: random.Random) -> Client:
        """One that has connected."""
        endpoint, key = self.proxy.endpoints[route.name], self.proxy.server.public
        return Client.to(endpoint, kind, key, identity, script, chance, believes=route.is_honest)

    # --- good sessions

    def record(self) -> None:
        """Live through each script honestly, with each kind of client: the segments that all sides send."""
        honest, egress, *_, torn = self.routes
        visitors = [(honest, InMessages), (honest, InRecords), (torn, local.Client)]
        visitors += [(egress, kind) for kind in dict.fromkeys(PLAIN_CLIENTS)]
        for party in self.parties:
            party.records = True
        with ThreadPoolExecutor(len(visitors)) as pool:
            list(pool.map(lambda visitor: self.record_all(*visitor), visitors))
        for party in self.parties:
            party.records = False
        for script, (there, back) in zip(SCRIPTS, self.torn.said, strict=True):
            self.said["there", script], self.said["back", script] = there, back

    def record_all(self, route: Route, kind: type[Peer]) -> None:
        """Those of one kind of client, script by script."""
        for script in known(kind):
            identity, service = f"{kind.__name__} {script}".encode(), route.service
            client = self.client(route._replace(is_honest=True), kind, identity, SCRIPTS[script], random.Random(0))
            with client.raw, recorded(client.raw) as said:
                client.walk({}, {})
            self.said[kind.__name__, script] = said
            self.said[service_kind(service), script] = service.said.pop(identity)

    def visit(self, name: str) -> None:
        """Everybody is served whose service is honest now."""
        for route in self.routes:
            for kind in dict.fromkeys(route.kinds):
                identity = f"{kind.__name__} {name}".encode()
                with self.client(route, kind, identity, SCRIPTS["talk"], random.Random(0)).raw as raw:
                    raw.handshake()
                    raw.send([b"still", b"there"])
                    assert raw.recv() == [b"still", b"there"], f"{route.name}, {kind.__name__}"

    # --- batches

    def batch(self, number: int) -> None:
        """So many cases, after which all is as before. Raises AssertionError, or what went wrong."""

        def chance(*what: object) -> random.Random:
            return random.Random(":".join(map(str, (self.seed, number, *what))))

        self.prepare(chance)
        with baseline(self.proxy, memory=MEMORY, timeout=GONE):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                cases = [pool.submit(self.case, chance(case), f"{number}-{case}") for case in range(CASES)]
            checks = [case.result() for case in cases]
            for service in self.services:
                service.plan = None
            self.torn.plan = None
            self.visit(f"visit {number}")
        for check in checks:
            check()
        for party in self.parties:
            assert not party.errors, party.errors
            party.threads = [thread for thread in party.threads if thread.is_alive()]
        self.resident = self.resident or self.proxy.rss()
        assert self.proxy.rss() <= self.resident + MEMORY, "it grows from batch to batch"

    def prepare(self, chance: Callable[..., random.Random]) -> None:
        """Let everybody know what to do in the next batch."""

        def lie(service: Service, connection: int) -> Mischief | random.Random:
            own = chance(service_kind(service), connection)
            if own.random() < 0.3:
                return own
            said = self.said[service_kind(service), own.choice(list(SCRIPTS))]
            # A backend that fails in its handshake holds newcomers back for a second: not each time.
            return Mischief(own, said, said, first=0 if own.random() < 0.1 else service.handshake)

        def tear(connection: int) -> tuple[Harm, Harm, bool]:
            own = chance("torn", connection)
            script = own.choice(list(SCRIPTS))
            there, back = (
                Mischief(own, said, said) if own.random() < 0.6 else None
                for said in (self.said["there", script], self.said["back", script])
            )
            return there, back, own.random() < 0.05

        def chop(connection: int) -> tuple[Harm, Harm, bool]:
            return Chop(chance("there", connection)), Chop(chance("back", connection)), True

        for service in self.services:
            service.heard.clear()
            service.forgers.clear()
        for party in self.parties:
            party.first = len(party.accepted)
        _, liar, _, false_remote = self.services
        liar.plan, false_remote.plan = (lambda connection, of=of: lie(of, connection) for of in (liar, false_remote))
        self.torn.plan, self.whole.plan = tear, chop

    def case(self, chance: random.Random, name: str) -> Callable[[], None]:
        """One session; what is to be checked when all is over."""
        is_honest = chance.random() < 0.65
        route = chance.choice([route for route in self.routes if route.is_honest == is_honest])
        kind = chance.choice(route.kinds)
        script = chance.choice([script for script in SCRIPTS if may_say(kind, script)])
        # Nobody becomes another one by a single flip. With a long name there is no room for an offer of records.
        identity = f"{name} {chance.randbytes(8).hex()}".encode()
        if route.is_honest and chance.random() < 0.1:
            identity = identity.ljust(200, b".")
        client = self.client(route, kind, identity, SCRIPTS[script], chance)
        lie: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        with client.raw, ExitStack() as stack:
            if route.is_honest:
                kinds = ["octets", "octets", "octets", "insider", "none"]
                what = chance.choice([*kinds, *["handshake"] * issubclass(kind, CurvePeer)])
                if what == "octets":
                    said, other = (self.said[kind.__name__, each] for each in (script, chance.choice(known(kind))))
                    begin = HANDSHAKES[kind]
                    client.lies = Mischief(chance, said, other, first=chance.choice([0, begin, begin]))
                    stack.enter_context(misled(client.raw, client.lies))
                elif what == "insider":
                    client.insider = chance
                elif what == "handshake":
                    lie = handshake_lie(chance)
            where = f"{name}, {route.name}, {kind.__name__}, {script}"
            try:
                client.walk(*lie)
            except (OSError, EOFError, Refused, OverError, Malformed) as error:
                if client.is_intact and lie == ({}, {}):
                    raise AssertionError(f"{where}: an honest client was cut off") from error
                if isinstance(error, Malformed) and client.is_admitted:
                    raise  # before, it may have said HELLO in another's words
            client.leave(chance)
            client.check_heard()

        def check() -> None:
            if client.alters or lie != ({}, {}):
                return
            said, heard = SCRIPTS[script].messages, route.service.heard.get(identity, [])
            if client.is_intact:
                assert heard == said, f"{where}: all was said well, and not all was heard"
            assert self.follows(heard, said), f"{where}: the service heard what was not said"
            if identity not in route.service.forgers:
                assert self.follows(client.messages, said), f"{where}: the client heard what was not said"

        return check

    def follows(self, heard: list[Message], said: list[Message]) -> bool:
        """Whether that may have been heard of this: where nothing is dropped, no more than the end is missing."""
        if self.mode == "disconnect":
            return heard == said[: len(heard)]
        left = iter(said)
        return all(message in left for message in heard)


def may_say(kind: type[Peer], script: str) -> bool:
    """Whether clients of this kind have what is in a script: those before ZMTP 3 have no commands."""
    return not SCRIPTS[script].pings or not issubclass(kind, local.Client1 | local.Client2)


def known(kind: type[Peer]) -> list[str]:
    """The scripts of clients of this kind."""
    return [script for script in SCRIPTS if may_say(kind, script)]


def service_kind(service: Service) -> str:
    """By what its segments are kept."""
    return Server.__name__ if service.speaks_curve else "service"


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

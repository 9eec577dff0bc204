"""Target of the engine: what pumps do by themselves is done where it is ahead of them, to the octet.

Two sessions are told the same, one of each kind. After each thing that happens both have done the same.
"""

import socket
from contextlib import ExitStack, suppress
from typing import Any
from unittest.mock import patch

import trio
from support import zmtp
from support.clock import Clock
from support.ends import End, ends
from support.relaying import Allowance, LargePool, Relay
from support.serving import QUEUES, Served

from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect
from fuzz.material import Material
from fuzz.targets import target

V31 = Version(Dialect.V3, 1)
VERSIONS = (V31, Version(Dialect.V3, 0), Version(Dialect.V2, 0), Version(Dialect.V1, 0))
SIZES = (3, 0, 1, 64, 200, 253, 254, 255, 256, 700, 5000, 20_000)
ROOM = 4608  # what a socket takes at once, as Linux counts it
LIMIT = 30_000


class Tight(LargePool):
    """Its buffers are small: a turn reads what is often one large frame, or several."""

    read_size, read_size_max, large_kept, grain = 2000, 4000, 500, 1


class Said:
    """Octets for one side of a session, and what has come out of it."""

    def __init__(self, end: End, sock: socket.socket) -> None:
        self.end, self.sock, self.left, self.came = end, sock, b"", b""

    def say(self, octets: bytes) -> None:
        self.left += octets
        with suppress(OSError):
            self.left = self.left[self.sock.send(self.left) :] if self.left else b""

    def hear(self, size: int) -> bool:
        """Whether anything came."""
        before = len(self.came)
        with suppress(OSError):
            self.came += self.sock.recv(size)
        return len(self.came) > before


class Alike:
    """Sessions that are told the same."""

    def __init__(self, material: Material, relays: list[Served], boxed: str, dialect: Dialect, clock: Clock) -> None:
        self.material, self.relays, self.dialect, self.clock = material, relays, dialect, clock
        self.sides = [[Said(end, end.socket) for end in ends(relay, boxed, dialect)] for relay in relays]
        self.plain = 1 if boxed == "downstream" else 0
        self.quotas = [Allowance(0) for _ in relays]

    def some_frames(self, which: int) -> bytes:
        """Some of a side's next frames, whole or not, honest or not."""
        end, octets = self.sides[0][which].end, b""
        knows_commands = which != self.plain or self.dialect == Dialect.V3
        for number in range(self.material.number(4)):
            is_command = knows_commands and self.material.number(7) == 7
            body = bytes([65 + number]) * self.material.pick(SIZES)
            octets += end.frame(
                zmtp.ping(body[:8]) if is_command else body,
                more=self.material.flag() and not is_command,
                command=is_command,
            )
        return self.material.damaged(octets, 1) if self.material.number(15) == 15 else octets

    def say(self) -> None:
        which = self.material.number(1)
        octets, at = self.some_frames(which), 0
        for cut in self.material.cuts(len(octets)):
            for sides in self.sides:
                sides[which].say(octets[at:cut])
            self.go_on()
            at = cut

    def hear(self) -> None:
        which, size = self.material.number(1), self.material.pick([1 << 16, 1, 100, 3000])
        for sides in self.sides:
            sides[which].hear(size)
        self.go_on()

    def close(self) -> None:
        which, how = self.material.number(1), self.material.pick([socket.SHUT_WR, socket.SHUT_RDWR])
        for sides in self.sides:
            with suppress(OSError):
                sides[which].sock.shutdown(how)
        self.go_on()

    def ask(self) -> None:
        """One of the things that others may ask of a session."""
        what = self.material.pick(["command", "answer", "idle", "alive", "quota", "more", "no quota", "limit", "leave"])
        number = self.material.pick([1000, 0, 33, 100, 100_000])
        leave = self.material.pick(["drain", "revoke", "drain_behind_reply", "hurry", "dismiss"])
        for relay, quota in zip(self.relays, self.quotas, strict=True):
            self.do(what, relay, quota, number, leave)
        self.go_on()

    @staticmethod
    def do(what: str, relay: Served, quota: Any, number: int, leave: str) -> None:
        session, back = relay.session, relay.far.reader
        if what in ("command", "answer"):
            (relay.to_service if what == "command" else back).try_send_command(zmtp.ping(b"ours"))
        elif what == "idle":
            session.check_idle()
        elif what == "alive":
            session.check_alive()
        elif what == "leave":
            getattr(session, leave)()
        elif what == "limit":
            relay.memory.set_limit(number)
        else:
            session.share(None if what == "no quota" else quota)
            quota.octets = number
            if not relay.to_service.has_ended:
                relay.to_service.may_resume(0.0)

    def go_on(self) -> None:
        """Let all be done that can be done, and compare."""
        self.clock.now += 1.0
        for relay in self.relays:
            relay.go_on()
        found = [self.state(*both) for both in zip(self.relays, self.sides, strict=True)]
        assert all(each == found[0] for each in found), found

    def state(self, relay: Served, sides: list[Said]) -> list[object]:
        """All that a session shows."""
        session, back = relay.session, relay.far.reader
        pumps = relay.to_service, back
        return [
            (session.messages_in, session.octets_in, session.messages_out, session.octets_out),
            (session.reason, relay.ended, session.ends_by),
            (relay.invalid, relay.again, relay.errors, relay.details, relay.presented),
            (relay.memory.held, relay.memory.waiting, relay.memory.under_pressure),
            [(pump.moved, pump.held, pump.partial, pump.owed, pump.is_silent, pump.has_ended) for pump in pumps],
            [(len(side.left), side.came) for side in sides],
        ]

    def end(self) -> None:
        """Hear all that is to be heard."""
        for relay in self.relays:
            relay.memory.set_limit(1 << 30)
            relay.session.share(None)
            if not relay.to_service.has_ended:
                relay.to_service.may_resume(0.0)
        self.go_on()
        each = [side for sides in self.sides for side in sides]
        while sum(side.hear(1 << 16) for side in each):
            for side in each:
                side.say(b"")
            self.go_on()
        assert self.relays[0].errors == []


@target()
def turns(material: Material) -> None:
    """One session whose pumps are alone, and one behind an engine; where there is no engine, two alone."""
    boxed, version = material.pick(["downstream", "upstream"]), material.pick(VERSIONS)
    pool, policy = material.pick([LargePool, Tight]), material.pick(["disconnect", "drop"])
    versions = (V31, version) if boxed == "downstream" else (version, V31)
    is_wide, kinds = material.flag(), material.pick([(b"DEALER", b"ROUTER"), (b"REQ", b"REP")])
    clock = Clock()
    options: dict[str, Any] = {"max_message_bytes": LIMIT, "on_invalid": policy, "kinds": kinds}
    with patch.object(trio, "current_time", lambda: clock.now), patch.object(Relay, "suite", 0), ExitStack() as stack:
        relays = []
        for ahead in (False, any(QUEUES.values())):
            with patch.object(Served, "ahead", ahead):
                relays.append(Served(pool=pool, boxed=boxed, versions=versions, **options))
            stack.enter_context(relays[-1])
            for peer in (relays[-1].near, relays[-1].far):
                if not is_wide:
                    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        alike = Alike(material, relays, boxed, version.dialect, clock)
        for _ in range(material.number(20)):
            material.pick([alike.say, alike.say, alike.say, alike.hear, alike.hear, alike.ask, alike.close])()
        alike.end()

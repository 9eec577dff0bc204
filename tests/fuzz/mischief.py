"""What is done to what one side of a session sends, and what it says itself that nobody should.

Mischief works on segments, which are what one side sends in one piece, at a place that a recording shows to be there.
An insider, who has the keys or speaks in the clear, does not damage but says what nobody should.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial
from unittest.mock import patch

from support import zmtp
from support.client import CurvePeer
from support.peer import Peer
from support.record_peers import RecordPeer
from support.records import MOST
from support.zmtp import COMMAND

PAUSE = 0.01  # seconds between two pieces of a slow sender
LIMIT = 2 * 1024 * 1024  # of a message

# --- segments, and what may be done to one


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
TRUE = (slow, finish, reset)  # behind these nothing comes that should not


class OverError(Exception):
    """The side that did the mischief has left."""


class Mischief:
    """What is done to what one side sends.

    recorded: the segments that it sends in a good session; other: those of another one, to be spliced in.
    harmed: whether any octet did not go out as it should.
    forges: whether it says anything else than it should, and not only less.
    """

    def __init__(self, chance: random.Random, recorded: list[bytes], other: list[bytes], first: int = 0) -> None:
        self.plan = {
            chance.randrange(min(first, len(recorded) - 1), len(recorded)): chance.choice(KINDS)
            for _ in range(chance.choice([1, 1, 2, 4]))
        }
        self.forges = not all(kind in TRUE for kind in self.plan.values())
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
            zmtp.command(
                chance.choice([b"PING", b"PONG", b"SUBSCRIBE", b"CERTIFICATE", b"ERROR", b""]), chance.randbytes(20)
            ),
            zmtp.command(b"PING", chance.randbytes(chance.choice([0, 1, 2, 18, 19]))),
            b"x" * chance.choice([70_000, LIMIT - 9, LIMIT + 1]),
        ]
    )


def what_nobody_should(chance: random.Random, peer: Peer) -> bytes:
    """Octets of a peer that are sealed, or in the clear, as its session is."""
    if isinstance(peer, RecordPeer) and peer.sends is not None:
        return record_what_nobody_should(chance, peer)
    if isinstance(peer, CurvePeer):
        return seal_what_nobody_should(chance, peer)
    return frame_what_nobody_should(chance)


def seal_what_nobody_should(chance: random.Random, peer: CurvePeer) -> bytes:
    """A MESSAGE that opens, or would with another nonce."""
    flags = chance.choice([0, 1, 2, 2, 3, chance.randrange(256)])
    leap = chance.choice([None, None, None, 0, 2, 1 << 32, -2])
    nonce = None if leap is None else max(0, peer.last + leap)
    return peer.seal(noise(chance), flags=flags, nonce=nonce, outer=chance.choice([0, 0, 0, 1, 4, 0x40]))


def frame_what_nobody_should(chance: random.Random) -> bytes:
    """A plain frame that nobody has a reason to send."""
    size = chance.choice([None, None, None, 0, 1 << 20, 1 << 62, 1 << 63, (1 << 64) - 1])
    flags = chance.choice([0, 1, COMMAND, COMMAND, 5, chance.randrange(256) & ~2])
    return zmtp.frame(noise(chance), flags, long=None if size is None else True, size=size)


def record_what_nobody_should(chance: random.Random, peer: RecordPeer) -> bytes:
    """Records of a stream that is not in order, or that ends anywhere, or that are none."""
    direction, stream = peer.sends, frame_what_nobody_should(chance)
    assert direction is not None
    kind = chance.choice(["frame", "frame", "frame", "part", "any", "leap", "step", "padding"])
    if kind == "frame":
        return peer.records(stream)
    if kind == "part":
        return peer.records(stream[: 1 + place(chance, stream)])
    if kind == "leap":
        direction.counter += chance.choice([1, 2, 1 << 32])
    if kind == "step":
        direction.step()
    octets = chance.randbytes(chance.choice([1, 2, 3, 40, 300, MOST]))
    if kind == "padding":
        octets = octets[:-2] + (len(octets) + chance.choice([-2, -1, 0, 60_000])).to_bytes(4, "big", signed=True)[-2:]
    return direction.seal(octets, rekey=chance.random() < 0.5)

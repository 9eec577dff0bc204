"""The octets of records with fixed keys, made by ``support.records`` and ``support.zmtp``.

``python -m support.record_vectors`` (with tests/ on the path) writes tests/vectors/records.json; ``load()`` reads it.
The file's shape is that of the classes below, as in ``support.vectors``.
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from attrs import frozen

from support import records, zmtp
from support.records import AEGIS, XSALSA, Direction
from support.vectors import CONVERTER, data
from support.zmtp import COMMAND, LONG, MORE

FILE = Path(__file__).parent.parent / "vectors" / "records.json"
SHARED, CLIENT, SERVER = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
OFFER, ANSWER = b"\x01\x00\x02\x01", b"\x01\x00"
PROPERTY = "X-Curveproxy-Records"
INITIATE = zmtp.metadata({"Socket-Type": b"DEALER", "Identity": b"", PROPERTY: OFFER})
LIMIT = 1000
HELLO, WORLD, TWO = b"\x00\x05hello", b"\x00\x05world", b"\x01\x01a\x00\x00"


@frozen
class Record:
    """One record of the client, behind those before it in its list. step: the number of its key."""

    step: int
    rekey: bool
    plain: bytes
    octets: bytes


@frozen
class Batch:
    """What the first call of a sealing client makes of frames.

    frames: flags of each one, and the size of its body, which is ``data(size)``. records: their sizes.
    digest: BLAKE2b-128 of all their octets.
    """

    pad_to: int
    frames: list[tuple[int, int]]
    records: list[int]
    digest: bytes


@frozen
class Malformed:
    """What a client's peer refuses, first thing, with a limit of 1,000 octets a message.

    passed: the stream that goes on before. padded: the client said so.
    """

    flaw: str
    fault: str
    padded: bool
    passed: bytes
    octets: bytes


@frozen
class Suite:
    """All of one suite. keys: of each direction the first ones; chains: the first one, before any step."""

    suite: int
    ready: bytes
    root: bytes
    chains: dict[str, bytes]
    keys: dict[str, list[bytes]]
    records: list[Record]
    batches: list[Batch]
    malformed: list[Malformed]


@frozen
class Vectors:
    """shared: K; client, server: C and S; initiate: its metadata."""

    shared: bytes
    client: bytes
    server: bytes
    initiate: bytes
    suites: list[Suite]


def frames(given: list[tuple[int, int]]) -> bytes:
    """The plain stream of a batch."""
    return b"".join(zmtp.frame(data(size), flags) for flags, size in given)


def some_records(client: Direction) -> Iterator[Record]:
    step = 0
    for plain, rekey in ((HELLO, False), (WORLD, True), (TWO, True)):
        yield Record(step, rekey, plain, client.seal(plain, rekey=rekey))
        step += rekey


def some_batches(chain: bytes, suite: int) -> Iterator[Batch]:
    for pad_to, given in (
        (0, [(0, 5)]),
        (0, [(MORE, 0), (MORE, 255), (0, 256)]),
        (0, [(0, 40_000), (0, 32_768)]),
        (64, [(0, 5)]),
        (1024, [(0, 40_000)]),
        (32768, [(0, 32_764), (0, 0)]),
    ):
        octets = Direction(chain, suite, padded=bool(pad_to)).batch(frames(given), pad_to)
        sizes, at = [], 0
        while at < len(octets):
            sizes.append((int.from_bytes(octets[at : at + 2], "big") & 0x7FFF) + 1 + 2 + records.TAG[suite])
            at += sizes[-1]
        yield Batch(pad_to, given, sizes, blake2b(octets, digest_size=16).digest())


def some_malformed(chain: bytes, other: bytes, suite: int) -> Iterator[Malformed]:
    def client(*, padded: bool = False) -> Direction:
        return Direction(chain, suite, padded=padded)

    good, two = client().seal(HELLO), client()
    pair = two.seal(HELLO), two.seal(WORLD)
    flipped = {
        "REKEY taken out": bytes([good[0] ^ 0x80]) + good[1:],
        "a size that is one less": good[:1] + bytes([good[1] - 1]) + good[2:],
        "a bit of what is in the box": zmtp.damaged(good),
        "the first bit of the box": good[:2] + bytes([good[2] ^ 0x80]) + good[3:],
        "the other direction's": Direction(other, suite).seal(HELLO),
        "the second record first": pair[1],
    }
    for flaw, octets in flipped.items():
        yield Malformed(flaw, "record", padded=False, passed=b"", octets=octets)
    yield Malformed("a record twice", "record", padded=False, passed=HELLO, octets=pair[0] * 2)
    for flaw, plain in {
        "padded, and its content is too large by one": b"\0" * 6 + b"\0\7",
        "padded, and one octet": b"\0",
        "padded, and two octets that are no size": b"\0\1",
    }.items():
        yield Malformed(flaw, "record", padded=True, passed=b"", octets=client(padded=True).seal(plain))
    for fault, flaw, stream in (
        ("framing", "a reserved flag", b"\x08\x00"),
        ("framing", "COMMAND with MORE", zmtp.frame(b"", COMMAND | MORE)),
        ("framing", "a long header for 255 octets", zmtp.frame(bytes(255), long=True)),
        ("framing", "a long header for nothing", zmtp.frame(b"", long=True)),
        ("framing", "a size of 2^63", zmtp.frame(b"", long=True, size=2**63)),
        ("too_large", "one octet over the limit, at the header", zmtp.frame(b"", long=True, size=LIMIT - 8)),
        ("too_large", "2^62 octets", zmtp.frame(b"", long=True, size=2**62)),
        ("command", "a command that is too large", bytes([COMMAND | LONG]) + (4353).to_bytes(8, "big")),
    ):
        yield Malformed(flaw, fault, padded=False, passed=HELLO, octets=client().seal(HELLO + stream))
    parts = zmtp.frame(data(600), MORE)
    octets = client().batch(parts + zmtp.frame(b"", long=True, size=400))
    yield Malformed("a second part over the limit", "too_large", padded=False, passed=parts, octets=octets)


def of_suite(suite: int) -> Suite:
    """All of one suite, made anew."""
    ready = zmtp.metadata({PROPERTY: ANSWER + bytes([suite]), "Socket-Type": b"ROUTER", "Identity": b""})
    root = records.root(SHARED, INITIATE, ready, CLIENT, SERVER, suite)
    chains = {
        "client": records.derived(root, b"client to server"),
        "server": records.derived(root, b"server to client"),
    }
    keys: dict[str, list[bytes]] = {}
    for side, chain in chains.items():
        direction = Direction(chain, suite)
        keys[side] = [direction.key]
        direction.step()
        keys[side].append(direction.key)
    return Suite(
        suite=suite,
        ready=ready,
        root=root,
        chains=chains,
        keys=keys,
        records=list(some_records(Direction(chains["client"], suite))),
        batches=list(some_batches(chains["client"], suite)),
        malformed=list(some_malformed(chains["client"], chains["server"], suite)),
    )


def build() -> Vectors:
    """Make everything anew; it is the same at each time."""
    return Vectors(SHARED, CLIENT, SERVER, INITIATE, [of_suite(suite) for suite in (XSALSA, AEGIS)])


def load() -> Vectors:
    """The vectors as they stand in the file."""
    return CONVERTER.structure(json.loads(FILE.read_text()), Vectors)


def write() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(CONVERTER.unstructure(build()), indent=1) + "\n")


if __name__ == "__main__":
    write()

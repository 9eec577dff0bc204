"""Boxes are those of libsodium, octet by octet, whatever their size: C puts them together from parts (``boxes.h``)."""

from itertools import chain
from types import ModuleType

import pytest
from support.records import Direction
from support.twins import CHAIN, called, direction, filled, message, plain, record_state

from curveproxy.wire.codec.state import Buffer, Stop

# Around all places where another stride begins, and what libsodium does at once.
EDGES = [480 + 512 * count + more for count in (1, 2, 3, 8) for more in (0, 64, 128, 129, 256, 257, 511)]
LARGE = [around + beside for around in (*EDGES, 1 << 16, 1 << 18) for beside in (-2, -1, 0, 1)]
FILLING = b"\xa5"
# In the first block, in the first stride, in one that goes over the end of that, and in several.
SIZES = [4, 40, 300, 600, 1500]


def body_of(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def opened(twin: ModuleType, octets: bytes) -> tuple[Stop, bytes]:
    """How a batch of one frame ends, and all that stands in its target then."""
    target = Buffer(bytearray(FILLING * (len(octets) + 20)))
    batch = twin.open_frames(direction(twin), filled(octets), 0, len(octets), target, 0)
    return batch.stop, bytes(target.view)


def test_a_message_of_any_size_is_that_of_libsodium(twin: ModuleType) -> None:
    for size in chain(range(1201), LARGE):
        body = body_of(size)
        frame, octets = plain([(body, True)]), message(1, 1, body)
        sealed = Buffer(len(octets))
        twin.seal_frames(direction(twin), filled(frame), 0, len(frame), sealed, 0)
        assert sealed.view == octets, f"{size} octets"
        assert direction(twin).seal_one(1, body) == octets, f"{size} octets, where they stood"
        assert opened(twin, octets) == (Stop.INCOMPLETE, frame + FILLING * (len(octets) + 20 - len(frame)))


@pytest.mark.parametrize("size", SIZES)
def test_of_a_message_with_a_damaged_octet_nothing_is_given_out(twin: ModuleType, size: int) -> None:
    octets = message(1, 0, body_of(size))
    box_at = len(octets) - size - 17
    for place in range(box_at, len(octets)):
        damaged = octets[:place] + bytes([octets[place] ^ 0x10]) + octets[place + 1 :]
        assert opened(twin, damaged) == (Stop.BOX, FILLING * (len(octets) + 20)), f"octet {place}"


def test_a_record_of_any_size_is_that_of_libsodium(twin: ModuleType) -> None:
    sealing, opening, client = record_state(twin), record_state(twin), Direction(CHAIN, 1)
    for size in chain(range(600), EDGES, (32766 - 9, 40_000)):
        stream = plain([(body_of(size), False)])
        records = client.batch(stream)
        assert called(twin, "seal_records", sealing, stream)[0] == records, f"{size} octets"
        assert called(twin, "open_records", opening, records)[0] == stream, f"{size} octets"


def test_of_a_record_with_a_damaged_octet_nothing_is_given_out(twin: ModuleType) -> None:
    octets = Direction(CHAIN, 1).batch(plain([(body_of(600), False)]))
    for place in range(2, len(octets)):
        damaged = octets[:place] + bytes([octets[place] ^ 0x10]) + octets[place + 1 :]
        target = Buffer(bytearray(FILLING * 1000))
        batch = twin.open_records(record_state(twin), filled(damaged), 0, len(damaged), target, 0)
        assert (batch.stop, bytes(target.view)) == (Stop.RECORD, FILLING * 1000), f"octet {place}"

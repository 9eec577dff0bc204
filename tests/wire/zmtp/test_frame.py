"""Frames and the judgement of a handshake command by its first octets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import zmtp
from support.zmtp import command_frame

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect, Due, frame, read_command_untrusted, read_frame, read_header

WRONG, SMALL, LARGE = Fault.COMMAND, Fault.INITIATE, Fault.INITIATE_TOO_LARGE


def judge(seen: bytes, least: int = 10, most: int = 400) -> tuple[int, int, int]:
    return read_command_untrusted(seen, Due(b"\x04NAME", least, most, SMALL, LARGE))


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 65536])
def test_a_frame_is_short_while_it_can_be(size: int) -> None:
    octets = frame(spec.MORE, bytes(size))
    if size <= 255:
        assert octets[:2] == bytes([spec.MORE, size])
        assert len(octets) == 2 + size
    else:
        assert octets[:9] == bytes([spec.MORE | spec.LONG]) + size.to_bytes(8, "big")
        assert len(octets) == 9 + size


@given(st.binary(min_size=5, max_size=300))
def test_a_whole_command_is_found_by_following_the_marks(data: bytes) -> None:
    octets = command_frame(b"NAME", data) + b"behind"
    have, steps = 0, 0
    while True:
        mark, begin, end = judge(octets[:have])
        if mark <= have:
            break
        have, steps = mark, steps + 1
    assert octets[begin:end] == b"\x04NAME" + data
    assert steps <= 4


def test_the_long_form_of_a_small_body_is_legal() -> None:
    octets = b"\x06" + (15).to_bytes(8, "big") + b"\x04NAME" + bytes(10)
    assert judge(octets) == (24, 9, 24)


@pytest.mark.parametrize(
    ("octets", "fault", "taken"),
    [
        (b"\x00\x14\x04NAME", WRONG, 1),
        (b"\x05\x14\x04NAME", WRONG, 1),
        (b"\x44\x14\x04NAME", WRONG, 1),
        (b"\x04\x14\x05OTHER", WRONG, 3),
        (b"\x04\x14\x04NAMX", WRONG, 7),
        (b"\x04\x09\x04NAME", SMALL, 2),
        (b"\x04\x00", SMALL, 2),
        (b"\x06" + (401).to_bytes(8, "big"), LARGE, 9),
        (b"\x06" + (1 << 40).to_bytes(8, "big"), LARGE, 9),
        (b"\x06" + b"\xff" * 8, LARGE, 9),
    ],
)
def test_what_is_wrong_is_refused_at_its_octet(octets: bytes, fault: Fault, taken: int) -> None:
    for have in range(taken):
        judge(octets[:have])
    with pytest.raises(PeerError) as caught:
        judge(octets[:taken])
    assert caught.value.fault == fault


SIZES = [0, 1, 252, 253, 254, 255, 256, 65536]


def written(dialect: Dialect, body: bytes, flags: int, *, long: bool) -> bytes:
    """A frame as a peer of that version writes it, in either form where both may be."""
    if dialect != Dialect.V1:
        return zmtp.frame(body, flags, long=long or len(body) > 255)
    size = len(body) + 1
    header = b"\xff" + size.to_bytes(8, "big") if long or size > 254 else bytes([size])
    return header + bytes([flags]) + body


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", Dialect, ids=lambda dialect: dialect.name)
def test_a_header_says_where_its_body_is_once_it_is_whole(dialect: Dialect, size: int, long: bool) -> None:
    octets = b"before" + written(dialect, bytes(size), spec.MORE, long=long) + b"behind"
    end = len(octets) - len(b"behind")
    for have in range(6, end - size):
        assert read_header(octets, 6, have, dialect) is None
    for memory in (octets, bytearray(octets), memoryview(octets)):
        for have in (end - size, len(octets)):
            begin, stop, flags = read_header(memory, 6, have, dialect) or (0, 0, 0)
            assert (begin, stop, flags & ~spec.LONG) == (end - size, end, spec.MORE)


@pytest.mark.parametrize("octets", [b"\x00\x01", b"\xff" + bytes(8) + b"\x01"], ids=["short", "long"])
def test_a_size_of_zero_does_not_even_hold_the_flags_of_zmtp_1(octets: bytes) -> None:
    assert read_header(octets, 0, len(octets), Dialect.V1) == (len(octets), len(octets) - 1, 1)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_read_when_it_is_whole(size: int) -> None:
    octets = frame(spec.MORE, bytes(size))
    assert read_frame(octets[:-1]) is None
    found = read_frame(octets + b"behind")
    assert found is not None
    assert (found[0] & ~spec.LONG, *found[1:]) == (spec.MORE, bytes(size), b"behind")

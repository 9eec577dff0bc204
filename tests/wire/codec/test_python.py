"""The definition, and the twin in C with it: what was sealed is opened, at any cut; all else stops with its reason."""

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.twins import LIMIT, called, called_in_place, direction, filled, members_of, message, plain

from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect

SIZES = [0, 1, 221, 222, 223, 252, 253, 254, 255, 256, 65535, 65536]


def run(
    twin: ModuleType, name: str, state: CodecState, octets: bytes, capacity: int = 1 << 20
) -> tuple[bytes, int, Stop]:
    """What a batch makes of octets, how many it leaves, and why it stopped."""
    target = Buffer(capacity)
    batch: Batch = getattr(twin, name)(state, filled(octets), 0, len(octets), target, 0)
    return bytes(target.view[: batch.at]), len(octets) - batch.start, batch.stop


def seal(twin: ModuleType, octets: bytes, dialect: Dialect = Dialect.V3) -> bytes:
    sealed, left, stop = run(twin, "seal_frames", direction(twin, dialect), octets, 2 * len(octets) + 4096)
    assert (left, stop) == (0, Stop.INCOMPLETE)
    return sealed


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_size_comes_back(twin: ModuleType, size: int, dialect: Dialect) -> None:
    octets = plain([(bytes(range(256)) * (size // 256) + bytes(range(size % 256)), False)], dialect)
    assert run(twin, "open_frames", direction(twin, dialect), seal(twin, octets, dialect)) == (
        octets,
        0,
        Stop.INCOMPLETE,
    )


@pytest.mark.parametrize("size", SIZES)
def test_sealing_writes_what_the_rfc_draws(twin: ModuleType, size: int) -> None:
    body = b"x" * size
    assert seal(twin, plain([(body, True), (body, False)])) == message(1, 1, body) + message(2, 0, body)


parts = st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=8)


@given(parts, st.sampled_from(Dialect), st.data())
def test_cuts_change_nothing(
    twin: ModuleType, given_parts: list[tuple[bytes, bool]], dialect: Dialect, data: st.DataObject
) -> None:
    octets = plain(given_parts, dialect)
    sealed = seal(twin, octets, dialect)
    state, opened, begun = direction(twin, dialect), b"", 0
    messages = count = 0
    for end in [*sorted(data.draw(st.sets(st.integers(0, len(sealed)), max_size=6))), len(sealed)]:
        target = Buffer(4096)
        batch = twin.open_frames(state, filled(sealed[begun:end]), 0, end - begun, target, 0)
        opened, begun = opened + bytes(target.view[: batch.at]), begun + batch.start
        messages, count = messages + batch.messages, count + batch.octets
        assert batch.stop == Stop.INCOMPLETE
    assert opened == octets
    assert state.nonce == len(given_parts)
    assert messages == sum(not more for _, more in given_parts)
    assert count == sum(len(body) for body, _ in given_parts)


large_parts = st.tuples(st.binary(min_size=256, max_size=3000).map(lambda part: part * 23), st.booleans())


@given(large_parts, st.sampled_from(Dialect))
def test_a_large_frame_is_turned_where_it_lies(twin: ModuleType, part: tuple[bytes, bool], dialect: Dialect) -> None:
    octets, (body, more) = plain([part], dialect), part
    boxed = message(1, int(more), body)
    for name, source, other in (("open_frames", boxed, octets), ("seal_frames", octets, boxed)):
        state, apart = direction(twin, dialect), direction(twin, dialect)
        turned, batch, _ = called_in_place(twin, name, state, source)
        assert turned == other
        assert batch == called(twin, name, apart, source)[1]
        assert members_of(state) == members_of(apart)


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("damaged", [30, 100, -1])
def test_where_it_lies_nothing_is_opened_that_is_damaged(twin: ModuleType, dialect: Dialect, damaged: int) -> None:
    octets = bytearray(message(1, 0, b"x" * 1000))
    octets[damaged] ^= 1
    turned, batch, behind = called_in_place(twin, "open_frames", direction(twin, dialect), bytes(octets))
    assert (turned, batch.start, batch.stop, behind) == (b"", 0, Stop.BOX, bytes(octets))


@pytest.mark.parametrize("name", ["open_frames", "seal_frames"])
def test_a_full_target_stops_before_the_frame_that_does_not_fit(twin: ModuleType, name: str) -> None:
    octets = plain([(b"x" * 100, False)] * 3)
    source = octets if name == "seal_frames" else seal(twin, octets)
    whole = run(twin, name, direction(twin), source)[0]
    third = len(whole) // 3
    made, left, stop = run(twin, name, direction(twin), source, capacity=2 * third + third - 1)
    assert (made, left, stop) == (whole[: 2 * third], len(source) // 3, Stop.FULL)


@pytest.mark.parametrize("size", [4, 300])
def test_more_may_be_repeated_in_the_outer_flags(twin: ModuleType, size: int) -> None:
    parts = [(b"x" * size, True), (b"y" * size, True), (b"z" * size, False)]
    octets = b"".join(message(n, more, body, outer=int(more)) for n, (body, more) in enumerate(parts, 1))
    assert run(twin, "open_frames", direction(twin), octets) == (plain(parts), 0, Stop.INCOMPLETE)


@pytest.mark.parametrize("name", ["open_frames", "seal_frames"])
def test_so_many_frames_are_turned_at_once_and_the_others_next(twin: ModuleType, name: str) -> None:
    octets = plain([(b"", True)] * 10)
    source, state = octets if name == "seal_frames" else seal(twin, octets), direction(twin)
    each, state.batch = len(source) // 10, 4
    for left, stop in ((6, Stop.FULL), (2, Stop.FULL), (0, Stop.INCOMPLETE)):
        _, behind, why = run(twin, name, state, source)
        assert (behind, why) == (left * each, stop)
        source = source[len(source) - behind :]
    assert state.nonce == 10


@pytest.mark.parametrize(
    ("octets", "stop"),
    [
        (message(2, 0, b"data", outer=0x01), Stop.OUTER_MORE),
        (message(2, 0, b"x" * 300, outer=0x01), Stop.OUTER_MORE),
        (message(2, 2, b"\x04PINGxx", outer=0x01), Stop.OUTER_MORE),
        (message(2, 3, b"\x04PINGxx", outer=0x01), Stop.OUTER_MORE),
        (message(1, 1, b"data", outer=0x05), Stop.FRAMING),
        (message(1, 0, b"data", outer=0x05), Stop.FRAMING),
        (message(1, 0, b"data", outer=0x40), Stop.FRAMING),
        (b"\x00\x20" + bytes(32), Stop.TOO_SHORT),
        (b"\x00\x00", Stop.TOO_SHORT),
        (message(1, 0, b"data", name=b"MESSAGF"), Stop.NOT_MESSAGE),
        (message(2, 0, b"data"), Stop.NONCE),
        (message(0, 0, b"data"), Stop.NONCE),
        (message(1, 0, b"data", key=bytes(32)), Stop.BOX),
        (b"\x02" + (LIMIT + 33).to_bytes(8, "big"), Stop.TOO_LARGE),
        (b"\x02" + (1 << 62).to_bytes(8, "big"), Stop.TOO_LARGE),
        (b"\x02" + (1 << 63).to_bytes(8, "big"), Stop.FRAMING),
    ],
    ids=[
        "more",
        "more long",
        "more of a command",
        "more of a command with more",
        "command+more, more",
        "command+more",
        "reserved bit",
        "32",
        "empty",
        "name",
        "jump",
        "repeat",
        "box",
        "limit",
        "2^62",
        "2^63",
    ],
)
def test_what_is_not_ordinary_stops_with_its_reason_behind_what_is(twin: ModuleType, octets: bytes, stop: Stop) -> None:
    before = seal(twin, plain([(b"before", False)]))
    state = direction(twin)
    moved = octets if stop == Stop.NONCE else message(2, 0, b"data", key=bytes(32)) if stop == Stop.BOX else octets
    if stop == Stop.NONCE:  # relative to the nonce that is due, 2
        moved = octets.replace((2).to_bytes(8, "big"), (3).to_bytes(8, "big"))
    opened, left, reason = run(twin, "open_frames", state, before + moved)
    assert (opened, left, reason) == (plain([(b"before", False)]), len(moved), stop)
    assert state.nonce == 1


@pytest.mark.parametrize("outer", [0x00, 0x04])
def test_messages_in_command_frames_are_tolerated(twin: ModuleType, outer: int) -> None:
    for body in (b"data", b"x" * 300):
        assert run(twin, "open_frames", direction(twin), message(1, 1, body, outer=outer))[0] == plain([(body, True)])


def test_the_limit_holds_all_parts_of_a_message_with_their_headers(twin: ModuleType) -> None:
    octets = plain([(b"x" * 100, True), (b"x" * 100, True), (b"x" * 100, False)])
    sealed = seal(twin, octets)
    assert run(twin, "open_frames", direction(twin, limit=306), sealed) == (octets, 0, Stop.INCOMPLETE)
    assert run(twin, "open_frames", direction(twin, limit=305), sealed)[2] == Stop.TOO_LARGE
    assert run(twin, "seal_frames", direction(twin, limit=306), octets)[2] == Stop.INCOMPLETE
    assert run(twin, "seal_frames", direction(twin, limit=305), octets)[2] == Stop.TOO_LARGE
    assert (
        run(twin, "open_frames", direction(twin, limit=102), seal(twin, plain([(b"x" * 100, False)] * 5)))[2]
        == Stop.INCOMPLETE
    )


def test_a_command_is_opened_and_left_to_the_caller(twin: ModuleType) -> None:
    octets = message(1, 0, b"data") + message(2, 2, b"\x04PING\0\0") + message(3, 0, b"more")
    state, target = direction(twin), Buffer(4096)
    batch = twin.open_frames(state, filled(octets), 0, len(octets), target, 0)
    assert batch.stop == Stop.COMMAND
    assert bytes(target.view[: batch.at]) == plain([(b"data", False)])
    offset, size = state.command
    assert bytes(target.view[offset : offset + size]) == b"\x04PING\0\0"
    assert (state.nonce, batch.messages) == (2, 1)
    assert run(twin, "open_frames", state, octets[batch.start :])[0] == plain([(b"more", False)])


def test_a_plain_command_stops_when_it_is_whole(twin: ModuleType) -> None:
    octets = plain([(b"data", False)]) + b"\x04\x07\x04PING\0\0"
    assert run(twin, "seal_frames", direction(twin), octets)[1:] == (9, Stop.COMMAND)
    assert run(twin, "seal_frames", direction(twin), octets[:-1])[1:] == (8, Stop.INCOMPLETE)


@pytest.mark.parametrize(
    "octets", [b"\x05\x00", b"\x08\x01a", b"\x02" + b"\xff" * 8], ids=["command+more", "bit", "2^63"]
)
def test_a_service_that_does_not_frame_is_stopped(twin: ModuleType, octets: bytes) -> None:
    assert run(twin, "seal_frames", direction(twin), octets)[2] in (Stop.FRAMING, Stop.TOO_LARGE)
    assert run(twin, "seal_frames", direction(twin, Dialect.V1), b"\x00\x00")[2] == Stop.FRAMING


def test_the_flags_that_libzmq_2_1_sets_in_vain_are_ignored(twin: ModuleType) -> None:
    octets = b"\x05\x7fdata" + b"\x05\x7edata"
    assert seal(twin, octets, Dialect.V1) == message(1, 1, b"data") + message(2, 0, b"data")


def test_little_endian_counters_go_on_over_the_low_octet(twin: ModuleType) -> None:
    def little(counter: int) -> bytes:
        return message(int.from_bytes(counter.to_bytes(8, "little"), "big"), 0, b"data")

    octets = b"".join(little(counter) for counter in range(250, 260))
    opened, left, stop = run(twin, "open_frames", direction(twin, nonce=249, little=True), octets)
    assert (opened, left, stop) == (plain([(b"data", False)] * 10), 0, Stop.INCOMPLETE)
    assert run(twin, "open_frames", direction(twin, nonce=250, little=True), octets)[2] == Stop.NONCE


@given(st.binary(max_size=400), st.sampled_from(Dialect))
def test_no_octets_make_the_codec_stumble(twin: ModuleType, octets: bytes, dialect: Dialect) -> None:
    for name in ("open_frames", "seal_frames"):
        made, left, stop = run(twin, name, direction(twin, dialect), octets, 8192)
        assert 0 <= left <= len(octets)
        assert stop in Stop
        assert name == "seal_frames" or not made  # nobody without the key makes anything come out

"""Records, of either twin: what was sealed is opened, at any cut; what was changed, left out or moved is not."""

from hashlib import blake2b
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import record_vectors
from support.records import TAG, Direction
from support.twins import CHAIN, called, filled, plain, record_members_of, record_state

from curveproxy.wire.codec.record_state import RECORD_WEIGHT, RecordState
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.errors import Fault
from curveproxy.wire.zmtp.frame import Dialect

GIVEN = {Suite(given.suite): given for given in record_vectors.load().suites}
each_suite = pytest.mark.parametrize("suite", list(Suite), ids=lambda suite: suite.word)
HELLO = plain([(b"hello", False)])


def sealed(twin: ModuleType, state: RecordState, stream: bytes) -> bytes:
    octets, batch = called(twin, "seal_records", state, stream)
    assert (batch.start, batch.stop) == (len(stream), Stop.INCOMPLETE)
    return octets


def records_of(octets: bytes, suite: int) -> list[bytes]:
    """Each record by itself."""
    records = []
    while octets:
        behind = (int.from_bytes(octets[:2], "big") & 0x7FFF) + 3 + TAG[suite]
        records.append(octets[:behind])
        octets = octets[behind:]
    return records


# --- vectors


@each_suite
def test_records_of_the_vectors_open(twin: ModuleType, suite: Suite) -> None:
    given = GIVEN[suite]
    state = record_state(twin, suite, chain=given.chains["client"])
    for record in given.records:
        assert called(twin, "open_records", state, record.octets)[0] == record.plain
    assert state.counter == len(given.records)
    whole = b"".join(record.octets for record in given.records)
    again = record_state(twin, suite, chain=given.chains["client"])
    assert called(twin, "open_records", again, whole)[0] == b"".join(record.plain for record in given.records)


@each_suite
def test_batches_of_the_vectors_are_sealed(twin: ModuleType, suite: Suite) -> None:
    given = GIVEN[suite]
    for wanted in given.batches:
        stream = record_vectors.frames(wanted.frames)
        octets = sealed(twin, record_state(twin, suite, chain=given.chains["client"], pad_to=wanted.pad_to), stream)
        assert [len(record) for record in records_of(octets, suite)] == wanted.records
        assert blake2b(octets, digest_size=16).digest() == wanted.digest
        opening = record_state(twin, suite, chain=given.chains["client"], pad_to=min(1, wanted.pad_to))
        assert called(twin, "open_records", opening, octets)[0] == stream


@each_suite
def test_malformed_neighbours_of_the_vectors_have_their_fault(twin: ModuleType, suite: Suite) -> None:
    given = GIVEN[suite]
    for neighbour in given.malformed:
        state = record_state(twin, suite, record_vectors.LIMIT, chain=given.chains["client"], pad_to=neighbour.padded)
        opened, batch = called(twin, "open_records", state, neighbour.octets)
        assert (opened, Fault[batch.stop.name]) == (neighbour.passed, neighbour.fault), neighbour.flaw
        assert called(twin, "open_records", state, neighbour.octets[batch.start :])[1].stop == batch.stop


# --- cuts, sizes, room


parts = st.lists(
    st.tuples(st.one_of(st.binary(max_size=300), st.integers(0, 70_000).map(bytes)), st.booleans()), max_size=6
)


@settings(deadline=None)
@given(parts, st.sampled_from(Suite), st.sampled_from((0, 0, 1, 64, 1000, 32768)), st.data())
def test_cuts_change_nothing(
    twin: ModuleType, given_parts: list[tuple[bytes, bool]], suite: Suite, pad_to: int, data: st.DataObject
) -> None:
    """Neither do those of the plain stream, nor those of its records, wherever they are."""
    stream = plain(given_parts)
    sealing, opening = record_state(twin, suite, pad_to=pad_to), record_state(twin, suite, pad_to=min(1, pad_to))
    independent = Direction(CHAIN, suite, padded=bool(pad_to))
    octets, begun = b"", 0
    for end in [*sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6))), len(stream)]:
        made, batch = called(twin, "seal_records", sealing, stream[begun:end])
        assert batch.stop == Stop.INCOMPLETE
        assert end - begun - batch.start < 9  # no more than a part of a header waits
        assert made == independent.batch(stream[begun : begun + batch.start], pad_to)
        octets, begun = octets + made, begun + batch.start
    assert begun == len(stream)
    opened, begun, messages, count = b"", 0, 0, 0
    for end in [*sorted(data.draw(st.sets(st.integers(0, len(octets)), max_size=6))), len(octets)]:
        made, batch = called(twin, "open_records", opening, octets[begun:end])
        assert batch.stop == Stop.INCOMPLETE
        assert len(opening.rest) < 9
        opened, begun = opened + made, begun + batch.start
        messages, count = messages + batch.messages, count + batch.octets
    assert opened == stream
    assert messages == sum(not more for _, more in given_parts)
    assert count == sum(len(body) for body, _ in given_parts)
    assert sealing.counter == opening.counter


@each_suite
@pytest.mark.parametrize("size", [0, 1, 255, 256, 32757, 32758, 32759, 32760, 65527, 65528])
def test_a_frame_of_any_size_comes_back(twin: ModuleType, suite: Suite, size: int) -> None:
    stream = plain([(bytes(range(251)) * (size // 251) + bytes(size % 251), False)])
    octets = sealed(twin, record_state(twin, suite), stream)
    assert called(twin, "open_records", record_state(twin, suite), octets)[0] == stream


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300])
def test_octet_by_octet(twin: ModuleType, size: int) -> None:
    """A record for each octet, and a call for each: the stream is the same."""
    client, state = Direction(CHAIN, 1), record_state(twin)
    stream, opened = plain([(bytes(size), True), (b"", False), (b"x" * size, True)]), b""
    for at in range(len(stream)):
        opened += called(twin, "open_records", state, client.seal(stream[at : at + 1]))[0]
        assert opened + state.rest == stream[: at + 1]
    assert (opened, state.counter) == (stream, len(stream))


@each_suite
@pytest.mark.parametrize("pad_to", [0, 64, 1000, 32768])
def test_a_batch_ends_where_its_target_does(twin: ModuleType, suite: Suite, pad_to: int) -> None:
    stream = plain([(bytes(90_000), False)])
    capacities = (0, 1, 17, 18, 19, 34, 35, 36, 98, 99, 100, 1034, 5000, 32_785, 32_786, 32_802, 32_803, 66_000)
    for capacity in capacities:
        sealing, opening = record_state(twin, suite, pad_to=pad_to), record_state(twin, suite, pad_to=pad_to)
        octets, batch = called(twin, "seal_records", sealing, stream, max(1, capacity))
        assert batch.stop == Stop.FULL
        assert bool(octets) == bool(batch.start)
        assert sealing.since_step == 0  # also this batch ended its key
        assert called(twin, "open_records", opening, octets)[0] == stream[: batch.start]
        assert batch.start or capacity < max(9 + 32, pad_to) + 34 + pad_to


@each_suite
def test_a_record_waits_for_room_and_is_opened_then(twin: ModuleType, suite: Suite) -> None:
    stream = plain([(bytes(100), False)] * 3)
    client, state = Direction(CHAIN, suite), record_state(twin, suite)
    octets = client.seal(stream[:101]) + client.seal(stream[101:])
    opened, batch = called(twin, "open_records", state, octets, capacity=250)
    assert (opened, batch.stop, batch.start) == (stream[:101], Stop.FULL, 2 + 101 + TAG[suite])
    again, after = called(twin, "open_records", state, octets[batch.start :], capacity=205)
    assert (again, after.stop) == (stream[101:], Stop.INCOMPLETE)


def test_what_is_left_over_waits_for_room_too(twin: ModuleType) -> None:
    state = record_state(twin)
    command = b"\x04\x0a" + bytes(10)
    called(twin, "open_records", state, Direction(CHAIN, 1).seal(command[:11]))
    before = record_members_of(state)
    assert before["rest"] == command[:11]
    assert called(twin, "open_records", state, b"", capacity=10)[1].stop == Stop.FULL
    assert record_members_of(state) == before


def test_a_batch_has_so_many_frames_and_the_others_come_next(twin: ModuleType) -> None:
    stream = plain([(b"", True)] * 10)
    sealing = record_state(twin, batch=4)
    octets, rest = b"", stream
    for left, stop in ((6, Stop.FULL), (2, Stop.FULL), (0, Stop.INCOMPLETE)):
        made, batch = called(twin, "seal_records", sealing, rest)
        octets, rest = octets + made, rest[batch.start :]
        assert (len(rest), batch.stop) == (2 * left, stop)
    opening, opened = record_state(twin, batch=4 + RECORD_WEIGHT), b""
    (whole,) = records_of(sealed(twin, record_state(twin), stream), 1)
    for left, stop in ((6, Stop.FULL), (0, Stop.INCOMPLETE)):
        made, batch = called(twin, "open_records", opening, whole)
        opened, whole = opened + made, whole[batch.start :]
        assert (len(opening.rest), batch.stop) == (2 * left, stop)
    assert opened == stream


def test_small_records_count_as_many_frames(twin: ModuleType) -> None:
    client, state = Direction(CHAIN, 1), record_state(twin, batch=3 * (RECORD_WEIGHT + 1))
    octets = b"".join(client.seal(plain([(b"x", False)])) for _ in range(10))
    opened, batch = called(twin, "open_records", state, octets)
    assert (len(opened) // 3, batch.stop) == (3, Stop.FULL)


# --- damage


def session(suite: int, *, padded: bool) -> tuple[list[bytes], list[bytes]]:
    """Short records and what is in each."""
    client = Direction(CHAIN, suite, padded=padded)
    contents = [plain([(b"a", True)]), plain([(b"bc", False)]), plain([(b"", False)])]
    wanted = [content + b"\0" + len(content).to_bytes(2, "big") if padded else content for content in contents]
    return contents, [client.seal(content, rekey=bool(place)) for place, content in enumerate(wanted)]


@each_suite
@pytest.mark.parametrize("padded", [False, True], ids=["bare", "padded"])
def test_no_bit_can_be_flipped(twin: ModuleType, suite: Suite, padded: bool) -> None:
    contents, records = session(suite, padded=padded)
    octets = b"".join(records)
    assert called(twin, "open_records", record_state(twin, suite, pad_to=padded), octets)[0] == b"".join(contents)
    for bit in range(8 * len(octets)):
        changed = bytearray(octets)
        changed[bit // 8] ^= 1 << bit % 8
        before, at = 0, 0
        while at + len(records[before]) <= bit // 8:
            at += len(records[before])
            before += 1
        opened, batch = called(twin, "open_records", record_state(twin, suite, pad_to=padded), bytes(changed))
        assert opened == b"".join(contents[:before])
        assert batch.start == at
        waits = int.from_bytes(changed[at : at + 2], "big") & 0x7FFF > len(octets) - at - 3 - TAG[suite]
        assert batch.stop == (Stop.INCOMPLETE if waits else Stop.RECORD)


@each_suite
def test_no_record_can_be_left_out_repeated_swapped_or_brought_from_elsewhere(twin: ModuleType, suite: Suite) -> None:
    contents, (first, second, third) = session(suite, padded=False)
    other = Direction(bytes(32), suite)
    elsewhere = [other.seal(content, rekey=bool(place)) for place, content in enumerate(contents)]
    for passed, octets in (
        (0, second + third),
        (1, first + third),
        (1, first + first + second),
        (2, first + second + second),
        (0, second + first),
        (1, first + elsewhere[1]),
        (0, elsewhere[0]),
    ):
        opened, batch = called(twin, "open_records", record_state(twin, suite), octets)
        assert (opened, batch.stop) == (b"".join(contents[:passed]), Stop.RECORD)


@each_suite
def test_a_state_is_what_it_was_when_a_record_does_not_open(twin: ModuleType, suite: Suite) -> None:
    _, (first, second, third) = session(suite, padded=False)
    state = record_state(twin, suite)
    called(twin, "open_records", state, first)
    before = record_members_of(state)
    assert called(twin, "open_records", state, third)[1].stop == Stop.RECORD
    assert record_members_of(state) == before
    assert called(twin, "open_records", state, second + third)[1].messages == 2


@each_suite
def test_headers_claim_any_size(twin: ModuleType, suite: Suite) -> None:
    """7FFF and FFFF are the largest record, and not one octet of less is one."""
    for header in (b"\x7f\xff", b"\xff\xff"):
        whole = header + bytes(32768 + TAG[suite])
        assert called(twin, "open_records", record_state(twin, suite), whole)[1].stop == Stop.RECORD
        assert called(twin, "open_records", record_state(twin, suite), whole[:-1])[1].stop == Stop.INCOMPLETE
    stream = plain([(bytes(32768 - 9), False)])
    octets = sealed(twin, record_state(twin, suite), stream)
    assert octets.startswith(b"\xff\xff")
    assert called(twin, "open_records", record_state(twin, suite), octets)[0] == stream


def test_padding_is_of_any_size_down_to_none_and_up_to_all(twin: ModuleType) -> None:
    for plain_octets, passed in (
        (b"\0\0", b""),
        (bytes(62) + b"\0\0", b""),
        (HELLO + b"\0\7", HELLO),
        (HELLO + bytes(100) + b"\0\7", HELLO),
    ):
        record = Direction(CHAIN, 1, padded=True).seal(plain_octets)
        opened, batch = called(twin, "open_records", record_state(twin, pad_to=1), record)
        assert (opened, batch.stop) == (passed, Stop.INCOMPLETE)


@each_suite
def test_a_key_has_so_many_records_and_no_more(twin: ModuleType, suite: Suite) -> None:
    client, state = Direction(CHAIN, suite), record_state(twin, suite)
    state.since_step = 2**20 - 2
    one, two, last = (client.seal(HELLO, rekey=rekey) for rekey in (False, False, True))
    assert called(twin, "open_records", state, one)[0] == HELLO
    assert called(twin, "open_records", state, two)[1].stop == Stop.RECORD
    again = Direction(CHAIN, suite)
    again.seal(HELLO, rekey=False)
    assert called(twin, "open_records", state, again.seal(HELLO))[0] == HELLO
    assert state.since_step == 0
    assert last != again.seal(HELLO)


# --- keys


@each_suite
def test_a_key_that_was_left_behind_opens_nothing_new(twin: ModuleType, suite: Suite) -> None:
    client, sealing = Direction(CHAIN, suite), record_state(twin, suite)
    assert sealed(twin, sealing, HELLO) == client.seal(HELLO)
    old = Direction(CHAIN, suite)
    old.counter = 1
    following = sealed(twin, sealing, HELLO)
    assert following != old.seal(HELLO)
    assert following == client.seal(HELLO)


# --- what is put in


@each_suite
@pytest.mark.parametrize("pad_to", [0, 64])
def test_frames_of_our_own_are_put_in_between_two(twin: ModuleType, suite: Suite, pad_to: int) -> None:
    ping = b"\x04\x07\x04PING\0\0"
    sealing, opening = record_state(twin, suite, pad_to=pad_to), record_state(twin, suite, pad_to=min(1, pad_to))
    first = sealed(twin, sealing, HELLO)
    put, batch = called(twin, "seal_octets", sealing, ping)
    assert (batch.start, batch.messages, batch.octets, batch.stop) == (len(ping), 0, 0, Stop.INCOMPLETE)
    octets = first + put + sealed(twin, sealing, HELLO)
    opened, stopped = called(twin, "open_records", opening, octets)
    assert (opened, stopped.stop) == (HELLO, Stop.COMMAND)
    assert called(twin, "open_records", opening, octets[stopped.start :])[0] == HELLO


def test_they_are_put_in_whole_or_not_at_all_and_in_no_frame(twin: ModuleType) -> None:
    state = record_state(twin)
    octets, batch = called(twin, "seal_octets", state, HELLO, capacity=24)
    assert (octets, batch.start, batch.stop, state.counter) == (b"", 0, Stop.FULL, 0)
    assert len(called(twin, "seal_octets", state, HELLO, capacity=25)[0]) == 25
    assert called(twin, "seal_octets", state, b"")[0] == b""
    sealed(twin, state, HELLO[:4])
    assert state.body_left == 3
    with pytest.raises(ValueError, match="nothing can be put into a frame"):
        called(twin, "seal_octets", state, HELLO)


# --- what is left alone


@given(st.binary(max_size=400), st.sampled_from(Dialect), st.sampled_from(Suite), st.sampled_from((0, 1, 64)))
def test_no_octets_make_it_stumble(
    twin: ModuleType, octets: bytes, dialect: Dialect, suite: Suite, pad_to: int
) -> None:
    made, batch = called(twin, "open_records", record_state(twin, suite, 1000, dialect, pad_to), octets)
    assert made == b""  # nobody without the key makes anything come out
    assert batch.stop in (Stop.INCOMPLETE, Stop.RECORD)
    _, batch = called(twin, "seal_records", record_state(twin, suite, 1000, dialect, pad_to), octets)
    assert 0 <= batch.start <= len(octets)


def test_nothing_is_touched_before_where_it_may_write(twin: ModuleType) -> None:
    source, target = filled(b"before" + HELLO + b"behind"), Buffer(100)
    target.view[:] = b"t" * 100
    batch = twin.seal_records(record_state(twin), source, 6, 6 + len(HELLO), target, 10)
    assert target.view[:10] == b"t" * 10
    assert target.view[batch.at :] == b"t" * (100 - batch.at)
    assert source.data == b"before" + HELLO + b"behind"
    back = Buffer(100)
    back.view[:] = b"t" * 100
    opened = twin.open_records(record_state(twin), target, 10, batch.at, back, 20)
    assert back.view[: opened.at] == b"t" * 20 + HELLO
    assert back.view[opened.at :] == b"t" * (100 - opened.at)

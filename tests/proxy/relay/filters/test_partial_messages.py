"""``on_invalid = "drop"``: whatever is inserted, damaged, repeated, taken out or too large, messages stay whole.

``CURVEPROXY_DEEP=1`` runs 100,000 cases of each property.
"""

import os
from collections.abc import Iterator

import pytest
import trio
from attrs import define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import curve, zmtp
from support.relaying import FIRST_NONCE, LIMIT, Relay, sealed

from curveproxy.proxy.relay import pump
from curveproxy.reasons import Closed, Invalid

PING = zmtp.ping()
many = settings(
    max_examples=100_000 if os.environ.get("CURVEPROXY_DEEP") else 150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def _soon_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "THREAD_SIZE", 1500)
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@define
class Sent:
    """A genuine frame. message: which one it is a part of; None for a command."""

    nonce: int
    message: int | None
    body: bytes
    octets: bytes


def frames_of(items: list[list[int]]) -> tuple[list[list[bytes]], list[Sent]]:
    """Messages of parts of these sizes, a command for each COMMAND. The frames in the order of their nonces."""
    messages, frames = [], list[Sent]()
    for number, sizes in enumerate(items):
        parts: list[bytes] = []
        for size in sizes:
            nonce = FIRST_NONCE + len(frames)
            if size == COMMAND:
                body, message, flags = zmtp.ping(b"%d" % nonce), None, curve.INNER_COMMAND
            else:
                body, message = (b"%d.%d " % (number, len(parts))).ljust(size, b".")[:size], number
                flags = curve.INNER_MORE * (len(parts) < sum(size != COMMAND for size in sizes) - 1)
                parts.append(body)
            frames.append(Sent(nonce, message, body, sealed(nonce, body, flags)))
        messages.append(parts)
    return messages, frames


def weight(parts: list[bytes]) -> int:
    return sum(len(zmtp.frame(part)) for part in parts)


def expected(messages: list[list[bytes]], arrived: list[Sent]) -> tuple[list[list[bytes]], list[bytes]]:
    """The law of RFC and design, said over the genuine frames that arrived undamaged: messages and commands."""
    last, torn = FIRST_NONCE - 1, False
    whole: dict[int, int] = {}
    spoiled, commands = set(), []
    for frame in arrived:
        if frame.nonce <= last or len(frame.body) > LIMIT:
            continue  # a repetition; or more than is ever opened
        torn |= frame.nonce != last + 1
        last = frame.nonce
        if frame.message is None:
            commands.append(frame.body)
            continue
        whole[frame.message] = whole.get(frame.message, 0) + 1
        if torn:
            spoiled.add(frame.message)
        torn = False
    good = [
        parts
        for number, parts in enumerate(messages)
        if parts and whole.get(number) == len(parts) and number not in spoiled and weight(parts) <= LIMIT
    ]
    return good, commands


def unexplained(came: list[Sent | None]) -> int:
    """How many gaps are wider than the frames that were left out there unopened. None: a frame that does not open."""
    last, left_out, gaps = FIRST_NONCE - 1, 0, 0
    for frame in came:
        if frame is None or len(frame.body) > LIMIT:
            left_out += 1
        elif frame.nonce > last:
            gaps += frame.nonce - last - 1 > left_out
            last, left_out = frame.nonce, 0
    return gaps


FOREIGN: dict[str, bytes] = {
    "plain": zmtp.frame(b"x" * 60),
    "short": zmtp.frame(b"\x07MESSAGE" + bytes(12)),
    "empty": zmtp.frame(b""),
    "command": zmtp.frame(zmtp.error(b"x" * 80), zmtp.COMMAND),
    "outer more": zmtp.frame(b"\x07MESSAGE" + bytes(60), zmtp.MORE),
    "long form": zmtp.frame(b"\x07MESSAGE" + bytes(60), long=True),
    "large": zmtp.frame(b"\x07MESSAGE" + bytes(LIMIT - 20)),
    "too large": zmtp.frame(b"\x07MESSAGE" + bytes(LIMIT * 3)),
    "far too large": zmtp.frame(b"\x07MESSAGE" + bytes(LIMIT * 16)),
}


def forged(nonce: int, size: int) -> bytes:
    """A MESSAGE under another key."""
    return zmtp.frame(curve.message(bytes(32), curve.FROM_CLIENT, nonce, bytes(size)))


def damaged(octets: bytes, at: int) -> bytes:
    """One bit of it, behind the header, is wrong."""
    header = 9 if octets[0] & zmtp.LONG else 2
    spoiled = bytearray(octets)
    spoiled[header + at % (len(octets) - header)] ^= 1
    return bytes(spoiled)


COMMAND = -1
sizes = st.one_of(
    st.just(COMMAND),
    st.integers(0, 40),
    st.integers(200, 300),
    st.sampled_from([900, LIMIT - 11, LIMIT - 9, LIMIT - 8, LIMIT, LIMIT + 1, 4000]),
)
items = st.lists(st.lists(sizes, max_size=5), max_size=8)


def cut(octets: bytes, data: st.DataObject) -> Iterator[bytes]:
    ends = sorted(data.draw(st.sets(st.integers(0, len(octets)), max_size=5), label="cuts"))
    for begin, end in zip([0, *ends], [*ends, len(octets)], strict=True):
        yield octets[begin:end]


@many
@given(items, st.data())
def test_what_comes_out_is_whole_and_all_that_is_not_beside_damage(
    given_items: list[list[int]], data: st.DataObject
) -> None:
    # Two small ones at the end: whatever was before them, the last must flow.
    messages, frames = frames_of([*given_items, [1], [1]])
    stream, arrived, came = b"", list[Sent](), list[Sent | None]()
    for frame in frames:
        fate = (
            "good" if frame.nonce > frames[-1].nonce - 2 else data.draw(st.sampled_from(FATES), label=f"{frame.nonce}")
        )
        if fate == "inserted":
            foreign = data.draw(st.sampled_from([*FOREIGN, "forged"]))
            stream += FOREIGN.get(foreign) or forged(frame.nonce, max(0, data.draw(sizes)))
            came.append(None)
        elif fate == "repeated" and arrived:
            again = data.draw(st.sampled_from(arrived))
            stream += again.octets
            arrived.append(again)
            came.append(again)
        elif fate == "early":
            ahead = data.draw(st.sampled_from(frames[frames.index(frame) : -2]))
            stream += ahead.octets
            arrived.append(ahead)
            came.append(ahead)
        if fate == "damaged":
            stream += damaged(frame.octets, data.draw(st.integers(0, 10_000)))
            came.append(None)
        elif fate != "lost":
            stream += frame.octets
            arrived.append(frame)
            came.append(frame)
    with Relay() as relay:
        for octets in cut(stream, data):
            relay.send(octets)
        good, commands = expected(messages, arrived)
        assert relay.messages == good
        assert relay.commands == commands
        assert relay.messages[-1:] == messages[-1:]
        assert relay.ended is None
        assert relay.invalid.count(Invalid.GAP) == unexplained(came)
        assert bool(relay.invalid) == (
            stream != b"".join(frame.octets for frame in frames) or len(good) != sum(map(bool, messages))
        )


FATES = ["good"] * 6 + ["inserted", "repeated", "early", "damaged", "lost"]


@many
@given(items, st.data())
def test_any_damage_at_all_leaves_whole_messages(given_items: list[list[int]], data: st.DataObject) -> None:
    messages, frames = frames_of(given_items)
    stream = bytearray(b"".join(frame.octets for frame in frames))
    for _ in range(data.draw(st.integers(1, 4))):
        at, size = data.draw(st.integers(0, len(stream))), data.draw(st.integers(0, 60))
        stream[at : at + size] = data.draw(st.binary(max_size=60))
    with Relay() as relay:
        for octets in cut(bytes(stream), data):
            if relay.session.reason is None:
                relay.send(octets)
        position = iter(messages)
        assert all(message in position for message in relay.messages)  # a subsequence of what went in


def test_more_than_the_tolerated_end_the_session() -> None:
    with Relay(max_invalid_per_minute=3) as relay:
        good = [sealed(FIRST_NONCE + n, b"%d" % n) for n in range(3)]
        relay.send(good[0] + FOREIGN["plain"] + good[1] + FOREIGN["empty"] * 2)
        assert relay.session.reason is None
        relay.send(FOREIGN["empty"] + good[2])
        assert relay.messages == [[b"0"], [b"1"]]
        assert relay.session.reason == Closed.INVALID_MESSAGE
        assert relay.invalid == [Invalid.NOT_MESSAGE, *[Invalid.TOO_SHORT] * 3]


@pytest.mark.parametrize("octets", [b"\x08\x00", b"\x02" + (1 << 63).to_bytes(8, "big"), FOREIGN["far too large"][:9]])
def test_a_stream_without_frames_can_not_be_followed(octets: bytes) -> None:
    with Relay() as relay:
        claim = int.from_bytes(octets[1:9], "big")
        octets = octets[:1] + (claim + 64).to_bytes(8, "big") if len(octets) == 9 and claim < 1 << 40 else octets
        relay.send(sealed(FIRST_NONCE, b"good") + octets)
        assert relay.messages == [[b"good"]]
        assert (relay.invalid, relay.session.reason) == ([Invalid.FRAMING], Closed.INVALID_MESSAGE)


def test_a_command_that_is_malformed_is_dropped() -> None:
    with Relay() as relay:
        bad = sealed(FIRST_NONCE + 1, b"\x04PING", curve.INNER_COMMAND)
        relay.send(sealed(FIRST_NONCE, b"a", 1) + bad + sealed(FIRST_NONCE + 2, b"b"))
        assert (relay.messages, relay.invalid) == ([[b"a", b"b"]], [Invalid.COMMAND])


def test_a_command_in_the_middle_of_a_message_that_fills_the_limit_passes() -> None:
    messages, frames = frames_of([[LIMIT - 11, COMMAND, 0]])
    with Relay() as relay:
        relay.send(b"".join(frame.octets for frame in frames))
        assert (relay.messages, relay.commands, relay.invalid) == (messages, [frames[1].body], [])


@pytest.mark.parametrize("missing", [1, 2, 3])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_gap_is_counted_where_it_is_wider_than_what_was_dropped(kind: str, missing: int) -> None:
    """Two frames are left out, in the place of so many nonces; what is beside the damage is lost either way."""
    with Relay() as relay:
        behind = FIRST_NONCE + 1 + missing
        relay.send(sealed(FIRST_NONCE, b"a", curve.INNER_MORE) + FOREIGN[kind] * 2)
        relay.send(b"".join(sealed(behind + n, body) for n, body in enumerate([b"b", b"c"])))
        assert relay.messages == [[b"c"]]
        assert relay.invalid.count(Invalid.GAP) == (missing > 2)
        assert len(relay.invalid) == 2 + (missing > 2)
        assert all(reason.hint for reason in relay.invalid)


@pytest.mark.parametrize("size", [10, 600, LIMIT - 100])
def test_of_a_frame_that_is_dropped_nothing_is_kept(size: int) -> None:
    with Relay() as relay:
        relay.send(sealed(FIRST_NONCE, b"x", curve.INNER_MORE) + sealed(FIRST_NONCE + 2, bytes(size)))
        assert relay.invalid == [Invalid.GAP]
        assert (relay.to_service.held, relay.pool.lent) == (0, [])

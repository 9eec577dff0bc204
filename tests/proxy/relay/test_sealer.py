"""What becomes of plain frames that are not in order; the cases of all transforms are in ``test_transformed``."""

import pytest
from support import curve, zmtp

from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.select import CodecState
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.zmtp.frame import Dialect

KEY = bytes(range(32))


def sealer(dialect: Dialect = Dialect.V3, sink: bytes = b"DEALER") -> Sealer:
    state = CodecState(KEY, curve.FROM_SERVER, 1, 1000, dialect)
    return Sealer(state, Capabilities(1, sink), MessageLimits())


@pytest.mark.parametrize(
    ("octets", "dialect", "reason"),
    [
        (zmtp.frame(bytes(1001)), Dialect.V3, Invalid.TOO_LARGE),
        (zmtp.frame(b"x", 0x10), Dialect.V3, Invalid.FRAMING),
        (zmtp.frame(zmtp.ping(), zmtp.COMMAND), Dialect.V2, Invalid.FRAMING),
        (zmtp.frame(b"\4PING", zmtp.COMMAND), Dialect.V3, Invalid.COMMAND),
    ],
    ids=["too large", "unknown flags", "a command before ZMTP 3", "a malformed command"],
)
def test_it_always_ends_at_the_first_that_is_invalid(octets: bytes, dialect: Dialect, reason: Invalid) -> None:
    seals, source = sealer(dialect), Buffer(bytearray(octets))
    result = seals.apply(source, 0, len(octets), Buffer(1 << 12))
    seals.resolve(result, source, len(octets), lambda: 0.0)
    assert (result.invalid, result.fatal, result.start, result.at) == ((reason,), reason, len(octets), 0)


def test_a_command_that_does_not_fit_waits_for_an_empty_target() -> None:
    octets, seals = zmtp.frame(zmtp.ping(b"x"), zmtp.COMMAND), sealer()
    source, target = Buffer(bytearray(octets)), Buffer(50)
    result = seals.apply(source, 0, len(octets), target)
    seals.resolve(result, source, len(octets), lambda: 0.0)
    assert (result.start, result.at, result.fatal) == (0, 0, None)


def test_a_subscription_between_two_parts_ends_the_session() -> None:
    seals = sealer(sink=b"XPUB")
    octets = zmtp.frame(b"a", zmtp.MORE) + zmtp.frame(zmtp.command(b"SUBSCRIBE", b"t"), zmtp.COMMAND)
    source = Buffer(bytearray(octets))
    result = seals.apply(source, 0, len(octets), Buffer(1 << 12))
    seals.resolve(result, source, len(octets), lambda: 0.0)
    assert result.fatal == Invalid.COMMAND


def test_a_command_stands_between_messages_as_a_box_of_its_own() -> None:
    octets, seals = zmtp.frame(b"a") + zmtp.frame(zmtp.ping(b"x"), zmtp.COMMAND) + zmtp.frame(b"b"), sealer()
    source, target, came, start = Buffer(bytearray(octets)), Buffer(1 << 12), b"", 0
    while start < len(octets):
        result = seals.apply(source, start, len(octets), target)
        if result.stop > Stop.FULL:
            seals.resolve(result, source, len(octets), lambda: 0.0)
        came, start = came + bytes(result.output), result.start
    opened = [curve.read_message(body, KEY, curve.FROM_SERVER)[1:] for _, body in zmtp.read_frames(came)]
    assert opened == [(0, b"a"), (curve.INNER_COMMAND, zmtp.ping(b"x")), (0, b"b")]


def test_what_it_says_itself_is_boxed_in_its_order() -> None:
    seals = sealer()
    frames = zmtp.read_frames(seals.message(b"x") + seals.command(zmtp.ping()))
    opened = [curve.read_message(body, KEY, curve.FROM_SERVER) for _, body in frames]
    assert [message[1:] for message in opened] == [(0, b"x"), (curve.INNER_COMMAND, zmtp.ping())]
    assert [message.nonce for message in opened] == [curve.short(2), curve.short(3)]


def test_a_frame_s_size_is_known_from_its_header() -> None:
    octets = zmtp.frame(bytes(500))
    assert sealer().frame_size(Buffer(bytearray(octets)), 0, 20) == len(octets)

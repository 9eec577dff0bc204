"""Where frames in a buffer end, where their bodies begin, and how a plain peer writes them."""

from types import ModuleType

import pytest
from support.twins import direction, filled, message, plain

from curveproxy.wire.codec.framing import frame_size, growth, plain_frame, plain_header
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.zmtp.frame import Dialect

SIZES = (0, 1, 252, 253, 254, 255, 256, 70000)
by_dialect = pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.name)


@by_dialect
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_written_as_its_dialect_wants_it(size: int, dialect: Dialect) -> None:
    for more in (False, True):
        assert plain_frame(more, bytes(size), dialect) == plain([(bytes(size), more)], dialect)


@by_dialect
@pytest.mark.parametrize("size", SIZES)
def test_a_frames_size_is_known_from_its_header(size: int, dialect: Dialect) -> None:
    octets = b"xx" + plain([(bytes(size), False)], dialect)
    buffer, is_short = filled(octets), len(octets) < size + 10
    assert frame_size(buffer, 2, 12, dialect) == len(octets) - 2
    assert frame_size(buffer, 2, 10, dialect) == (len(octets) - 2 if is_short else 0)
    assert frame_size(buffer, 2, 3, dialect) == 0


@by_dialect
@pytest.mark.parametrize("size", SIZES)
def test_the_size_of_a_header_is_known_before_it_is_written(size: int, dialect: Dialect) -> None:
    assert plain_header(size, dialect) == len(plain([(bytes(size), False)], dialect)) - size


@by_dialect
def test_a_large_frame_grows_by_as_much_whatever_its_size(dialect: Dialect) -> None:
    for size in (256, 70000):
        body = bytes(size)
        assert growth(dialect) == len(message(1, 0, body)) - len(plain([(body, False)], dialect))


def test_one_box_a_frame_is_what_a_twin_does(twin: ModuleType) -> None:
    octets, target = message(1, 0, b"data"), Buffer(100)
    assert frame_size(filled(octets), 0, 2, Dialect.V3) == len(octets)
    opened = twin.open_frames(direction(twin), filled(octets), 0, len(octets), target, 0)
    assert (opened.start, opened.at, opened.messages, opened.octets) == (len(octets), 6, 1, 4)
    sealed = twin.seal_frames(direction(twin), target, 0, opened.at, target, 10)
    assert bytes(target.view[10 : sealed.at]) == octets
    assert sealed.stop is opened.stop is Stop.INCOMPLETE

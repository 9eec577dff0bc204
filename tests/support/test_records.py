"""The independent implementation of records: what it sealed it opens, and nothing else."""

import pytest

from support import zmtp
from support.records import AEGIS, XSALSA, Direction, Unopened, padded

CHAIN = bytes(32)


@pytest.mark.parametrize("suite", [XSALSA, AEGIS])
@pytest.mark.parametrize("pad_to", [0, 64])
def test_what_was_sealed_opens(suite: int, pad_to: int) -> None:
    sealing, opening = (Direction(CHAIN, suite, padded=bool(pad_to)) for _ in range(2))
    for stream in (b"x", b"y" * 70_000):
        octets = sealing.batch(stream, pad_to)
        assert opening.open(octets + b"\x80") == (stream, b"\x80")
    assert sealing.key == opening.key


@pytest.mark.parametrize("suite", [XSALSA, AEGIS])
def test_what_was_changed_does_not(suite: int) -> None:
    octets = Direction(CHAIN, suite).seal(b"x")
    with pytest.raises(Unopened):
        Direction(CHAIN, suite).open(zmtp.damaged(octets))
    with pytest.raises(Unopened):
        Direction(CHAIN, suite, padded=True).open(Direction(CHAIN, suite).seal(b"\0\1"))


def test_padding_reaches_a_multiple() -> None:
    assert padded(b"x", 4) == b"x\0\0\1"
    assert padded(b"xxx", 4) == b"xxx\0\0\0\0\3"
    assert len(padded(bytes(32_766), 4096)) == 32_768

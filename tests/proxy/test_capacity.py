"""How many descriptors half-open connections and sessions have together."""

from curveproxy.proxy.capacity import Capacity


def test_sessions_and_strangers_share_what_there_is() -> None:
    descriptors = Capacity(1000)
    assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (872, False, False)
    descriptors.sessions.number, descriptors.strangers.number = 371, 129
    assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (130, False, False)
    descriptors.sessions.number, descriptors.strangers.number = 372, 128
    assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (128, True, True)


def test_a_stranger_can_always_come() -> None:
    descriptors = Capacity(64)
    assert (descriptors.room, descriptors.are_short) == (1, False)

"""How many descriptors half-open connections and sessions have together."""

from curveproxy.proxy.capacity import Capacity


def test_sessions_and_half_open_connections_share_what_there_is() -> None:
    descriptors = Capacity(1000)
    assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (872, False, False)
    for _ in range(371):
        descriptors.take_place()
    descriptors.half_open.number = 129
    assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (130, False, False)
    descriptors.take_place()
    descriptors.half_open.number = 128
    assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (128, True, True)


def test_one_connection_can_always_be_half_open() -> None:
    descriptors = Capacity(64)
    assert (descriptors.room, descriptors.are_short) == (1, False)


def test_all_that_is_in_use_is_counted_with_the_reserve() -> None:
    descriptors = Capacity(1000)
    before = descriptors.in_use
    descriptors.half_open.number = 5
    for _ in range(4):
        descriptors.take_place()
    descriptors.give_place_back()
    assert descriptors.in_use == before + 2 * 3 + 5

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


def test_what_is_in_use_is_the_reserve_one_for_each_half_open_connection_and_two_for_each_place() -> None:
    descriptors = Capacity(1000)
    descriptors.half_open.number = 3
    descriptors.take_place()
    descriptors.take_place()
    assert (descriptors.places_in_use, descriptors.in_use) == (2, 128 + 3 + 4)
    descriptors.give_place_back()
    assert (descriptors.places_in_use, descriptors.in_use) == (1, 128 + 3 + 2)

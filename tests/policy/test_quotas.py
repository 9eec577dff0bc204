"""What one client may have in all its sessions, here and in other processes."""

from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.limits import UNLIMITED, ClientLimits, WorkerShare
from curveproxy.policy.quotas import PARTS_MAX, Quota, Quotas, weight

SMALLEST = 35
ALICE, BOB = b"a" * 32, b"b" * 32


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 3000)), min_size=1, max_size=60),
    st.booleans(),
)
def test_no_more_than_so_much_a_second_and_what_was_read_at_once(
    rate: int, steps: list[tuple[float, int]], counts_octets: bool
) -> None:
    quota = Quota[str](ClientLimits(0, 0, rate) if counts_octets else ClientLimits(0, rate, 0))
    now, taken, largest = 0.0, 0, 0
    for passed, amount in steps:
        now += passed
        if quota.available(now, SMALLEST) > 0:
            quota.spend(*((1, amount) if counts_octets else (amount, 1)), now)
            taken, largest = taken + amount, max(largest, amount)
        assert taken <= rate * (1 + now) + largest + 0.001


def test_who_took_too_much_waits_until_that_is_paid_back() -> None:
    quota = Quota[str](ClientLimits(messages_per_second=10))
    assert quota.available(0.0, SMALLEST) == 10 * SMALLEST
    quota.spend(30, 0, 0.0)
    assert quota.available(1.9, SMALLEST) < 0 < quota.available(2.1, SMALLEST)
    assert quota.available(100.0, SMALLEST) == 10 * SMALLEST


def test_the_scarcer_of_the_two_counts() -> None:
    quota = Quota[str](ClientLimits(messages_per_second=10, bytes_per_second=100))
    assert quota.available(0.0, SMALLEST) == 100
    quota.spend(9, 0, 0.0)
    assert round(quota.available(0.0, SMALLEST)) == SMALLEST


def test_sessions_of_a_client_share_and_those_of_another_do_not() -> None:
    quotas, limits = Quotas[str](), ClientLimits(max_sessions=2, bytes_per_second=100)
    first, second = quotas.attach(ALICE, limits, "one"), quotas.attach(ALICE, limits, "two")
    assert first is second
    assert quotas.is_full(ALICE, limits)
    assert not quotas.is_full(BOB, limits)
    assert quotas.attach(BOB, limits, "three") is not first
    quotas.detach(ALICE, "one")
    assert not quotas.is_full(ALICE, limits)


def test_sessions_in_other_processes_count_too() -> None:
    quotas, limits = Quotas[str](), ClientLimits(max_sessions=2, bytes_per_second=100)
    quotas.set_elsewhere({ALICE: 2})
    assert quotas.is_full(ALICE, limits)
    assert not quotas.counts
    quotas.set_elsewhere({ALICE: 1})
    quota = quotas.attach(ALICE, limits, "one")
    assert quotas.counts == {ALICE: 1}
    assert quotas.is_full(ALICE, limits)
    assert quota is not None
    assert quota.available(0.0, SMALLEST) == 50, "each of two sessions has the half"
    quotas.set_elsewhere({})
    assert quota.available(0.0, SMALLEST) == 100


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 8))
def test_of_sessions_that_are_too_many_the_newest_end_and_no_more_than_each_process_must(
    counts: list[int], most: int
) -> None:
    left = []
    for index, count in enumerate(counts):
        quotas = Quotas[int]()
        quotas.set_elsewhere({ALICE: sum(counts) - count})
        for number in range(count):
            quotas.attach(ALICE, ClientLimits(max_sessions=most), number)
        share = WorkerShare(index, len(counts))
        surplus = list(quotas.surplus(share))
        assert surplus == list(range(count))[count - len(surplus) :]
        assert count - len(surplus) >= min(count, share.part(most, least=0))
        left.append(count - len(surplus))
    assert sum(left) <= max(most, 0)
    if sum(counts) <= most:
        assert left == counts


def test_who_comes_again_has_no_more_for_it() -> None:
    quotas, limits = Quotas[int](), ClientLimits(bytes_per_second=100)
    for now in range(3):
        quota = quotas.attach(ALICE, limits, now)
        assert quota is not None
        assert (quota.available(now, SMALLEST) > 0) == (now == 0)
        quota.spend(1, 300 if now == 0 else 0, now)
        quotas.detach(ALICE, now)
        quotas.expire(now + 0.5)
    quotas.expire(3.1)
    assert len(quotas) == 0


def test_a_limit_that_changes_is_everybodys_at_once() -> None:
    quotas = Quotas[str]()
    quota = quotas.attach(ALICE, ClientLimits(bytes_per_second=1), "one")
    assert quota is not None
    quota.spend(1, 100, 0.0)
    assert quotas.attach(ALICE, ClientLimits(bytes_per_second=1), "one") is quota
    assert quota.available(0.0, SMALLEST) < 0, "nothing has changed"
    assert quotas.attach(ALICE, ClientLimits(bytes_per_second=7), "one") is quota
    assert quota.available(0.0, SMALLEST) == 7
    assert quotas.attach(ALICE, UNLIMITED, "one") is None
    assert len(quotas) == 0


def test_who_comes_in_turns_with_other_limits_has_no_more_for_it() -> None:
    quotas, slow, fast = Quotas[str](), ClientLimits(bytes_per_second=100), ClientLimits(bytes_per_second=400)
    quota = quotas.attach(ALICE, slow, "first")
    assert quota is not None
    quota.spend(1, 500, 0.0)  # of which 400 are to be paid back
    for number, (limits, paid_at) in enumerate([(fast, 1.0), (slow, 4.0), (fast, 1.0)]):
        assert quotas.attach(ALICE, limits, str(number)) is quota
        assert quota.limits == limits, "those of the last"
        assert quota.available(paid_at / 4 - 0.1, SMALLEST) < 0
        quotas.detach(ALICE, str(number))


def test_limits_of_another_session_may_be_none_of_a_kind() -> None:
    quotas = Quotas[str]()
    quota = quotas.attach(ALICE, ClientLimits(messages_per_second=1), "one")
    assert quota is not None
    quota.spend(100, 100, 5.0)
    assert quotas.attach(ALICE, ClientLimits(bytes_per_second=100), "two") is quota
    assert quota.available(5.0, SMALLEST) == 100, "no octets were counted"
    quota.spend(1, 150, 5.0)
    assert quotas.attach(ALICE, ClientLimits(messages_per_second=1), "three") is quota
    assert quota.available(5.0, SMALLEST) == SMALLEST


def test_a_message_of_many_parts_counts_as_several() -> None:
    assert weight(3, 3) == 3
    assert weight(3, 3 * PARTS_MAX) == 3
    assert weight(1, 10 * PARTS_MAX) == 10


def test_a_session_of_a_client_without_limits_is_not_counted() -> None:
    quotas = Quotas[str]()
    assert quotas.attach(ALICE, UNLIMITED, "one") is None
    assert not quotas.is_full(ALICE, UNLIMITED)
    assert not quotas.counts
    quotas.detach(ALICE, "one")
    quotas.expire(1.0)
    assert len(quotas) == 0


def test_a_client_that_comes_again_before_it_is_forgotten_is_kept() -> None:
    quotas, limits = Quotas[str](), ClientLimits(bytes_per_second=100)
    quota = quotas.attach(ALICE, limits, "one")
    quotas.detach(ALICE, "one")
    assert quotas.attach(ALICE, limits, "two") is quota
    quotas.expire(1e9)
    assert quotas.counts == {ALICE: 1}
    quotas.detach(ALICE, "two")
    quotas.expire(1e9)
    assert len(quotas) == 0

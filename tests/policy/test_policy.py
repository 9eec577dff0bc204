"""Decisions from facts: limits, sources, quotas, socket types, properties, trials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.access import AccessList, KeyTerms
from curveproxy.policy.circuit_breaker import CircuitBreaker
from curveproxy.policy.identities import RIVALS_SECONDS, Claim, IdentityClaims, Rivals
from curveproxy.policy.limits import (
    UNLIMITED,
    AdmissionLimits,
    ClientLimits,
    WorkerShare,
    half_open_in_force,
    sessions_in_force,
)
from curveproxy.policy.metadata import droppable, for_service, is_safe_identity
from curveproxy.policy.quotas import Quota, Quotas
from curveproxy.policy.socket_types import fits, known
from curveproxy.policy.sources import MOST_FAILING, SourceLimits


class TestSources:
    def test_who_fails_again_and_again_may_begin_half_of_the_handshakes(self) -> None:
        sources, now = SourceLimits[str](10, 20), 100.0

        def began(seconds: int) -> int:
            """How many of the handshakes that are tried a hundred times a second may begin."""
            nonlocal now
            before, now = now, now + seconds
            return sum(not sources.check_rate(1, before + step / 100) for step in range(100 * seconds))

        for _ in range(20):
            sources.record_failure(1, now)
        assert began(10) == pytest.approx(220, abs=2), "a second's worth is there in the beginning"
        sources.record_failure(1, now)
        now += 5
        assert began(10) == pytest.approx(110, abs=2)
        sources.check_rate(1, now)
        assert sources.check_rate(1, now) == "too many failures: half of handshakes_per_second_per_source is left"
        assert not sources.check_rate(2, now), "that is nobody else's"

    def test_the_one_handshake_a_second_of_who_fails_is_one_in_two(self) -> None:
        sources = SourceLimits[str](10, 1)
        for _ in range(5):
            sources.record_failure(1, 100.0)
        assert [not sources.check_rate(1, 100.0 + second) for second in range(9)].count(True) == 5

    def test_failures_are_forgiven(self) -> None:
        sources = SourceLimits[str](10, 1)
        for _ in range(3):
            sources.record_failure(1, 100.0)
        sources.record_success(1)
        assert not sources.check_rate(1, 100.0)
        assert sources.check_rate(1, 100.05) == "too often: handshakes_per_second_per_source"
        for _ in range(3):
            sources.record_failure(1, 102.0)
        assert sources.check_rate(1, 170.0) == ""
        assert not sources._failures

    def test_memory_of_failures_is_bounded(self) -> None:
        sources = SourceLimits[str](10, 1)
        for number in range(50_000):
            sources.record_failure(number, 100.0)
        assert len(sources) == MOST_FAILING

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 5)), max_size=60), st.integers(1, 4))
    def test_the_oldest_of_a_source_goes_when_it_has_more_than_its_places(
        self, steps: list[tuple[bool, int, int]], most: int
    ) -> None:
        sources, model = SourceLimits[int](most, 1000), {source: list[int]() for source in range(3)}
        for member, (comes, source, which) in enumerate(steps):
            inside = model[source]
            if comes:
                inside.append(member)
                surplus = sources.acquire(source, member)
                assert surplus == (inside[0] if len(inside) > most else None)
                if surplus is not None:
                    sources.release(source, inside.pop(0))
            elif which < len(inside):
                sources.release(source, inside.pop(which))
        assert len(sources) == sum(map(bool, model.values()))

    def test_one_source_may_begin_so_often_a_second(self) -> None:
        sources = SourceLimits[str](10_000, 10)
        assert sum(not sources.check_rate(1, 0.0) for _ in range(50)) == 10
        assert sources.check_rate(1, 0.05)
        assert not sources.check_rate(1, 0.11)
        assert sources.check_rate(1, 0.11)
        assert sum(not sources.check_rate(1, 5.0) for _ in range(50)) == 10

    @pytest.mark.parametrize("rate", [1, 3, 7, 100, 9973])
    def test_a_full_bucket_holds_exactly_one_seconds_worth(self, rate: int) -> None:
        sources = SourceLimits[str](100_000, rate)
        assert sum(not sources.check_rate(1, 1e6) for _ in range(2 * rate)) == rate

    @given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.3), st.booleans()), max_size=60))
    def test_what_is_remembered_is_forgotten(self, steps: list[tuple[int, float, bool]]) -> None:
        sources, now, inside = SourceLimits[int](100, 5), 0.0, []
        for member, (source, passed, leaves) in enumerate(steps):
            now += passed
            if not sources.check_rate(source, now):
                sources.acquire(source, member)
                inside.append((source, member))
            if leaves and inside:
                sources.release(*inside.pop())
        for place in inside:
            sources.release(*place)
        assert not sources.check_rate(99, now + 3)
        assert len(sources) == 1  # only the one that has just been here

    def test_a_million_sources_that_came_and_went_leave_nothing(self) -> None:
        sources = SourceLimits[str](1, 100)
        for source in range(20_000):
            assert not sources.check_rate(source, source / 100)
            sources.acquire(source, "it")
            sources.release(source, "it")
            assert len(sources) <= 101


SMALLEST = 35
ALICE, BOB = b"a" * 32, b"b" * 32


class TestQuotas:
    @given(
        st.integers(1, 10_000),
        st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 3000)), min_size=1, max_size=60),
        st.booleans(),
    )
    def test_no_more_than_so_much_a_second_and_what_was_read_at_once(
        self, rate: int, steps: list[tuple[float, int]], counts_octets: bool
    ) -> None:
        quota = Quota[str](ClientLimits(0, 0, rate) if counts_octets else ClientLimits(0, rate, 0))
        now, taken, largest = 0.0, 0, 0
        for passed, amount in steps:
            now += passed
            if quota.available(now, SMALLEST) > 0:
                quota.spend(*((1, amount) if counts_octets else (amount, 1)), now)
                taken, largest = taken + amount, max(largest, amount)
            assert taken <= rate * (1 + now) + largest + 0.001

    def test_who_took_too_much_waits_until_that_is_paid_back(self) -> None:
        quota = Quota[str](ClientLimits(messages_per_second=10))
        assert quota.available(0.0, SMALLEST) == 10 * SMALLEST
        quota.spend(30, 0, 0.0)
        assert quota.available(1.9, SMALLEST) < 0 < quota.available(2.1, SMALLEST)
        assert quota.available(100.0, SMALLEST) == 10 * SMALLEST

    def test_the_scarcer_of_the_two_counts(self) -> None:
        quota = Quota[str](ClientLimits(messages_per_second=10, bytes_per_second=100))
        assert quota.available(0.0, SMALLEST) == 100
        quota.spend(9, 0, 0.0)
        assert round(quota.available(0.0, SMALLEST)) == SMALLEST

    def test_sessions_of_a_client_share_and_those_of_another_do_not(self) -> None:
        quotas, limits = Quotas[str](), ClientLimits(max_sessions=2, bytes_per_second=100)
        first, second = quotas.attach(ALICE, limits, "one"), quotas.attach(ALICE, limits, "two")
        assert first is second
        assert quotas.is_full(ALICE, limits)
        assert not quotas.is_full(BOB, limits)
        assert quotas.attach(BOB, limits, "three") is not first
        quotas.detach(ALICE, "one")
        assert not quotas.is_full(ALICE, limits)

    def test_sessions_in_other_processes_count_too(self) -> None:
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
        self, counts: list[int], most: int
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

    def test_who_comes_again_has_no_more_for_it(self) -> None:
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

    def test_a_limit_that_changes_is_everybodys_at_once(self) -> None:
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

    def test_a_certificate_goes_before_the_service(self) -> None:
        clients = AccessList(terms={ALICE: KeyTerms(limits={"max_sessions": 0, "bytes_per_second": 5})})
        of_all = ClientLimits(1, 2, 3)
        assert clients.limits(ALICE, of_all) == ClientLimits(0, 2, 5)
        assert clients.limits(BOB, of_all) == of_all


class TestIdentities:
    NAME = ("orders", b"me")

    def test_who_comes_again_takes_it_from_its_older_self_wherever_that_was(self) -> None:
        identities = IdentityClaims[str]()
        older, newer = Claim("one", "alice", 1), Claim("two", "alice", 7)
        assert identities.claim(self.NAME, older) is None
        assert identities.claim(self.NAME, newer) == older
        identities.release(self.NAME, older)
        assert identities.claim(self.NAME, Claim("one", "bob", 2)) == newer

    def test_another_key_takes_nothing_until_it_is_free(self) -> None:
        identities = IdentityClaims[str]()
        alice, bob = Claim("one", "alice", 1), Claim("two", "bob", 1)
        identities.claim(self.NAME, alice)
        assert identities.claim(self.NAME, bob) == alice
        identities.release(self.NAME, bob)
        assert identities.claim(self.NAME, bob) == alice
        assert identities.claim(("prices", b"me"), bob) is None
        identities.release(self.NAME, alice)
        assert identities.claim(self.NAME, bob) is None

    def test_with_a_process_all_its_clients_are_forgotten(self) -> None:
        identities = IdentityClaims[str]()
        for number in range(3):
            identities.claim(("orders", number), Claim("one", "alice", number))
        other = Claim("two", "alice", 1)
        identities.claim(self.NAME, other)
        identities.forget("one")
        assert len(identities) == 1
        assert identities.claim(self.NAME, Claim("one", "bob", 4)) == other


class TestLimits:
    @pytest.mark.parametrize("limits", [{"handshake_seconds": 61}, {"handshake_seconds": 0}, {"max_half_open": 0}])
    def test_what_can_not_be_is_refused(self, limits: dict[str, int]) -> None:
        with pytest.raises(ValueError):
            AdmissionLimits(**limits)

    def test_descriptors_bound_both(self) -> None:
        assert sessions_in_force(16384, 20_000) == 9872
        assert sessions_in_force(100, 20_000) == 100
        assert half_open_in_force(16384, 20_000, 0) == 16384
        assert half_open_in_force(16384, 20_000, 9000) == 1872
        assert half_open_in_force(16384, 300, 100) == 1


class TestSocketTypes:
    @pytest.mark.parametrize(
        ("client", "service"), [(b"REQ", b"ROUTER"), (b"SUB", b"XPUB"), (b"PAIR", b"PAIR"), (b"DISH", b"RADIO")]
    )
    def test_those_that_fit_fit_both_ways(self, client: bytes, service: bytes) -> None:
        assert fits(client, service)
        assert fits(service, client)

    @pytest.mark.parametrize(("client", "service"), [(b"SUB", b"ROUTER"), (b"REQ", b"REQ"), (b"PUSH", b"PUSH")])
    def test_those_that_do_not_do_not(self, client: bytes, service: bytes) -> None:
        assert not fits(client, service)

    def test_what_is_not_known_is_not_judged_and_not_repeated(self) -> None:
        assert fits(b"FUTURE", b"ROUTER")
        assert fits(None, b"ROUTER")
        assert known(b"FUTURE\x1b[2J") == "unknown"
        assert known(b"REP") == "REP"


class TestProperties:
    def test_what_only_we_may_say_is_taken_out_in_any_case(self) -> None:
        sent = {
            "Socket-Type": b"REQ",
            "uSER-id": b"root",
            "X-CURVE-KEY": b"k",
            "X-Own": b"v",
            "X-Curveproxy-Probe": b"",
        }
        passed = for_service(sent, {"User-Id": b"alice"})
        assert passed == {"Socket-Type": b"REQ", "X-Own": b"v", "User-Id": b"alice"}

    def test_a_probe_is_nobody_to_the_service(self) -> None:
        assert for_service({"identity": b"desk-7", "X-CURVEPROXY-probe": b"", "X-A": b"1"}, {}) == {"X-A": b"1"}

    def test_what_we_say_is_said_once(self) -> None:
        assert for_service({"IDENTITY": b"", "X-A": b"1"}, {"Identity": b"me"}) == {"X-A": b"1", "Identity": b"me"}

    @pytest.mark.parametrize(
        ("identity", "sane"),
        [
            (None, True),
            (b"", True),
            (b"a" * 255, True),
            (b"a" * 256, False),
            (b"\0", False),
            (b"\0\x6b\x8b\x45\x67", False),
        ],
    )
    def test_an_identity_that_kills_is_told(self, identity: bytes | None, sane: bool) -> None:
        assert is_safe_identity(identity) is sane

    def test_ready_loses_the_least_needed_first(self) -> None:
        assert droppable({"Socket-Type": b"", "Identity": b"", "X-A": b"", "x-b": b""}) == ["x-b", "X-A", "Identity"]


class TestTrial:
    def test_nobody_tries_or_looks_while_the_backend_is_up(self) -> None:
        breaker = CircuitBreaker()
        assert not breaker.is_open
        assert (breaker.allow_probes(0.0), breaker.allow_check(0.0)) == (0, False)

    def test_where_nobody_listens_the_proxy_looks_once_a_second_and_one_newcomer_tries(self) -> None:
        breaker = CircuitBreaker()
        breaker.record_failure(0.0, nobody_listens=True)
        assert [breaker.allow_check(at) for at in (0.5, 1.0, 1.5, 2.0)] == [False, True, False, True]
        assert [breaker.allow_probes(at) for at in (0.5, 1.0, 1.5, 2.0, 10.0)] == [0, 1, 0, 1, 1]
        breaker.record_listener()
        assert not breaker.is_open

    def test_what_was_seen_but_can_not_be_dialled_is_left_to_newcomers(self) -> None:
        breaker = CircuitBreaker()
        for _ in range(2):
            breaker.record_failure(0.0, nobody_listens=True)
        assert breaker.allow_check(1.0)
        breaker.record_listener()
        for _ in range(2):
            breaker.record_failure(2.0, nobody_listens=True)
            assert not breaker.allow_check(10.0)
            assert breaker.allow_probes(10.0)
        breaker.record_success()
        breaker.record_failure(20.0, nobody_listens=True)
        assert breaker.allow_check(30.0)

    def test_twice_as_many_newcomers_try_each_time_until_one_has_dialled(self) -> None:
        breaker = CircuitBreaker()
        breaker.record_failure(0.0, nobody_listens=False)
        times = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5)
        assert [breaker.allow_probes(at) for at in times] == [0, 1, 2, 4, 8, 16, 32, 32]
        assert not breaker.allow_check(2.5)
        breaker.record_dial(2.6)
        assert [breaker.allow_probes(at) for at in (2.75, 3.5, 3.6, 4.0)] == [0, 0, 1, 2]


class TestClientList:
    def test_a_key_is_allowed_when_it_is_listed_or_all_are(self) -> None:
        listed = AccessList({b"a" * 32: "alice", b"b" * 32: None})
        assert listed.allows(b"a" * 32)
        assert listed.allows(b"b" * 32)
        assert not listed.allows(b"c" * 32)
        assert AccessList(allow_any=True).allows(b"c" * 32)
        assert listed.name(b"a" * 32) == "alice"
        assert listed.name(b"b" * 32) is None


def test_an_identity_whose_sessions_are_replaced_again_and_again_is_told_of_now_and_then() -> None:
    rivals = Rivals()
    assert [rivals.add(b"me", now) for now in range(9)] == [False, False, False, True, False, False, False, True, False]
    assert not rivals.add(b"another", 8.0)
    rivals.expire(RIVALS_SECONDS + 1)
    assert len(rivals) == 1
    assert not any(rivals.add(b"me", RIVALS_SECONDS + 1) for _ in range(3)), "that was long ago"

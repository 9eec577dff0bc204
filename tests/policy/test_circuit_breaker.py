"""When a backend that failed may be dialled again."""

from curveproxy.policy.circuit_breaker import CircuitBreaker


def test_nobody_tries_or_looks_while_the_backend_is_up() -> None:
    breaker = CircuitBreaker()
    assert not breaker.is_open
    assert (breaker.allow_probes(0.0), breaker.allow_check(0.0)) == (0, False)


def test_where_nobody_listens_the_proxy_looks_once_a_second_and_one_newcomer_tries() -> None:
    breaker = CircuitBreaker()
    breaker.record_failure(0.0, nobody_listens=True)
    assert [breaker.allow_check(at) for at in (0.5, 1.0, 1.5, 2.0)] == [False, True, False, True]
    assert [breaker.allow_probes(at) for at in (0.5, 1.0, 1.5, 2.0, 10.0)] == [0, 1, 0, 1, 1]
    breaker.record_listener()
    assert not breaker.is_open


def test_what_was_seen_but_can_not_be_dialled_is_left_to_newcomers() -> None:
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


def test_twice_as_many_newcomers_try_each_time_until_one_has_dialled() -> None:
    breaker = CircuitBreaker()
    breaker.record_failure(0.0, nobody_listens=False)
    times = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5)
    assert [breaker.allow_probes(at) for at in times] == [0, 1, 2, 4, 8, 16, 32, 32]
    assert not breaker.allow_check(2.5)
    breaker.record_dial(2.6)
    assert [breaker.allow_probes(at) for at in (2.75, 3.5, 3.6, 4.0)] == [0, 0, 1, 2]

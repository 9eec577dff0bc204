"""What a grant says of its client: its identity, its limits, and whether its filters are those of another."""

import pytest
from support.certificates import UNTIL_SECONDS, certificate

from curveproxy.policy.access.terms import Grant, KeyTerms
from curveproxy.policy.limits import ClientLimits
from curveproxy.wire.certificate import read_untrusted


def test_own_limits_come_before_those_of_all_clients() -> None:
    of_all = ClientLimits(1, 2, 3)
    own = Grant(terms=KeyTerms(limits={"max_sessions": 0, "bytes_per_second": 5}))
    assert own.limits(of_all) == ClientLimits(0, 2, 5)
    assert Grant().limits(of_all) == of_all


def test_a_bound_identity_comes_before_the_one_that_is_claimed() -> None:
    assert Grant(terms=KeyTerms(b"desk-7")).identity(b"") == b"desk-7"
    assert Grant().identity(b"mine") == b"mine"


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (KeyTerms(topics=(b"a",)), False),
        (KeyTerms(b"desk-7", limits={"max_sessions": 1}, topics=(b"a",)), False),
        (KeyTerms(topics=(b"b",)), True),
        (KeyTerms(), True),
        (KeyTerms(topics=(b"a",), publish_topics=()), True),
    ],
)
def test_topics_are_compared_and_nothing_else(other: KeyTerms, differs: bool) -> None:
    assert Grant(terms=KeyTerms(topics=(b"a",))).has_other_topics(Grant(terms=other)) is differs


def test_what_is_shown_of_a_certificate_is_nothing_where_there_is_none() -> None:
    given = Grant(certificate=read_untrusted(certificate()))
    assert (given.serial, given.until) == ("9f86d081884c7d65", UNTIL_SECONDS)
    assert (Grant().serial, Grant().until) == ("", None)

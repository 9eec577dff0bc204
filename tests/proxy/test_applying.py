"""What an applicant is to the list of clients."""

from support.fakes import CLIENT, applicant

from curveproxy.policy.access.terms import Bearer


def test_it_is_judged_by_what_it_has_proved_and_what_it_says() -> None:
    who = applicant(b"me", socket_type=b"SUB")
    assert who.bearer("orders") == Bearer(CLIENT, "orders", b"SUB", b"me")
    assert applicant().bearer("orders").identity == b""

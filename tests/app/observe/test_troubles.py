"""What is worth a word to the operator: a backend that is down, descriptors that run out, errors of ours."""

import attrs
import pytest
from support.overview import count, status

from curveproxy.app.admin.page import render
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Level, Query, Trouble
from curveproxy.app.observe.troubles import NO_REMOTE_KEY_HINT, all_troubles
from curveproxy.reasons import EgressOutcome, Outcome


def test_a_backend_that_is_down_for_one_of_several_is_trouble() -> None:
    failed = count("refused", 1, 1, 3, "backend failed")
    [trouble, *_] = merged([status(True, 1), status(False, 1, failed)], Query()).troubles
    assert trouble == Trouble(
        "orders",
        True,
        "tcp://127.0.0.1:5555 is down: backend failed, 1 in two minutes, the last 3 s ago, peer 3",
        "refused",
        "",
    )


def test_remotes_that_are_all_down_are_named() -> None:
    failed = count("welcome_closed", 2, 2, 3, "backend failed")
    found = status(False, 1, failed)
    [service] = found.services
    out = attrs.evolve(service, direction="egress", backend="tcp://a.example:1, tcp://b.example:2")
    [trouble] = merged([attrs.evolve(found, services=[out])], Query()).troubles
    assert trouble.what.startswith("tcp://a.example:1, tcp://b.example:2 are down: backend failed, 2 in two minutes")


def test_of_an_egress_the_hints_are_those_of_local_clients() -> None:
    found = status(True, 50)
    [service] = found.services
    out = attrs.evolve(service, direction="egress", client_keys=None, server_keys=0)
    keys, full = merged([attrs.evolve(found, services=[out])], Query()).troubles
    assert (keys.word, keys.hint) == ("keys", NO_REMOTE_KEY_HINT)
    assert (full.word, full.hint) == ("sessions_limit", EgressOutcome.SESSIONS_LIMIT.hint)


@pytest.mark.parametrize(("used", "told"), [((700, 100), []), ((700, 900), ["descriptors"])])
def test_one_pool_of_descriptors_that_is_nearly_empty_is_one_trouble(used: tuple[int, int], told: list[str]) -> None:
    parts = [attrs.evolve(status(True, 1), descriptors=Level(value, 1000)) for value in used]
    whole = merged(parts, Query())
    assert whole.descriptors == Level(sum(used), 2000)
    assert [trouble.word for trouble in whole.troubles] == told


@pytest.mark.parametrize(("parts", "told"), [((0.1, 0.4), []), ((0.0, 0.63), ["held back"])])
def test_clients_that_come_in_slowly_because_sessions_have_work_are_trouble(
    parts: tuple[float, float], told: list[str]
) -> None:
    whole = merged([attrs.evolve(status(True, 1), held_back=part) for part in parts], Query())
    assert whole.held_back == max(parts)
    assert [trouble.word for trouble in whole.troubles] == told
    assert all("63% of the last half minute" in trouble.what and trouble.hint for trouble in whole.troubles)
    assert not any(trouble.is_bad or trouble.is_down for trouble in whole.troubles)


@pytest.mark.parametrize(
    ("left", "what"),
    [
        (-90, "our certificate as server has ended 1 min 30 s ago"),
        (2 * 86400 - 1, "our certificate as server ends in 1 d 23 h"),
        (2 * 86400, None),
    ],
)
def test_a_certificate_of_ours_that_ends_soon_is_trouble_and_turns_nobody_away(left: int, what: str | None) -> None:
    [service] = status(True, 1).services
    troubles = all_troubles([attrs.evolve(service, own_certificates={"server": 1000 + left})], Level(0, 0), 1000)
    assert [(each.what, each.word, each.is_bad, each.is_down) for each in troubles] == (
        [(what, "certificate_expired", left < 0, False)] if what else []
    )


def test_an_empty_list_is_no_trouble_where_an_authority_is_listed() -> None:
    [service] = status(True, 1).services
    for authorities, told in (({}, ["client_unknown"]), ({"plant-1": 0}, [])):
        found = attrs.evolve(service, client_keys=0, certificate_sessions=authorities)
        assert [each.word for each in all_troubles([found], Level(0, 0), 0)] == told


def test_who_asks_for_certificates_is_no_trouble_and_a_clock_that_was_set_is() -> None:
    asked, jumped = count("certificate_asked", 3, 3, 1), count("back", 1, 1, 2, "the clock was set")
    [trouble] = merged([status(True, 1, asked, jumped)], Query()).troubles
    assert (trouble.word, trouble.is_bad) == ("back", False)
    assert trouble.what.startswith("the clock was set, 1 in two minutes")


def test_an_unexpected_error_is_bad_and_turns_nobody_away() -> None:
    failed = count("refused", 1, 1, 3, "backend failed")
    internal = count(Outcome.INTERNAL, 1, 1, 5, "unexpected error")
    whole = merged([status(False, 1, failed, internal)], Query())
    assert [(each.label, each.is_bad, each.is_down) for each in whole.troubles] == [
        ("down: refused", True, True),
        ("internal", True, False),
    ]
    html = render(whole, Query(), "")
    assert '<span class="pill bad">down: refused</span>' in html
    assert '<span class="pill bad">internal</span>' in html

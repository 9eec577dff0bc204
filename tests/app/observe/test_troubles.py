"""What is worth a word to the operator: a backend that is down, descriptors that run out, errors of ours."""

import attrs
import pytest
from support.overview import count, status

from curveproxy.app.admin.page import render
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Level, Query, Trouble
from curveproxy.app.observe.troubles import NO_REMOTE_KEY_HINT
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

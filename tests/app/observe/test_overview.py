"""Several processes as one: sums, the newest of each, and who was refused by all of them."""

import attrs
from support.overview import count, status

from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Query, Status, UnknownKey
from curveproxy.reasons import Outcome


def test_several_processes_are_seen_as_one() -> None:
    unknown = str(Outcome.CLIENT_UNKNOWN)
    parts = [
        status(True, 3, count(unknown, 5, 1, 40)),
        status(None, 40, count(unknown, 1, 1, 3), count("cookie", 1, 0, 9)),
    ]
    whole = merged(parts, Query(sessions=4))
    [orders] = whole.services
    assert (orders.sessions.value, orders.sessions.limit, orders.messages_in, orders.client_keys) == (43, 100, 14, 3)
    assert orders.backend_up is True
    assert [(each.word, each.total, each.recent, each.peer) for each in orders.counts] == [
        (unknown, 6, 2, "peer 3"),
        ("cookie", 1, 0, "peer 9"),
    ]
    assert (whole.matching, whole.seconds) == (43, 400)
    assert [session.seconds for session in whole.sessions] == [40, 39, 38, 37]
    assert [trouble.word for trouble in whole.troubles] == [unknown]


def test_a_key_that_several_processes_have_refused_is_one() -> None:
    def known(*keys: UnknownKey) -> Status:
        one = status(True, 0)
        return attrs.evolve(one, services=[attrs.evolve(one.services[0], unknown_keys=list(keys))])

    parts = [
        known(UnknownKey("a", 2, "192.0.2.1:1", 30), UnknownKey("b", 1, "192.0.2.1:2", 40)),
        known(UnknownKey("a", 1, "192.0.2.1:3", 5)),
    ]
    assert merged(parts, Query()).services[0].unknown_keys == [
        UnknownKey("a", 3, "192.0.2.1:3", 5),
        UnknownKey("b", 1, "192.0.2.1:2", 40),
    ]


def test_certificates_of_several_processes_are_those_of_one() -> None:
    def one(sessions: dict[str, int], revocations: int, until: float) -> Status:
        found = status(True, 1)
        [service] = found.services
        given = {"certificate_sessions": sessions, "revocations": revocations, "own_certificates": {"server": until}}
        return attrs.evolve(found, services=[attrs.evolve(service, **given)])  # type: ignore[arg-type]

    [orders] = merged([one({"plant-1": 2}, 7, 4e9), one({"plant-1": 1, "plant-2": 0}, 6, 3e9)], Query()).services
    assert orders.certificate_sessions == {"plant-1": 3, "plant-2": 0}
    assert (orders.revocations, orders.own_certificates) == (6, {"server": 3e9})


def test_nobody_answering_is_nothing_to_see() -> None:
    assert merged([], Query()).services == []

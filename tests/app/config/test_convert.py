"""From TOML's types to ours without coercion, and sentences for what is of another type."""

from pathlib import Path

import pytest
from support.configuration import CLIENTS, SERVICE, complaints

from curveproxy.app.config.load import load


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SERVICE + CLIENTS + "[servce]", "servce: no such setting: did you mean service"),
        (SERVICE.replace("[[service]]", "[service]"), "a list is wanted, not a table: there may be several, each"),
        (SERVICE + CLIENTS.replace("[service.clients]", "[[service.clients]]"), "not a list: write it once, in single"),
        (SERVICE + CLIENTS + "max_sessions = 3", "max_sessions: no such setting: it belongs into [service.admission]"),
        (SERVICE + "max_buffered_bytes = 3\n" + CLIENTS, "no such setting: it belongs into [process]"),
        (SERVICE + CLIENTS + "[process]\nlisten = 'x'", "such setting: it belongs into [admin] or [[service]]"),
        (SERVICE + "[defaults.clients]\nalow = 'any'", "defaults.clients.alow: no such setting: did you mean allow"),
        (SERVICE + CLIENTS + "[defaults]\nlisten = 'x'", "defaults.listen: no such setting: it belongs into [admin]"),
        (SERVICE + CLIENTS + "[defaults]\nclients = 1", "defaults.clients: a table is wanted, not a whole number"),
        ("forward_identity = 1\n" + SERVICE + CLIENTS, "forward_identity: no such setting"),
        (SERVICE + "forward_identity = 1\n" + CLIENTS, "forward_identity: true or false is wanted, not a whole number"),
        (SERVICE + "forward_identity = 'false'\n" + CLIENTS, "true or false is wanted, not a string"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = 3.9", "a whole number is wanted, not a number"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = 1e3", "or an exponent: write 1000"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = true", "a whole number is wanted, not a truth"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_sesions = 1", "did you mean max_sessions"),
        (SERVICE.replace('name = "orders"', "") + CLIENTS, "service[0].name: it is missing"),
        (SERVICE.replace('"orders"', "3") + CLIENTS, "service[0].name: a string is wanted"),
        (SERVICE.replace('secret_keys = ["keys/server.key_secret"]', "") + CLIENTS, "secret_keys: it is missing"),
        (SERVICE.replace('["keys/server.key_secret"]', '"x"') + CLIENTS, "secret_keys: a list is wanted, not a string"),
        ("service = 3", "service: a list is wanted, not a whole number"),
        ("service = [3]", "service[0]: a table is wanted, not a whole number"),
    ],
)  # fmt: skip
def test_what_is_of_another_type_is_found_with_its_place_and_a_hint(place: Path, text: str, complaint: str) -> None:
    found = complaints(place, text)
    assert len(found) == 1, found
    assert complaint in found[0]


def test_a_whole_number_of_seconds_is_a_number(place: Path) -> None:
    (place / "c.toml").write_text(SERVICE + CLIENTS + "[service.admission]\nhandshake_seconds = 5")
    assert load(place / "c.toml").service[0].admission.handshake_seconds == 5.0

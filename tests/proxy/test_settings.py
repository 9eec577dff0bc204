"""What is configured: which of the two kinds a service is, and whose processes may connect to an egress."""

from typing import Any

import pytest
from attrs import evolve
from support.certificates import KEY, OTHER_KEY, SERVER, UNTIL_SECONDS, certificate
from support.trust import TRUST
from zmq.utils import z85

from curveproxy.policy.limits import RECORD_SUITES, MessageLimits, OnInvalid, RecordsMode
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import EgressSettings, ServiceKind, ServiceSettings
from curveproxy.wire import sodium
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.offer import Terms

BEHIND = Endpoint("tcp", "a.example", 5556)
PAIR = KeyPair(b"p" * 32, b"s" * 32)
EGRESS = EgressSettings((BEHIND,), (bytes(32),), PAIR)
SERVICE = ServiceSettings("orders", Endpoint("ipc", "@a"), BEHIND, ())


def test_what_has_an_egress_s_settings_is_one() -> None:
    assert SERVICE.kind == ServiceKind.INGRESS
    assert evolve(SERVICE, egress=EGRESS).kind == ServiceKind.EGRESS


@pytest.mark.parametrize(
    ("allowed", "user", "is_allowed"),
    [
        (set(), "uid 1000", True),
        ({1000}, "uid 1000", True),
        ({1000}, "uid 100", False),
        ({1000}, "uid unknown", False),
        ({1000}, "127.0.0.1:4242", True),
        ({1000}, "", True),
    ],
)
def test_users_are_judged_where_a_unix_socket_tells_them(allowed: set[int], user: str, is_allowed: bool) -> None:
    assert evolve(EGRESS, allow_uids=frozenset(allowed)).allows(user) == is_allowed


@pytest.mark.parametrize(
    ("messages", "has_aes", "suites"),
    [
        ({}, True, [Suite.AEGIS_256, Suite.XSALSA20_POLY1305]),
        ({}, False, [Suite.XSALSA20_POLY1305]),
        ({"record_suites": ["xsalsa20-poly1305", "aegis-256"]}, True, [Suite.XSALSA20_POLY1305, Suite.AEGIS_256]),
        ({"records": RecordsMode.REQUIRE, "record_suites": ["aegis-256"]}, True, [Suite.AEGIS_256]),
        ({"record_suites": ["aegis-256"]}, False, None),
        ({"records": RecordsMode.OFF}, True, None),
        ({"on_invalid": OnInvalid.DROP}, True, None),
        ({"on_invalid": OnInvalid.DROP, "records": RecordsMode.REQUIRE}, True, None),
    ],
)
def test_records_are_agreed_on_in_the_suites_that_are_configured_and_there(
    messages: dict[str, Any], has_aes: bool, suites: list[Suite] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sodium, "has_fast_aes", lambda: has_aes)
    settings = evolve(SERVICE, messages=MessageLimits(pad_to=64, **messages))
    assert settings.record_terms == (None if suites is None else Terms(suites, 64))
    assert settings.requires_records == (messages.get("records") == RecordsMode.REQUIRE)


def test_the_words_of_suites_are_those_of_the_settings() -> None:
    assert sorted(RECORD_SUITES) == sorted(suite.word for suite in Suite)


def test_no_secret_key_is_in_the_text_of_settings() -> None:
    text = repr(evolve(SERVICE, egress=EGRESS))
    assert repr(PAIR.secret) not in text
    assert PAIR.secret.hex() not in text


def test_until_when_our_keys_have_certificates_is_that_of_the_first_without() -> None:
    other = {**SERVER, "public-key": z85.encode(OTHER_KEY).decode(), "valid-until": "2026-12-04T05:40:00Z"}
    short = certificate(SERVER, valid_until="2026-11-27T05:40:00Z")
    both = evolve(SERVICE, certificates=(certificate(SERVER), certificate(other), short))
    assert both.own_certificates == {"server": UNTIL_SECONDS}
    assert SERVICE.own_certificates == evolve(SERVICE, egress=EGRESS).own_certificates == {}
    egress = evolve(EGRESS, certificate=certificate())
    assert evolve(SERVICE, egress=egress).own_certificates == {"client": UNTIL_SECONDS}


def test_where_authorities_tell_the_keys_of_servers_they_are_what_is_counted() -> None:
    pinned = evolve(EGRESS, server_keys=(KEY, OTHER_KEY))
    assert pinned.key_count == 2
    assert evolve(pinned, trust=TRUST).key_count == 1

"""What is configured: which of the two kinds a service is, and whose processes may connect to an egress."""

import pytest
from attrs import evolve

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import EgressSettings, ServiceKind, ServiceSettings
from curveproxy.wire.curve.keys import KeyPair

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


def test_no_secret_key_is_in_the_text_of_settings() -> None:
    text = repr(evolve(SERVICE, egress=EGRESS))
    assert repr(PAIR.secret) not in text
    assert PAIR.secret.hex() not in text

"""The socket type of a service: as it says, as it is configured, or what its clients most likely face."""

from types import SimpleNamespace
from typing import Any

import pytest

from curveproxy.policy.limits import MessageLimits, OnInvalid
from curveproxy.proxy.connect.service_type import ServiceType
from curveproxy.proxy.errors import DialError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect

V30, V31 = Version(Dialect.V3, 0), Version(Dialect.V3, 1)


class Judging:
    """A service's type, and what the operator was told of it."""

    def __init__(self, **settings: Any) -> None:
        self.told = list[tuple[str, dict[str, str]]]()
        self.observer: Any = SimpleNamespace(notice=lambda event, **facts: self.told.append((event, facts)))
        self.type = ServiceType(self.settings(**settings), self.observer)

    def settings(self, **settings: Any) -> ServiceSettings:
        return ServiceSettings("test", Endpoint("tcp", "*"), Endpoint("tcp", "127.0.0.1", 1), (), **settings)

    def judge(
        self, client: bytes, dialect: Dialect = Dialect.V3, said: bytes | None = None
    ) -> bytes | DialError | None:
        return self.type.judge({"socket-type": client}, dialect, said)


@pytest.mark.parametrize(
    ("client", "dialect", "configured", "said", "found"),
    [
        (b"DEALER", Dialect.V3, "", b"ROUTER", b"ROUTER"),
        (b"SUB", Dialect.V3, "ROUTER", b"XPUB", b"XPUB"),
        (b"DEALER", Dialect.V3, "", None, None),
        (b"REQ", Dialect.V1, "", None, b"REP"),
        (b"REQ", Dialect.V1, "ROUTER", None, b"ROUTER"),
    ],
    ids=["as it says", "the wire wins", "any", "most likely", "as configured"],
)
def test_a_type_is_said_or_configured_or_most_likely(
    client: bytes, dialect: Dialect, configured: str, said: bytes | None, found: bytes | None
) -> None:
    assert Judging(backend_socket_type=configured).judge(client, dialect, said) == found


@pytest.mark.parametrize(
    ("client", "dialect", "said", "detail"),
    [
        (b"SUB", Dialect.V3, b"ROUTER", "client SUB, service ROUTER"),
        (b"SCATTER", Dialect.V1, None, "client SCATTER, service of ZMTP 1.0"),
        (b"\x1b[2J", Dialect.V1, None, "client unknown, service of ZMTP 1.0"),
    ],
)
def test_a_type_that_does_not_fit_is_no_type(client: bytes, dialect: Dialect, said: bytes | None, detail: str) -> None:
    found = Judging().judge(client, dialect, said)
    assert isinstance(found, DialError)
    assert (found.failure, found.detail) == (BackendFailure.SOCKET_TYPE, detail)


def test_what_is_odd_is_told_once() -> None:
    judging = Judging(backend_socket_type="REP")
    for _ in range(3):
        judging.judge(b"DEALER", said=b"ROUTER")
    assert judging.told == [("backend_socket_type is not what the service says", {"service_says": "ROUTER"})]


def test_dropping_is_told_of_where_it_harms() -> None:
    dropping = MessageLimits(on_invalid=OnInvalid.DROP)
    for said, told in ((b"REP", True), (b"XPUB", True), (b"ROUTER", False), (b"PULL", False)):
        judging = Judging(messages=dropping)
        judging.type.judge({}, Dialect.V3, said)
        assert [event for event, _ in judging.told] == ["dropping does not suit the service"] * told


def test_a_service_of_zmtp_1_is_told_of_and_so_is_what_it_was_taken_for() -> None:
    judging = Judging()
    assert judging.judge(b"PUSH", Dialect.V1) == b"PULL"
    judging.type.connected(b"PULL", Version(Dialect.V1, 0))
    events = [event for event, _ in judging.told]
    assert events == ["the service speaks ZMTP 1.0, which does not tell its socket type", "the service speaks ZMTP 1.0"]


@pytest.mark.parametrize(
    ("kind", "version", "told"), [(b"XPUB", V30, True), (b"XPUB", V31, False), (b"PUB", V30, False)]
)
def test_messages_to_an_old_xpub_are_told_of(kind: bytes, version: Version, told: bool) -> None:
    judging = Judging(xpub_messages=True)
    judging.type.connected(kind, version)
    assert [event for event, _ in judging.told] == ["xpub_messages does not suit the service"] * told
    other = Judging()
    other.type.connected(kind, version)
    assert not other.told


def test_other_settings_hold_for_the_next_client() -> None:
    judging = Judging(backend_socket_type="REP")
    assert isinstance(judging.judge(b"SUB"), DialError)
    judging.type.configure(judging.settings(backend_socket_type="PUB"))
    assert judging.judge(b"SUB") == b"PUB"

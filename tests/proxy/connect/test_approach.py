"""What a backend and a remote have in common: the addresses of a target, and what no client must be shown."""

import socket
from typing import Any

import pytest
import trio

from curveproxy.proxy.connect.address import Target
from curveproxy.proxy.connect.approach import Judgement, Then, fault_of
from curveproxy.proxy.connect.backend import REMOTE, BackendApproach
from curveproxy.proxy.errors import DialError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure
from curveproxy.wire.zmtp.null import Pacing

HERE, AWAY = (socket.AF_INET, ("127.0.0.1", 7)), (socket.AF_INET, ("192.0.2.1", 7))


@pytest.mark.parametrize(
    "metadata", [{"Identity": b"\0x"}, {"identity": b"x" * 256}, {"Socket-Type": b"X" * 300}], ids=str
)
def test_what_no_client_must_be_shown_is_a_fault(metadata: dict[str, bytes]) -> None:
    assert fault_of(metadata)
    assert not fault_of({name: value[1:16] for name, value in metadata.items()})


async def test_addresses_that_must_not_be_dialled_are_kept_as_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(*_: object, **__: object) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in (AWAY, HERE)]

    monkeypatch.setattr(trio.socket, "getaddrinfo", known)
    endpoint = Endpoint("tcp", "some.host", 7)
    settings = ServiceSettings("test", Endpoint("tcp", "*"), endpoint, ())
    backend: Any = type("Backend", (), {"type": None})
    approach = BackendApproach(backend, Target(endpoint, allow_remote=False), settings, {}, Pacing.STEPWISE)
    assert approach.is_of_a_name
    assert approach.addresses == []
    await approach.resolve()
    assert approach.addresses == [HERE]
    assert [(address, error.detail) for address, error in approach.failures] == [(AWAY, REMOTE)]
    assert not approach.leave_address(DialError(BackendFailure.REFUSED))
    assert [address for address, _ in approach.failures] == [AWAY, HERE]


def test_a_judgement_says_what_follows() -> None:
    error = DialError(BackendFailure.REFUSED)
    assert Judgement(error, Then.NEXT) == (error, Then.NEXT)

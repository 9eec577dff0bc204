"""What nobody keeps: behind a handshake that agreed on records no object has the keys with which they began."""

import gc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import trio
import trio.testing
from support.client import answers
from support.fakes import ANYBODY, RecordingObserver
from support.peer import Peer
from support.service import RawService, echo

from curveproxy.policy.limits import MessageLimits, RecordsMode
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.server import Server
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.wire.codec import suites
from curveproxy.wire.curve import client as curve_client
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.security import Records

SERVER, OURS = KeyPair.generate(), KeyPair.generate()
ANY_PORT = Endpoint.parse("tcp://127.0.0.1:0")
REQUIRED = MessageLimits(records=RecordsMode.REQUIRE)


@pytest.fixture
def backend() -> Iterator[RawService]:
    with RawService(echo) as service:
        yield service


def holders(secret: str) -> list[object]:
    """Who refers to these octets, of which we know the hexadecimal digits: a reference of ours would be one too."""
    found = []
    for each in gc.get_objects():
        if not isinstance(each, FrameType) and any(
            isinstance(other, bytes) and other.hex() == secret for other in gc.get_referents(each)
        ):
            found.append(each)
    return found


@pytest.mark.deep
async def test_neither_side_keeps_the_key_of_a_session_or_its_first_chains(
    backend: RawService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets: set[str] = set()

    def overheard(chains: Callable[..., suites.Chains]) -> Callable[..., suites.Chains]:
        def made(*told: Any) -> suites.Chains:
            found = chains(*told)
            secrets.update(octets.hex() for octets in (told[0], found.from_client, found.from_server))
            return found

        return made

    for module in (curve_client, curve_server):
        monkeypatch.setattr(module, "session_chains", overheard(suites.session_chains))
    server = Server(descriptors=4096)
    settings = ServiceSettings("in", ANY_PORT, Endpoint.parse(backend.endpoint), (SERVER,), messages=REQUIRED)
    ingress = server.new_service(settings, ANYBODY, RecordingObserver())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await trio.testing.wait_all_tasks_blocked()
        server.open({ingress: settings})
        remote = Endpoint.parse(str(server.listener_of(ingress).bound))
        towards = EgressSettings((remote,), (SERVER.public,), OURS)
        out = ServiceSettings("out", ANY_PORT, remote, (), messages=REQUIRED, egress=towards)
        egress = server.new_service(out, ANYBODY, RecordingObserver())
        server.open({ingress: settings, egress: out})
        with Peer.to(str(server.listener_of(egress).bound)) as client:
            await trio.to_thread.run_sync(client.handshake)
            assert await trio.to_thread.run_sync(answers, client)
            assert len(secrets) == 3, "both sides have the same"
            witness = Records(1, bytes.fromhex(next(iter(secrets))), b"")
            assert any(map(holders, secrets)), "it would be found"
            del witness
            gc.collect()
            assert {secret: kept for secret in secrets if (kept := holders(secret))} == {}
        server.drain(0)

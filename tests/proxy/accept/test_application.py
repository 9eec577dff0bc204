"""How an accepted connection ends: welcomed, told why not, or only closed."""

import socket
from typing import Any

import pytest
import trio
from attrs import evolve
from support import plain_steps
from support.accepting import accepting
from support.client import RawClient
from support.gates import RecordingGate, egress
from support.loopback import reset
from support.peer import Peer, Refused
from support.tasks import until

from curveproxy.proxy.accept.application import FINAL
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.sockets import is_readable
from curveproxy.proxy.settings import RefusalMode
from curveproxy.reasons import Outcome
from curveproxy.wire.security import Curve, Plain
from curveproxy.wire.zmtp.frame import Dialect

PROBE = {"Socket-Type": b"DEALER", "X-Curveproxy-Probe": b""}


async def told(client: RawClient) -> str:
    """What a client hears instead of READY; empty when it is only closed."""
    try:
        await trio.to_thread.run_sync(client.ready)
    except Refused as error:
        return str(error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0])
    except (EOFError, ConnectionError):
        return ""
    return "READY"


async def answer(outcome: Outcome, mode: RefusalMode = RefusalMode.ERROR, *, probes: bool = False) -> str:
    """What a client hears that has proved its key, when its service refuses it for this."""
    gate = RecordingGate(refuses_by=mode)
    async with accepting(gate) as at_work:
        with at_work.client(properties=PROBE if probes else None) as client:
            await at_work.applies(client)
            await until(lambda: gate.applied)
            gate.applied[0].refuse(outcome)
            return await told(client)


@pytest.mark.parametrize("outcome", sorted(FINAL))
async def test_what_waiting_does_not_change_is_told_as_libzmq_knows_it(outcome: Outcome) -> None:
    assert "400" in await answer(outcome)


@pytest.mark.parametrize("outcome", [Outcome.BACKEND_UNAVAILABLE, Outcome.SHUTDOWN, Outcome.IDENTITY_IN_USE])
async def test_after_anything_else_a_client_may_come_again(outcome: Outcome) -> None:
    assert await answer(outcome) == ""


async def test_where_the_operator_wants_it_nobody_is_told() -> None:
    assert await answer(Outcome.CLIENT_UNKNOWN, RefusalMode.CLOSE) == ""


@pytest.mark.parametrize("mode", RefusalMode)
@pytest.mark.parametrize("outcome", [Outcome.SESSIONS_LIMIT, Outcome.CERTIFICATE, Outcome.CERTIFICATE_EXPIRED])
async def test_a_probe_is_told_the_outcome(outcome: Outcome, mode: RefusalMode) -> None:
    assert str(outcome) in await answer(outcome, mode, probes=True)


async def test_a_probe_that_is_not_on_the_list_hears_no_more_than_others() -> None:
    heard = await answer(Outcome.CLIENT_UNKNOWN, probes=True)
    assert "400" in heard
    assert str(Outcome.CLIENT_UNKNOWN) not in heard
    assert await answer(Outcome.CLIENT_UNKNOWN, RefusalMode.CLOSE, probes=True) == ""


class Full:
    """A socket whose send buffer takes only so much."""

    def __init__(self, sock: socket.socket, takes: int) -> None:
        self._sock, self._takes = sock, takes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, octets: bytes) -> int:
        return self._sock.send(octets[: self._takes])


async def test_a_client_that_takes_no_ready_has_gone() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        with at_work.client() as client:
            await at_work.applies(client)
            await until(lambda: gate.applied)
            application: Any = gate.applied[0]
            full: Any = Full(application.socket, 20)
            with pytest.raises(RefusedError) as caught:
                evolve(application, socket=full).welcome({"Socket-Type": b"ROUTER"})
            assert (caught.value.outcome, caught.value.detail) == (Outcome.PEER_CLOSED, "it takes no READY")


async def test_who_is_welcome_has_ready_and_the_socket_of_a_session() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        with at_work.client(minor=1, identity=b"me") as client:
            await at_work.applies(client)
            await until(lambda: gate.applied)
            application = gate.applied[0]
            before = application.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            established = application.welcome({"Socket-Type": b"ROUTER", "X-Colour": b"green"})
            assert await trio.to_thread.run_sync(client.ready) == {"Socket-Type": b"ROUTER", "X-Colour": b"green"}
            assert established.socket is application.socket
            assert established.metadata == application.applicant.metadata == client.properties
            assert (established.version.minor, established.socket_type) == (1, b"DEALER")
            assert isinstance(established.security, Curve)
            assert established.security.key == client.shared
            assert established.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
            assert established.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > before


async def test_a_client_of_2_0_may_have_its_last_word_behind_ours() -> None:
    gate = RecordingGate(egress=egress())
    async with accepting(gate) as at_work:
        with Peer.to(at_work.endpoint) as client:
            client.send_raw(plain_steps.signature())
            await trio.to_thread.run_sync(client.recv_exactly, 11)
            client.send_raw(plain_steps.version_2("PULL"))
            await until(lambda: gate.applied)
            established = gate.applied[0].welcome({"Socket-Type": b"PUSH"})
            assert await trio.to_thread.run_sync(client.recv_exactly, 3) == b"\x08\0\0"
            assert (established.version, established.security) == ((Dialect.V2, 0), Plain())
            assert (established.socket_type, established.skip) == (b"PULL", 2)


async def test_who_has_reset_can_not_be_welcomed() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        client = at_work.client()
        await at_work.applies(client)
        await until(lambda: gate.applied)
        application = gate.applied[0]
        reset(client.sock)
        await until(lambda: is_readable(application.socket))
        with pytest.raises(OSError):
            application.welcome({"Socket-Type": b"ROUTER"})

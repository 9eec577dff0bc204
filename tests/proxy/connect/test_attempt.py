"""One attempt to reach a service: its owner hears of one end, whatever the service does."""

import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from support import service as behaviour
from support import zmtp
from support.loopback import free_endpoint
from support.peer import Peer
from support.reactor import LoneReactor
from support.service import RawService
from support.tasks import until

from curveproxy.proxy.connect.address import Address, fixed_address
from curveproxy.proxy.connect.attempt import AttemptError, DialAttempt
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.net.sockets import prepare_backend
from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import GREETING, Pacing

# A READY that has not ended behind all that a handshake may be.
TOO_LONG = zmtp.frame(zmtp.null_ready(zmtp.metadata({"X": bytes(2 * spec.BACKEND_HANDSHAKE_MAX)})), zmtp.COMMAND)
METADATA = {"Socket-Type": b"DEALER"}


class Owner:
    """Hears what becomes of an attempt, and closes its socket then, as every owner has to."""

    def __init__(self) -> None:
        self.ends: list[Negotiated | Exception] = []
        self.reactor = LoneReactor(4)
        self.attempt: DialAttempt | None = None

    def begin(self, pacing: Pacing, new_socket: Callable[[int], socket.SocketType] = prepare_backend) -> DialAttempt:
        self.attempt = DialAttempt(PlainInitiator(METADATA, pacing), self.reactor, new_socket, self)
        return self.attempt

    def greeted(self, negotiated: Negotiated) -> None:
        self._end(negotiated)

    def attempt_failed(self, error: AttemptError) -> None:
        self._end(error)

    def failed(self, error: Exception) -> None:
        self._end(error)

    def _end(self, end: Negotiated | Exception) -> None:
        self.ends.append(end)
        self.close()

    def close(self) -> None:
        if self.attempt is not None and (sock := self.attempt.release()) is not None:
            self.reactor.unregister(sock.fileno())
            sock.close()


def address_of(endpoint: str) -> Address:
    address = fixed_address(Endpoint.parse(endpoint), allow_remote=False)
    assert address is not None
    return address


@asynccontextmanager
async def attempt(pacing: Pacing) -> AsyncIterator[tuple[DialAttempt, Owner]]:
    """An attempt in a reactor that runs."""
    owner = Owner()
    tried = owner.begin(pacing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.reactor.run)
        yield tried, owner
        nursery.cancel_scope.cancel()
    owner.close()
    owner.reactor.close()


async def come(owner: Owner) -> Negotiated | Exception:
    with trio.fail_after(20):
        while not owner.ends:
            await trio.sleep(0.001)
    [end] = owner.ends
    return end


@pytest.mark.parametrize("pacing", Pacing)
async def test_a_service_that_answers_is_greeted_in_any_pacing(pacing: Pacing) -> None:
    with RawService(behaviour.echo) as service:
        async with attempt(pacing) as (tried, owner):
            tried.begin(address_of(service.endpoint))
            found = await come(owner)
            assert isinstance(found, Negotiated)
            assert found.version.dialect == 3
            assert not tried.is_connecting
            await until(lambda: service.accepted[0].theirs)  # it may answer before it has read all of ours
            assert service.accepted[0].theirs["Socket-Type"] == b"DEALER"


@pytest.mark.parametrize(
    ("does", "fault"),
    [
        (behaviour.closes_at_once, None),
        (behaviour.closes_after_greeting, None),
        (behaviour.garbage, Fault.NOT_ZMTP),
        (behaviour.wrong_mechanism, Fault.MECHANISM),
        (behaviour.malformed_ready, Fault.METADATA),
        (behaviour.answers_error, Fault.COMMAND),
    ],
)
async def test_what_a_service_does_wrong_is_told_once(does: Callable[[Peer], None], fault: Fault | None) -> None:
    with RawService(does) as service:
        async with attempt(Pacing.STEPWISE) as (tried, owner):
            tried.begin(address_of(service.endpoint))
            found = await come(owner)
            if fault is None:  # a reset where it had not read all of ours
                assert isinstance(found, EOFError | ConnectionError)
            else:
                assert isinstance(found, PeerError)
                assert found.fault == fault
            for events in (READ, WRITE, GONE):
                tried.ready(events)
            assert len(owner.ends) == 1


async def test_a_handshake_that_does_not_end_is_ended() -> None:
    def talks(peer: Peer) -> None:
        peer.greeting()
        peer.send_raw(TOO_LONG)
        peer.hold()

    with RawService(talks) as service:
        async with attempt(Pacing.STEPWISE) as (tried, owner):
            tried.begin(address_of(service.endpoint))
            found = await come(owner)
            assert isinstance(found, PeerError)
            assert (found.fault, found.detail) == (Fault.READY, "too long")


async def test_where_nobody_listens_that_is_told() -> None:
    async with attempt(Pacing.STEPWISE) as (tried, owner):
        with pytest.raises(ConnectionRefusedError):  # on loopback at once
            tried.begin(address_of(str(free_endpoint())))
        assert tried.is_connecting
        assert owner.ends == []


class Slow(socket.socket):
    """Its connection is refused only after a while, as one to another machine may be."""

    def connect(self, _: object) -> None:
        raise BlockingIOError(errno.EINPROGRESS, "in progress")

    def send(self, *_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "not yet")

    def getsockopt(self, level: int, name: int, size: int = 0) -> Any:
        return errno.ECONNREFUSED if name == socket.SO_ERROR else super().getsockopt(level, name, size)


async def test_a_connection_that_is_refused_later_is_told_then() -> None:
    def slow(family: int) -> socket.socket:
        sock = Slow(family)
        sock.setblocking(False)
        return sock

    owner = Owner()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.reactor.run)
        tried = owner.begin(Pacing.STEPWISE, slow)
        tried.begin((socket.AF_INET, ("192.0.2.1", 7)))
        assert tried.is_connecting
        found = await come(owner)
        assert isinstance(found, ConnectionRefusedError)
        nursery.cancel_scope.cancel()
    owner.reactor.close()


class Mute(socket.socket):
    """Its peer has closed behind what it says, so that only the first octets are sent."""

    has_sent = False

    def send(self, *octets: Any) -> int:
        if self.has_sent:
            raise BrokenPipeError(errno.EPIPE, "broken pipe")
        self.has_sent = True
        return super().send(*octets)


async def test_what_a_service_said_before_it_closed_is_heard() -> None:
    def mute(family: int) -> socket.socket:
        sock = Mute(family)
        sock.setblocking(False)
        return sock

    def refuses(peer: Peer) -> None:
        peer.send_greeting()
        peer.send_frame(zmtp.error(b"400"))
        peer.hold()

    with RawService(refuses) as service:
        owner = Owner()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.reactor.run)
            owner.begin(Pacing.STEPWISE, mute).begin(address_of(service.endpoint))
            found = await come(owner)
            nursery.cancel_scope.cancel()
        owner.reactor.close()
    assert isinstance(found, PeerError)
    assert found.fault == Fault.COMMAND


async def test_a_unix_socket_whose_backlog_is_full_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/x.sock")
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(f"{tmp_path}/x.sock")
            async with attempt(Pacing.STEPWISE) as (tried, _):
                with pytest.raises(BlockingIOError) as caught:
                    tried.begin((socket.AF_UNIX, f"{tmp_path}/x.sock"))
                assert caught.value.errno == errno.EAGAIN


async def test_an_error_of_ours_is_its_owners() -> None:
    error = ValueError("ours")
    async with attempt(Pacing.STEPWISE) as (tried, owner):
        tried.failed(error)
        assert owner.ends == [error]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def test_nothing_is_told_while_a_service_is_silent_and_nothing_once_it_was_released(
    silent: socket.socket,
) -> None:
    async with attempt(Pacing.PIPELINED) as (tried, owner):
        tried.begin((socket.AF_INET, silent.getsockname()))
        await trio.sleep(0.05)
        sock = tried.release()
        assert sock is not None
        assert tried.release() is None
        for events in (READ, WRITE, GONE):
            tried.ready(events)
        assert owner.ends == []
        tried.socket = sock


@pytest.mark.parametrize("pacing", Pacing)
async def test_nobody_reads_where_nothing_can_be(
    pacing: Pacing, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = list[bool]()

    class Looking(socket.SocketType):
        def recv(self, *more: int) -> bytes:
            try:
                found = super().recv(*more)
            except BlockingIOError:
                looked.append(False)
                raise
            looked.append(True)
            return found

    monkeypatch.setattr(socket, "SocketType", Looking)
    async with attempt(pacing) as (tried, owner):
        tried.begin((socket.AF_INET, silent.getsockname()))
        far, _ = silent.accept()
        with far:
            for piece in (GREETING[:12], GREETING[12:]):
                before = len(looked)
                far.sendall(piece)
                await until(lambda before=before: len(looked) > before)  # type: ignore[misc]
                await trio.sleep(0.02)
            far.sendall(zmtp.frame(zmtp.null_ready(zmtp.metadata({"Socket-Type": b"ROUTER"})), zmtp.COMMAND))
            assert isinstance(await come(owner), Negotiated)
    assert looked == [True] * 3


async def test_an_end_that_comes_with_octets_is_heard_of(silent: socket.socket) -> None:
    owner = Owner()
    tried = owner.begin(Pacing.PIPELINED)
    tried.begin((socket.AF_INET, silent.getsockname()))
    far, _ = silent.accept()
    with far:
        far.sendall(GREETING)
        far.shutdown(socket.SHUT_WR)
        await trio.sleep(0.05)
        tried.ready(READ | GONE)  # it is told of both at once, and never again
    assert [type(end) for end in owner.ends] == [EOFError]
    owner.reactor.close()

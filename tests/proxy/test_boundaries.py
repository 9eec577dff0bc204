"""An error of ours, or of the system, ends what it belongs to: once, told once, and nobody else.

The proxy runs in this process, for a full epoll and an error of our own can not be had otherwise.
"""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from support.client import RawClient, answers
from support.curve import Keys
from support.fakes import RecordingObserver
from support.peer import Refused
from support.service import RawService, echo
from support.tasks import until

from curveproxy.policy.access.access_list import AccessList
from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.application import Application
from curveproxy.proxy.accept.half_open import HalfOpen
from curveproxy.proxy.accept.listener import Listener
from curveproxy.proxy.connect.attempt import DialAttempt
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.linger import LingeringClose
from curveproxy.proxy.net.reactor import READ
from curveproxy.proxy.relay.pump import Pump
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.server import Server
from curveproxy.proxy.service import Service
from curveproxy.proxy.sessions.pending import PendingSession
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.zmtp.negotiation import PlainInitiator

SECONDS = 20


class Told(RecordingObserver):
    """An observer whose events are read as their names and reasons."""

    @property
    def words(self) -> list[tuple[str, str]]:
        return [
            (str(name), str(facts[0]) if facts and isinstance(facts[0], StrEnum) else "")
            for name, *facts in self.events
            if name not in ("accepted", "backend_up")
        ]

    async def wait(self, *words: tuple[str, str]) -> None:
        """Until so much was told; it is exactly this."""
        await until(lambda: len(self.words) >= len(words), SECONDS)
        assert self.words == list(words)
        self.take()


class Running:
    """A proxy with one service at work."""

    def __init__(self, backend: str) -> None:
        self.told, self.keys = Told(), Keys.new()
        self.proxy = Server(descriptors=4096)
        pair = KeyPair(self.keys.public, self.keys.secret)
        settings = ServiceSettings(
            "test", Endpoint.parse("tcp://127.0.0.1:0"), Endpoint.parse(backend), server_keys=(pair,)
        )
        self.service = self.proxy.new_service(settings, AccessList(allow_any=True), self.told)
        self.proxy.open({self.service: settings})

    async def comes(self, **options: Any) -> bool:
        """Whether a client is let in and answered."""
        return await trio.to_thread.run_sync(partial(self._comes, **options))

    def _comes(self, **options: Any) -> bool:
        with RawClient(str(self.proxy.listener_of(self.service).bound), self.keys.public, **options) as client:
            try:
                return answers(client.handshake())
            except (EOFError, Refused, ConnectionError):
                return False

    async def is_well(self) -> bool:
        """Whether the next client is served, and nothing of those before is left."""
        return await self.comes() and await self.is_empty()

    async def is_empty(self) -> bool:
        await until(
            lambda: not self.service.places_in_use and not self.proxy.figures_of(self.service).half_open, SECONDS
        )
        self.told.take()
        return not self.service.is_down


@pytest.fixture
def backend() -> Any:
    with RawService(echo) as service:
        yield service.endpoint


@asynccontextmanager
async def running(backend: str) -> AsyncIterator[Running]:
    at_work = Running(backend)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work.proxy.run)
        await trio.testing.wait_all_tasks_blocked()
        yield at_work
        at_work.proxy.drain(0)


def full(reactor: Any, guest: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next guest of this kind finds the reactor's epoll full."""
    register = reactor.register

    def refuse(descriptor: int, who: object, events: int = READ) -> None:
        if isinstance(who, guest):
            monkeypatch.setattr(reactor, "register", register)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        register(descriptor, who, events)

    monkeypatch.setattr(reactor, "register", refuse)


def fails(*_: object, **__: object) -> None:
    raise RuntimeError("a fault of ours")


def once(place: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call of this method fails."""
    whole = getattr(place, name)

    def failing(*arguments: object, **options: object) -> Any:
        monkeypatch.setattr(place, name, whole)
        return fails()

    monkeypatch.setattr(place, name, failing)


@pytest.mark.parametrize(
    "guest", [HalfOpen, PendingSession, DialAttempt], ids=["the stranger's", "the client's", "the service's"]
)
def test_a_full_epoll_refuses_one_client_and_is_no_failure_of_the_backend(
    backend: str, guest: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(backend) as at_work:
            proxy = at_work.proxy
            full(proxy.half_open_reactor if guest is HalfOpen else proxy.sessions_reactor, guest, monkeypatch)
            assert not await at_work.comes()
            await at_work.told.wait(("refused", "sessions_limit"))
            assert await at_work.is_empty()
            assert await at_work.is_well()

    trio.run(main)


def test_what_goes_wrong_at_the_birth_of_a_session_ends_it_and_counts_it_once(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(backend) as at_work:
            monkeypatch.setattr(Session, "begin", fails)
            assert not await at_work.comes()
            await at_work.told.wait(("admitted", ""), ("unexpected", ""), ("closed", "internal"))
            monkeypatch.undo()
            assert await at_work.is_well()

    trio.run(main)


def test_an_error_of_ours_as_a_client_is_welcomed_ends_that_client(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(backend) as at_work:
            once(Application, "welcome", monkeypatch)
            assert not await at_work.comes()
            await at_work.told.wait(("unexpected", ""), ("refused", "internal"))
            assert len(at_work.proxy.sessions_reactor) == 0, "neither connection is left"
            assert await at_work.is_well()

    trio.run(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["at once", "in a task"])
def test_a_refusal_that_can_not_be_told_is_one_all_the_same(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(f"tcp://{host}:1") as at_work:
            full(at_work.proxy.half_open_reactor, LingeringClose, monkeypatch)
            assert not await at_work.comes(properties={"Socket-Type": b"DEALER", "X-Curveproxy-Probe": b""})
            await at_work.told.wait(("backend_failed", "refused"), ("refused", "backend_unavailable"))
            assert not at_work.service.places_in_use

    trio.run(main)


@pytest.mark.parametrize(
    ("place", "name", "host"),
    [
        (PlainInitiator, "start", "127.0.0.1"),
        (PlainInitiator, "receive_untrusted", "127.0.0.1"),
        (PlainInitiator, "start", "localhost"),
        (trio.socket, "getaddrinfo", "localhost"),
    ],
    ids=["at once", "in the reactor", "in a task", "in a task before the dial"],
)
def test_an_error_of_ours_while_the_backend_is_dialled_ends_one_client(
    backend: str, place: object, name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(backend.replace("127.0.0.1", host)) as at_work:
            once(place, name, monkeypatch)
            assert not await at_work.comes()
            await at_work.told.wait(("unexpected", ""), ("refused", "internal"))
            assert await at_work.is_empty()
            assert await at_work.is_well()

    trio.run(main)


@pytest.mark.parametrize(
    ("place", "name"),
    [(Service, "expire"), (Admission, "expire"), (Listener, "_accept")],
    ids=["of the tick", "of the tick at the door", "of the listener"],
)
def test_an_error_of_ours_in_what_all_share_is_told_and_all_goes_on(
    backend: str, place: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(backend) as at_work:
            once(place, name, monkeypatch)
            came = await at_work.comes()
            await until(lambda: ("unexpected", "") in at_work.told.words, SECONDS)
            assert came
            assert await at_work.is_well()

    trio.run(main)


def test_a_pump_that_fails_as_it_is_told_to_leave_ends_its_session_alone(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(backend) as at_work:
            with RawClient(str(at_work.proxy.listener_of(at_work.service).bound), at_work.keys.public) as client:
                await trio.to_thread.run_sync(client.handshake)
                at_work.told.take()
                once(Pump, "_exchange", monkeypatch)
                at_work.service.admit(AccessList())  # nobody is listed any more: its session is told to leave
                await at_work.told.wait(("unexpected", ""), ("closed", "internal"))
            at_work.service.admit(AccessList(allow_any=True))
            assert await at_work.is_well()

    trio.run(main)

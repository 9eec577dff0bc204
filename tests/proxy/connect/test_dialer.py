"""Dials for the clients of one service: the handler hears of one end, and what was learned holds for the next dial."""

import socket

import pytest
import trio
from support import service as behaviour
from support.dialling import DEALER, PAIR, SUB, Wanting, dialling
from support.loopback import free_endpoint
from support.service import RawService
from support.tasks import until

from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, Outcome


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_service_is_fetched_by_its_address_or_its_name(host: str) -> None:
    with RawService(behaviour.echo) as service:
        async with dialling(service.endpoint.replace("127.0.0.1", host)) as at_work:
            peer = await at_work.end({**DEALER, "X-A": b"1"})
            assert isinstance(peer, Established)
            assert peer.socket_type == b"ROUTER"
            await until(lambda: service.accepted[0].theirs)
            assert service.accepted[0].theirs["X-A"] == b"1"
            assert at_work.observer.events == [("backend_up",)]
            assert (at_work.recovery.up, at_work.recovered) == (True, 1)
            at_work.dialer.take_back(peer.socket)


@pytest.mark.parametrize("is_far", [False, True])
async def test_a_service_that_a_network_may_lose_is_asked_whether_it_is_there(is_far: bool) -> None:
    with RawService(behaviour.echo) as service:
        async with dialling(service.endpoint, allow_remote_backend=is_far) as at_work:
            peer = await at_work.end()
            assert isinstance(peer, Established)
            assert bool(peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is is_far
            at_work.dialer.take_back(peer.socket)


async def test_where_nobody_listens_the_service_is_down_and_that_is_told_once() -> None:
    async with dialling(str(free_endpoint())) as at_work:
        assert await at_work.end() == BackendFailure.REFUSED
        assert [event[:2] for event in at_work.observer.events] == [("backend_failed", BackendFailure.REFUSED)]
        assert (at_work.recovery.up, at_work.recovery.is_down) == (False, True)


async def test_a_service_that_is_silent_is_late() -> None:
    with RawService(behaviour.silent) as service:
        async with dialling(service.endpoint) as at_work:
            wanting = Wanting()
            at_work.dialer.dial(wanting, DEALER)
            at_work.dialer.expire(trio.current_time() + 1)
            assert wanting.heard == []
            at_work.dialer.expire(trio.current_time() + at_work.settings.admission.backend_connect_seconds + 1)
            assert wanting.heard == [BackendFailure.TIMEOUT]


async def test_a_dial_that_nobody_wants_any_more_says_so_once() -> None:
    with RawService(behaviour.silent) as service:
        async with dialling(service.endpoint) as at_work:
            wanting = Wanting()
            dial = at_work.dialer.dial(wanting, DEALER)
            assert dial is not None
            dial.refuse(RefusedError(Outcome.SHUTDOWN))
            assert wanting.heard == [Outcome.SHUTDOWN]
            assert at_work.observer.events == [], "it is no failure of the service's"
            assert not at_work.recovery.is_down


async def test_a_type_that_never_fitted_is_the_clients_fault_and_one_that_did_is_not() -> None:
    with RawService(behaviour.echo) as service:
        async with dialling(service.endpoint) as at_work:
            assert await at_work.end(SUB) == Outcome.SOCKET_TYPE
            assert not at_work.recovery.is_down
            assert await at_work.serves(DEALER)
            service.socket_type = "PUB"
            assert await at_work.end(DEALER) == BackendFailure.SOCKET_TYPE
            assert await at_work.serves(SUB)


async def test_another_address_is_another_service() -> None:
    with RawService(behaviour.echo) as service:
        async with dialling(str(free_endpoint())) as at_work:
            await at_work.end()
            assert at_work.recovery.is_down
            settings = ServiceSettings("test", at_work.settings.listen, Endpoint.parse(service.endpoint), ())
            at_work.dialer.configure(settings)
            assert (at_work.recovery.up, at_work.recovery.is_down) == (None, False)
            assert await at_work.serves()


async def test_a_name_that_may_not_be_dialled_or_does_not_resolve_is_unreachable() -> None:
    for name in ("0.0.0.0", "name.invalid"):
        async with dialling(f"tcp://{name}:7") as at_work:
            assert await at_work.end() == BackendFailure.UNREACHABLE
            assert at_work.observer.events[0][0] == "backend_failed"


async def test_one_pair_at_a_time_where_the_service_may_be_an_old_one() -> None:
    with RawService(behaviour.silent, socket_type="PAIR") as service:
        async with dialling(service.endpoint) as at_work:
            first, second = Wanting(), Wanting()
            dial = at_work.dialer.dial(first, PAIR)
            assert dial is not None
            await until(lambda: service.accepted)
            assert at_work.dialer.dial(second, PAIR) is None
            assert second.heard == [Outcome.SERVICE_BUSY]
            dial.refuse(RefusedError(Outcome.SHUTDOWN))
            service.close_connections()


async def test_without_a_descriptor_one_is_freed_or_the_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: int) -> socket.socket:
        raise OSError(24, "no descriptor is left")

    with RawService(behaviour.echo) as service:
        async with dialling(service.endpoint) as at_work:
            monkeypatch.setattr(sockets, "prepare_backend", none_left)
            assert await at_work.end() == Outcome.SESSIONS_LIMIT
            assert at_work.observer.events == []
            at_work.room = 3
            assert await at_work.end() == Outcome.SESSIONS_LIMIT
            assert at_work.room == -1, "it was freed three times, in vain"
            monkeypatch.undo()
            assert await at_work.serves()


async def test_an_error_of_ours_ends_one_dial_and_is_its_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawService(behaviour.echo) as service:
        async with dialling(service.endpoint) as at_work:
            error = ValueError("ours")

            def broken(_: int) -> socket.socket:
                raise error

            monkeypatch.setattr(sockets, "prepare_backend", broken)
            assert await at_work.end() is error
            monkeypatch.undo()
            assert not at_work.recovery.is_down
            assert await at_work.serves()
            at_work.dialer.failed(error)
            assert at_work.observer.errors == [error]

"""The admin page by itself: errors of ours and of requesters, each at its own connection."""

import http.client
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from curveproxy.app.admin import server as admin
from curveproxy.app.observe.events import ServiceObserver
from curveproxy.app.observe.metrics import Metrics
from curveproxy.policy.access.access_list import AccessList
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.server import Server
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire.curve.keys import KeyPair


class Broken:
    """A collector that fails when it is asked."""

    def __init__(self) -> None:
        self.works = True

    def collect(self) -> Iterator[Metric]:
        if not self.works:
            raise RuntimeError("a fault of ours")
        yield from ()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@asynccontextmanager
async def page(
    registry: CollectorRegistry, errors: list[Exception], not_ready: Callable[[], str] = str
) -> AsyncIterator[int]:
    """A page at work; its port."""
    [listener] = admin.listen("127.0.0.1", 0)

    async def collect() -> Iterable[Metric]:
        return registry.collect()

    async with trio.open_nursery() as nursery:
        app = admin.application(collect, not_ready, errors.append)
        nursery.start_soon(admin.serve, listener, app)
        yield listener.getsockname()[1]
        nursery.cancel_scope.cancel()


async def ask(port: int, path: str) -> tuple[int, str]:
    return await trio.to_thread.run_sync(partial(get, port, path))


async def test_an_error_of_ours_is_told_and_ends_one_request() -> None:
    registry, broken, errors = CollectorRegistry(), Broken(), list[Exception]()
    registry.register(broken)
    async with page(registry, errors) as port:
        broken.works = False
        assert await ask(port, "/metrics") == (500, "an error of curveproxy, see its log\n")
        assert [str(error) for error in errors] == ["a fault of ours"]
        broken.works = True
        assert (await ask(port, "/metrics"))[0] == 200


async def test_why_it_is_not_ready() -> None:
    reasons = ["starting"]
    async with page(CollectorRegistry(), [], lambda: "".join(reasons)) as port:
        assert await ask(port, "/readyz") == (503, "starting\n")
        assert await ask(port, "/healthz") == (200, "ok\n")
        reasons.clear()
        assert await ask(port, "/readyz") == (200, "ok\n")


class Large:
    """A collector whose answer no kernel takes whole."""

    def collect(self) -> Iterator[Metric]:
        for number in range(200):
            yield (metric := Metric(f"m{number}", "x" * 50_000, "gauge"))
            metric.add_sample(f"m{number}", {}, 1)


HOLDING = {
    "silent": b"",
    "slow": b"GET /healthz HTTP/1.1\r\nX: ",
    "kept alive": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "pipelined": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 1000,
    "not reading": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "a form that does not end": b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("octets", HOLDING.values(), ids=HOLDING)
async def test_no_number_of_held_connections_takes_the_liveness_probe_away(octets: bytes) -> None:
    registry, errors = CollectorRegistry(), list[Exception]()
    registry.register(Large())
    async with page(registry, errors) as port:
        held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3 * admin.CONNECTIONS)]
        for stream in held:
            with suppress(trio.BrokenResourceError):  # it has made room already
                await stream.send_all(octets)
        for _ in range(3):
            assert [await ask(port, path) for path in ("/healthz", "/readyz")] == [(200, "ok\n")] * 2
        with trio.fail_after(10):  # the oldest one has gone, whatever it did
            with suppress(trio.BrokenResourceError):
                while await held[0].receive_some(65536):
                    pass
        for stream in held:
            await stream.aclose()
    assert errors == []


async def test_a_connection_has_one_request_and_then_is_closed() -> None:
    async with page(CollectorRegistry(), []) as port:
        answered, request = b"", b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(request)
            with suppress(trio.BrokenResourceError), trio.fail_after(10):
                while octets := await stream.receive_some():
                    answered += octets
                    await stream.send_all(request)
        assert answered.count(b"HTTP/1.1 200") == 1
        assert b"connection: close" in answered


async def test_what_is_asked_too_often_waits_and_who_gives_up_costs_nothing(autojump_clock: MockClock) -> None:
    pace = admin.Pace(2, 1)
    began = trio.current_time()
    for expected in (0, 0, 1, 2, 3):
        await pace.turn()
        assert trio.current_time() - began == pytest.approx(expected)
    for _ in range(10):
        with trio.move_on_after(0.01):
            await pace.turn()
    await pace.turn()
    assert trio.current_time() - began == pytest.approx(4)


async def test_scrapes_that_wait_share_one_collection_that_began_after_they_asked(autojump_clock: MockClock) -> None:
    begun = 0

    async def collect() -> Iterable[Metric]:
        nonlocal begun
        begun += 1
        number = begun
        await trio.sleep(1)
        return [Metric(f"collection_{number}", "", "gauge")]

    scrapes, had = admin.Scrapes(collect), list[str]()

    async def scrape() -> None:
        had.append((await scrapes.figures())[0].name)

    async with trio.open_nursery() as nursery:
        for _ in range(2):  # the first collection has begun when the others ask
            nursery.start_soon(scrape)
            await trio.sleep(0.25)
        with trio.move_on_after(0.1):
            await scrape()
        for _ in range(30):
            nursery.start_soon(scrape)
    assert had == ["collection_1"] + ["collection_2"] * 31
    await scrape()  # nobody is before it: it has figures of its own at once
    assert had[-1] == "collection_3"
    assert begun == 3


async def test_scrapes_outlive_a_collection_that_fails_or_is_given_up(autojump_clock: MockClock) -> None:
    fails = [True]

    async def collect() -> Iterable[Metric]:
        await trio.sleep(1)
        if fails:
            raise RuntimeError("a fault of ours")
        return [Metric("whole", "", "gauge")]

    scrapes = admin.Scrapes(collect)
    with pytest.raises(RuntimeError):
        await scrapes.figures()
    fails.clear()
    with trio.move_on_after(0.5):
        await scrapes.figures()
    assert [metric.name for metric in await scrapes.figures()] == ["whole"]


REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
WRONG = [
    b"",
    b"\x00\xff" * 500,
    b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00CURVE",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"junk" * 100,
    REQUEST + b"A: " + b"b" * 100_000,
    REQUEST + b"Content-Length: 5\r\n\r\nab",
    REQUEST + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: !!!\r\n\r\n",
    REQUEST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    REQUEST * 50,
    (REQUEST + b"\r\n") * 50,
    b"GET //[::1 HTTP/1.1\r\nHost: \xff\r\n\r\n",
]


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
async def test_what_a_requester_does_wrong_ends_its_own_connection(reset: bool) -> None:
    errors: list[Exception] = []
    async with page(CollectorRegistry(), errors) as port:
        for octets in WRONG:
            with socket.create_connection(("127.0.0.1", port)) as peer:
                peer.sendall(octets)
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert await ask(port, "/healthz") == (200, "ok\n")
    assert errors == []


async def test_what_stands_is_read_at_the_scrape() -> None:
    proxy, pair = Server(descriptors=1024), KeyPair.generate()
    metrics = Metrics(proxy.figures)
    endpoint = Endpoint("tcp", "127.0.0.1", 0)
    observer = ServiceObserver("orders", metrics, structlog.get_logger())
    settings = ServiceSettings("orders", endpoint, endpoint, (pair,))
    service = proxy.new_service(settings, AccessList(), observer)
    proxy.open({service: settings})
    async with page(metrics.registry, []) as port:

        async def value(name: str, **labels: str) -> float | None:
            families = text_string_to_metric_families((await ask(port, "/metrics"))[1])
            samples = [sample for family in families for sample in family.samples]
            found = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
            return found[0] if found else None

        assert await value("curveproxy_backend_up") is None
        for up in (True, False):
            service._recovery.up = up
            assert await value("curveproxy_backend_up", service="orders") == up
        service.sessions.traffic.messages_in, service.sessions.traffic.octets_out = 3, 2**53
        assert await value("curveproxy_messages_total", direction="in") == 3
        assert await value("curveproxy_message_bytes_total", direction="out") == 2**53
        assert await value("curveproxy_sessions_limit") == proxy.figures_of(service).sessions_limit
        assert await value("curveproxy_half_open_limit") == proxy.figures_of(service).half_open_limit
    proxy.drain(0)
    proxy.half_open_reactor.close()
    proxy.sessions_reactor.close()

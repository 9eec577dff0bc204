"""The admin endpoint: /metrics for Prometheus, /healthz and /readyz for whoever starts and stops us.

Those are for everybody who reaches it; the pages beside them (``pages``) have rules of their own. A liveness probe is
answered whatever the others do: a connection has one request and little time, and the oldest makes room for a new one.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio
from attrs import frozen
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import listen as bind_listener

# Scrapers, probes and a person: more would take the clients' descriptors, so the oldest connection is closed.
CONNECTIONS = 32
# Until a request begins, and until its answer has been read.
IDLE_SECONDS = 3
CONNECTION_SECONDS = 20
ACCEPT_RETRY_SECONDS = 0.1
# What costs more than a probe is answered so often at once, then so often a second: the clients wait meanwhile.
BURST, PER_SECOND = 25, 25

PROBES = ("/healthz", "/readyz")

# The requester went away; hypercorn was busy with one answer when it sent the next request.
REQUESTERS_OWN = (OSError, ClientDisconnect, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)
ACCEPT = "the Accept header can not be read: leave it out, or send text/plain"


def ignore(error: Exception) -> None:
    """Nobody is told of an error."""


@frozen
class Figures:
    """What an encoder takes for a registry."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


class Pace:
    """So many at once, then so many a second: whoever comes faster waits. Those who give up cost the others nothing."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._interval, self._ahead = 1 / per_second, burst / per_second
        self._full_at = 0.0
        self._next = trio.Lock()

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        async with self._next:
            await trio.sleep_until(self._full_at - self._ahead)
            self._full_at = max(self._full_at, trio.current_time()) + self._interval


class Scrapes:
    """One collection at a time: those who ask while they wait for it share the next one's figures."""

    def __init__(self, collect: Callable[[], Awaitable[Iterable[Metric]]]) -> None:
        self._collect = collect
        self._collecting = trio.Lock()
        self._begun = self._taken = 0  # collections; the last whose figures are here
        self._figures: Sequence[Metric] = ()

    async def figures(self) -> Sequence[Metric]:
        """Figures whose collection began after they were asked for. Raises what the collection raises."""
        asked_after = self._begun
        async with self._collecting:
            if self._taken <= asked_after:
                self._begun = number = self._begun + 1
                self._figures = list(await self._collect())
                self._taken = number
            return self._figures


def application(
    collect: Callable[[], Awaitable[Iterable[Metric]]],
    not_ready: Callable[[], str],
    unexpected: Callable[[Exception], None] = ignore,
    beside: Sequence[Route] = (),
) -> ASGIApp:
    """The pages.

    collect: the figures; not_ready: why no client should be sent here, or nothing; unexpected: is told of an error of
    ours; beside: further ones.
    """

    scrapes = Scrapes(collect)

    async def metrics(request: Request) -> Response:
        try:
            encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        except (ValueError, TypeError):  # a version that is none
            raise HTTPException(400, f"{ACCEPT}\n") from None
        return Response(encoder(Figures(await scrapes.figures())), headers={"content-type": content_type})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        reason = not_ready()
        return PlainTextResponse(f"{reason}\n", 503) if reason else PlainTextResponse("ok\n")

    pages = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}

    async def failed(_: Request, error: Exception) -> Response:
        if not isinstance(error, REQUESTERS_OWN):
            unexpected(error)
        return PlainTextResponse("an error of curveproxy, see its log\n", 500)

    routes = [*(Route(path, page) for path, page in pages.items()), *beside]
    app = Starlette(routes=routes, exception_handlers={Exception: failed})
    app.router.redirect_slashes = False
    pace = Pace(BURST, PER_SECOND)

    async def in_turn(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in PROBES:
            await pace.turn()
        await app(scope, receive, send)

    return in_turn


def listen(host: str, port: int, *, reuse_port: bool = False) -> Sequence[socket.socket]:
    """The listening sockets, one for each address of a name. Raises BindError."""
    return bind_listener(Endpoint("tcp", host, port), reuse_port=reuse_port).sockets


async def serve(listener: socket.socket, app: ASGIApp) -> None:
    """Answer requests on a listening socket until cancelled."""
    config = HypercornConfig()
    config.keep_alive_max_requests = config.h2_max_concurrent_streams = 1
    config.keep_alive_timeout = IDLE_SECONDS
    config.errorlog = None  # what goes wrong there is a requester's own, and what is ours goes to our log
    context, wrapped = WorkerContext(None), wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]
    connections: dict[trio.SocketStream, trio.CancelScope] = {}  # the oldest first
    stream_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))

    def end(stream: trio.SocketStream) -> None:
        connections.pop(stream).cancel()
        stream.socket.close()  # hypercorn shields its writes, and the reader may never read

    async def end_late(stream: trio.SocketStream) -> None:
        await trio.sleep(CONNECTION_SECONDS)
        end(stream)

    async def answer(stream: trio.SocketStream) -> None:
        try:
            async with stream, trio.open_nursery() as own:  # hypercorn leaves the stream open when it is cancelled
                if len(connections) >= CONNECTIONS:
                    end(next(iter(connections)))
                connections[stream] = own.cancel_scope
                own.start_soon(end_late, stream)
                await TCPServer(wrapped, config, context, {}, stream)  # type: ignore[arg-type]  # not TLS
                own.cancel_scope.cancel()
        except* Exception:  # noqa: S110  the application tells of its own: this is what hypercorn can not read
            pass
        finally:
            connections.pop(stream, None)

    async with stream_listener, trio.open_nursery() as nursery:
        while True:
            try:
                nursery.start_soon(answer, await stream_listener.accept())
            except OSError:
                await trio.sleep(ACCEPT_RETRY_SECONDS)  # no descriptor is left: the clients have them

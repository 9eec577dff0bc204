"""The admin server: /metrics for Prometheus, /healthz and /readyz for whoever starts and stops this process.

Those are for everybody who reaches it; the routes beside them (``routes``) have rules of their own. A liveness probe is
answered whatever other requesters do: a connection has one request and little time, and a new one replaces the oldest.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf

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

from curveproxy.policy.bucket import Bucket
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import listen as bind_listener

# Enough for scrapers, probes and a person. More would use descriptors of clients, so the oldest connection is closed.
CONNECTIONS = 32
# Until a request begins, and until its answer has been read.
IDLE_SECONDS = 3
CONNECTION_SECONDS = 20
ACCEPT_RETRY_SECONDS = 0.1
# Requests that cost more than a probe, for clients wait meanwhile: how many at once, and how many a second.
BURST, PER_SECOND = 25, 25

PROBES = ("/healthz", "/readyz")

# The requester has gone, or has sent a request while hypercorn was busy with the answer to another.
REQUESTERS_OWN = (OSError, ClientDisconnect, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)
ACCEPT = "the Accept header can not be read: leave it out, or send text/plain"


def ignore(error: Exception) -> None:
    """Do nothing about an error."""


@frozen
class Figures:
    """What an encoder reads, in place of a registry."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


class Pace:
    """A limit by waiting: so many at once, then so many a second. A request that is cancelled costs others nothing."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._bucket = Bucket(per_second, burst / per_second)
        self._full_at = -inf
        self._next = trio.Lock()

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        async with self._next:
            await trio.sleep_until(self._bucket.due(self._full_at))
            self._full_at = self._bucket.spend(self._full_at, trio.current_time())


class Scrapes:
    """Collects metrics once at a time: all who ask during a collection share the figures of the next one."""

    def __init__(self, collect: Callable[[], Awaitable[Iterable[Metric]]]) -> None:
        self._collect = collect
        self._collecting = trio.Lock()
        self._begun = self._done = 0  # the numbers of collections: the last that has begun, and that is done
        self._figures: Sequence[Metric] = ()

    async def figures(self) -> Sequence[Metric]:
        """Figures whose collection began after they were asked for. Raises what the collection raises."""
        asked_after = self._begun
        async with self._collecting:
            if self._done <= asked_after:
                self._begun = number = self._begun + 1
                self._figures = list(await self._collect())
                self._done = number
            return self._figures


def application(
    collect: Callable[[], Awaitable[Iterable[Metric]]],
    not_ready: Callable[[], str],
    unexpected: Callable[[Exception], None] = ignore,
    beside: Sequence[Route] = (),
) -> ASGIApp:
    """The application of the admin server.

    collect: the metrics; not_ready: why no client should be sent here, or nothing; unexpected: called for an error of
    ours; beside: further routes.
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

    paths = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}

    async def failed(_: Request, error: Exception) -> Response:
        if not isinstance(error, REQUESTERS_OWN):
            unexpected(error)
        return PlainTextResponse("an error of curveproxy, see its log\n", 500)

    routes = [*(Route(path, page) for path, page in paths.items()), *beside]
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
    config.errorlog = None  # errors there are the requesters'; ours are logged by the application
    context, wrapped = WorkerContext(None), wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]
    connections: dict[trio.SocketStream, trio.CancelScope] = {}  # the oldest first
    stream_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))

    def end(stream: trio.SocketStream) -> None:
        connections.pop(stream).cancel()
        stream.socket.close()  # hypercorn shields its writes, and the requester may never read

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
        except* Exception:  # noqa: S110  the application reports its errors: these are requests that hypercorn can not read
            pass
        finally:
            connections.pop(stream, None)

    async with stream_listener, trio.open_nursery() as nursery:
        while True:
            try:
                nursery.start_soon(answer, await stream_listener.accept())
            except OSError:
                await trio.sleep(ACCEPT_RETRY_SECONDS)  # no descriptor is left, for clients use all


class AdminListener:
    """The admin server at one address; nothing where that is None."""

    def __init__(self, address: Endpoint | None) -> None:
        self.address = address
        self._listeners: Sequence[socket.socket] = ()
        self._scope = trio.CancelScope()

    def listen(self, *, reuse_port: bool) -> None:
        """Raises BindError."""
        if self.address is not None:
            self._listeners = listen(self.address.host, self.address.port, reuse_port=reuse_port)

    async def serve(self, app: ASGIApp) -> None:
        """Answer requests until it is closed."""
        listeners, self._listeners = self._listeners, ()
        with self._scope:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(serve, listener, app)

    def close(self) -> None:
        self._scope.cancel()
        for listener in self._listeners:
            listener.close()  # ``serve`` has not been called

"""The admin endpoint: /metrics for Prometheus, /healthz and /readyz for whoever starts and stops us.

Those are for everybody who reaches it; the pages beside them (``pages``) have rules of their own.
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
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from curveproxy.proxy.endpoint import Endpoint
from curveproxy.proxy.sockets import listen as bind_listener

# Scrapers, probes and a person: whoever is more must wait, and can not take the clients' descriptors.
CONNECTIONS = 32
# Also how long hypercorn holds on to a connection that was closed without a request.
KEEP_ALIVE_SECONDS = 3
REQUEST_SECONDS = 10
ACCEPT_RETRY_SECONDS = 0.1

# The requester went away; hypercorn was busy with one answer when it sent the next request.
REQUESTERS_OWN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)


def ignore(error: Exception) -> None:
    """Nobody is told of an error."""


@frozen
class Figures:
    """What an encoder takes for a registry."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def application(
    collect: Callable[[], Awaitable[Iterable[Metric]]],
    not_ready: Callable[[], str],
    unexpected: Callable[[Exception], None] = ignore,
    beside: Sequence[Route] = (),
) -> Starlette:
    """The pages.

    collect: the figures; not_ready: why no client should be sent here, or nothing; unexpected: is told of an error of
    ours; beside: further ones.
    """

    async def metrics(request: Request) -> Response:
        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(Figures(await collect())), headers={"content-type": content_type})

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
    return app


def listen(host: str, port: int, *, reuse_port: bool = False) -> Sequence[socket.socket]:
    """The listening sockets, one for each address of a name. Raises BindError."""
    return bind_listener(Endpoint("tcp", host, port), reuse_port=reuse_port).sockets


async def serve(listener: socket.socket, app: Starlette, unexpected: Callable[[Exception], None] = ignore) -> None:
    """Answer requests on a listening socket until cancelled. unexpected: as for ``application``."""
    config = HypercornConfig()
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.read_timeout = REQUEST_SECONDS
    config.errorlog = None  # what goes wrong there is a requester's own, and what is ours goes to our log
    context, wrapped = WorkerContext(None), wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]
    room = trio.Semaphore(CONNECTIONS)
    stream_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))

    async def answer(stream: trio.SocketStream) -> None:
        # The boundary: whatever goes wrong ends one connection, and never the proxy.
        try:
            async with stream:  # which hypercorn leaves open when it is cancelled
                await TCPServer(wrapped, config, context, {}, stream)  # type: ignore[arg-type]  # not TLS
        except* REQUESTERS_OWN:
            pass
        except* Exception as errors:
            unexpected(errors)
        finally:
            room.release()

    async with stream_listener, trio.open_nursery() as nursery:
        while True:
            await room.acquire()  # before accept: who is too many waits in the backlog
            try:
                nursery.start_soon(answer, await stream_listener.accept())
            except OSError:
                room.release()
                await trio.sleep(ACCEPT_RETRY_SECONDS)  # no descriptor is left: the clients have them

"""The process: its limits, its services, its signals, its end."""

import gc
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import trio

from curveproxy.app import admin, logs
from curveproxy.app.clients import Clients
from curveproxy.app.config import Config, Service
from curveproxy.app.keys import warn_of_open_secret
from curveproxy.app.logs import Log
from curveproxy.app.metrics import Metrics
from curveproxy.app.observer import ServiceObserver
from curveproxy.proxy.proxy import Proxy
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.proxy.sockets import BindError
from curveproxy.wire import z85
from curveproxy.wire.codec import CODEC_FAULT

DONE, FAILED = 0, 1
SIGNALS = (signal.SIGTERM, signal.SIGINT)

FAULT = "a fault of curveproxy: please report it"


def run(config: Config) -> int:
    """Run until a signal says otherwise. Returns the exit status."""
    log = logs.configure(config.log.level, config.log.format)
    if CODEC_FAULT:
        log.warning("the C codec is not used", detail=CODEC_FAULT, hint="install again: it is slower without")
    descriptors = prepare_process()
    try:
        return trio.run(Sidecar(config, descriptors, log).run)
    except Exception as error:
        log.critical("the proxy has failed", exc_info=error, hint=FAULT)
        return FAILED


def prepare_process() -> int:
    """Take all the descriptors that we may have, and leave no core file with keys in it. Returns the descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def settings(service: Service) -> ServiceSettings:
    """What the proxy room must know of a service."""
    return ServiceSettings(
        name=service.name,
        listen=service.listen,
        backend=service.backend,
        server_keys=tuple(key.pair for key in service.secret_keys),
        refusal=service.clients.refusal,
        forward_identity=service.forward_identity,
        allow_remote_backend=service.allow_remote_backend,
        backend_socket_type=service.backend_socket_type,
        zmtp1_identities=service.zmtp1_identities,
        admission=service.admission,
        messages=service.messages,
    )


class Sidecar:
    """One process at work."""

    def __init__(self, config: Config, descriptors: int, log: Log) -> None:
        self._config, self._log = config, log
        self._proxy = Proxy(descriptors=descriptors)
        self._metrics = Metrics()
        self._watchers: list[Callable[[], Awaitable[None]]] = [self._metrics.measure_lag]
        self._bound = False
        for service in config.service:
            self._add(service)

    def _add(self, service: Service) -> None:
        log = self._log.bind(service=service.name)
        for key in service.secret_keys:
            if key.file is not None:
                warn_of_open_secret(key.file, log)
        clients = Clients.of(service, log)
        observer = ServiceObserver(service.name, self._metrics, self._log, allow_any=service.clients.allow == "any")
        at_work = self._proxy.add(settings(service), clients.load(), observer)
        self._metrics.watch(at_work)
        self._watchers.append(partial(clients.watch, partial(setattr, at_work, "clients")))
        self._watchers.append(observer.summarise)

    async def run(self) -> int:
        """Serve until drained. Returns the exit status."""
        # What comes too late for the receiver is handed to what stood before it, and must not kill us on our way out.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        # Around everything, so that no signal finds us without an answer.
        with trio.open_signal_receiver(*SIGNALS) as signals:
            try:
                # The page first: it leaves nothing behind when a service can not be bound, as ``ipc`` would.
                address = self._config.admin.address
                page = None if address is None else admin.listen(address.host, address.port)
                self._proxy.bind()
            except BindError as error:
                self._log.error("cannot start", detail=str(error))
                return FAILED
            async with trio.open_nursery() as nursery:
                if page is not None:
                    app = admin.application(self._metrics.registry, self._not_ready, self._unexpected)
                    nursery.start_soon(admin.serve, page, app, self._unexpected)
                for watcher in self._watchers:
                    nursery.start_soon(watcher)
                self._announce()
                gc.collect()
                gc.freeze()  # what is here now stays: it need not be looked through again
                nursery.start_soon(self._serve, nursery.cancel_scope)
                self._bound = True
                await self._obey(signals)
                nursery.cancel_scope.cancel()
                return FAILED
            self._log.info("stopped")
            return DONE

    async def _serve(self, everything: trio.CancelScope) -> None:
        await self._proxy.run()
        everything.cancel()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        """Drain at the first signal; return at the second."""
        async for number in signals:
            name = signal.Signals(number).name
            if self._proxy.draining:
                self._log.warning("leaving at once", signal=name)
                return
            seconds = self._config.process.drain_seconds
            self._log.info("draining", signal=name, seconds=seconds)
            self._proxy.drain(seconds)

    def _not_ready(self) -> str:
        if self._proxy.draining:
            return "draining"
        return "" if self._bound else "starting"

    def _unexpected(self, error: Exception) -> None:
        self._metrics.unexpected.inc()
        self._log.error("unexpected error", exc_info=error, hint=FAULT)

    def _announce(self) -> None:
        for service, configured in zip(self._proxy.services, self._config.service, strict=True):
            log = self._log.bind(service=service.settings.name)
            log.info(
                "listening",
                endpoint=str(service.bound),
                backend=str(service.settings.backend),
                server_keys=[z85.encode(pair.public) for pair in service.settings.server_keys],
                clients="any" if service.clients.allow_any else len(service.clients.names),
            )
            if service.sessions_limit < configured.admission.max_sessions:
                log.info(
                    "fewer sessions than configured",
                    sessions_limit=service.sessions_limit,
                    max_sessions=configured.admission.max_sessions,
                    hint="raise the hard limit of descriptors",
                )

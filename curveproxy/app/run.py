"""The process: its limits, its services, its signals, its end."""

import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from curveproxy.app import admin, logs
from curveproxy.app.clients import Clients
from curveproxy.app.config import Config, Service
from curveproxy.app.keys import others_may_read
from curveproxy.app.logs import Log
from curveproxy.app.metrics import Metrics
from curveproxy.app.observer import ServiceObserver
from curveproxy.proxy.proxy import Proxy
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.proxy.sockets import BindError
from curveproxy.wire import z85
from curveproxy.wire.box import KeyPair

DONE, FAILED, USAGE = 0, 1, 2


def run(config: Config, key_pairs: dict[str, tuple[KeyPair, ...]]) -> int:
    """Run until a signal says otherwise. Returns the exit status.

    key_pairs: service name -> its keys, which have been read.
    """
    log = logs.configure(config.log.level, config.log.format)
    descriptors = prepare_process()
    try:
        return trio.run(partial(Sidecar(config, key_pairs, descriptors, log).run))
    except BaseExceptionGroup as errors:
        log.critical("the proxy has failed", exc_info=errors, hint="a fault of curveproxy: please report it")
        return FAILED


def prepare_process() -> int:
    """Take all the descriptors that we may have, and leave no core file with keys in it. Returns the descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def settings(service: Service, key_pairs: tuple[KeyPair, ...]) -> ServiceSettings:
    """What the proxy room must know of a service."""
    return ServiceSettings(
        name=service.name,
        listen=service.listen,
        backend=service.backend,
        server_keys=key_pairs,
        refusal=service.clients.refusal,
        forward_identity=service.forward_identity,
        allow_remote_backend=service.allow_remote_backend,
        backend_socket_type=service.backend_socket_type,
        admission=service.admission,
        messages=service.messages,
    )


class Sidecar:
    """One process at work."""

    def __init__(self, config: Config, key_pairs: dict[str, tuple[KeyPair, ...]], descriptors: int, log: Log) -> None:
        self._config, self._log = config, log
        self._proxy = Proxy(descriptors=descriptors)
        self._metrics = Metrics()
        self._watchers: list[Callable[[], Awaitable[None]]] = []
        self._bound = False
        for service in config.service:
            self._add(service, key_pairs[service.name])

    def _add(self, service: Service, key_pairs: tuple[KeyPair, ...]) -> None:
        log = self._log.bind(service=service.name)
        for path in filter(others_may_read, service.secret_keys):
            log.warning("a secret key can be read by others", file=str(path), hint=f"chmod 600 {path}")
        clients = Clients(service.clients.directory, service.inline_keys(), service.clients.allow == "any", log)
        observer = ServiceObserver(service.name, self._metrics, self._log)
        at_work = self._proxy.add(settings(service, key_pairs), clients.load(), observer)
        self._metrics.watch(at_work)
        self._watchers.append(partial(clients.watch, partial(setattr, at_work, "clients")))
        self._watchers.append(observer.summarise)

    async def run(self) -> int:
        """Serve until drained. Returns the exit status."""
        listener = None
        try:
            self._proxy.bind()
            if self._config.admin.address is not None:
                listener = admin.listen(*self._config.admin.address)
        except BindError as error:
            self._log.error("cannot start", detail=str(error))
            return FAILED
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                if listener is not None:
                    app = admin.application(self._metrics.registry, self._not_ready)
                    nursery.start_soon(admin.serve, listener, app)
                nursery.start_soon(self._metrics.measure_lag)
                for watcher in self._watchers:
                    nursery.start_soon(watcher)
                self._announce()
                nursery.start_soon(self._serve, nursery.cancel_scope)
                self._bound = True
                async for number in signals:
                    if self._proxy.draining:
                        self._log.warning("leaving at once", signal=signal.Signals(number).name)
                        return self._leave_at_once(nursery)
                    seconds = self._config.process.drain_seconds
                    self._log.info("draining", signal=signal.Signals(number).name, seconds=seconds)
                    self._proxy.drain(seconds)
        self._log.info("stopped")
        return DONE

    async def _serve(self, everything: trio.CancelScope) -> None:
        await self._proxy.run()
        everything.cancel()

    @staticmethod
    def _leave_at_once(nursery: trio.Nursery) -> int:
        nursery.cancel_scope.cancel()
        return FAILED

    def _not_ready(self) -> str:
        if self._proxy.draining:
            return "draining"
        return "" if self._bound else "starting"

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

"""The process: its limits, its services, its signals, its end."""

import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import trio
from starlette.types import ASGIApp

from curveproxy import __version__
from curveproxy.app.admin import server as admin
from curveproxy.app.admin.routes import Routes
from curveproxy.app.config.load import ConfigError, load
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.events import BURST, LINES_PER_SECOND
from curveproxy.app.observe.log import Log, open_log, set_style
from curveproxy.app.observe.status import Trouble
from curveproxy.app.process.memory import hide_memory
from curveproxy.app.process.relay import ConfigRejectedError, LocalRelay, Relay
from curveproxy.app.process.supervisor import Supervisor
from curveproxy.app.process.systemd import SystemdNotifier
from curveproxy.app.watch.files import LISTING_SECONDS, Stamp, stamp
from curveproxy.policy.log_limit import LogLimit
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import BindError
from curveproxy.wire.codec.select import CODEC, CODEC_FAULT

DONE, FAILED = 0, 1
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# They mean something to others, and by default they kill.
PASSED_OVER = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)

# What there is to do after a drain, and a good deal more.
LEAVE_SECONDS = 10

REFUSED = "configuration not taken"
NOT_TAKEN = "the one before stays in force"
RESTART = "start it again: their number is the one thing that a reload does not change"
UNUSED = "it needs the address of a service's listen"
FAULT = "a fault of curveproxy: please report it"


def run(config: Config, path: Path | None = None) -> int:
    """Run until a signal says otherwise. path: where the configuration can be read again. Returns the exit status."""
    log = open_log(config.log.level, config.log.format)
    page = config.admin.listen
    log.info(
        "starting",
        version=__version__,
        codec=CODEC,
        configuration=str(path.resolve()) if path else "options",
        page=f"http://{page.replace('*', '127.0.0.1')}/" if page else "off",
    )
    if CODEC_FAULT:
        log.warning("the C codec is not used", detail=CODEC_FAULT, hint="install again: it is slower without")
    descriptors, manager, count = prepare_process(), SystemdNotifier(os.environ), config.process.relays
    try:
        relays: Relay
        if count == 1:
            relays = LocalRelay(descriptors=descriptors, handed_over=manager.listeners, log=log)
        else:
            relays = Supervisor(count, descriptors=descriptors, handed_over=manager.listeners, log=log)
        return trio.run(Sidecar(config, path, relays, manager, log).run)
    except Exception as error:
        log.critical("the proxy has failed", exc_info=error, hint=FAULT)
        return FAILED


def prepare_process() -> int:
    """Take all the descriptors that we may have, and hide our keys. Returns the descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hide_memory()
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


class AdminListener:
    """The admin page at one address; nothing where that is None."""

    def __init__(self, address: Endpoint | None) -> None:
        self.address = address
        self._listeners: Sequence[socket.socket] = ()
        self._scope = trio.CancelScope()

    def listen(self, *, reuse_port: bool) -> None:
        """Raises BindError."""
        if self.address is not None:
            self._listeners = admin.listen(self.address.host, self.address.port, reuse_port=reuse_port)

    async def serve(self, app: ASGIApp) -> None:
        """Answer until it is closed."""
        listeners, self._listeners = self._listeners, ()
        with self._scope:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(admin.serve, listener, app)

    def close(self) -> None:
        self._scope.cancel()
        for listener in self._listeners:
            listener.close()  # nobody has served it yet


class Sidecar:
    """The process at work. path: its configuration file, where it has one."""

    def __init__(self, config: Config, path: Path | None, relays: Relay, manager: SystemdNotifier, log: Log) -> None:
        self._config, self._path, self._manager, self._log = config, path, manager, log
        self._began_with = config
        self._troubles: list[Trouble] = []
        self._relays = relays
        self._page = AdminListener(None)
        self._limit = LogLimit(BURST, LINES_PER_SECOND)
        self._reloading = trio.Lock()
        self._bound = False
        self._nursery: trio.Nursery

    async def run(self) -> int:
        """Serve until drained. Returns the exit status."""
        # What comes too late for the receiver is handed to what stood before it, and must not kill us on our way out.
        for number in (*SIGNALS, *PASSED_OVER):
            signal.signal(number, signal.SIG_IGN)
        # Around everything, so that no signal finds us without an answer.
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as self._nursery:
                await self._nursery.start(self._relay, self._nursery.cancel_scope)
                try:
                    await self._apply(self._config)
                except (BindError, ConfigRejectedError) as error:
                    self._log.error("cannot start", detail=str(error))
                    self._nursery.cancel_scope.cancel()
                    return FAILED
                self._nursery.start_soon(self._watch)
                self._nursery.start_soon(self._manager.keep_watch)
                gc.collect()
                gc.freeze()  # what is here now stays: it need not be looked through again
                self._bound = True
                self._manager.ready(self._status())
                await self._obey(signals)
                self._nursery.cancel_scope.cancel()
                return FAILED
            self._log.info("stopped")
            return DONE

    async def _relay(self, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        await self._relays.run(task_status=task_status)
        everything.cancel()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        """Read the configuration again at SIGHUP. Drain at the first of the others; return at the second."""
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                self._nursery.start_soon(self._reload)
                continue
            if self._relays.draining:
                self._log.warning("leaving at once", signal=name)
                return
            seconds = self._config.process.drain_seconds
            self._log.info("draining", signal=name, drain_seconds=seconds)
            self._manager.stopping("draining", seconds + LEAVE_SECONDS)
            self._relays.drain(seconds)
            if self._config.process.reuse_port:
                self._page.close()  # a successor answers there now

    # --- the configuration

    async def _apply(self, config: Config) -> None:
        """Make it so. Raises BindError or ConfigRejectedError, and then nothing has changed."""
        page, reuse_port = AdminListener(config.admin.address), config.process.reuse_port
        if is_other := page.address != self._page.address:
            # The page first: it leaves nothing behind when a service can not be bound, as ``ipc`` would.
            page.listen(reuse_port=reuse_port)
        try:
            await self._relays.apply(config)
        except (BindError, ConfigRejectedError):
            page.close()
            raise
        if is_other:
            self._page.close()
            self._page = page
            pages = Routes(self._relays, self._not_ready, lambda: self._troubles, lambda: self._config.admin)
            app = admin.application(self._relays.collect, self._not_ready, self._unexpected, pages.routes)
            self._nursery.start_soon(page.serve, app)
        self._config = config
        for sock in self._relays.unused:
            self._log.warning("a socket that was handed over is not used", address=sock.getsockname(), hint=UNUSED)

    async def _reload(self) -> None:
        """Take the configuration as it is now, all of it or nothing."""
        if self._path is None:
            self._log.warning("nothing to read again", hint="it was started by options: use a configuration file")
            return
        async with self._reloading:
            self._manager.reloading()
            try:
                config = await trio.to_thread.run_sync(load, self._path)
                if self._relays.draining:
                    return
                await self._apply(config)
            except Exception as error:  # the boundary: whatever it is, the one before stays in force
                if isinstance(error, ConfigError | ConfigRejectedError):
                    complaints = error.complaints
                elif isinstance(error, BindError):
                    complaints = [str(error)]
                else:
                    self._unexpected(error)
                    complaints = [FAULT]
                for complaint in complaints:
                    self._log.error(REFUSED, detail=complaint, hint=NOT_TAKEN)
                self._troubles = [
                    Trouble("curveproxy", False, f"{REFUSED}: {complaint}", "reload", NOT_TAKEN)
                    for complaint in complaints
                ]
                self._relays.reloaded(success=False)
                self._manager.ready(f"{REFUSED}: {NOT_TAKEN}")
                return
            self._troubles = []
            set_style(config.log.level, config.log.format)
            self._relays.reloaded(success=True)
            self._manager.ready(self._status())
            if config.process.relays != self._began_with.process.relays:
                self._log.warning("workers are as many as before", wanted=config.process.relays, hint=RESTART)
            self._log.info("configuration taken", services=[service.name for service in config.service])

    async def _watch(self) -> None:
        """Read the configuration again when its file has changed, where that is wanted."""
        before = self._stamp()
        while True:
            await trio.sleep(LISTING_SECONDS)
            now = self._stamp()
            if now not in (before, None) and self._config.process.watch:
                await self._reload()
            before = now

    def _stamp(self) -> Stamp | None:
        try:
            return stamp(self._path) if self._path else None
        except OSError:
            return None

    def _status(self) -> str:
        return f"serving {', '.join(service.name for service in self._config.service)}"

    # --- for the page

    def _not_ready(self) -> str:
        if self._relays.draining:
            return "draining"
        return "" if self._bound else "starting"

    def _unexpected(self, error: Exception) -> None:
        """The admin page has failed, and whoever asks again makes it fail again."""
        self._relays.metrics.unexpected.inc()
        suppressed = self._limit.allow(("unexpected error", ""), trio.current_time())
        if suppressed is not None:
            told = {"suppressed": suppressed} if suppressed else {}
            self._log.error("unexpected error", exc_info=error, **told, hint=FAULT)

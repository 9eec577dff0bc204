"""The process: its limits, its configuration, its signals and its end."""

import gc
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from curveproxy import __version__
from curveproxy.app.admin.routes import Routes
from curveproxy.app.admin.server import AdminListener, application
from curveproxy.app.config.load import ConfigError, load
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.events import BURST, FAULT, LINES_PER_SECOND
from curveproxy.app.observe.log import Log, open_log, set_style
from curveproxy.app.observe.status import Trouble
from curveproxy.app.process.memory import hide_memory
from curveproxy.app.process.relay import ConfigRejectedError, LocalRelay, Relay
from curveproxy.app.process.supervisor import Supervisor
from curveproxy.app.process.systemd import SystemdNotifier
from curveproxy.app.watch.files import LISTING_SECONDS, Stamp, stamp
from curveproxy.policy.log_limit import LogLimit
from curveproxy.proxy.net.listening import BindError
from curveproxy.wire.codec.select import CODEC, CODEC_FAULT
from curveproxy.wire.codec.suites import Suite, available_suites, why_no_aegis

DONE, FAILED = 0, 1
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Signals that other programs use, and that kill by default.
IGNORED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)

# More than enough for what follows a drain.
LEAVE_SECONDS = 10

REJECTED = "configuration not taken"
UNCHANGED = "the one before stays in force"
RESTART = "start it again: their number is the one thing that a reload does not change"
UNUSED = "it needs the address of a service's listen"


def run(config: Config, path: Path | None = None) -> int:
    """Run until a signal ends it. path: of the configuration file, to read it again. Returns the exit status."""
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
    why = why_no_aegis()
    left_out = {"left_out": f"{Suite.AEGIS_256.word}: {why}"} if why else {}
    log.info("record suites", suites=[suite.word for suite in available_suites()], **left_out)
    descriptors, notifier, count = prepare_process(), SystemdNotifier(os.environ), config.process.relays
    try:
        relay: Relay
        if count == 1:
            relay = LocalRelay(descriptors=descriptors, handed_over=notifier.listeners, log=log)
        else:
            relay = Supervisor(count, descriptors=descriptors, handed_over=notifier.listeners, log=log)
        return trio.run(Sidecar(config, path, relay, notifier, log).run)
    except Exception as error:
        log.critical("the proxy has failed", exc_info=error, hint=FAULT)
        return FAILED


def prepare_process() -> int:
    """Raise the limit of descriptors as far as we may, and hide the keys in memory. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hide_memory()
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


class Sidecar:
    """The whole process. path: of its configuration file; None where it was started by options."""

    def __init__(self, config: Config, path: Path | None, relay: Relay, notifier: SystemdNotifier, log: Log) -> None:
        self._config, self._path, self._notifier, self._log = config, path, notifier, log
        self._first_config = config
        self._troubles: list[Trouble] = []
        self._relay = relay
        self._admin = AdminListener(None)
        self._limit = LogLimit(BURST, LINES_PER_SECOND)
        self._reloading = trio.Lock()
        self._bound = False
        self._nursery: trio.Nursery

    async def run(self) -> int:
        """Serve until drained. Returns the exit status."""
        # When the receiver below is closed, signals get the handlers of before, and must not kill us at the end.
        for number in (*SIGNALS, *IGNORED):
            signal.signal(number, signal.SIG_IGN)
        # Around everything, so that no signal is lost.
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as self._nursery:
                await self._nursery.start(self._run_relay, self._nursery.cancel_scope)
                try:
                    await self._apply(self._config)
                except (BindError, ConfigRejectedError) as error:
                    self._log.error("cannot start", detail=str(error))
                    self._nursery.cancel_scope.cancel()
                    return FAILED
                self._nursery.start_soon(self._watch)
                self._nursery.start_soon(self._notifier.keep_watch)
                gc.collect()
                gc.freeze()  # what exists now stays, and is not searched for garbage again
                self._bound = True
                self._notifier.ready(self._status())
                await self._obey(signals)
                self._nursery.cancel_scope.cancel()
                return FAILED
            self._log.info("stopped")
            return DONE

    async def _run_relay(self, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        await self._relay.run(task_status=task_status)
        everything.cancel()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        """Reload at SIGHUP. Drain at the first of the other signals, and return at the second."""
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                self._nursery.start_soon(self._reload)
                continue
            if self._relay.draining:
                self._log.warning("leaving at once", signal=name)
                return
            seconds = self._config.process.drain_seconds
            self._log.info("draining", signal=name, drain_seconds=seconds)
            self._notifier.stopping("draining", seconds + LEAVE_SECONDS)
            self._relay.drain(seconds)
            if self._config.process.reuse_port:
                self._admin.close()  # the next process has that port now

    # --- the configuration

    async def _apply(self, config: Config) -> None:
        """Apply a configuration. Raises BindError or ConfigRejectedError, and then nothing has changed."""
        admin, reuse_port = AdminListener(config.admin.address), config.process.reuse_port
        if is_other := admin.address != self._admin.address:
            # First, for it leaves no file behind when a service can not be bound, as an ``ipc`` listener does.
            admin.listen(reuse_port=reuse_port)
        try:
            await self._relay.apply(config)
        except (BindError, ConfigRejectedError):
            admin.close()
            raise
        if is_other:
            self._admin.close()
            self._admin = admin
            routes = Routes(self._relay, self._not_ready, lambda: self._troubles, lambda: self._config.admin)
            app = application(self._relay.collect, self._not_ready, self.unexpected, routes.routes)
            self._nursery.start_soon(admin.serve, app)
        self._config = config
        for sock in self._relay.unused:
            self._log.warning("a socket that was handed over is not used", address=sock.getsockname(), hint=UNUSED)

    async def _reload(self) -> None:
        """Read the configuration again and apply it, all of it or nothing."""
        if self._path is None:
            self._log.warning("nothing to read again", hint="it was started by options: use a configuration file")
            return
        async with self._reloading:
            self._notifier.reloading()
            try:
                config = await trio.to_thread.run_sync(load, self._path)
                if self._relay.draining:
                    return
                await self._apply(config)
            except Exception as error:  # the boundary: the configuration of before stays in force
                if isinstance(error, ConfigError | ConfigRejectedError):
                    complaints = error.complaints
                elif isinstance(error, BindError):
                    complaints = [str(error)]
                else:
                    self.unexpected(error)
                    complaints = [FAULT]
                for complaint in complaints:
                    self._log.error(REJECTED, detail=complaint, hint=UNCHANGED)
                self._troubles = [
                    Trouble("curveproxy", False, f"{REJECTED}: {complaint}", "reload", UNCHANGED)
                    for complaint in complaints
                ]
                self._relay.reloaded(success=False)
                self._notifier.ready(f"{REJECTED}: {UNCHANGED}")
                return
            self._troubles = []
            set_style(config.log.level, config.log.format)
            self._relay.reloaded(success=True)
            self._notifier.ready(self._status())
            if config.process.relays != self._first_config.process.relays:
                self._log.warning("workers are as many as before", wanted=config.process.relays, hint=RESTART)
            self._log.info("configuration taken", services=config.names)

    async def _watch(self) -> None:
        """Reload when the configuration file has changed, where that is configured."""
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
        return f"serving {', '.join(self._config.names)}"

    # --- for the admin server

    def _not_ready(self) -> str:
        if self._relay.draining:
            return "draining"
        return "" if self._bound else "starting"

    def unexpected(self, error: Exception) -> None:
        """Report an error of the admin server, which each request may cause again."""
        self._relay.count_unexpected()
        suppressed = self._limit.allow(("unexpected error", ""), trio.current_time())
        if suppressed is not None:
            facts = {"suppressed": suppressed} if suppressed else {}
            self._log.error("unexpected error", exc_info=error, **facts, hint=FAULT)

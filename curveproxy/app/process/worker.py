"""A worker: a process that relays its share for the supervisor.

It is started by exec, so that no secret of the supervisor is in its memory, and it ends when the supervisor does.
"""

import gc
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from curveproxy.app.config.load import ConfigError, structure
from curveproxy.app.observe.aggregate import Figures, plain
from curveproxy.app.observe.log import Log, open_log, set_style
from curveproxy.app.observe.status import Query
from curveproxy.app.process.channel import ControlChannel, GoneError, Requests
from curveproxy.app.process.memory import hide_memory
from curveproxy.app.process.relay import ConfigRejectedError, LocalRelay
from curveproxy.app.process.services import Counts
from curveproxy.policy.limits import WorkerShare
from curveproxy.proxy.net.listening import BindError

# The descriptor of its end of the channel.
CHANNEL = 0


def work(index: int, of: int, descriptors: int) -> None:
    """Relay until the channel ends or a drain is over. descriptors: the soft limit."""
    hide_memory()
    log = open_log("info", "text").bind(worker=index)
    channel = socket.socket(fileno=os.dup(CHANNEL))
    trio.run(WorkerProcess(ControlChannel(channel), WorkerShare(index, of), descriptors, log).run)


class WorkerProcess:
    """Answers the supervisor's requests; each is a method here."""

    def __init__(self, channel: ControlChannel, share: WorkerShare, descriptors: int, log: Log) -> None:
        self._channel = channel
        self._listeners: list[socket.socket] = []
        self._relay = LocalRelay(
            descriptors=descriptors, handed_over=self._listeners, log=log, share=share, registry=self
        )
        self._requests: Requests = {
            "apply": self._apply,
            "drain": self._drain,
            "reloaded": self._reloaded,
            "collect": self._collect,
            "look": self._look,
            "share_clients": self._share_clients,
            "make_way": self._make_way,
            "end": self._end,
        }

    async def run(self) -> None:
        # A service manager sends its signals to all processes: the supervisor decides what they mean.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._relay_all, nursery.cancel_scope)
            await self._channel.serve(self._requests, self._accept_descriptors)
            nursery.cancel_scope.cancel()  # the supervisor is gone

    async def _relay_all(self, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        await self._relay.run(task_status=task_status)
        everything.cancel()

    def _accept_descriptors(self, descriptors: Sequence[int]) -> None:
        self._listeners += [socket.socket(fileno=descriptor) for descriptor in descriptors]

    # --- the server's IdentityRegistry

    async def claim(self, service: str, identity: bytes, key: bytes, number: int) -> bool:
        try:
            found = await self._channel.ask(
                "claim", service=service, identity=identity.hex(), key=key.hex(), number=number
            )
        except GoneError:
            return False
        return bool(found)

    def release(self, service: str, identity: bytes, key: bytes, number: int) -> None:
        self._channel.tell("release", service=service, identity=identity.hex(), key=key.hex(), number=number)

    # --- requests

    async def _apply(self, tree: dict[str, Any]) -> list[str]:
        """Apply a configuration. Returns why it can not be, or nothing."""
        try:
            config = structure(tree, Path())
            set_style(config.log.level, config.log.format)
            await self._relay.apply(config)
        except (ConfigError, ConfigRejectedError) as error:
            return error.complaints
        except BindError as error:
            return [str(error)]
        finally:
            self._close(self._relay.unused)
        gc.collect()
        gc.freeze()
        return []

    async def _drain(self, seconds: float) -> None:
        self._relay.drain(seconds)
        self._close(self._listeners)

    def _close(self, listeners: Sequence[socket.socket]) -> None:
        for sock in list(listeners):
            self._listeners.remove(sock)
            sock.close()

    async def _reloaded(self, success: bool) -> None:
        self._relay.reloaded(success=success)

    async def _collect(self) -> Figures:
        return plain(await self._relay.collect())

    async def _look(self, **query: Any) -> dict[str, Any]:
        return attrs.asdict(await self._relay.look(Query(**query)))

    async def _share_clients(self, elsewhere: Counts) -> Counts:
        return self._relay.share_clients(elsewhere)

    async def _make_way(self, service: str, identity: str, number: int) -> None:
        await self._relay.make_way(service, bytes.fromhex(identity), number)

    async def _end(self, session: int) -> bool:
        return await self._relay.end(session)

"""A worker process, as its supervisor sees it."""

import socket
import sys
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from curveproxy.app.observe.aggregate import Figures
from curveproxy.app.observe.status import Query, Status, status_of
from curveproxy.app.process.channel import ControlChannel, Requests
from curveproxy.app.process.relay import ConfigRejectedError
from curveproxy.app.process.services import Counts
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import ListeningSocket


class WorkerHandle:
    """One process. Each request raises GoneError when the process has ended before it has answered.

    index: its place among the workers; figures: its metrics, as it sent them last.
    clients: how many sessions the clients with limits had there, as it sent it last.
    is_killed: it has ended or is about to, and holds no identity any more.
    """

    def __init__(self, index: int, process: trio.Process, channel: ControlChannel) -> None:
        self.index, self.process, self._channel = index, process, channel
        self.figures: Figures = []
        self.clients: Counts = {}
        self.is_killed = False
        self._endpoints: set[Endpoint] = set()

    @classmethod
    async def start(cls, index: int, of: int, descriptors: int) -> "WorkerHandle":
        """Start a process, by the command line by which this one was started. descriptors: its soft limit."""
        ours, theirs = socket.socketpair()
        with theirs:
            itself = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
            arguments = ["worker", str(index), str(of), str(descriptors)]
            # In a process group of its own: a terminal sends its signals to this process alone.
            process = await trio.lowlevel.open_process(
                [sys.executable, *itself, *arguments], stdin=theirs.fileno(), process_group=0
            )
        return cls(index, process, ControlChannel(ours))

    async def serve(self, requests: Requests) -> None:
        """Answer its requests until it has ended."""
        await self._channel.serve(requests)

    async def apply(self, tree: dict[str, Any], listeners: Mapping[Endpoint, ListeningSocket]) -> None:
        """Have it relay by this configuration on these sockets. Raises ConfigRejectedError or GoneError."""
        added = [listener for endpoint, listener in listeners.items() if endpoint not in self._endpoints]
        fresh = [sock.fileno() for listener in added for sock in listener.sockets]
        complaints = await self._channel.ask("apply", tree=tree, descriptors=fresh)
        if complaints:
            raise ConfigRejectedError(complaints)
        self._endpoints = set(listeners)

    async def collect(self) -> None:
        """Get its ``figures``."""
        self.figures = await self._channel.ask("collect")

    async def share_clients(self, elsewhere: Counts) -> None:
        """Send it the sessions of clients with limits in other workers, and get its ``clients``."""
        self.clients = await self._channel.ask("share_clients", elsewhere=elsewhere)

    async def make_way(self, service: str, identity: str, number: int) -> None:
        """End the session of that number, whose client has connected to another worker."""
        await self._channel.ask("make_way", service=service, identity=identity, number=number)

    async def look(self, query: Query) -> Status:
        """Its status as it is now."""
        return status_of(await self._channel.ask("look", **attrs.asdict(query)))

    async def end(self, session: int) -> bool:
        """End the session of that number. False when it has ended already."""
        return bool(await self._channel.ask("end", session=session))

    async def drain(self, seconds: float) -> None:
        """Have it stop listening and end when its sessions have."""
        await self._channel.ask("drain", seconds=seconds)

    async def reloaded(self, *, success: bool) -> None:
        """Have it count a reload."""
        await self._channel.ask("reloaded", success=success)

    def kill(self) -> None:
        """End it at once. What it has counted since it last sent its figures is lost."""
        self.is_killed = True
        self.process.kill()
        self._channel.close()

"""The addresses of a service's endpoint, and which of them may be dialled."""

import socket
from collections.abc import Sequence
from typing import Any

import trio

from curveproxy.proxy.net.endpoint import Endpoint, is_local

# How long others join a lookup of the same name. One that hangs for longer may have lost its answer; each has a thread,
# of which a process has few.
JOIN_SECONDS = 5.0

# The family, and what connect takes: of IPv6 with its scope, of a Unix socket the path.
Address = tuple[int, Any]


def is_allowed(address: Address, *, allow_remote: bool) -> bool:
    """Whether plaintext may be sent there: to a Unix socket, to loopback, and elsewhere with ``allow_remote``."""
    family, place = address
    return allow_remote or family == socket.AF_UNIX or is_local(str(place[0]))


def fixed_address(endpoint: Endpoint, *, allow_remote: bool) -> Address | None:
    """The address of an endpoint that needs no resolver; None for a name, and for an address that is not allowed."""
    if endpoint.transport == "ipc":
        return socket.AF_UNIX, endpoint.unix_address
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None  # a name, or the zone of an interface that is not there now
    family, _, _, _, place = found[0]
    return (family, place) if is_allowed((family, place), allow_remote=allow_remote) else None


async def resolve(endpoint: Endpoint) -> list[Address]:
    """The addresses of a TCP endpoint in the resolver's order; empty when its name does not resolve."""
    try:
        found = await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, place) for family, _, _, _, place in found]


class _Lookup:
    """One lookup of a name, for all who ask while it is under way."""

    def __init__(self) -> None:
        self.began, self.is_over = trio.current_time(), trio.Event()
        self._addresses: Sequence[Address] = ()

    async def run(self, endpoint: Endpoint) -> None:
        try:
            self._addresses = await resolve(endpoint)
        finally:
            self.is_over.set()

    async def result(self) -> Sequence[Address]:
        await self.is_over.wait()
        return self._addresses


class Target:
    """An endpoint that is dialled. Its name is resolved each time; dials that begin together ask once.

    fixed: its only address, where it needs no resolver.
    """

    def __init__(self, endpoint: Endpoint, *, allow_remote: bool) -> None:
        self.endpoint = endpoint
        self.fixed = fixed_address(endpoint, allow_remote=allow_remote)
        self._answered: Address | None = None
        self._lookup: _Lookup | None = None

    async def resolve(self) -> list[Address]:
        """All of a name, the one that answered last first: others may not answer at all for a while."""
        lookup = self._lookup
        if lookup is None or lookup.is_over.is_set() or trio.current_time() > lookup.began + JOIN_SECONDS:
            lookup = self._lookup = _Lookup()
            await lookup.run(self.endpoint)
        return sorted(await lookup.result(), key=lambda each: each != self._answered)

    def answered(self, address: Address) -> None:
        """Somebody was greeted at one of them."""
        self._answered = address


def address_text(address: Address) -> str:
    """A TCP address as text for the log."""
    _, place = address
    return Endpoint("tcp", *place[:2]).address

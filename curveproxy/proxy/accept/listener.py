"""A door: one endpoint on which clients come in, and the services behind it.

Services may share one. The server key with which a client made its HELLO tells which of them it wants, as the name in
a TLS ClientHello would. What is before HELLO is the first one's: it counts there, and its limits hold.
"""

import socket
from typing import TYPE_CHECKING

import trio

from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.listening import ListeningSocket

if TYPE_CHECKING:
    from curveproxy.proxy.server import Server
    from curveproxy.proxy.service import Service

# So many are accepted before others have their turn.
ACCEPTS = 16
# How long a listener rests when there is no descriptor left, and nobody to evict.
REST_SECONDS = 0.1


class Listener:
    """One listener and its strangers.

    services: those behind it, at least one; the first is the one to which strangers count.
    keys: the server keys that open it, and whose they are.
    bound: where it listens, with the port that the system chose; addresses: those that this is.
    """

    def __init__(self, proxy: "Server", listener: ListeningSocket, services: "list[Service]") -> None:
        self.bound, self.addresses = listener.endpoint, listener.addresses
        self._lead_to(services)
        self.admission = Admission(
            self, proxy.strangers_reactor, proxy.cookies, proxy.transient_keys, proxy.descriptors, proxy.evict
        )
        self._proxy = proxy
        self._listener: ListeningSocket | None = listener

    @property
    def first(self) -> "Service":
        return self.services[0]

    def is_at(self, listener: socket.socket) -> bool:
        """Whether it opens on this very socket."""
        return self._listener is not None and listener in self._listener.sockets

    def lead_to(self, services: "list[Service]") -> None:
        """These services are behind it from now on, with the settings that they have now."""
        self._lead_to(services)
        self.admission.configure()

    def _lead_to(self, services: "list[Service]") -> None:
        self.services = services
        self.keys = {pair: service for service in services for pair in service.settings.server_keys}
        for service in services:
            service.door = self

    def close(self) -> None:
        """Take nobody in any more, and let nobody in who stands here."""
        if self._listener is not None:
            for sock in self._listener.sockets:
                self._accept(sock)  # those who wait there are told like the others
                trio.lowlevel.notify_closing(sock)
            self._listener.close()
            self._listener = None
        self.admission.close()

    async def run(self) -> None:
        """Accept until it is closed."""
        async with trio.open_nursery() as nursery:
            for sock in self._listener.sockets if self._listener is not None else ():
                nursery.start_soon(self._accept_often, sock)

    async def _accept_often(self, sock: socket.socket) -> None:
        while self._listener is not None:
            try:
                await trio.lowlevel.wait_readable(sock)
            except trio.ClosedResourceError:
                break
            if self._listener is None:
                break  # closed meanwhile
            try:
                has_room = self._accept(sock)
            except Exception as error:  # the boundary: what went wrong in there is over, and the listener stays
                self.first.observer.unexpected(error)
                await trio.sleep(REST_SECONDS)
                continue
            if not has_room:
                self.first.observer.notice(
                    "no descriptor is left", hint="raise the hard limit of descriptors, or lower max_sessions"
                )
                await trio.sleep(REST_SECONDS)

    def _accept(self, listener: socket.socket) -> bool:
        """Take in who stands there. False when that can not be, for the want of a descriptor."""
        for _ in range(ACCEPTS):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in sockets.EXHAUSTED:
                    continue  # it was a connection that is no longer
                if not sockets.is_readable(listener):
                    break  # nobody waits: Linux says so of a descriptor before it looks
                if not self._proxy.evict():
                    return False
                continue  # a place is free now
            try:
                self.admission.enter(sock, address)
            except Exception as error:  # the boundary: one connection ends, not the listener
                self.first.observer.unexpected(error)
                sock.close()
        return True

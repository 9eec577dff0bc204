"""The protocols of a service manager: sd_notify(3) and sd_listen_fds(3).

Nothing happens without their variables. These are for this process alone, so they are removed from the environment.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

import trio

from curveproxy.app.observe.text import printable

# SD_LISTEN_FDS_START of sd-daemon.h
FIRST_DESCRIPTOR = 3

# How long a message may wait for a manager that does not read.
NOTIFY_SECONDS = 1.0


class SystemdNotifier:
    """The service manager, where there is one. listeners: the listening sockets that it has handed over."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = _for_us(environment, "WATCHDOG_PID", "WATCHDOG_USEC") / 1e6
        handed_over = _for_us(environment, "LISTEN_PID", "LISTEN_FDS")
        environment.pop("LISTEN_FDNAMES", None)  # an address says more
        self.listeners = []
        for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + handed_over):
            with suppress(OSError):  # OpenFile= hands over what is no socket
                sock = socket.socket(fileno=descriptor)
                sock.set_inheritable(False)
                if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    self.listeners.append(sock)

    def ready(self, status: str) -> None:
        """The process has started, or a reload is done."""
        self._notify(READY=1, STATUS=status)

    def reloading(self) -> None:
        """A reload has begun, and lasts until ``ready``."""
        self._notify(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def stopping(self, status: str, seconds: float) -> None:
        """The process is ending, and needs no more than so many seconds."""
        self._notify(STOPPING=1, STATUS=status, EXTEND_TIMEOUT_USEC=int(seconds * 1e6))

    async def keep_watch(self) -> None:
        """Report that the event loop runs, twice as often as the watchdog asks for."""
        while self._watchdog_seconds:
            self._notify(WATCHDOG=1)
            await trio.sleep(self._watchdog_seconds / 2)

    def _notify(self, **facts: object) -> None:
        if not self._address:
            return
        text = "\n".join(f"{name}={printable(str(value))}" for name, value in facts.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(NOTIFY_SECONDS)
            sock.sendto(text.encode(), self._address)


def _for_us(environment: MutableMapping[str, str], pid: str, name: str) -> int:
    """The number in a variable, 0 where there is none or where it is for another process."""
    owner, text = environment.pop(pid, ""), environment.pop(name, "")
    # Only the watchdog may be for any process.
    ours = owner == str(os.getpid()) or (not owner and pid == "WATCHDOG_PID")
    return int(text) if ours and text.isascii() and text.isdigit() else 0

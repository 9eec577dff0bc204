"""Listening on an endpoint: on all addresses of a name, on a Unix path, on sockets that were handed over."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.sockets import configure_public

BACKLOG = 4096

# An address of a family that this machine does not have is skipped, such as localhost's ::1 where IPv6 is off.
ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)

MADE_ELSEWHERE = "whoever has made it must give it that mode, as SocketMode= does in a .socket unit"
DENIED = "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE"
DENIED_PATH = "permission denied: this user may not make a socket in that directory"
INTERFACE = "that is the name of a network interface: write its address"


class BindError(Exception):
    """Listening on an endpoint has failed. number: the system's errno; None where a name does not resolve."""

    def __init__(self, endpoint: Endpoint, reason: str, number: int | None = None) -> None:
        super().__init__(f"cannot listen on {endpoint}: {reason}")
        self.endpoint, self.number = endpoint, number

    @classmethod
    def of(cls, endpoint: Endpoint, error: OSError | UnicodeError) -> "BindError":
        """The error for what the system or the resolver has raised."""
        if isinstance(error, socket.gaierror | UnicodeError):
            return cls(endpoint, INTERFACE if is_interface(endpoint.host) else "the host name does not resolve")
        number = error.errno or 0
        reasons = {
            errno.EADDRINUSE: "the address is in use: is another process listening there",
            errno.EADDRNOTAVAIL: "no interface of this machine has that address",
            errno.EACCES: DENIED if endpoint.transport == "tcp" else DENIED_PATH,
            errno.ENOENT: "the directory does not exist",
        }
        return cls(endpoint, reasons.get(number, os.strerror(number).lower()), number)


@frozen
class ListeningSocket:
    """The listening sockets of an endpoint: one for each address that its name has.

    endpoint: with the port that the system chose for port 0.
    handed_over: another process made the sockets, so they and their path are not removed.
    """

    sockets: Sequence[socket.socket]
    endpoint: Endpoint
    _inode: int = 0
    handed_over: bool = False

    @property
    def mode(self) -> int | None:
        """The permissions of its Unix socket; None where it has no path, or a successor listens there now."""
        status = _status(self.endpoint)
        return stat.S_IMODE(status.st_mode) if status is not None and status.st_ino == self._inode else None

    def set_mode(self, mode: int) -> Callable[[], None]:
        """Change the permissions of its Unix socket, if it has any. Returns what undoes it. Raises BindError."""
        before = self.mode
        if before is None or before == mode:
            return lambda: None
        try:
            _set_mode(self.endpoint.host, mode)
        except OSError as error:
            reason = f"its mode is {before:04o}, and can not be changed to {mode:04o}: {MADE_ELSEWHERE}"
            raise BindError(self.endpoint, reason, error.errno) from error

        def undo() -> None:
            with suppress(OSError):
                _set_mode(self.endpoint.host, before)

        return undo

    @property
    def addresses(self) -> list[str]:
        """The addresses of the sockets, without the transport."""
        if self.endpoint.transport == "ipc":
            return [self.endpoint.address]
        return [Endpoint("tcp", *sock.getsockname()[:2]).address for sock in self.sockets]

    def close(self) -> None:
        """Close the sockets and remove the path of a Unix socket, unless a successor listens there now."""
        if self.handed_over:
            return
        for sock in self.sockets:
            sock.close()
        if self._inode and _inode(self.endpoint) == self._inode:
            Path(self.endpoint.host).unlink(missing_ok=True)


def listen(
    endpoint: Endpoint,
    *,
    reuse_port: bool = False,
    handed_over: Sequence[socket.socket] = (),
    mode: int | None = None,
) -> ListeningSocket:
    """Listen on all addresses that the endpoint's name has. Raises BindError.

    reuse_port: beside another process that does so too, or in its place on a Unix socket.
    handed_over: sockets that listen already; those that do so there are taken, and no others.
    mode: the permissions of the path of a Unix socket from its first moment; None for what the umask leaves.
    """
    try:
        if given := [sock for sock in handed_over if _listens_at(sock, endpoint)]:
            for sock in given:
                sock.setblocking(False)
                if endpoint.transport == "tcp":
                    configure_public(sock)
            taken = ListeningSocket(given, endpoint, _inode(endpoint), handed_over=True)
            if mode is not None:
                taken.set_mode(mode)
            return taken
        listeners = (
            _listen_unix(endpoint, reuse_port, mode)
            if endpoint.transport == "ipc"
            else _listen_tcp(endpoint, reuse_port)
        )
    except (OSError, UnicodeError) as error:
        raise BindError.of(endpoint, error) from error
    for sock in listeners:
        sock.setblocking(False)
    if endpoint.transport == "ipc":
        return ListeningSocket(listeners, endpoint, _inode(endpoint))
    return ListeningSocket(listeners, Endpoint("tcp", endpoint.host, listeners[0].getsockname()[1]))


def listen_together(
    endpoint: Endpoint,
    of: int,
    *,
    reuse_port: bool = False,
    handed_over: Sequence[socket.socket] = (),
    mode: int | None = None,
) -> list[ListeningSocket]:
    """Listen for ``of`` processes: one socket each, or one for all where only one is possible. Raises BindError.

    reuse_port: beside other processes than these too.
    """
    first = listen(endpoint, reuse_port=reuse_port, handed_over=handed_over, mode=mode)
    if endpoint.transport == "ipc" or first.handed_over:
        return [first]
    first.close()  # it has shown that the port is ours; those that share it must all have said so before they bind
    with ExitStack() as undo:
        found = []
        for _ in range(of):
            found.append(listen(endpoint, reuse_port=True))
            undo.callback(found[-1].close)
        undo.pop_all()
    return found


def try_to_bind(endpoint: Endpoint) -> None:
    """Bind to the addresses of a TCP endpoint, without listening, and release them. Raises BindError."""
    try:
        for sock in _listen_tcp(endpoint, reuse_port=False, backlog=None):
            sock.close()
    except (OSError, UnicodeError) as error:
        raise BindError.of(endpoint, error) from error


def is_interface(host: str) -> bool:
    """Whether ``host`` is the name of a network interface of this machine. libzmq would use its address."""
    return any(host == name for _, name in socket.if_nameindex())


def _listen_tcp(endpoint: Endpoint, reuse_port: bool, backlog: int | None = BACKLOG) -> list[socket.socket]:
    """backlog: None to bind only."""
    everywhere = endpoint.host == "*"
    dual = everywhere and socket.has_dualstack_ipv6()
    host = ("::" if dual else "0.0.0.0") if everywhere else endpoint.host
    found = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM)
    with ExitStack() as undo:
        listeners: list[socket.socket] = []
        absent: OSError | None = None
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            port = endpoint.port or (listeners[0].getsockname()[1] if listeners else 0)
            try:
                listener = _listen_at(family, (address[0], port, *address[2:]), dual, reuse_port, backlog)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                absent = error
                continue
            listeners.append(listener)
            undo.callback(listener.close)
        if absent is not None and not listeners:
            raise absent
        undo.pop_all()
    return listeners


def _listen_at(family: int, address: Any, dual: bool, reuse_port: bool, backlog: int | None) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        configure_public(listener)
        listener.bind(address)
        if backlog is not None:
            listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def _listens_at(listener: socket.socket, endpoint: Endpoint) -> bool:
    """Whether a socket that was handed over listens on an endpoint. Raises OSError."""
    if (listener.family == socket.AF_UNIX) != (endpoint.transport == "ipc"):
        return False
    address = listener.getsockname()
    if endpoint.transport == "ipc":
        return os.fsencode(address) == os.fsencode(endpoint.unix_address)
    host, port, *_ = address
    if endpoint.host == "*":
        return port == endpoint.port and host in ("::", "0.0.0.0")
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return any(other[:2] == (host, port) for _, _, _, _, other in found)


def _listen_unix(endpoint: Endpoint, reuse_port: bool, mode: int | None) -> list[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if mode is not None:
            os.fchmod(listener.fileno(), mode)  # Linux makes the path with the socket's own mode, less the umask
        if reuse_port and _inode(endpoint):
            beside = Path(f"{endpoint.host}.{os.getpid()}")
            _bind_unix(listener, str(beside), mode)
            beside.rename(endpoint.host)  # at no moment is there nobody
            return [listener]
        if _is_stale(endpoint):
            Path(endpoint.host).unlink()
        _bind_unix(listener, endpoint.unix_address, mode)
    except OSError:
        listener.close()
        raise
    return [listener]


def _bind_unix(listener: socket.socket, address: str, mode: int | None) -> None:
    listener.bind(address)
    if mode is not None and not address.startswith("\0"):
        _set_mode(address, mode)  # the umask may have taken rights away; until it listens nobody can connect
    listener.listen(BACKLOG)


def _set_mode(path: str, mode: int) -> None:
    """Change the mode of a socket, and of nothing else that somebody puts in its place. Raises OSError."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101  which chmod(2) has no flag for
    finally:
        os.close(descriptor)


def _is_stale(endpoint: Endpoint) -> bool:
    """Whether the path is a socket that a killed process has left behind: nobody listens on it."""
    if endpoint.host.startswith("@"):
        return False
    try:
        if not stat.S_ISSOCK(Path(endpoint.host).stat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # a listener whose backlog is full is alive
            probe.connect(endpoint.host)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def _inode(endpoint: Endpoint) -> int:
    """The inode of the socket at the path of a Unix endpoint; 0 where there is none."""
    status = _status(endpoint)
    return status.st_ino if status is not None else 0


def _status(endpoint: Endpoint) -> os.stat_result | None:
    """Of the socket at the path of a Unix endpoint; None where there is none."""
    if endpoint.transport != "ipc" or endpoint.host.startswith("@"):
        return None
    try:
        status = Path(endpoint.host).lstat()
    except (OSError, ValueError):
        return None
    return status if stat.S_ISSOCK(status.st_mode) else None

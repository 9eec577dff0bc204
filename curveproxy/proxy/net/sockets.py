"""Sockets as the proxy wants them: raw, non-blocking, with the options that Python does not name."""

import errno
import fcntl
import ipaddress
import select
import socket
import struct
import termios

# asm-generic/socket.h
SO_COOKIE = 57

SO_BUF_LOCK = 72

# struct ucred (unix(7)): pid, uid, gid
_CREDENTIALS = struct.Struct("iII")

# Marks a source's number as an IPv6 network, to tell it from an IPv4 address.
IPV6_MARK = 1 << 64

# What the unread octets of a half-open connection may pin in the kernel; the system doubles it. INITIATE must fit.
HALF_OPEN_RECEIVE_BUFFER = 9216

SESSION_RECEIVE_BUFFER = 131072

# How a peer's address is shown that has connected to a Unix socket.
UNIX_PEER = "ipc"

# Errors that mean the system has run out of something. The peer is not at fault.
EXHAUSTED = {
    errno.EMFILE: "no descriptor is left",
    errno.ENFILE: "no descriptor is left in the whole system",
    errno.ENOBUFS: "no memory is left for sockets",
    errno.ENOMEM: "no memory is left for sockets",
    errno.ENOSPC: "epoll can watch no more descriptors: fs.epoll.max_user_watches",
}

# Keepalive: how soon a peer across a network is noticed that has disappeared without closing. There is no
# TCP_USER_TIMEOUT beside it: it counts the time too in which a peer's window is closed, however well the peer answers,
# so that a client that reads nothing for a while would lose its session and what is on its way to it.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 30, 10, 3


def configure_public(listener: socket.socket) -> None:
    """Set the options that accepted sockets inherit.

    What may come before accept is bounded as what comes after it. The bound must not be locked: a locked one would
    bound the window's scale, and with it the throughput of the session to come, for good.
    """
    _send_at_once(listener)
    _set_receive_buffer(listener, HALF_OPEN_RECEIVE_BUFFER)
    _keep_alive(listener)


def _send_at_once(sock: socket.SocketType) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _keep_alive(sock: socket.SocketType) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)


def accept(listener: socket.socket) -> tuple[socket.SocketType, object]:
    """Accept the first of the backlog: its socket, and the address that it comes from. Raises OSError.

    Connections have the bare type, of the interpreter. Of the class above it, with room for files and weak references,
    each would take twice as much.
    """
    descriptor, address = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001  # accept() makes the other
    return socket.SocketType(-1, socket.SOCK_STREAM, 0, descriptor), address


def prepare_half_open(sock: socket.SocketType, receive_buffer: int) -> None:
    """Make an accepted socket non-blocking, and fix its receive buffer at a small size until its key is proved."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)


def prepare_session(sock: socket.SocketType) -> None:
    """A half-open socket becomes a session's: the system sizes its buffer again."""
    _set_receive_buffer(sock, SESSION_RECEIVE_BUFFER)


def _set_receive_buffer(sock: socket.SocketType, octets: int) -> None:
    """Set the size to begin with. The system may enlarge it as the socket is read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
    sock.setsockopt(socket.SOL_SOCKET, SO_BUF_LOCK, 0)


def prepare_backend(family: int) -> socket.SocketType:
    """Make a non-blocking socket to dial a backend on this host, which no network can lose."""
    sock = socket.SocketType(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if family != socket.AF_UNIX:
        _send_at_once(sock)
    return sock


def prepare_remote(family: int) -> socket.SocketType:
    """Make one to dial elsewhere, across a network that may lose it without a word."""
    sock = prepare_backend(family)
    if family != socket.AF_UNIX:
        _keep_alive(sock)
    return sock


def all_has_arrived(sock: socket.SocketType) -> bool:
    """Whether the peer has acknowledged all that was sent, so that a reset would lose nothing. Raises OSError."""
    return not any(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))


def nothing_has_come(sock: socket.SocketType) -> bool:
    """Whether there is nothing to read. Raises OSError."""
    return not any(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))


def was_reset(sock: socket.SocketType) -> bool:
    """Whether its connection has ended with an error that nobody has been told. It is told now."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def is_readable(sock: socket.SocketType) -> bool:
    """Whether there is something to read or to accept. Uses poll, because select ends at descriptor 1023."""
    return _is_ready(sock, select.POLLIN)


def is_writable(sock: socket.SocketType) -> bool:
    """Whether the send buffer has room. If not, an edge-triggered epoll reports when it has."""
    return _is_ready(sock, select.POLLOUT)


def has_ended(sock: socket.SocketType) -> bool:
    """Whether its peer has sent its end, or the connection is broken, however much before that is unread."""
    return _is_ready(sock, select.POLLRDHUP)


def _is_ready(sock: socket.SocketType, event: int) -> bool:
    look = select.poll()
    look.register(sock, event)
    return bool(look.poll(0))


def set_mark(sock: socket.SocketType, octets: int) -> None:
    """Make epoll report the socket only when so many octets are there. Unix sockets ignore this."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)


def number_of(sock: socket.SocketType) -> bytes | None:
    """The socket's cookie: a number that Linux gives to no other socket until it reboots; None where it has none."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
    except OSError:
        return None


def uid_of(sock: socket.SocketType) -> int | None:
    """The user id of the process that has connected to a Unix socket; None where that is not told."""
    if sock.family != socket.AF_UNIX:
        return None
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    _, uid, _ = _CREDENTIALS.unpack(octets)
    return int(uid)


def source_of(address: object) -> int | None:
    """A number for where a connection comes from: its IPv4 address, its IPv6 /64; None for ``ipc``."""
    if not isinstance(address, tuple):
        return None
    host = address[0]
    if ":" not in host:
        return int.from_bytes(socket.inet_aton(host), "big")
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return int.from_bytes(packed[12:], "big")
    return IPV6_MARK | int.from_bytes(packed[:8], "big")


def is_loopback(source: int | None) -> bool:
    """Whether a source is this host itself: 127.0.0.0/8, or the /64 of ::1."""
    return source is not None and (source == IPV6_MARK or source >> 24 == 127)


def peer_text(sock: socket.SocketType, source: int | None = None, claimed: tuple[str, int] | None = None) -> str:
    """A peer's address for the log: ``192.0.2.1:4242``, ``[2001:db8::1]:4242``, ``ipc``.

    An IPv4 client of a dual-stack listener is shown as IPv4, so that an address is written one way in the whole log.

    source: shown instead, without a port, when the socket is closed already; claimed: the address from a balancer.
    """
    try:
        address = claimed or sock.getpeername()
    except OSError:
        if source is None:
            return UNIX_PEER if sock.family == socket.AF_UNIX else "unknown"
        if source & IPV6_MARK:
            return f"{ipaddress.IPv6Address((source ^ IPV6_MARK) << 64)}/64"
        return str(ipaddress.IPv4Address(source))
    if not isinstance(address, tuple):
        return UNIX_PEER
    host, port, *_ = address
    if "." in host:
        host = host.removeprefix("::ffff:")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

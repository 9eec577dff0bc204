"""Commands after the handshake: a name with its length before it, then data (RFC 37, section "Commands").

# PING: 04 "PING" ttl[2] context[0..16]   PONG: 04 "PONG" context   SUBSCRIBE: 09 "SUBSCRIBE" topic
# CERTIFICATE: 0B "CERTIFICATE" text         between two curveproxies only
"""

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError

PING = b"PING"
PONG = b"PONG"
SUBSCRIBE = b"SUBSCRIBE"
CANCEL = b"CANCEL"
JOIN = b"JOIN"
LEAVE = b"LEAVE"
CERTIFICATE = b"CERTIFICATE"

_NAME_AT = 1


def split_command_untrusted(body: bytes) -> tuple[bytes, bytes]:
    """A command's name and data. Raises PeerError: command."""
    size = body[0] if body else 0
    if not 0 < size < len(body):
        raise PeerError(Fault.COMMAND, "its name is cut short")
    data_at = _NAME_AT + size
    return body[_NAME_AT:data_at], body[data_at:]


def name_in(body: bytes) -> bytes:
    """The name in a command of our own, with its length before it."""
    return body[: _NAME_AT + body[0]]


def check_ping_untrusted(data: bytes) -> bytes:
    """A PING's data in the form in which it may be passed on: its TTL at most what libzmq can count.

    Raises PeerError: command. A PING without a whole TTL makes libzmq 4.3 answer with octets of its heap.
    """
    if not spec.PING_TTL_SIZE <= len(data) <= spec.PING_TTL_SIZE + spec.PING_CONTEXT_MAX:
        raise PeerError(Fault.COMMAND, "a PING of a wrong size")
    ttl = min(int.from_bytes(data[: spec.PING_TTL_SIZE], "big"), spec.PING_TTL_MAX)
    return ttl.to_bytes(spec.PING_TTL_SIZE, "big") + data[spec.PING_TTL_SIZE :]


def check_pong_untrusted(data: bytes) -> bytes:
    """A PONG's context. Raises PeerError: command."""
    if len(data) > spec.PING_CONTEXT_MAX:
        raise PeerError(Fault.COMMAND, "a PONG of a wrong size")
    return data


def ping(context: bytes) -> bytes:
    """The body of a PING whose TTL asks nothing of the peer."""
    return body_of(PING, bytes(spec.PING_TTL_SIZE) + context)


def pong_for(ping: bytes) -> bytes:
    """The body of the PONG that answers a PING, given its data."""
    return body_of(PONG, ping[spec.PING_TTL_SIZE :])


def body_of(name: bytes, data: bytes) -> bytes:
    """A command's body: the name with its length before it, then data."""
    return bytes([len(name)]) + name + data

"""How the proxy answers a plain client of any version, without I/O: the counterpart of ``negotiation``.

We never speak first: the client's first octets tell its version, and an old one takes a greeting for frames. What each
says, and when, as libzmq and JeroMQ do it (a slash stands where they wait for us):

# 1.0   identity, a frame /                                                     libzmq 2.x
# 2.0   signature[10] / 01 type[1] / identity, a frame                          libzmq 3.2, JeroMQ 0.3
# 3.x   signature[10] / major[1] / minor[1] mechanism[20] 0[32] / READY         libzmq 4.x, and all others

A client of 2.0 sends messages right behind its identity, and both as soon as it has our socket type. That is kept back
as long as possible: libzmq and JeroMQ tell in the signature that they have no identity, and then there is nothing to
wait for.
"""

from collections.abc import Mapping
from functools import cache

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp import metadata, v1, v2
from curveproxy.wire.zmtp.frame import LONG_LAYOUT, Dialect, Due, Span, read_command_untrusted
from curveproxy.wire.zmtp.greeting import (
    MAJOR_END,
    SIGNATURE,
    SIGNATURE_END,
    SIGNATURE_FIRST,
    check_greeting_untrusted,
)
from curveproxy.wire.zmtp.negotiation import read_dialect_untrusted
from curveproxy.wire.zmtp.null import GREETING, READY_LEAST, READY_METADATA_AT

# Our answers to a signature and to the rest of a greeting. The major version goes with the signature, for 2.0 takes
# any; the mechanism goes behind the client's, for libzmq closes without a word when it sees another than its own.
VERSION, MECHANISM = GREETING[:MAJOR_END], GREETING[MAJOR_END:]

# What each unit may have.
OPENING_MOST = spec.V1_LONG_HEADER + spec.IDENTITY_MAX
VERSION_MOST = 2
MECHANISM_MOST = len(MECHANISM)
IDENTITY_MOST = spec.SHORT_HEADER + spec.IDENTITY_MAX

_TYPE_AT = 1
_MINOR_AT = 0
# The size that the signature of a client without an identity tells: in ZMTP 1.0 it counts the flags too.
_NO_IDENTITY = 1
# What such a client of 2.0 says as its identity.
EMPTY_IDENTITY_SIZE = spec.SHORT_HEADER


def opening_span_untrusted(seen: spec.Octets) -> Span:
    """Judge as much as has come of a signature, or of the identity of a 1.0 client.

    Raises PeerError: not_zmtp, old_handshake.
    """
    dialect = read_dialect_untrusted(bytes(seen[:SIGNATURE_END]))
    if dialect is None:
        is_long = len(seen) and seen[0] == SIGNATURE_FIRST
        return Span(SIGNATURE_END if is_long else len(seen) + 1, 0, SIGNATURE_END)
    mark, _, end = v1.identity_span_untrusted(seen)
    return Span(mark, 0, end)


def read_opening_untrusted(octets: bytes) -> Negotiated | None:
    """What a 1.0 client says; None for a signature."""
    if read_dialect_untrusted(octets) is None:
        return None
    _, begin, end = v1.identity_span_untrusted(octets)
    return v1.negotiated(octets[begin:end])


def tells_no_identity(signature: bytes) -> bool:
    """Whether a signature tells that its sender has no identity."""
    _, size = LONG_LAYOUT.unpack_from(signature)
    return bool(size == _NO_IDENTITY)


def version_span_untrusted(seen: spec.Octets) -> Span:
    """Judge what comes behind a signature: the major version of 3.x, or version and socket type of 2.0.

    Raises PeerError: zmtp_version, old_handshake.
    """
    if not seen or read_dialect_untrusted(SIGNATURE + bytes(seen[:_TYPE_AT])) == Dialect.V3:
        return Span(_TYPE_AT, 0, _TYPE_AT)
    if len(seen) > _TYPE_AT:
        v2.check_type_untrusted(seen[_TYPE_AT])
    return Span(VERSION_MOST, 0, VERSION_MOST)


def type_of(version: bytes) -> int | None:
    """The number of a 2.0 client's socket type, of what ``version_span_untrusted`` has found; None for 3.x."""
    return version[_TYPE_AT] if len(version) == VERSION_MOST else None


def v1_answer(properties: Mapping[str, bytes]) -> bytes:
    """What completes the handshake of ZMTP 1.0: an identity."""
    return v1.identity_frame(metadata.find(properties, "Identity") or b"")


def v2_answer(told: bytes, properties: Mapping[str, bytes]) -> bytes:
    """What completes the handshake of ZMTP 2.0. told: our type's octet, unless it was sent."""
    return told + v2.identity_frame(metadata.find(properties, "Identity") or b"")


def mechanism_span_untrusted(seen: spec.Octets) -> Span:
    """Judge as much as has come of a greeting behind its major version. Raises PeerError: mechanism."""
    return Span(check_greeting_untrusted(VERSION + bytes(seen), spec.NULL) - MAJOR_END, 0, MECHANISM_MOST)


def minor_of(mechanism: bytes) -> int:
    """The minor version, of what ``mechanism_span_untrusted`` has found."""
    return mechanism[_MINOR_AT]


def ready_span_untrusted(seen: spec.Octets, most: int) -> Span:
    """Judge as much of READY as has come. most: how large its body may be. Raises PeerError: command, metadata."""
    return read_command_untrusted(seen, _ready_due(most))


@cache
def _ready_due(most: int) -> Due:
    """READY with this bound. Operators configure few of them, and each look at a client's octets needs one."""
    return Due(spec.READY_NAME, READY_LEAST, most, Fault.METADATA, Fault.METADATA)


def read_ready_untrusted(body: bytes, minor: int) -> Negotiated:
    """What READY says. Raises PeerError: metadata."""
    properties: Mapping[str, bytes] = metadata.read_untrusted(body[READY_METADATA_AT:])
    return Negotiated(properties, Version(Dialect.V3, minor), Plain())

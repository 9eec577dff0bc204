"""The units of clients without CURVE, of any version of ZMTP: the listening side of an egress.

A client's handshake ends when the remote's has: what completes it, our identity or our READY, is held back until then.
Which unit follows depends on the client's version.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from curveproxy.policy.socket_types import ZMTP1_COUNTERPARTS
from curveproxy.proxy.accept.half_open import Authenticated, Gate, HalfOpen, Unit
from curveproxy.proxy.accept.units import FIRST
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire import spec
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.errors import LocalError
from curveproxy.wire.security import Negotiated, Security
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp import acceptor, null, v2

# The unit of ZMTP 2.0 behind its version; those between the two are of 3.x.
_IDENTITY = FIRST + 4


class PlainMechanism:
    """The units of one listener, which an egress has for itself."""

    def __init__(self) -> None:
        self._v1_type = b""  # of the clients that can not tell theirs
        self.units: Sequence[Unit] = ()

    def configure(self, gates: Sequence[Gate]) -> None:
        settings = gates[0].settings
        if settings.egress is None:
            raise LocalError("a service has no clients without CURVE")
        self._v1_type = settings.egress.client_socket_type.encode()
        most = settings.admission.max_initiate_bytes
        self.units = (
            Unit(acceptor.OPENING_MOST, self._measure_opening, self._take_opening, waits_for_service=True),
            Unit(acceptor.VERSION_MOST, acceptor.version_span_untrusted, _take_version),
            Unit(acceptor.MECHANISM_MOST, acceptor.mechanism_span_untrusted, _take_mechanism),
            Unit(most + spec.LONG_HEADER, partial(acceptor.ready_span_untrusted, most=most), _take_ready),
            Unit(acceptor.IDENTITY_MOST, v2.identity_span_untrusted, _take_identity),
        )

    def error(self, reason: str) -> bytes:
        return curve_server.error(reason)  # it is the same in every mechanism of ZMTP 3

    def _measure_opening(self, seen: Octets) -> tuple[int, int, int]:
        span = acceptor.opening_span_untrusted(seen)
        whole = bytes(seen[: span.end]) if len(seen) >= span.mark else b""  # and nothing behind it
        if not self._v1_type and acceptor.read_opening_untrusted(whole) is not None:
            raise RefusedError(Outcome.SOCKET_TYPE, "ZMTP 1.0 does not tell the client's type: set client_socket_type")
        return span

    def _take_opening(self, half: HalfOpen, octets: bytes) -> Authenticated | None:
        if (found := acceptor.read_opening_untrusted(octets)) is not None:
            return _authenticated(found, acceptor.v1_answer, {"Socket-Type": self._v1_type})
        half.note(acceptor.tells_no_identity(octets))
        half.answer(acceptor.VERSION)
        return None


def _take_version(half: HalfOpen, octets: bytes) -> Authenticated | None:
    if (theirs := acceptor.type_of(octets)) is None:
        return None
    ours = v2.type_octet(ZMTP1_COUNTERPARTS[v2.TYPES[theirs]])
    if half.noted:  # that it has no identity
        found = v2.negotiated(theirs, b"")
        return _authenticated(found, partial(acceptor.v2_answer, ours), skip=acceptor.EMPTY_IDENTITY_SIZE)
    half.note(theirs)
    half.answer(ours)
    half.go_to(_IDENTITY)
    return None


def _take_identity(half: HalfOpen, identity: bytes) -> Authenticated:
    return _authenticated(v2.negotiated(half.noted, identity), partial(acceptor.v2_answer, b""))


def _take_mechanism(half: HalfOpen, octets: bytes) -> None:
    half.note(acceptor.minor_of(octets))
    half.answer(acceptor.MECHANISM)


def _take_ready(half: HalfOpen, body: bytes) -> Authenticated:
    return _authenticated(acceptor.read_ready_untrusted(body, half.noted), null.ready)


def _authenticated(
    found: Negotiated,
    ready: Callable[[Mapping[str, bytes]], bytes],
    metadata: Mapping[str, bytes] | None = None,
    *,
    skip: int = 0,
) -> Authenticated:
    """metadata: what we know beside what it says."""
    properties = {**(metadata or {}), **found.metadata}

    def conclude(theirs: Mapping[str, bytes]) -> tuple[bytes, Security]:
        return ready(theirs), found.security

    return Authenticated(b"", b"", properties, found.version, conclude, skip)

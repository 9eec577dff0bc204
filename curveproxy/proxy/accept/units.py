"""Goes through the units of a handshake: peeks at the octets, measures them, and takes each unit that is whole."""

from collections.abc import Sequence

from curveproxy.proxy.accept.half_open import Authenticated, Gate, HalfOpen, Mechanism, Unit
from curveproxy.proxy.accept.outcomes import OUTCOMES
from curveproxy.proxy.accept.parking import Parking
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire.errors import PeerError

# The first two rows of the table: the header of a load balancer, and the first unit of the mechanism.
BALANCER, FIRST = 0, 1
# What is measured where nothing has come: one octet is enough to say more.
NOTHING = 1, 0, 0


class UnitTable:
    """The units of one listener. balancer: the unit before those of the mechanism.

    largest: how many octets the largest unit may have.
    """

    def __init__(self, balancer: Unit, mechanism: Mechanism, parking: Parking) -> None:
        self._balancer, self._mechanism, self._parking = balancer, mechanism, parking
        self._units: Sequence[Unit] = ()
        self.largest = 0

    def configure(self, gates: Sequence[Gate]) -> None:
        """Take the settings of these services."""
        self._mechanism.configure(gates)
        self._units = (self._balancer, *self._mechanism.units)
        self.largest = max(unit.most for unit in self._units)
        self._view = memoryview(bytearray(self.largest))

    def advance(self, half: HalfOpen, gone: bool) -> Authenticated | RefusedError | None:
        """Take the units that have come. gone: the peer has closed.

        Returns the end of the handshake, why it fails, or None while more octets or a service are waited for.
        """
        try:
            return self._take_units(half, gone)
        except RefusedError as error:
            return error
        except PeerError as error:
            return RefusedError(OUTCOMES[error.fault], error.detail)
        except OSError:
            return _has_gone(half)

    def _take_units(self, half: HalfOpen, gone: bool) -> Authenticated | None:
        """Raises RefusedError, PeerError and OSError."""
        if self._units[half.unit].waits_for_service and half in self._parking:
            if gone:
                raise RefusedError(Outcome.PEER_CLOSED)
            return None
        while True:
            unit = self._units[half.unit]
            came = half.peek(self._view, unit.most)
            have, gone = came or 0, gone or came == 0
            mark, begin, end = unit.measure(self._view[:have]) if have else NOTHING
            if have < mark or (unit.waits_for_service and self._parking.park(half)):
                if gone:
                    raise _has_gone(half, have)
                if have < mark:
                    half.wait(have, mark, unit.opening)
                return None
            body = bytes(self._view[begin:end])
            half.take(self._view, end)
            if (authenticated := unit.take(half, body)) is not None:
                return authenticated
            if have == end < unit.most and not gone:  # that was all, and we are woken when more comes
                half.wait(0, 1, self._units[half.unit].opening)
                return None


def _has_gone(half: HalfOpen, have: int = 0) -> RefusedError:
    """The outcome when the peer has closed or its socket has failed.

    A peer that has sent nothing has only probed whether somebody listens.
    """
    is_silent = half.unit <= FIRST and not have and half.mark <= 1
    return RefusedError(Outcome.PROBE if is_silent else Outcome.PEER_CLOSED)

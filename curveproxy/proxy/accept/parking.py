"""Half-open connections that wait while their service is down. Waiting costs nothing: their HELLO is in the kernel."""

import random
from collections.abc import Sequence

from curveproxy.proxy.accept.half_open import Gate, HalfOpen
from curveproxy.proxy.net.reactor import Reactor


class Parking:
    """The parked connections of one listener, and those drawn to find out whether the service is up again."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._gates: Sequence[Gate] = ()
        self._parked: dict[HalfOpen, None] = {}
        self._drawn: set[HalfOpen] = set()

    def configure(self, gates: Sequence[Gate]) -> None:
        """These services are behind the listener now."""
        self._gates = gates
        for gate in gates:
            gate.on_recovery(self.resume)

    def __contains__(self, half: HalfOpen) -> bool:
        return half in self._parked

    def park(self, half: HalfOpen) -> bool:
        """Park a connection if all services are down; whether it was parked.

        HELLO is not opened yet, so its service is unknown: one service that is up is enough to go on.
        """
        if half in self._drawn or not self._all_are_down:
            return False
        self._parked[half] = None
        return True

    def forget(self, half: HalfOpen) -> None:
        """A connection has ended or is authenticated."""
        self._parked.pop(half, None)
        self._drawn.discard(half)

    @property
    def _all_are_down(self) -> bool:
        return all(gate.is_down for gate in self._gates)

    def resume(self) -> None:
        """A service is up again: schedule all connections with the reactor."""
        for half in self._parked:
            self._reactor.schedule(half)
        self._parked.clear()

    def tick(self, now: float) -> None:
        """Check whether a service is up again, or let a few connections find out.

        The connections are drawn by lot, so that nobody can occupy all the probes.
        """
        if not self._parked:
            return
        if not self._all_are_down:  # it is another service by now, which nobody has dialled
            self.resume()
        for gate in self._gates:
            gate.check_listener(now)
        if many := max(gate.allow_probes(now) for gate in self._gates):
            for half in random.sample(list(self._parked), min(many, len(self._parked))):
                del self._parked[half]
                self._drawn.add(half)
                self._reactor.schedule(half)

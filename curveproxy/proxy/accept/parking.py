"""Half-open connections that wait for their service, which is down. They cost nothing: their HELLO is in the kernel."""

import random
from collections.abc import Sequence

from curveproxy.proxy.accept.half_open import Gate, HalfOpen
from curveproxy.proxy.net.reactor import Reactor


class Parking:
    """Those of one listener, and those that go on to find out whether their service is up again."""

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
        """Whether a connection has to wait here.

        Which service it wants is not known yet: one that is up is reason enough to go on.
        """
        if half in self._drawn or not self._all_are_down:
            return False
        self._parked[half] = None
        return True

    def forget(self, half: HalfOpen) -> None:
        """A connection has ended, or is let in."""
        self._parked.pop(half, None)
        self._drawn.discard(half)

    @property
    def _all_are_down(self) -> bool:
        return all(gate.is_down for gate in self._gates)

    def resume(self) -> None:
        """A service is up again: all go on, in the turns of the reactor."""
        for half in self._parked:
            self._reactor.schedule(half)
        self._parked.clear()

    def tick(self, now: float) -> None:
        """Look whether a service is up, or let some connections find out.

        They are drawn by lot, so that nobody can occupy all the probes.
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

"""A running proxy with a service behind it, and what it counts of who comes to its door."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.process import Sidecar, wait_until
from support.service import RawService

OUTCOMES = "curveproxy_handshakes_total"


class Door:
    """A running proxy with a service behind it, and what it counts."""

    def __init__(self, proxy: Sidecar, service: RawService) -> None:
        self.proxy, self.service = proxy, service
        self.keys = proxy.new_client("alice")

    def outcomes(self) -> dict[str, float]:
        """Outcome -> how often, of those that came at all."""
        return {
            dict(labels)["outcome"]: value
            for (name, labels), value in self.proxy.metrics().items()
            if name == OUTCOMES and value
        }

    @contextmanager
    def expecting(self, **wanted: int) -> Iterator[None]:
        """These outcomes come of what is done inside, these alone, and nothing is dialled for any but admitted."""
        before, dialled = self.outcomes(), len(self.service.accepted)
        yield

        def come() -> dict[str, float]:
            now = self.outcomes()
            return {name: now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}

        wait_until(lambda: sum(come().values()) >= sum(wanted.values()), f"outcomes {wanted}")
        assert come() == wanted
        if "admitted" not in wanted:
            assert len(self.service.accepted) == dialled

    def hint(self, outcome: str) -> str:
        """The hint of the newest line about an outcome."""
        lines = [line for line in self.proxy.log if line.get("outcome") == outcome]
        return str(lines[-1]["hint"]) if lines else ""

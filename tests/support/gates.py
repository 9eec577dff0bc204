"""A service as a listener knows it, and the owner of half-open connections, as stand-ins."""

from collections.abc import Callable
from typing import Any

from attrs import evolve

from curveproxy.proxy.accept.half_open import HalfOpen
from curveproxy.proxy.applying import Applicant, Applying
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire.curve.keys import KeyPair
from support.fakes import RecordingObserver

NOWHERE = Endpoint("ipc", "@nowhere")


class RecordingGate:
    """Keeps who applied. What it answers may be set.

    refusal: its objection to everybody; is_down: whether clients wait; probes: how many of them may go on, once.
    checks: when it was asked to look whether the service listens; resume: what it is to call on recovery.
    """

    def __init__(self, name: str = "test", **settings: Any) -> None:
        keys = settings.pop("server_keys", None) or (KeyPair.generate(),)
        self.settings = ServiceSettings(name, NOWHERE, NOWHERE, keys, **settings)
        self.observer = RecordingObserver()
        self.applied: list[Applying] = []
        self.refusal: RefusedError | None = None
        self.is_down, self.probes = False, 0
        self.checks: list[float] = []
        self.resume: Callable[[], None] = lambda: None

    def configure(self, **settings: Any) -> None:
        """Change some settings."""
        self.settings = evolve(self.settings, **settings)

    def name_of(self, key: bytes) -> str:
        return "alice"

    def objection(self, applicant: Applicant) -> RefusedError | None:
        return self.refusal

    def apply(self, applying: Applying) -> None:
        self.applied.append(applying)

    def allow_probes(self, now: float) -> int:
        probes, self.probes = self.probes, 0
        return probes

    def check_listener(self, now: float) -> None:
        self.checks.append(now)

    def on_recovery(self, resume: Callable[[], None]) -> None:
        self.resume = resume


class RecordingOwner:
    """Keeps what half-open connections tell it."""

    def __init__(self) -> None:
        self.advanced: list[tuple[HalfOpen, bool]] = []
        self.errors: list[str] = []

    def advance(self, half: HalfOpen, *, gone: bool) -> None:
        self.advanced.append((half, gone))

    def failed(self, half: HalfOpen, error: Exception) -> None:
        self.errors.append(str(error))

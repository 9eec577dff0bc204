"""A service as a listener knows it, and the owner of half-open connections, as stand-ins."""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import evolve

from curveproxy.policy.access.terms import ANYBODY, Grant
from curveproxy.policy.limits import AdmissionLimits
from curveproxy.proxy.accept.half_open import HalfOpen
from curveproxy.proxy.applying import Applicant, Applying
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.endpoint import Endpoint, Network
from curveproxy.proxy.settings import EgressSettings, RefusalMode, ServiceSettings
from curveproxy.wire.curve.keys import KeyPair
from support.curve import Keys
from support.fakes import RecordingObserver

HERE, NOWHERE = Endpoint("tcp", "127.0.0.1", 0), Endpoint("tcp", "127.0.0.1", 1)


def egress(**options: Any) -> EgressSettings:
    """What an egress has, whose remote nobody dials."""
    return EgressSettings((NOWHERE,), (Keys.new().public,), KeyPair.generate(), **options)


class RecordingGate:
    """A service that lets nobody in and refuses nobody: it keeps who applies.

    keys: the pair of its first server key; egress: makes an egress of it.
    refusal: its objection to everybody; is_down, probes: as it says; checks: how often it was to look for a listener.
    """

    def __init__(
        self,
        name: str = "test",
        *,
        server_keys: Sequence[Keys] = (),
        refuses_by: RefusalMode = RefusalMode.ERROR,
        balancers: Sequence[Network] = (),
        egress: EgressSettings | None = None,
        **limits: Any,
    ) -> None:
        server_keys = server_keys or [Keys.new()]
        self.keys = server_keys[0]
        self.settings = ServiceSettings(
            name,
            HERE,
            NOWHERE,
            _pairs(server_keys),
            refusal=refuses_by,
            proxy_protocol_from=tuple(balancers),
            admission=AdmissionLimits(**limits),
            egress=egress,
        )
        self.observer = RecordingObserver()
        self.applied: list[Applying] = []
        self.refusal: RefusedError | None = None
        self.is_down, self.probes, self.checks = False, 0, 0
        self.resume: Callable[[], None] = lambda: None

    def configure(self, *, server_keys: Sequence[Keys] = (), **limits: Any) -> None:
        """Change server keys, or limits."""
        self.settings = evolve(
            self.settings,
            server_keys=_pairs(server_keys) if server_keys else self.settings.server_keys,
            admission=evolve(self.settings.admission, **limits),
        )

    def name_of(self, applicant: Applicant) -> str:
        assert len(applicant.key) in (0, 32)
        return "alice"

    def judge(self, applicant: Applicant) -> Grant | RefusedError:
        assert len(applicant.key) in (0, 32)
        return self.refusal or ANYBODY

    def apply(self, applying: Applying) -> None:
        self.applied.append(applying)

    def allow_probes(self, now: float) -> int:
        assert now <= trio.current_time()
        probes, self.probes = self.probes, 0
        return probes

    def check_listener(self, now: float) -> None:
        assert now <= trio.current_time()
        self.checks += 1

    def on_recovery(self, resume: Callable[[], None]) -> None:
        self.resume = resume


def _pairs(keys: Sequence[Keys]) -> tuple[KeyPair, ...]:
    return tuple(KeyPair(each.public, each.secret) for each in keys)


class RecordingOwner:
    """Keeps what half-open connections tell it."""

    def __init__(self) -> None:
        self.advanced: list[tuple[HalfOpen, bool]] = []
        self.errors: list[str] = []

    def advance(self, half: HalfOpen, *, gone: bool) -> None:
        self.advanced.append((half, gone))

    def failed(self, half: HalfOpen, error: Exception) -> None:
        self.errors.append(str(error))

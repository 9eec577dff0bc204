"""Whose certificates are believed here, within which bounds. There are no chains: who signs is listed."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from attrs import field, frozen

from curveproxy.policy.access.revocations import NOTHING_REVOKED, Revocations
from curveproxy.wire.certificate import BACKDATED, Certificate
from curveproxy.wire.timestamp import DAY

# For how many days a certificate may be valid that a client presents, where nothing else is configured.
MAX_DAYS = 31
CLOCK_SKEW_SECONDS = 60


@frozen
class Authority:
    """One that is listed.

    file: what it is called here, in log and metrics; key: of Ed25519, 32 octets.
    names: patterns of ``fnmatch``, one of which the name of what it has signed must fit, in that case.
    max_days: how long that may be valid; None for any time.
    """

    file: str
    key: bytes
    names: Sequence[str] = ("*",)
    max_days: int | None = None

    def objection(self, certificate: Certificate) -> str | None:
        """Why it may not sign this here; None when it may."""
        if not any(fnmatchcase(certificate.name, pattern) for pattern in self.names):
            return "the name is not among those that its authority may sign"
        # Signers date the begin back, which takes nothing from the days.
        seconds = certificate.valid_until - certificate.valid_from - BACKDATED
        if self.max_days is not None and seconds > self.max_days * DAY:
            return f"it is valid for more than {self.max_days} days"
        return None


@frozen
class Trust:
    """What is believed at one place. skew: how many seconds clocks may differ."""

    authorities: Sequence[Authority] = ()
    revocations: Revocations = field(default=NOTHING_REVOKED)
    skew: float = CLOCK_SKEW_SECONDS

    def authority(self, key: bytes) -> Authority | None:
        """The listed authority of that key."""
        return next((each for each in self.authorities if each.key == key), None)

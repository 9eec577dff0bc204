"""Whose certificates are believed: the files of authorities, and a revocation list, read again when they change.

What can not be read any more, or is gone, stays as it was: nobody is let in or sent away by half a file.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from curveproxy.app.config.authorities import read_authority, read_revocations
from curveproxy.app.config.certificates import KeyFileError
from curveproxy.app.config.schema import AuthorityConfig
from curveproxy.app.config.signed import RevokedFile
from curveproxy.app.observe.log import Notices
from curveproxy.app.watch.files import Entry, Files, Listing, Watched, listing_of
from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.judgement import flaw_now
from curveproxy.policy.access.revocations import Revocations
from curveproxy.reasons import CertificateFlaw
from curveproxy.wire.certificate import Certificate

UNREADABLE_TRUST = "an authority or a revocation list can not be read"
GONE, GONE_HINT = (
    "files of authorities, or a revocation list, are gone",
    "what they held stays in force: put the files back",
)
FLAWED = "certificates among the clients are not believed"
# How many files one line names.
FILES_MAX = 20


class TrustFiles(Watched[bytes | Revocations]):
    """Those of one service, or of one egress. trust: as they are now."""

    _place = "files of authorities"

    def __init__(
        self, authorities: Sequence[AuthorityConfig], revoked: RevokedFile | None, skew: float, log: Notices
    ) -> None:
        super().__init__(log)
        self._authorities, self._revoked, self._skew = authorities, revoked, skew
        self._values: dict[str, bytes | Revocations] = {str(each.file.file): each.file.octets for each in authorities}
        if revoked is not None:
            self._values[str(revoked.file)] = revoked.revocations
        entries = {name: Entry[bytes | Revocations](None, value) for name, value in self._values.items()}
        self.files = Files(self._read, log.warning, UNREADABLE_TRUST, entries, are_keys=False)
        self.trust = self._made()

    @property
    def paths(self) -> Collection[str]:
        """The files."""
        return self._values.keys()

    def _changed(self) -> None:
        present = {name: entry.value for name, entry in self.files.entries.items() if entry.value is not None}
        if gone := sorted(self._values.keys() - present.keys()):
            self._log.warning(GONE, files=gone, hint=GONE_HINT)
        self._values |= present
        self.trust = self._made()

    def _made(self) -> Trust:
        keys = {name: value for name, value in self._values.items() if isinstance(value, bytes)}
        authorities = tuple(each.authority(keys[str(each.file.file)]) for each in self._authorities)
        revocations = None if self._revoked is None else self._values[str(self._revoked.file)]
        if isinstance(revocations, Revocations):
            return Trust(authorities, revocations, self._skew)
        return Trust(authorities, skew=self._skew)

    def _listing(self) -> Listing:
        return listing_of({name: Path(name) for name in self._values})

    def _read(self, name: str) -> bytes | Revocations:
        path = Path(name)
        if self._revoked is not None and path == self._revoked.file:
            return read_revocations(path)
        key = read_authority(path).key
        for other, value in self._values.items():
            if other != name and value == key:
                raise KeyFileError(f"{path} holds the key of {other}: once will do")
        return key


def some(files: Sequence[str]) -> Sequence[str]:
    """As many of them as a line can hold."""
    return [*files[:FILES_MAX], *[f"and {len(files) - FILES_MAX} more"] * (len(files) > FILES_MAX)]


def warn_of_flawed(certificates: Mapping[str, Certificate], trust: Trust, log: Notices) -> None:
    """Warn of certificates that lie among the keys and are not believed now. certificates: by the names of their files.

    Their signatures have been looked at.
    """
    now = time.time()
    flaws: dict[CertificateFlaw, list[str]] = {}
    for name, certificate in sorted(certificates.items()):
        if (found := flaw_now(certificate, trust, now)) is not None:
            flaws.setdefault(found, []).append(name)
    for flaw, files in flaws.items():
        log.warning(FLAWED, flaw=flaw, files=some(files), hint=flaw.hint)

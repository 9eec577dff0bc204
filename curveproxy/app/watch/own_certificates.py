"""Certificates of our own keys, or of a remote's, that the configuration names. They are read again when they change.

What can not be read any more, or is gone, stays as it was.
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from curveproxy.app.config.signed import ClientCertificate, ServerCertificate, read_signed_of
from curveproxy.app.observe.log import Notices
from curveproxy.app.watch.files import Entry, Files, Listing, Watched, listing_of
from curveproxy.wire.certificate import Certificate
from curveproxy.wire.timestamp import write_time

UNREADABLE_CERTIFICATE = "a certificate can not be read"
GONE, GONE_HINT = "files of certificates are gone", "those that they held stay in force: put the files back"
ENDED, ENDED_HINT = "a certificate is valid no more", "nobody believes it: have its key signed anew"


class CertificateFiles(Watched[Certificate]):
    """Some files of certificates. None of the sequence is no file."""

    _place = "certificates"

    def __init__(self, files: Sequence[ServerCertificate | ClientCertificate | None], log: Notices) -> None:
        super().__init__(log)
        self._kinds = {str(each.file): each.kind for each in files if each is not None}
        self._values = {str(each.file): each.certificate for each in files if each is not None}
        self._former: dict[str, Certificate] = {}
        entries = {name: Entry(None, value) for name, value in self._values.items()}
        self.files = Files(self._read, log.warning, UNREADABLE_CERTIFICATE, entries, are_keys=False)

    @property
    def paths(self) -> Collection[str]:
        """The files."""
        return self._kinds.keys()

    def of(self, keys: Collection[bytes] | None = None) -> Sequence[Certificate]:
        """The certificates of these public keys, in the order of the files; of any key without them.

        Key and certificate are not replaced at one moment: until the key is there, the certificate of the former stays.
        """
        both = [(value, self._former.get(name, value)) for name, value in self._values.items()]
        found = [next((each for each in pair if keys is None or each.key in keys), None) for pair in both]
        return [each for each in found if each is not None]

    def _changed(self) -> None:
        present = {name: entry.value for name, entry in self.files.entries.items() if entry.value is not None}
        if gone := sorted(self._values.keys() - present.keys()):
            self._log.warning(GONE, files=gone, hint=GONE_HINT)
        self._former |= {name: self._values[name] for name in present if present[name].key != self._values[name].key}
        self._values |= present
        now = time.time()
        for name in sorted(self.files.fresh & present.keys()):
            if (until := present[name].valid_until) < now:
                self._log.warning(ENDED, file=name, until=write_time(until), hint=ENDED_HINT)

    def _listing(self) -> Listing:
        return listing_of({name: Path(name) for name in self._kinds})

    def _read(self, name: str) -> Certificate:
        return read_signed_of(Path(name), self._kinds[name])

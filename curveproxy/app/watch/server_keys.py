"""A service's own keys: one, or several while one replaces another. They are read again when their files change."""

from collections.abc import Sequence
from pathlib import Path

from curveproxy.app.config.certificates import SECRET_SUFFIX, read_key_pair, warn_of_open_secret
from curveproxy.app.config.keys import SecretKey
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.troubles import NO_KEY, NO_KEY_HINT
from curveproxy.app.watch.files import Entry, Files, Listing, Watched, listing_of
from curveproxy.wire.curve.keys import KeyPair

# The name in the metrics of a key that is in no file.
TEMPORARY = "temporary"


class ServerKeys(Watched[KeyPair]):
    """The key files of one service. names: the keys in force, in their order, each with the stem of its file."""

    _place = "server keys"
    _log: Log

    def __init__(self, keys: Sequence[SecretKey], log: Log) -> None:
        super().__init__(log)
        self._unwritten = {key.pair: TEMPORARY for key in keys if key.file is None}
        self._paths = {str(key.file): key.file for key in keys if key.file is not None}
        entries = {str(key.file): Entry[KeyPair](None, key.pair) for key in keys if key.file is not None}
        self.files = Files(self._read, log.warning, "server key can not be read", entries)
        for path in self._paths.values():
            warn_of_open_secret(path, log.warning)
        self._changed()

    def _changed(self) -> None:
        present = {
            path: self.files.entries[name].value for name, path in self._paths.items() if name in self.files.entries
        }
        named = {pair: path.name.removesuffix(SECRET_SUFFIX) for path, pair in present.items() if pair is not None}
        self.names = self._unwritten | named
        if not self.names:
            self._log.error(NO_KEY, hint=NO_KEY_HINT)

    def _listing(self) -> Listing:
        return listing_of(self._paths)

    def _read(self, name: str) -> KeyPair:
        return read_key_pair(Path(name))

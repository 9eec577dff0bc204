"""A service's own keys: one, or several while one takes the place of another. They are read again when they change."""

from collections.abc import Sequence
from pathlib import Path

from curveproxy.app.config.certificates import SECRET_SUFFIX, read_key_pair, warn_of_open_secret
from curveproxy.app.config.schema import ServerKey
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.troubles import NO_KEY, NO_KEY_HINT
from curveproxy.app.watch.files import Entry, Files, Listing, Watched, stamp
from curveproxy.wire.curve.keys import KeyPair

# What a key is called in the metrics that is in no file.
TEMPORARY = "temporary"


class ServerKeys(Watched[KeyPair]):
    """names: the pairs that are in force, in their order, and the stem of each one's file."""

    _place = "server keys"
    _log: Log

    def __init__(self, keys: Sequence[ServerKey], log: Log) -> None:
        super().__init__(log)
        self._unwritten = {key.pair: TEMPORARY for key in keys if key.file is None}
        self._paths = {str(key.file): key.file for key in keys if key.file is not None}
        self.files = Files(self._read, log.warning, "server key can not be read")
        self.files.entries = {str(key.file): Entry(None, key.pair) for key in keys if key.file is not None}
        for path in self._paths.values():
            warn_of_open_secret(path, log.warning)
        self._taken()

    def _taken(self) -> None:
        present = {
            path: self.files.entries[name].value for name, path in self._paths.items() if name in self.files.entries
        }
        named = {pair: path.name.removesuffix(SECRET_SUFFIX) for path, pair in present.items() if pair is not None}
        self.names = self._unwritten | named
        if not self.names:
            self._log.error(NO_KEY, hint=NO_KEY_HINT)

    def _listing(self) -> Listing:
        stamps = {name: stamp(path) for name, path in self._paths.items()}
        return {name: found for name, found in stamps.items() if found is not None}

    def _read(self, name: str) -> KeyPair:
        return read_key_pair(Path(name))

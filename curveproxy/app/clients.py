"""The allow-list: a directory of certificates, and the keys of the configuration beside it.

A certificate's metadata may bind its key: ``identity``, ``socket-types``, ``services``, and limits of its own.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs
from attrs import field, frozen

from curveproxy.app.config import Service
from curveproxy.app.files import Files, Listing, Stamp, Watched
from curveproxy.app.keys import PUBLIC_SUFFIX, SECRET_SUFFIX, KeyFileError, read_certificate
from curveproxy.app.logs import Log
from curveproxy.policy.clients import UNBOUND, Binding, ClientList
from curveproxy.policy.limits import ClientLimits
from curveproxy.policy.properties import identity_is_sane
from curveproxy.policy.sockettypes import known

# Regular files, and what tells of itself why it can not be read.
FILES = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
# The one warning that ``check`` calls an error: the client whose key it is can not connect.
UNREADABLE = "client key can not be read"
# What the limits of one client are called there, and how long they may be.
DIGITS = 18
LIMITS = {name.replace("_", "-"): name for name in attrs.fields_dict(ClientLimits)}
NOBODY, NOBODY_HINT = "nobody can connect", "put the clients' .key files into the clients directory"


@frozen
class Client:
    """What a certificate says of its owner. services: those that it may use; empty for all."""

    key: bytes
    binding: Binding = UNBOUND
    services: frozenset[str] = field(factory=frozenset)


def read_client(path: Path) -> Client:
    """Read a client's certificate. Raises KeyFileError."""
    certificate = read_certificate(path)
    words = {name: text.replace(",", " ").split() for name, text in certificate.metadata.items()}
    identity = certificate.metadata.get("identity", "").encode()
    socket_types = frozenset(word.encode() for word in words.get("socket-types", ()))
    if not identity_is_sane(identity):
        raise KeyFileError(f"{path}: its identity is longer than 255 octets")
    if "unknown" in map(known, socket_types):
        raise KeyFileError(f"{path}: among its socket-types is one that nobody knows")
    limits = {}
    for name in LIMITS.keys() & certificate.metadata.keys():
        text = certificate.metadata[name]
        if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
            raise KeyFileError(f"{path}: its {name} is not a whole number of at most {DIGITS} digits")
        limits[LIMITS[name]] = int(text)
    binding = Binding(identity, socket_types, limits)
    return Client(certificate.public, binding, frozenset(words.get("services", ())))


class Clients(Watched[Client]):
    """The list of one service's clients. list: as it is now."""

    _place = "clients directory"

    def __init__(self, path: Path | None, keys: list[bytes], allow_any: bool, log: Log, *, service: str = "") -> None:
        super().__init__(log)
        self._path, self._keys, self._allow_any, self._service = path, keys, allow_any, service
        self.files = Files(self._read, log.warning, UNREADABLE)
        self._warned: set[str] = set()
        self._taken()

    @classmethod
    def of(cls, service: Service, log: Log) -> Self:
        """The clients of a service of the configuration."""
        clients = service.clients
        keys = [key.octets for key in clients.keys]
        return cls(clients.directory, keys, clients.allow == "any", log, service=service.name)

    def load(self) -> ClientList:
        """The list as it is now; for the start, before there is anything to block."""
        self.refresh()
        self.warn_if_empty()
        return self.list

    def warn_if_empty(self) -> None:
        if not self.list.names and not self._allow_any:
            self._log.warning(NOBODY, hint=NOBODY_HINT)

    def _taken(self) -> None:
        self._warn_of_twins()
        names: dict[bytes, str | None] = dict.fromkeys(self._keys)
        bindings = {}
        # Of two files with one key the first by name counts.
        for name, client in sorted(self._present().items(), reverse=True):
            if not client.services or self._service in client.services:
                # It is told to the service, in UTF-8; a file name may be anything.
                names[client.key] = os.fsencode(name.removesuffix(PUBLIC_SUFFIX)).decode(errors="replace")
                bindings[client.key] = client.binding
        bound = {key: binding for key, binding in bindings.items() if binding != UNBOUND}
        self.list = ClientList(names, self._allow_any, bound)

    def _present(self) -> Mapping[str, Client]:
        return {name: entry.value for name, entry in self.files.entries.items() if entry.value is not None}

    def _warn_of_twins(self) -> None:
        """One key under two names. Of a file that was renamed the old name is missing: that is no twin."""
        fresh, first = self.files.fresh, dict[bytes, str]()
        for name, client in sorted(self._present().items()) if fresh else ():
            if self.files.entries[name].missing:
                continue
            if (other := first.setdefault(client.key, name)) != name and fresh & {name, other}:
                self._log.warning(
                    "two files hold one client's key", files=[other, name], hint=f"the name of {other} is used"
                )

    def _listing(self) -> Listing:
        found: dict[str, Stamp] = {}
        for file in self._path.iterdir() if self._path is not None else ():
            if file.name.startswith("."):
                continue
            if file.suffix == SECRET_SUFFIX:
                self._warn_once(file, "a secret key lies among the clients", "only .key files belong there")
            if file.suffix != PUBLIC_SUFFIX:
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue  # it went while we looked
            except OSError:  # one that can not be followed spoils only itself
                status = file.lstat()
            if stat.S_IFMT(status.st_mode) not in FILES:  # not even its times hold still
                self._warn_once(file, "what lies among the clients is no regular file", "it is passed over")
                continue
            found[file.name] = Stamp.of(status)
        return found

    def _read(self, name: str) -> Client:
        assert self._path is not None
        return read_client(self._path / name)

    def _warn_once(self, file: Path, event: str, hint: str) -> None:
        if file.name not in self._warned:
            self._warned.add(file.name)
            self._log.warning(event, file=str(file), hint=hint)

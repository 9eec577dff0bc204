"""The allow-list: a directory of certificates, and the keys of the configuration beside it.

Any file there may be a certificate, for CZMQ gives them any name; but not one whose name says that it is a backup.
A certificate's metadata may restrict its key: ``identity``, ``socket-types``, ``services``, ``topics``,
``publish-topics``, and limits of its own. A name there that is nearly one of these refuses the certificate: a
misspelled restriction must not let anybody in.

Where authorities are believed, certificates that they have signed lie among the keys, several of one key if need be.
"""

import difflib
import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

import attrs
from attrs import evolve, field, frozen

from curveproxy.app.config.certificates import PUBLIC_SUFFIX, KeyFileError, NoCertificateError, read_certificate
from curveproxy.app.config.schema import AllowMode, ServiceConfig
from curveproxy.app.config.signed import read_signed_of
from curveproxy.app.observe.log import Notices
from curveproxy.app.observe.text import suggestion
from curveproxy.app.observe.troubles import NOBODY, NOBODY_HINT
from curveproxy.app.watch.files import Files, Listing, Stamp, Watched
from curveproxy.app.watch.trust import some, warn_of_flawed
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.terms import NO_TERMS, KeyTerms
from curveproxy.policy.limits import ClientLimits
from curveproxy.policy.metadata import is_safe_identity
from curveproxy.policy.socket_types import known
from curveproxy.wire.certificate import ANY_TOPIC, CLIENT, read_topics
from curveproxy.wire.certificate import Certificate as SignedCertificate

# Regular files, and those whose error says why they can not be read.
FILES = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
# The one warning that ``check`` calls an error: the client of that key can not connect.
UNREADABLE = "client key can not be read"
# The limits of one client by their names in a certificate, and how many digits each may have.
DIGITS = 18
LIMITS = {name.replace("_", "-"): name for name in attrs.fields_dict(ClientLimits)}
# The names in a certificate's metadata that mean something here.
TOPICS = ("topics", "publish-topics")
KNOWN = ("identity", "socket-types", "services", *TOPICS, *LIMITS)
# How much alike a misspelled name and a known one are, as difflib counts.
ALIKE = 0.75
# Ends of file names: of certificates, which are no part of the client's name; of secret keys, as CZMQ and zmq.auth name
# them; of files that were set aside, whose clients are not let in.
SUFFIXES = (PUBLIC_SUFFIX, ".pub", ".cert")
SECRET = "_secret"  # noqa: S105  a suffix
ASIDE = ("~", ".bak", ".old", ".orig", ".save", ".tmp", ".swp", ".disabled", ".off", ".revoked", ".rpmsave", ".rpmnew")
PASSED_OVER, ASIDE_HINT = (
    "a file among the clients is passed over",
    "by its name it has been set aside: call it NAME.key",
)
NO_SERVICE = "a client is for a service that does not exist"
BOTH, BOTH_HINT = (
    "keys of clients are both listed and certified",
    "they are what the list says, without an end: take the key off the list, and its certificate counts",
)


@frozen
class Client:
    """What a certificate says of its owner. services: those that it may use; empty for all.

    unknown: names in its metadata that mean nothing here; signed: what an authority has signed, which is no entry of
    the list by itself.
    """

    key: bytes
    terms: KeyTerms = NO_TERMS
    services: frozenset[str] = field(factory=frozenset)
    unknown: frozenset[str] = field(factory=frozenset)
    signed: SignedCertificate | None = None


def read_client(path: Path, *, authorities: bool = False) -> Client:
    """Read a client's certificate. authorities: whether there are any, who may have signed it. Raises KeyFileError."""
    certificate = read_certificate(path)
    if certificate.secret is not None:
        raise KeyFileError(f"{path} holds a secret key: leave it to its owner, and put the public half here")
    if certificate.is_signed and authorities:
        signed = read_signed_of(path, CLIENT)
        return Client(signed.key, services=signed.services or frozenset(), signed=signed)
    if certificate.is_signed:  # as a key without an end it would let its owner in for ever
        hint = "this directory takes keys, and knows no authority: put the .key file here"
        raise KeyFileError(f"{path} is a certificate that an authority has signed: {hint}")
    _check_names(path, certificate.metadata, certificate.elsewhere)
    lists = {name: text.replace(",", " ").split() for name, text in certificate.metadata.items()}
    identity = certificate.metadata.get("identity", "").encode()
    socket_types = frozenset(each.encode() for each in lists.get("socket-types", ()))
    if not is_safe_identity(identity):
        raise KeyFileError(f"{path}: its identity is longer than 255 octets")
    if "unknown" in map(known, socket_types):
        raise KeyFileError(f"{path}: among its socket-types is one that nobody knows")
    limits = {}
    for name in LIMITS.keys() & certificate.metadata.keys():
        text = certificate.metadata[name]
        if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
            raise KeyFileError(f"{path}: its {name} is not a whole number of at most {DIGITS} digits")
        limits[LIMITS[name]] = int(text)
    topics, publish_topics = (_topics(path, name, certificate.metadata) for name in TOPICS)
    terms = KeyTerms(identity, socket_types, limits, topics, publish_topics)
    unknown = frozenset(certificate.metadata.keys() - set(KNOWN))
    return Client(certificate.public, terms, frozenset(lists.get("services", ())), unknown)


def _topics(path: Path, name: str, metadata: Mapping[str, str]) -> Sequence[bytes] | None:
    """Prefixes of topics; None for any. Raises KeyFileError."""
    try:
        return read_topics(metadata.get(name, ANY_TOPIC))
    except ValueError as error:
        raise KeyFileError(f"{path}: its {name}: {error}") from None


def _check_names(path: Path, metadata: Mapping[str, str], elsewhere: Collection[str]) -> None:
    """Refuse what looks like a restriction and is none. Raises KeyFileError."""
    for name in sorted({*metadata, *elsewhere}):
        close = difflib.get_close_matches(name.lower().replace("_", "-"), KNOWN, 1, ALIKE)
        if close and name != close[0]:
            raise KeyFileError(f"{path}: no {name} is known: did you mean {close[0]}")
        if close and name in elsewhere:
            raise KeyFileError(f"{path}: its {name} is not in the section metadata")
        if close and name not in LIMITS and not metadata[name].strip(", "):
            raise KeyFileError(f"{path}: its {name} is empty: without any restriction leave the line out")


def client_name(file: str) -> str:
    """The name of the client whose certificate is in that file.

    It is sent to the service in UTF-8, and a file name may be any octets.
    """
    stem = next((file.removesuffix(suffix) for suffix in SUFFIXES if file.endswith(suffix)), file)
    return os.fsencode(stem).decode(errors="replace")


class Clients(Watched[Client]):
    """The clients of one service. list: as it is now, without whom it trusts.

    trust: tells whose certificates are believed now; with nobody there certificates are no files of this directory.
    """

    _place = "clients directory"

    def __init__(
        self,
        path: Path | None,
        keys: list[bytes],
        allow_any: bool,
        log: Notices,
        *,
        service: str = "",
        trust: Callable[[], Trust] = Trust,
    ) -> None:
        super().__init__(log)
        self._trust = trust
        self._path, self._keys, self._allow_any, self._service = path, keys, allow_any, service
        self._services: Collection[str] = ()
        self.files = Files(self._read, log.warning, UNREADABLE)
        self._warned: set[str] = set()
        self._unknown: set[str] = set()
        self._both: set[str] = set()
        self._changed()

    @classmethod
    def of(cls, service: ServiceConfig, services: Collection[str], log: Notices, trust: Callable[[], Trust]) -> Self:
        """The clients of a service of the configuration. services: the names of all; trust: whose certificates."""
        clients = service.clients
        keys = [key.octets for key in clients.keys]
        found = cls(clients.directory, keys, clients.allow == AllowMode.ANY, log, service=service.name, trust=trust)
        found.know(services, trust)
        return found

    def know(self, services: Collection[str], trust: Callable[[], Trust]) -> None:
        """Set the names of all services, to find those in certificates that do not exist, and whom to ask for trust."""
        self._services, self._trust = services, trust

    def load(self) -> AccessList:
        """Read the list, at the start."""
        self.refresh()
        self.warn_if_empty()
        return self.list

    def warn_if_empty(self) -> None:
        if evolve(self.list, trust=self._trust()).is_empty:
            self._log.warning(NOBODY, hint=NOBODY_HINT)

    def _changed(self) -> None:
        self._warn_of_twins()
        self._check_metadata()
        signed = {name: each.signed for name, each in self._present().items() if each.signed is not None}
        names: dict[bytes, str | None] = dict.fromkeys(self._keys)
        terms = {}
        # Of two files with one key the first name counts.
        for name, client in sorted(self._keys_present().items(), reverse=True):
            if not client.services or self._service in client.services:
                names[client.key] = client_name(name)
                terms[client.key] = client.terms
        own = {key: each for key, each in terms.items() if each != NO_TERMS}
        certified: dict[bytes, tuple[bytes, ...]] = {}
        for _, certificate in sorted(signed.items()):
            certified[certificate.key] = (*certified.get(certificate.key, ()), certificate.text)
        self.list = AccessList(names, self._allow_any, own, certified)
        self._warn_of_signed(signed)

    def _warn_of_signed(self, signed: Mapping[str, SignedCertificate]) -> None:
        """Warn of certificates that have come and do not count."""
        fresh = {name: each for name, each in signed.items() if name in self.files.fresh}
        warn_of_flawed(fresh, self._trust(), self._log)
        both = {name for name, each in signed.items() if each.key in self.list.names}
        if new := sorted(both - self._both):
            self._log.warning(BOTH, files=some(new), hint=BOTH_HINT)
        self._both = both

    def _present(self) -> Mapping[str, Client]:
        return {name: entry.value for name, entry in self.files.entries.items() if entry.value is not None}

    def _keys_present(self) -> Mapping[str, Client]:
        return {name: client for name, client in self._present().items() if client.signed is None}

    def _warn_of_twins(self) -> None:
        """Warn of one key under two names, and of one name for two keys. The old name of a renamed file is missing."""
        fresh, first, named = self.files.fresh, dict[bytes, str](), dict[str, str]()
        for name, client in sorted(self._keys_present().items()) if fresh else ():
            if self.files.entries[name].missing:
                continue
            if (other := first.setdefault(client.key, name)) != name and fresh & {name, other}:
                self._log.warning(
                    "two files hold one client's key", files=[other, name], hint=f"the name of {other} is used"
                )
            elif (other := named.setdefault(client_name(name), name)) != name and fresh & {name, other}:
                self._log.warning(
                    "two keys have one client's name", files=[other, name], hint="log, page and service see one client"
                )

    def _check_metadata(self) -> None:
        """Log what in certificates can not be meant, or means nothing here; each once."""
        fresh = {name: client for name, client in self._present().items() if name in self.files.fresh}
        for name, client in sorted(fresh.items()):
            for missing in sorted(client.services - {*self._services, self._service}) if self._services else ():
                detail = f"{self._path}/{name}: there is no service {missing}"
                self._log.warning(NO_SERVICE, detail=detail, hint=suggestion(missing, self._services))
        if unknown := {name for client in fresh.values() for name in client.unknown} - self._unknown:
            self._unknown |= unknown
            self._log.info("metadata of clients that binds nothing", names=sorted(unknown))

    def _listing(self) -> Listing:
        found: dict[str, Stamp] = {}
        for file in self._path.iterdir() if self._path is not None else ():
            if file.name.startswith("."):
                continue
            if file.name.endswith(SECRET):
                self._warn_once(file, "a secret key lies among the clients", "only public keys belong there")
                continue
            if file.name.endswith(ASIDE) or PUBLIC_SUFFIX in file.suffixes[:-1]:  # as alice.key.2026-11-26
                self._warn_once(file, PASSED_OVER, ASIDE_HINT)
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue  # it has been removed meanwhile
            except OSError:  # a link that can not be followed: the other files are listed
                status = file.lstat()
            if stat.S_IFMT(status.st_mode) not in FILES:  # even its times change all the time
                self._warn_once(file, "what lies among the clients is no regular file", "it is passed over")
                continue
            found[file.name] = Stamp.of(status)
        return found

    def _read(self, name: str) -> Client | None:
        """Raises KeyFileError, but not for what is no certificate, was none before, and is not named like one."""
        assert self._path is not None
        try:
            return read_client(self._path / name, authorities=bool(self._trust().authorities))
        except NoCertificateError as error:
            if name.endswith(SUFFIXES) or name in self._present():
                raise
            self._warn_once(self._path / name, PASSED_OVER, str(error))
            return None

    def _warn_once(self, file: Path, event: str, hint: str) -> None:
        if file.name not in self._warned:
            self._warned.add(file.name)
            self._log.warning(event, file=str(file), hint=hint)

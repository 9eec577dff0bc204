"""``curveproxy sign`` and ``show``: a certificate is made of a key file, and looked at.

What a peer may have written is only shown when it is a certificate by its grammar, which is printable ASCII.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from curveproxy.app.commands.options import OptionsError
from curveproxy.app.config.authorities import AuthorityFile, read_authority, read_authority_secret
from curveproxy.app.config.certificates import (
    PUBLIC_MODE,
    KeyFileError,
    others_may_read,
    read_certificate,
    write_new,
)
from curveproxy.app.config.signed import read_text
from curveproxy.app.watch.clients import KNOWN, client_name
from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.judgement import FLAWS, Finding, VerifiedTexts, judge_client, judge_server
from curveproxy.policy.socket_types import SOCKET_TYPES
from curveproxy.reasons import CertificateFlaw
from curveproxy.wire import sodium, z85
from curveproxy.wire.certificate import BACKDATED, CLIENT, NAME, SERVER, Certificate, read_untrusted, write
from curveproxy.wire.errors import LocalError, PeerError
from curveproxy.wire.timestamp import DAY, write_time

SUFFIX = ".cert"
SERIAL_SIZE = 8
# What nobody who looks at a certificate needs to see.
HIDDEN = ("version", "signature")


@frozen
class SignOptions:
    """The options of ``curveproxy sign``, as they were given."""

    key: Path
    authority: Path
    name: str | None = None
    days: int = 7
    services: str | None = None
    socket_types: str | None = None
    identity: str | None = None
    topics: str | None = None
    publish_topics: str | None = None
    max_sessions: int | None = None
    messages_per_second: int | None = None
    bytes_per_second: int | None = None
    renewable_days: int | None = None
    server: bool = False
    names: str | None = None
    out: Path | None = None

    @property
    def of_a_client(self) -> dict[str, str]:
        """The fields that only a client's certificate has, of those that were given."""
        values = {
            "services": self.services,
            "socket-types": self.socket_types,
            "identity": self.identity,
            "topics": self.topics,
            "publish-topics": self.publish_topics,
            "max-sessions": self.max_sessions,
            "messages-per-second": self.messages_per_second,
            "bytes-per-second": self.bytes_per_second,
        }
        return {name: str(value) for name, value in values.items() if value is not None}

    @property
    def objection(self) -> str | None:
        """Why these do not go together, and what to write; None when they do."""
        if self.server and self.names is None:
            return "nothing says what the server is called: add --names, as its clients have it in their endpoints"
        if self.server and self.of_a_client:
            return f"--{next(iter(self.of_a_client))} is for a client's certificate, not for --server"
        if self.names is not None and not self.server:
            return "--names is for --server: a client has one name, by --name"
        if self.renewable_days is not None and self.renewable_days < self.days:
            return "--renewable-days ends before --days: it is counted from now too"
        for word in (self.socket_types or "").split():
            if word not in SOCKET_TYPES:
                return f"--socket-types: there is no such type: there are {', '.join(SOCKET_TYPES)}"
        return None


def sign(options: SignOptions, now: int, tell: Callable[[str], object]) -> tuple[Path, str]:
    """Write a certificate. Returns its path, and until when it is valid.

    now: Unix seconds; tell: is handed what the operator may want otherwise. Raises OptionsError or KeyFileError.
    """
    authority, seed = read_authority_secret(options.authority)
    if others_may_read(options.authority):
        tell(f"the secret of the authority can be read by others: chmod 600 {options.authority}")
    name = client_name(options.key.name) if options.name is None else options.name
    if NAME.fullmatch(name) is None:
        raise OptionsError("a name has 1 to 64 of the letters A-Z a-z 0-9 . _ -: choose one by --name")
    until = write_time(now + options.days * DAY)
    fields = {
        "public-key": z85.encode(_key_to_sign(options)),
        "kind": SERVER if options.server else CLIENT,
        "serial": sodium.randombytes(SERIAL_SIZE).hex(),
        "name": name,
        "valid-from": write_time(now - BACKDATED),
        "valid-until": until,
        **options.of_a_client,
    }
    if options.names is not None:
        fields["names"] = options.names
    if options.renewable_days is not None:
        fields["renewable-until"] = write_time(now + options.renewable_days * DAY)
    when = write_time(now)[:-1].replace("T", " ")
    comments = (f"signed by the authority {authority.name}, {when} UTC", "the certificate of a CURVE key: it is public")
    try:
        text = write(fields, seed, comments)
    except LocalError as error:
        raise OptionsError(f"that would be no certificate: {error}") from None
    path = options.key.with_name(f"{name}{SUFFIX}") if options.out is None else options.out
    if os.path.lexists(path):
        raise KeyFileError(f"{path} exists already, and is not overwritten: choose another file by --out")
    write_new(path, text, PUBLIC_MODE)
    return path, until


def _key_to_sign(options: SignOptions) -> bytes:
    """The public key in the file. Raises KeyFileError, also where its restrictions would be lost."""
    found = read_certificate(options.key)
    if found.secret is not None:
        raise KeyFileError(f"{options.key} holds a secret key, which its owner alone may have: name the .key file")
    if found.is_signed:  # what it restricts would be lost as well
        raise KeyFileError(f"{options.key} is a certificate already: name the .key file of that key")
    lost = sorted((found.metadata.keys() & set(KNOWN)) - options.of_a_client.keys())
    if lost and not options.server:
        hint = f"say --{lost[0]} here, or take it out of the file"
        raise KeyFileError(f"{options.key} restricts its key by {lost[0]}, which the certificate would not: {hint}")
    return found.public


@frozen
class Seen:
    """What a look at a certificate has shown. lines: names and values; flaw: why it is not valid, empty if it is."""

    lines: Sequence[tuple[str, str]]
    flaw: str
    conclusion: str


def look(path: Path, authorities: Sequence[Path], now: float) -> Seen:
    """Look at a certificate.

    authorities: files of those that are believed; without any the one that it names is. now: Unix seconds.
    Raises KeyFileError for files that can not be read.
    """
    listed = [read_authority(file) for file in authorities]
    text = read_text(path)
    try:
        certificate = read_untrusted(text)
    except PeerError as error:
        return Seen((), _sentence(FLAWS[error.fault], error.detail), "")
    trusted = listed or [AuthorityFile("", certificate.authority)]
    trust = Trust([Authority(each.name, each.key) for each in trusted])
    found = _judged(certificate, text, trust, now)
    lines = [(name, value) for name, value in _fields(certificate) if name not in HIDDEN]
    if found.flaw is not None:
        return Seen(lines, _sentence(found.flaw, found.detail), "")
    by = f", signed by {found.authority.file}" if listed and found.authority is not None else ""
    return Seen(lines, "", f"valid until {write_time(certificate.valid_until)}{by}")


def _judged(certificate: Certificate, text: bytes, trust: Trust, now: float) -> Finding:
    if certificate.kind == SERVER:
        return judge_server(text, None, trust, now, VerifiedTexts())
    return judge_client(text, None, trust, now, VerifiedTexts())


def _sentence(flaw: CertificateFlaw, detail: str) -> str:
    return ": ".join(filter(None, (str(flaw), detail, flaw.hint)))


def _fields(certificate: Certificate) -> list[tuple[str, str]]:
    """The fields with their values, in the order of the text."""
    lines = [line.partition(" = ") for line in certificate.text.decode().splitlines()]
    return [(name.strip(), value.strip('"')) for name, equals, value in lines if equals]

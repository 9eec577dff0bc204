"""Key files: the certificates that CZMQ and ``zmq.auth.create_certificates`` write (ZPL, RFC 4).

A ``.key`` holds the public half, a ``.key_secret`` both.
"""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from attrs import field, frozen

from curveproxy.app.config.reading import read_file
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"  # noqa: S105  a suffix
SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
KEY_LETTERS = 40
# The section of a signed certificate that no other has.
SIGNED = "certificate"
# A certificate has a few hundred octets. A file that is much larger is something else.
LARGEST = 65536


class KeyFileError(Exception):
    """A key file can not be used: one sentence with why and what to do, and nothing of its content."""


class NoCertificateError(KeyFileError):
    """A key file can not be used because it does not look like a certificate at all."""


@frozen
class Certificate:
    """The content of a key file. public, secret: 32 octets each; metadata: of the section of that name.

    elsewhere: names of settings outside of ``metadata`` that are no keys of ``curve``.
    is_signed: it is one of ``wire.certificate``, which is valid for a time, and for those who know its authority.
    """

    public: bytes
    secret: bytes | None = field(default=None, repr=False)
    metadata: dict[str, str] = field(factory=dict)
    elsewhere: frozenset[str] = frozenset()
    is_signed: bool = False


def read_certificate(path: Path) -> Certificate:
    """Read a key file. Raises KeyFileError."""
    sections = _parse(_text(path), path)
    curve = sections.get("curve", {})
    public, secret = (_key(curve, name, path) for name in ("public-key", "secret-key"))
    if public and secret and KeyPair.from_secret(public).public == secret:
        raise KeyFileError(f"{path}: its halves are swapped: the public key stands where the secret one belongs")
    if secret is not None and KeyPair.from_secret(secret).public != public:
        raise KeyFileError(f"{path}: the public and the secret key do not belong together")
    if public is None:
        raise NoCertificateError(f"{path} holds no public key: is it a certificate of CZMQ or zmq.auth")
    metadata = sections.pop("metadata", {})
    elsewhere = {name for section in sections.values() for name in section} - {"public-key", "secret-key"}
    return Certificate(public, secret, metadata, frozenset(elsewhere), is_signed=SIGNED in sections)


def read_key_pair(path: Path) -> KeyPair:
    """Read one's own key file, which must hold the secret half. Raises KeyFileError."""
    certificate = read_certificate(path)
    if certificate.secret is None:
        raise KeyFileError(f"{path} holds a public key only: name its .key_secret file")
    return KeyPair(certificate.public, certificate.secret)


def read_public_key(path: Path) -> bytes:
    """Read the key file of somebody else, which must not hold the secret half. Raises KeyFileError."""
    certificate = read_certificate(path)
    if certificate.secret is not None:
        raise KeyFileError(f"{path} holds a secret key, which its owner alone may have: name the .key file")
    return certificate.public


def others_may_read(path: Path) -> bool:
    """Whether others can read a secret. A group may, when another user owns the file.

    A secret of Kubernetes is root's, and this process reads it by the group.
    """
    try:
        found = path.stat()
    except OSError:  # it has been read a moment ago
        return False
    unwanted = stat.S_IROTH | (stat.S_IRGRP if found.st_uid == os.geteuid() else 0)
    return bool(found.st_mode & unwanted)


def warn_of_open_secret(path: Path, warn: Callable[..., object]) -> None:
    """Warn when others can read a secret key, which is no reason not to start. warn: as a log's ``warning``."""
    if others_may_read(path):
        warn("a secret key can be read by others", file=str(path), hint=f"chmod 600 {path}")


def reason(error: OSError | ValueError) -> str:
    """Why a path can not be used, as the system says it. A ValueError is about a NUL in the path."""
    if isinstance(error, ValueError):
        return "embedded null byte"  # Python's text for it differs between versions
    return (error.strerror or str(error)).lower()


def write_key_pair(secret_file: Path, keys: KeyPair) -> Path:
    """Write both halves into ``secret_file`` and the public one beside it, as .key; neither is overwritten.

    Returns the path of the public half. Raises KeyFileError.
    """
    name = secret_file.name.removesuffix(SECRET_SUFFIX)
    if name.endswith(PUBLIC_SUFFIX):
        raise KeyFileError(f"{secret_file} is a name for a public key: call it {secret_file}_secret")
    public_file = secret_file.with_name(name + PUBLIC_SUFFIX)
    for path in (secret_file, public_file):
        if os.path.lexists(path):
            raise KeyFileError(f"{path} exists already, and keys are never overwritten: choose another name")
    _write(secret_file, keys.public, keys.secret, SECRET_MODE)
    try:
        _write(public_file, keys.public, None, PUBLIC_MODE)
    except KeyFileError:
        secret_file.unlink()  # half of a pair would make the next attempt fail
        raise
    return public_file


def _write(path: Path, public: bytes, secret: bytes | None, mode: int) -> None:
    kind = "secret key of CURVE: keep it private" if secret else "public key of CURVE: give it to the other side"
    lines = [
        f"#   made by curveproxy, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"#   {kind}",
        "",
        "metadata",
        "curve",
    ]
    lines.append(f'    public-key = "{z85.encode(public)}"')
    if secret:
        lines.append(f'    secret-key = "{z85.encode(secret)}"')
    write_new(path, "\n".join(lines) + "\n", mode)


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that is not there yet, and its directory if need be. Raises KeyFileError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # With its mode from the beginning, and never through a link.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        except OSError:
            path.unlink()
            raise
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} can not be written: {reason(error)}") from error


def _text(path: Path) -> str:
    try:
        octets = read_file(path, LARGEST + 1)
    except (OSError, ValueError) as error:
        raise NoCertificateError(f"{path} can not be read: {reason(error)}") from error
    text = octets.decode("utf-8-sig", errors="replace")  # editors of Windows write that mark
    if len(octets) > LARGEST or "\ufffd" in text:
        raise NoCertificateError(f"{path} is not a certificate of CZMQ or zmq.auth")
    return text


def _parse(text: str, path: Path) -> dict[str, dict[str, str]]:
    """The sections of a ZPL file with their values; those outside of sections are in the section "".

    A name without a value has an empty one. Deeper levels, which certificates do not use, count to their section.
    """
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in stripped.partition("="))
        if not line[0].isspace():
            section = sections.setdefault("" if equals else name.partition("#")[0].strip(), {})
        if equals:
            section[name] = (
                value[1:].partition(value[0])[0] if value[:1] in ("'", '"') else value.partition("#")[0].strip()
            )
        elif line[0].isspace():
            if not name.replace("-", "").isalnum():
                kind = KeyFileError if "public-key" in text else NoCertificateError
                raise kind(f"{path}, line {number}: not a line of a certificate")
            section.setdefault(name, "")
    return sections


def _key(curve: dict[str, str], name: str, path: Path) -> bytes | None:
    text = curve.get(name)
    try:
        return None if text is None else parse_key(text)
    except ValueError as error:
        raise KeyFileError(f"{path}: its {name} is {error}") from None


def parse_key(text: str) -> bytes:
    """A key of 32 octets from Z85. Raises ValueError with a text that completes "it is ..."."""
    if len(text) != KEY_LETTERS:
        raise ValueError(f"of {len(text)} letters, a key has {KEY_LETTERS}")
    try:
        return z85.decode(text)
    except ValueError as error:
        raise ValueError(f"not a Z85 key: {error}") from None

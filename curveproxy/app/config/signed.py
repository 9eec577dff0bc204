"""What a configuration names of certificates: authorities, revocation lists, and certificates of our own.

They are read with the configuration, which is refused with them, and by ``watch`` again when their files change.
"""

import os
from pathlib import Path
from typing import ClassVar, Self

from attrs import frozen

from curveproxy.app.config.authorities import PUBLIC_SUFFIX, read_authority, read_revocations
from curveproxy.app.config.certificates import SIGNED, KeyFileError, read_certificate, reason
from curveproxy.app.config.reading import read_file
from curveproxy.policy.access.judgement import FLAWS
from curveproxy.policy.access.revocations import Revocations
from curveproxy.reasons import CertificateFlaw
from curveproxy.wire.certificate import CLIENT, MOST, SERVER, Certificate, read_untrusted
from curveproxy.wire.errors import PeerError


def read_text(path: Path) -> bytes:
    """The text of a certificate, or more of a file than one may have. Raises KeyFileError."""
    try:
        return read_file(path, MOST + 1)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} can not be read: {reason(error)}") from error


def read_signed(path: Path) -> Certificate:
    """Read a certificate whose signature is of its text, whoever's it is. Raises KeyFileError."""
    try:
        certificate = read_untrusted(read_text(path))
    except PeerError as error:
        raise KeyFileError(f"{path}: {FLAWS[error.fault]}: {error.detail}") from None
    if not certificate.verifies():
        raise KeyFileError(f"{path}: {CertificateFlaw.SIGNATURE}: {CertificateFlaw.SIGNATURE.hint}")
    return certificate


def read_signed_of(path: Path, kind: str) -> Certificate:
    """Read a certificate that is a client's, or a server's. Raises KeyFileError."""
    text = read_text(path)
    if len(text) <= MOST and SIGNED not in text.decode(errors="replace").splitlines():
        read_certificate(path)  # which says what else it may be
        raise KeyFileError(f"{path} is a key that no authority has signed: name what curveproxy sign makes of it")
    certificate = read_signed(path)
    if certificate.kind != kind:
        raise KeyFileError(f"{path} is a {certificate.kind}'s certificate, and a {kind}'s is wanted")
    return certificate


@frozen
class AuthorityKey:
    """The key of an authority, of Ed25519, 32 octets. file: where it was read."""

    octets: bytes
    file: Path

    @classmethod
    def read(cls, directory: Path, text: str) -> Self:
        """Read a file. Raises KeyFileError."""
        return cls(read_authority(directory / text).key, directory / text)

    @property
    def name(self) -> str:
        """What the authority is called here, in log and metrics: the stem of its file."""
        return authority_name(self.file)


def authority_name(path: Path) -> str:
    """What the authority of a file is called here. A file name may be any octets."""
    return os.fsencode(path.name.removesuffix(PUBLIC_SUFFIX)).decode(errors="replace")


@frozen
class RevokedFile:
    """A revocation list. file: where it was read."""

    revocations: Revocations
    file: Path

    @classmethod
    def read(cls, directory: Path, text: str) -> Self:
        """Read a file, which must be there: without it everything would be believed. Raises KeyFileError."""
        path = directory / text
        try:
            return cls(read_revocations(path), path)
        except KeyFileError as error:
            is_missing = isinstance(error.__cause__, FileNotFoundError)
            hint = f': make an empty one by "touch {path}"' if is_missing else ""
            raise KeyFileError(f"{error}{hint}") from None


@frozen
class _OwnCertificate:
    """A certificate of one of our own keys. file: where it was read."""

    certificate: Certificate
    file: Path
    kind: ClassVar[str]

    @classmethod
    def read(cls, directory: Path, text: str) -> Self:
        """Read a file. Raises KeyFileError."""
        return cls(read_signed_of(directory / text, cls.kind), directory / text)


@frozen
class ServerCertificate(_OwnCertificate):
    """The certificate of a server."""

    kind = SERVER


@frozen
class ClientCertificate(_OwnCertificate):
    """The certificate of a client."""

    kind = CLIENT

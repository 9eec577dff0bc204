"""Files of authorities: ``NAME.authority`` is for everybody, ``NAME.authority_secret`` signs; and revocation lists.

The files are written here and nowhere else, so they are read strictly. There is no line ``public-key`` in them: nobody
takes one for a key of CURVE. No sentence about any of them repeats what is in it.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from attrs import field, frozen

from curveproxy.app.config.certificates import (
    PUBLIC_MODE,
    SECRET_MODE,
    KeyFileError,
    parse_key,
    reason,
    write_new,
)
from curveproxy.app.config.reading import read_file
from curveproxy.policy.access.revocations import Revocations
from curveproxy.wire import sodium, z85
from curveproxy.wire.certificate import NAME, Certificate

PUBLIC_SUFFIX = ".authority"
SECRET_SUFFIX = ".authority_secret"  # noqa: S105  a suffix
LARGEST = 4096
LARGEST_LIST = 1 << 24

_SECTION = "authority"
_NAME, _KEY, _SEED = "name", "authority-key", "authority-seed"
_LINE = re.compile(r'\s+([a-z-]+)\s*=\s*"([^"]*)"\s*')


@frozen
class AuthorityFile:
    """What a file says. name: as it calls itself; key: of Ed25519; seed: None in a public one; 32 octets each."""

    name: str
    key: bytes
    seed: bytes | None = field(default=None, repr=False)

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new authority."""
        seed = sodium.randombytes(32)
        return cls(name, sodium.signing_pair(seed)[0], seed)


def read_authority(path: Path) -> AuthorityFile:
    """Read the public file of an authority, which must not hold the seed. Raises KeyFileError."""
    found = _read(path)
    if found.seed is not None:
        raise KeyFileError(f"{path} holds the secret of an authority, which nobody else may have: name its .authority")
    return found


def read_authority_secret(path: Path) -> tuple[AuthorityFile, bytes]:
    """Read the secret file of an authority, and its seed. Raises KeyFileError."""
    found = _read(path)
    if found.seed is None:
        raise KeyFileError(f"{path} can not sign, it holds a public key only: name its .authority_secret")
    return found, found.seed


def write_authority(directory: Path, authority: AuthorityFile) -> tuple[Path, Path]:
    """Write both files of a new authority: public, secret; neither is overwritten. Raises KeyFileError."""
    public_file = directory / f"{authority.name}{PUBLIC_SUFFIX}"
    secret_file = directory / f"{authority.name}{SECRET_SUFFIX}"
    for path in (secret_file, public_file):
        if os.path.lexists(path):
            raise KeyFileError(f"{path} exists already, and authorities are never overwritten: choose another name")
    assert authority.seed is not None
    write_new(secret_file, _text(authority, authority.seed), SECRET_MODE)
    try:
        write_new(public_file, _text(authority, None), PUBLIC_MODE)
    except KeyFileError:
        secret_file.unlink()  # half of a pair would make the next attempt fail
        raise
    return public_file, secret_file


def read_revocations(path: Path) -> Revocations:
    """Read a revocation list. Raises KeyFileError."""
    try:
        octets = read_file(path, LARGEST_LIST + 1)
        if len(octets) > LARGEST_LIST:
            raise KeyFileError(f"{path} is no revocation list: it has more than {LARGEST_LIST >> 20} MiB")
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} can not be read: {reason(error)}") from error
    try:
        return Revocations.read(octets.decode("utf-8-sig", errors="replace"))
    except ValueError as error:
        raise KeyFileError(f"{path}, {error}") from None


def add_revocation(path: Path, certificate: Certificate) -> bool:
    """Add a certificate's serial to a list, which is made if missing. Returns whether it was not there before.

    Raises KeyFileError, also where the file is no revocation list: it is left as it was.
    """
    there = os.path.lexists(path)
    if there and certificate.serial in read_revocations(path).serials:
        return False
    line = f"serial {certificate.serial}\n".encode()
    if not there:
        write_new(path, line.decode(), PUBLIC_MODE)
        return True
    try:
        if not (read_file(path) or b"\n").endswith(b"\n"):
            line = b"\n" + line
        with path.open("ab", buffering=0) as file:  # in one piece, for a proxy may be reading it
            file.write(line)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} can not be written: {reason(error)}") from error
    return True


def _text(authority: AuthorityFile, seed: bytes | None) -> str:
    kind = "secret of an authority: keep it private" if seed else "public key of an authority: give it to all who check"
    lines = [f"#   made by curveproxy, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", f"#   {kind}", "", _SECTION]
    values = {_NAME: authority.name, _KEY: z85.encode(authority.key)} | ({_SEED: z85.encode(seed)} if seed else {})
    return "\n".join([*lines, *(f'    {name} = "{value}"' for name, value in values.items())]) + "\n"


def _read(path: Path) -> AuthorityFile:
    fields = _fields(path)
    for name in (_NAME, _KEY):
        if name not in fields:
            raise KeyFileError(f"{path} has no {name}: is it a file that curveproxy authority wrote")
    if NAME.fullmatch(fields[_NAME]) is None:
        raise KeyFileError(f"{path}: its name is not 1 to 64 of the letters A-Z a-z 0-9 . _ -")
    key, seed = _octets(path, _KEY, fields), _octets(path, _SEED, fields) if _SEED in fields else None
    if seed is not None and sodium.signing_pair(seed)[0] != key:
        raise KeyFileError(f"{path}: its key and its secret do not belong together")
    return AuthorityFile(fields[_NAME], key, seed)


def _fields(path: Path) -> dict[str, str]:
    try:
        octets = read_file(path, LARGEST + 1)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} can not be read: {reason(error)}") from error
    fields: dict[str, str] = {}
    text = octets.decode("utf-8-sig", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if len(octets) > LARGEST or not lines or lines[0][1].strip() != _SECTION:
        raise KeyFileError(f"{path} is not a file of an authority: name one that curveproxy authority wrote")
    for number, line in lines[1:]:
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in (_NAME, _KEY, _SEED) or found[1] in fields:
            raise KeyFileError(f"{path}, line {number}: not a line of an authority")
        fields[found[1]] = found[2]
    return fields


def _octets(path: Path, name: str, fields: dict[str, str]) -> bytes:
    try:
        return parse_key(fields[name])
    except ValueError as error:
        raise KeyFileError(f"{path}: its {name} is {error}") from None

"""The keys that a configuration names. No sentence about them repeats what may be a secret key."""

import os
from pathlib import Path
from typing import Self

from attrs import frozen

from curveproxy.app.config.certificates import (
    KEY_LETTERS,
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    KeyFileError,
    parse_key,
    read_key_pair,
    read_public_key,
)
from curveproxy.wire.curve.keys import KeyPair

# A text whose length differs by so much from a key's is no key that was copied badly.
BADLY_COPIED = 10


@frozen
class SecretKey:
    """A secret key with its public half. file: where it was read; None for a key of this run only."""

    pair: KeyPair
    file: Path | None = None

    @classmethod
    def read(cls, directory: Path, text: str) -> Self:
        """Read a key file. Raises KeyFileError."""
        path = directory / text
        if not os.path.lexists(path):
            if _may_be_a_key(text):
                raise KeyFileError("there is no such file: if it is a key itself, write it into a file and name that")
            if path.name.endswith(SECRET_SUFFIX) and "\0" not in text:
                name, where = path.name.removesuffix(SECRET_SUFFIX), path.parent
                hint = f'make it by "curveproxy keygen {name} --directory {where}"'
                raise KeyFileError(f"{path} can not be read: no such file or directory: {hint}")
        return cls(read_key_pair(path), path)


@frozen
class PublicKey:
    """A client's key in the configuration itself, 32 octets."""

    octets: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Z85. Raises ValueError."""
        return cls(parse_key(text))


@frozen
class RemoteKey:
    """The public key of a remote, 32 octets. file: where it was read; None where the configuration itself holds it."""

    octets: bytes
    file: Path | None = None

    @classmethod
    def read(cls, directory: Path, text: str) -> Self:
        """Read a file, or Z85. A file of that name wins, because a path may look like a key. Raises KeyFileError."""
        path = directory / text
        if os.path.lexists(path) or not _may_be_a_key(text):
            return cls(read_public_key(path), path)
        try:
            return cls(parse_key(text))
        except ValueError as error:
            hint = "write the remote's public key in Z85, or the name of its .key file"
            raise KeyFileError(f"there is no such file, and as a key it is {error}: {hint}") from None


def _may_be_a_key(text: str) -> bool:
    """Whether a text may be a key, or nearly one. Z85 has all the letters that paths have."""
    return abs(len(text) - KEY_LETTERS) <= BADLY_COPIED and not text.endswith((PUBLIC_SUFFIX, SECRET_SUFFIX))

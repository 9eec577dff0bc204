"""An authority at work in a directory: its file, certificates that are valid now, and its revocation list."""

from pathlib import Path

from attrs import frozen

from curveproxy.app.config.authorities import AuthorityFile, write_authority
from curveproxy.app.config.certificates import write_key_pair
from curveproxy.wire.certificate import CLIENT, SERVER
from curveproxy.wire.curve.keys import KeyPair
from support.certificates import issued


@frozen
class SignsHere:
    """One whose ``NAME.authority`` lies in a directory. seed: by which it signs."""

    directory: Path
    name: str
    key: bytes
    seed: bytes

    @property
    def file(self) -> Path:
        """For everybody."""
        return self.directory / f"{self.name}.authority"

    def text(self, key: bytes, name: str = "desk-7", *, since: float = -60, until: float = 86400, **more: str) -> bytes:
        """A certificate of that public key, a server's if it has ``names``.

        since, until: seconds from now; more: other fields, with _ for -.
        """
        kind = SERVER if "names" in more else CLIENT
        return issued(key, name, self.seed, seconds=until, since=since, kind=kind, **more)

    def sign(self, key: bytes, path: Path, name: str = "", **more: object) -> Path:
        """Write one at a moment, as by a rename; see ``text``. name: by default the file's stem."""
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(self.text(key, name or path.stem, **more))  # type: ignore[arg-type]
        return beside.rename(path)


def authority(directory: Path, name: str = "plant-1") -> SignsHere:
    """A new authority."""
    found = AuthorityFile.generate(name)
    assert found.seed is not None
    write_authority(directory, found)[1].unlink()
    return SignsHere(directory, name, found.key, found.seed)


def key_file(path: Path) -> KeyPair:
    """A new key pair in ``path``, and its public half beside it."""
    pair = KeyPair.generate()
    write_key_pair(path, pair)
    return pair

"""A place for configuration files."""

from pathlib import Path

import pytest

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.wire.curve.keys import KeyPair


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the keys of a server, of a client and of a remote, and an empty list of clients."""
    for name in ("server", "alice", "orders"):
        write_key_pair(tmp_path / "keys" / f"{name}.key_secret", KeyPair.generate())
    (tmp_path / "clients").mkdir()
    return tmp_path

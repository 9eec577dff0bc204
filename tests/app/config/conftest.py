"""A place for configuration files."""

from pathlib import Path

import pytest

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.wire.curve.keys import KeyPair


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a server's key and an empty list of clients."""
    write_key_pair(tmp_path / "keys" / "server.key_secret", KeyPair.generate())
    (tmp_path / "clients").mkdir()
    return tmp_path

"""A place for configuration files."""

from pathlib import Path

import pytest
from support.authority import authority, key_file


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the keys of a server, of a client and of a remote, and an empty list of clients.

    An authority has signed the first two. Nothing of that is revoked.
    """
    keys = tmp_path / "keys"
    pairs = {name: key_file(keys / f"{name}.key_secret") for name in ("server", "alice", "orders")}
    (tmp_path / "clients").mkdir()
    plant = authority(keys)
    plant.sign(pairs["server"].public, keys / "server.cert", names="orders.example")
    plant.sign(pairs["alice"].public, keys / "alice.cert")
    (tmp_path / "revoked").touch()
    return tmp_path

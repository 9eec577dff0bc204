"""Configuration files as text, and what is wrong with them."""

from pathlib import Path

import pytest

from curveproxy.app.config.load import ConfigError, load

SERVICE = """
[[service]]
name = "orders"
listen = "tcp://*:5556"
backend = "tcp://127.0.0.1:5555"
secret_keys = ["keys/server.key_secret"]
"""
CLIENTS = """
[service.clients]
directory = "clients"
"""
EGRESS = """
[[egress]]
name = "far"
listen = "ipc://far.sock"
remote = ["tcp://orders.example:5556"]
server_keys = ["keys/orders.key"]
secret_key = "keys/alice.key_secret"
"""


def complaints(place: Path, text: str) -> list[str]:
    """All that is wrong with a file of that text in a directory."""
    (place / "curveproxy.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(place / "curveproxy.toml")
    return caught.value.complaints

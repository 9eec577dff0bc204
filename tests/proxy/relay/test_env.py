"""What was relayed, of all sessions of a service, and what a client is called."""

import pytest

from curveproxy.proxy.relay.env import AdmittedClient, Traffic
from curveproxy.wire import z85


def test_both_directions_are_counted_by_themselves() -> None:
    traffic = Traffic()
    traffic.count_in(2, 30)
    traffic.count_in(1, 5)
    traffic.count_out(4, 7)
    assert traffic == Traffic(3, 35, 4, 7)


@pytest.mark.parametrize(
    ("given", "key", "name"),
    [("desk-7", b"k" * 32, "desk-7"), ("", b"k" * 32, z85.encode(b"k" * 32)), ("uid 1000", b"", "uid 1000")],
)
def test_a_client_without_a_name_is_called_by_its_key(given: str, key: bytes, name: str) -> None:
    assert AdmittedClient(given, "192.0.2.1:4242", key, b"", b"", 1).name == name

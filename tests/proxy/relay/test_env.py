"""What was relayed, of all sessions of a service, and what a client is called."""

import pytest
from support.fakes import RecordingSession, admitted

from curveproxy.proxy.relay.env import AdmittedClient, Traffic
from curveproxy.wire import z85


def test_what_sessions_have_relayed_is_added_up_for_each_direction() -> None:
    first, second = (RecordingSession(admitted(number=number)) for number in (1, 2))
    first.messages_in, first.octets_in, second.messages_in, second.octets_in = 2, 30, 1, 5
    second.messages_out, second.octets_out = 4, 7
    traffic = Traffic()
    traffic.add([first, second])
    assert traffic == Traffic(3, 35, 4, 7)
    traffic.add([second])
    assert traffic == Traffic(4, 40, 8, 14)


@pytest.mark.parametrize(
    ("given", "key", "name"),
    [("desk-7", b"k" * 32, "desk-7"), ("", b"k" * 32, z85.encode(b"k" * 32)), ("uid 1000", b"", "uid 1000")],
)
def test_a_client_without_a_name_is_called_by_its_key(given: str, key: bytes, name: str) -> None:
    assert AdmittedClient(given, "192.0.2.1:4242", key, b"", b"", 1).name == name

"""One frame by itself, sealed or opened with the state of either twin."""

from types import ModuleType

from support import zmtp
from support.twins import direction, filled, members_of, message

from curveproxy.wire.codec.single import open_one, seal_one
from curveproxy.wire.codec.state import Buffer


def test_a_single_command_is_sealed_and_its_nonce_told(twin: ModuleType) -> None:
    state = direction(twin, nonce=6)
    octets = seal_one(state, 2, b"\x04PONG")
    assert octets == message(7, 2, b"\x04PONG")
    target = Buffer(100)
    assert open_one(state, filled(octets), 0, len(octets), target, 10) == (7, 6)
    assert bytes(target.view[10:16]) == b"\x02\x04PONG"
    assert open_one(state, filled(zmtp.damaged(octets)), 0, len(octets), target, 10) == (7, 0)


def test_what_is_no_message_is_not_opened_and_no_state_changes(twin: ModuleType) -> None:
    state, target = direction(twin, nonce=6), Buffer(500)
    before = members_of(state)
    for size in (10, 300):
        octets = message(9, 0, bytes(size))
        assert open_one(state, filled(octets), 0, len(octets), target, 3) == (9, 1 + size)
        octets = message(9, 0, bytes(size), name=b"MESSAGF")
        assert open_one(state, filled(octets), 0, len(octets), target, 0) == (9, 0)
    assert members_of(state) == before


def test_a_nonce_is_read_as_its_sender_writes_it(twin: ModuleType) -> None:
    octets = message(7 << 56, 0, b"data")
    assert open_one(direction(twin, little=True), filled(octets), 0, len(octets), Buffer(100), 0) == (7, 5)

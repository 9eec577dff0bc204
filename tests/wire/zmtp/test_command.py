"""Commands after the handshake."""

import pytest

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp import command


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00PING", b"\x05PING", b"\xff"])
def test_a_name_must_be_there(body: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        command.split_command_untrusted(body)
    assert caught.value.fault == Fault.COMMAND


def test_a_command_is_a_name_and_data() -> None:
    assert command.split_command_untrusted(b"\x04PINGxyz") == (b"PING", b"xyz")
    assert command.split_command_untrusted(b"\x04PING") == (b"PING", b"")
    assert command.body_of(b"PING", b"xyz") == b"\x04PINGxyz"


@pytest.mark.parametrize("size", range(21))
def test_a_ping_has_a_ttl_and_a_bounded_context(size: int) -> None:
    if 2 <= size <= 18:
        assert command.check_ping_untrusted(bytes(size)) == bytes(size)
        return
    with pytest.raises(PeerError):
        command.check_ping_untrusted(bytes(size))


@pytest.mark.parametrize(("ttl", "passed"), [(0, 0), (655, 655), (656, 655), (65535, 655)])
def test_a_ttl_that_libzmq_can_not_count_is_clamped(ttl: int, passed: int) -> None:
    assert command.check_ping_untrusted(ttl.to_bytes(2, "big") + b"ctx") == passed.to_bytes(2, "big") + b"ctx"


def test_a_pong_repeats_the_context() -> None:
    assert command.pong_for(b"\x00\x0acontext") == b"\x04PONGcontext"
    assert command.check_pong_untrusted(bytes(16)) == bytes(16)
    with pytest.raises(PeerError):
        command.check_pong_untrusted(bytes(17))

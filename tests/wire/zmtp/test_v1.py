"""The handshake of ZMTP 1.0, behind the signature."""

import pytest

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.v1 import V1Initiator


@pytest.mark.parametrize("ours", [b"", b"me", b"i" * 255], ids=len)
def test_our_identity_is_all_that_is_left_to_say(ours: bytes) -> None:
    assert V1Initiator(ours).start() == ours


@pytest.mark.parametrize(
    ("theirs", "identity"),
    [
        (b"\x01\x00", None),
        (b"\x01\x7e", None),
        (b"\x05\x00name", b"name"),
        (b"\xff" + bytes(7) + b"\x01\x00", None),
        (b"\xff" + bytes(6) + b"\x01\x00\x00" + b"n" * 255, b"n" * 255),
    ],
    ids=["none", "none, of 2.1", "short", "long, none", "long"],
)
def test_an_identity_is_all_that_is_told(theirs: bytes, identity: bytes | None) -> None:
    peer = V1Initiator(b"")
    assert peer.receive_untrusted(theirs + b"behind") == b""
    assert peer.negotiated.metadata.get("Identity") == identity
    assert peer.negotiated.version == (Dialect.V1, 0)
    assert peer.negotiated.leftover == b"behind"


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00\x00",
        b"\xff" + bytes(9),
        b"\xff" + bytes(6) + b"\x01\x01\x00",
        b"\xff" * 10,
    ],
    ids=["no size", "long, no size", "256 octets", "without end"],
)
def test_an_identity_that_can_not_be_is_refused_by_its_header(octets: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        V1Initiator(b"").receive_untrusted(octets)
    assert caught.value.fault == Fault.OLD_HANDSHAKE

"""The handshake of ZMTP 2.0, behind our version."""

import pytest

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.v2 import TYPES, V2Initiator

BEFORE = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01"  # signature and version


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.decode())
def test_every_type_has_its_octet_in_both_directions(kind: bytes) -> None:
    peer = V2Initiator({"Socket-Type": kind})
    number = TYPES.index({b"XPUB": b"PUB", b"XSUB": b"SUB"}.get(kind, kind))
    assert peer.start() == bytes([number, 0, 0])
    peer.receive_untrusted(BEFORE + bytes([TYPES.index(kind), 0, 0]))
    assert peer.negotiated.metadata == {"Socket-Type": kind}
    assert peer.negotiated.version == (Dialect.V2, 0)


@pytest.mark.parametrize("identity", [b"", b"me", b"i" * 255], ids=len)
def test_an_identity_is_a_frame(identity: bytes) -> None:
    peer = V2Initiator({"Socket-Type": b"REQ", "Identity": identity})
    framed = b"\x00" + bytes([len(identity)]) + identity
    assert peer.start() == bytes([TYPES.index(b"REQ")]) + framed
    peer.receive_untrusted(BEFORE + bytes([TYPES.index(b"REP")]) + framed + b"behind")
    assert peer.negotiated.metadata.get("Identity", b"") == identity
    assert peer.negotiated.leftover == b"behind"


@pytest.mark.parametrize("octets", [b"\x0b", b"\xff", b"\x00\x01", b"\x00\x02", b"\x00\x04"])
def test_what_is_no_type_or_no_identity_is_refused_at_its_octet(octets: bytes) -> None:
    peer = V2Initiator({"Socket-Type": b"REQ"})
    peer.receive_untrusted(BEFORE + octets[:-1])
    with pytest.raises(PeerError) as caught:
        peer.receive_untrusted(octets[-1:])
    assert caught.value.fault == Fault.OLD_HANDSHAKE


@pytest.mark.parametrize("kind", [b"CLIENT", b"RADIO", b"", b"other"])
def test_a_type_without_a_number_can_not_be_announced(kind: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        V2Initiator({"Socket-Type": kind})
    assert caught.value.fault == Fault.SOCKET_TYPE

"""What plain clients of every version say, as much of it as has come; each octet that is wrong is refused at once."""

from collections.abc import Callable

import pytest
from support import old, plain_steps, zmtp
from support.plain_steps import signature

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Plain
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp import acceptor, v2
from curveproxy.wire.zmtp.frame import Dialect, Span

Measure = Callable[[Octets], Span]


def ready_span(seen: Octets) -> Span:
    return acceptor.ready_span_untrusted(seen, 300)


def marks(measure: Measure, octets: bytes) -> list[int]:
    """How much is awaited after each octet."""
    return [measure(octets[:have])[0] for have in range(len(octets) + 1)]


@pytest.mark.parametrize(
    ("measure", "octets", "wanted"),
    [
        (acceptor.opening_span_untrusted, signature(), [1] + 10 * [10]),
        (acceptor.opening_span_untrusted, b"\x01\x7e", [1, 2, 2]),
        (acceptor.opening_span_untrusted, old.frame1(b"me"), [1, 2, 4, 4, 4]),
        (acceptor.opening_span_untrusted, old.frame1(b"me", long=True), [1] + 9 * [10] + 3 * [12]),
        (acceptor.version_span_untrusted, b"\x03", [1, 1]),
        (acceptor.version_span_untrusted, b"\x07", [1, 1]),
        (acceptor.version_span_untrusted, b"\x01\x05", [1, 2, 2]),
        (acceptor.mechanism_span_untrusted, zmtp.greeting(b"NULL")[11:], 22 * [22] + 32 * [53]),
        (v2.identity_span_untrusted, b"\x00\x02me", [2, 2, 4, 4, 4]),
        (ready_span, plain_steps.ready({}), [2, 2, 8, 8, 8, 8, 8, 8, 8]),
    ],
    ids=["signature", "1.0", "1.0 named", "1.0 long", "3", "later", "2.0", "mechanism", "2.0 named", "READY"],
)
def test_octets_are_awaited_up_to_the_next_that_says_more(measure: Measure, octets: bytes, wanted: list[int]) -> None:
    assert marks(measure, octets) == wanted
    assert measure(octets + b"behind")[2] == len(octets)
    assert measure(bytearray(octets)) == measure(memoryview(octets)) == measure(octets)


def test_a_signature_and_an_identity_of_the_same_size_are_told_apart() -> None:
    assert acceptor.read_opening_untrusted(signature()) is None
    found = acceptor.read_opening_untrusted(b"\xff" + bytes(7) + b"\x01\x00")
    assert found is not None
    assert (found.metadata, found.version, found.security) == ({}, (Dialect.V1, 0), Plain())


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("flags", [0x00, 0x7E])
@pytest.mark.parametrize("name", [b"", b"me", b"i" * 253], ids=len)
def test_the_identity_of_a_1_0_client_is_read(name: bytes, flags: int, long: bool) -> None:
    found = acceptor.read_opening_untrusted(old.frame1(name, flags, long=long))
    assert found is not None
    assert found.metadata == ({"Identity": name} if name else {})


@pytest.mark.parametrize(("size", "wanted"), [(0, False), (1, True), (3, False), (2**63, False)])
def test_only_a_size_of_one_says_that_there_is_no_identity(size: int, wanted: bool) -> None:
    assert acceptor.tells_no_identity(signature(size)) is wanted


def test_a_version_is_one_of_two() -> None:
    assert acceptor.type_of(b"\x03") is None
    assert acceptor.type_of(b"\x01\x00") == 0
    assert acceptor.type_of(b"\x01\x0a") == 10


def test_what_completes_an_old_handshake_is_our_identity() -> None:
    remote = {"socket-type": b"ROUTER", "identity": b"them"}
    assert acceptor.v1_answer(remote) == b"\x05\x00them"
    assert acceptor.v1_answer({}) == b"\x01\x00"
    assert acceptor.v1_answer({"Identity": b"i" * 255}) == old.frame1(b"i" * 255)
    assert acceptor.v2_answer(b"\x06", remote) == b"\x06\x00\x04them"
    assert acceptor.v2_answer(b"", {}) == b"\x00\x00"


def test_ready_is_read() -> None:
    octets = plain_steps.READY
    mark, begin, end = ready_span(octets)
    assert mark == end == len(octets)
    found = acceptor.read_ready_untrusted(octets[begin:end], 1)
    assert found.metadata == {"Socket-Type": b"DEALER", "Identity": b"me", "X-Colour": b"green"}
    assert (found.version, found.security) == ((Dialect.V3, 1), Plain())


@pytest.mark.parametrize(
    ("measure", "octets", "fault"),
    [
        (acceptor.opening_span_untrusted, b"GE", Fault.NOT_ZMTP),
        (acceptor.opening_span_untrusted, b"\x16\x03", Fault.NOT_ZMTP),
        (acceptor.opening_span_untrusted, b"\x00", Fault.NOT_ZMTP),
        (acceptor.opening_span_untrusted, b"\x05\x01", Fault.NOT_ZMTP),
        (acceptor.opening_span_untrusted, b"\xff" + bytes(9), Fault.OLD_HANDSHAKE),
        (acceptor.opening_span_untrusted, b"\xff" + bytes(6) + b"\x01\x01\x00", Fault.OLD_HANDSHAKE),
        (acceptor.opening_span_untrusted, b"\xff" * 9 + b"\x00", Fault.OLD_HANDSHAKE),
        (acceptor.version_span_untrusted, b"\x00", Fault.ZMTP_VERSION),
        (acceptor.version_span_untrusted, b"\x02", Fault.ZMTP_VERSION),
        (acceptor.version_span_untrusted, b"\x01\x0b", Fault.OLD_HANDSHAKE),
        (acceptor.mechanism_span_untrusted, b"\x00C", Fault.MECHANISM),
        (acceptor.mechanism_span_untrusted, b"\x00NULL\0X", Fault.MECHANISM),
        (v2.identity_span_untrusted, b"\x01", Fault.OLD_HANDSHAKE),
        (v2.identity_span_untrusted, b"\x02", Fault.OLD_HANDSHAKE),
        (ready_span, b"\x00", Fault.COMMAND),
        (ready_span, zmtp.command_frame(b"ERROR", b"\x03400")[:4], Fault.COMMAND),
        (ready_span, b"\x04\x05\x05READ", Fault.METADATA),
        (ready_span, b"\x06" + (301).to_bytes(8, "big") + b"\x05READY", Fault.METADATA),
        (ready_span, b"\x06" + (2**62).to_bytes(8, "big") + b"\x05READY", Fault.METADATA),
    ],
)
def test_what_is_no_plain_client_is_refused_at_the_octet_that_shows_it(
    measure: Measure, octets: bytes, fault: Fault
) -> None:
    with pytest.raises(PeerError) as caught:
        measure(octets)
    assert caught.value.fault == fault


@pytest.mark.parametrize("mechanism", ["CURVE", "PLAIN"])
def test_what_a_client_offers_instead_is_told(mechanism: str) -> None:
    with pytest.raises(PeerError) as caught:
        acceptor.mechanism_span_untrusted(zmtp.greeting(mechanism.encode())[11:])
    assert (caught.value.fault, caught.value.detail) == (Fault.MECHANISM, f"it offers {mechanism}")


def test_metadata_that_is_cut_short_is_refused() -> None:
    with pytest.raises(PeerError) as caught:
        acceptor.read_ready_untrusted(b"\x05READY\x0bSocket", 0)
    assert caught.value.fault == Fault.METADATA

"""The header of a load balancer, in the words of proxy-protocol.txt, section 2.2."""

import socket
import struct

import pytest

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.proxy_protocol import header_mark_untrusted, read_header_untrusted

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack(">HH", 51234, 5556)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack(">HH", 51234, 5556)


def header(body: bytes, command: int = 0x21, family: int = 0x11, size: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body) if size is None else size) + body


GOOD = {
    "TCP over IPv4": (header(V4), ("192.0.2.7", 51234)),
    "TCP over IPv6": (header(V6, family=0x21), ("2001:db8::7", 51234)),
    "with what a balancer adds": (header(V4 + b"\x04\x00\x01x"), ("192.0.2.7", 51234)),
    "the balancer itself": (header(b"", 0x20, 0), None),
    "the balancer itself, with an address": (header(V4, 0x20), None),
    "nobody's": (header(b"", 0x21, 0), None),
    "a Unix socket's": (header(bytes(216), 0x21, 0x31), None),
    "as large as may be": (header(V4 + bytes(536 - 16 - 12)), ("192.0.2.7", 51234)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_read_once_it_is_whole(name: str) -> None:
    octets, address = GOOD[name]
    for have in range(len(octets)):
        assert have < header_mark_untrusted(octets[:have]) <= len(octets)
    assert header_mark_untrusted(octets + b"\xff greeting") == len(octets)
    assert read_header_untrusted(octets) == address


@pytest.mark.parametrize(
    "octets",
    [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 5556\r\n",  # version 1
        b"\xff",
        b"\r\n\r\n\x01",
        header(b"", size=521),
        header(b"", size=65535),
    ],
)
def test_what_is_no_header_is_refused_at_once(octets: bytes) -> None:
    with pytest.raises(PeerError) as error:
        header_mark_untrusted(octets)
    assert error.value.fault == Fault.NOT_ZMTP


@pytest.mark.parametrize(
    "octets",
    [header(V4, 0x11), header(V4, 0x22), header(V4, 0xFF), header(V4[:-1]), header(V4, family=0x21), header(b"")],
)
def test_what_a_header_may_not_say_is_refused(octets: bytes) -> None:
    assert header_mark_untrusted(octets) == len(octets)
    with pytest.raises(PeerError) as error:
        read_header_untrusted(octets)
    assert error.value.fault == Fault.NOT_ZMTP

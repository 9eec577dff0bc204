"""Metadata: what was written is read; what is malformed has one fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.wire.errors import Fault, LocalError, PeerError
from curveproxy.wire.zmtp import metadata

names = st.text("abcXYZ019-_.+", min_size=1, max_size=255)
properties = st.dictionaries(names, st.binary(max_size=300), max_size=5).filter(
    lambda found: len({name.lower() for name in found}) == len(found)
)


@given(properties)
def test_what_was_written_is_read_in_its_order(written: dict[str, bytes]) -> None:
    read = metadata.read_untrusted(metadata.encode(written))
    assert list(read.items()) == list(written.items())


@given(properties.filter(bool), st.data())
def test_no_cut_goes_unnoticed(written: dict[str, bytes], data: st.DataObject) -> None:
    octets = metadata.encode(written)
    whole = {len(metadata.encode(dict(list(written.items())[:count]))) for count in range(len(written) + 1)}
    cut = data.draw(st.integers(0, len(octets)).filter(lambda at: at not in whole))
    with pytest.raises(PeerError) as caught:
        metadata.read_untrusted(octets[:cut])
    assert caught.value.fault == Fault.METADATA


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00" + bytes(4),
        b"\x03a b" + bytes(4),
        b"\x02\xc3\xa9" + bytes(4),
        b"\x01a" + b"\x00\x00\x00\x05abcd",
        b"\x01a" + b"\xff\xff\xff\xff",
        b"\x01a" + bytes(4) + b"\x01A" + bytes(4),
        b"\x01a" + bytes(4) + b"\x00",
    ],
    ids=["no name", "space", "not ascii", "short value", "huge value", "twice", "stray octet"],
)
def test_malformed_metadata_is_a_fault_of_its_own(octets: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        metadata.read_untrusted(octets)
    assert caught.value.fault == Fault.METADATA


def test_a_property_is_found_in_any_case() -> None:
    assert metadata.find({"socket-TYPE": b"REP"}, "Socket-Type") == b"REP"
    assert metadata.find({"Identity": b""}, "Socket-Type") is None


@pytest.mark.parametrize("name", ["", "a b", "x" * 256])
def test_our_own_mistakes_are_ours(name: str) -> None:
    with pytest.raises(LocalError):
        metadata.encode({name: b""})


@given(properties)
def test_their_size_is_known_before_they_are_written(said: dict[str, bytes]) -> None:
    assert metadata.size_of(said) == len(metadata.encode(said))

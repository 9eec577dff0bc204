"""Z85, against libzmq's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85 as theirs

from curveproxy.wire import z85

octets = st.binary(max_size=40).map(lambda found: found[: len(found) // 4 * 4])


@given(octets)
def test_we_write_what_libzmq_writes_and_read_it(given_octets: bytes) -> None:
    text = z85.encode(given_octets)
    assert text.encode() == theirs.encode(given_octets)
    assert z85.decode(text) == given_octets


def test_the_rfcs_own_example() -> None:
    assert z85.encode(bytes.fromhex("864fd26fb559f75b")) == "HelloWorld"


@pytest.mark.parametrize("text", ["abcd", "abc d", "abcdé", '"abcd', "#####"])
def test_what_is_not_z85_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        z85.decode(text)


def test_octets_come_in_fours() -> None:
    with pytest.raises(ValueError):
        z85.encode(b"abc")

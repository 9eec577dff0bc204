"""The revocation list: its four kinds of lines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import CLIENT, FROM_SECONDS, KEY, OTHER_KEY, OTHER_SEED, authority_key, certificate
from support.process import ROOT
from zmq.utils import z85

from curveproxy.policy.access.revocations import Revocations
from curveproxy.wire.certificate import read_untrusted

AUTHORITY, OTHER_AUTHORITY = (z85.encode(key).decode() for key in (authority_key(), authority_key(OTHER_SEED)))
OTHER = z85.encode(OTHER_KEY).decode()


@pytest.mark.parametrize(
    ("line", "revoked"),
    [
        ("serial 9f86d081884c7d65", True),
        ("serial 9f86d081884c7d66", False),
        (f"key {CLIENT['public-key']}", True),
        (f"key {OTHER}", False),
        ("name desk-7", True),
        ("name desk-77", False),
        ("name Desk-7", False),
        (f"before {AUTHORITY} 2026-11-26T05:39:01Z", True),
        (f"before {AUTHORITY} 2026-11-26T05:39:00Z", False),
        (f"before {OTHER_AUTHORITY} 2027-11-26T05:39:01Z", False),
        (f"before {AUTHORITY} 2027-01-01T00:00:00Z\nbefore {AUTHORITY} 2026-01-01T00:00:00Z", True),
        (f"before {AUTHORITY} 2026-01-01T00:00:00Z\nbefore {AUTHORITY} 2027-01-01T00:00:00Z", True),
    ],
)
def test_a_line_takes_back_what_it_names(line: str, revoked: bool) -> None:
    assert Revocations.read(f"{line}\n").revokes(read_untrusted(certificate())) == revoked


def test_comments_and_blanks_are_passed_over_and_a_key_may_have_the_letter() -> None:
    odd = CLIENT["public-key"][:-1] + "#"
    text = f"# stolen:\n\n   serial   9f86d081884c7d65  # yesterday\r\nkey {odd}\n#name desk-7\nname lamp # a # b"
    found = Revocations.read(text)
    assert found == Revocations(frozenset({"9f86d081884c7d65"}), frozenset({z85.decode(odd)}), frozenset({"lamp"}))
    assert found.count == 3


def test_the_list_in_the_docs_is_one() -> None:
    text = (ROOT / "docs" / "certificates.md").read_text()
    found = Revocations.read("\n".join(re.findall(r"(?m)^    ((?:serial|key|name|before) .*)$", text)))
    assert (found.count, found.serials, found.names) == (4, frozenset({"9f86d081884c7d65"}), frozenset({"desk-7"}))


def test_what_stands_twice_counts_once() -> None:
    text = f"name a\nname a\nbefore {AUTHORITY} 2026-01-01T00:00:00Z\nbefore {AUTHORITY} 2027-01-01T00:00:00Z\n"
    found = Revocations.read(text)
    assert found.count == 2
    assert found.before == {authority_key(): 1798761600}


def test_an_empty_list_takes_nothing_back() -> None:
    assert not Revocations.read("").revokes(read_untrusted(certificate()))
    assert Revocations.read("# nothing\n").count == 0


@pytest.mark.parametrize(
    "line",
    [
        "serial", "serial 9F86D081884C7D65", "serial 9f86", "serial 9f86d081884c7d65 9f86d081884c7d65", "whisper x",
        "key", "key whisper", f"key {'é' * 40}", f"key {'%' * 40}", "name", "name whisper/x", "name desk 7",
        "Name desk-7",
        "before", f"before {AUTHORITY}", f"before {AUTHORITY} whisper", f"before {AUTHORITY} 2026-02-30T00:00:00Z",
        f"before 2026-11-20T00:00:00Z {AUTHORITY}", "names desk-*", "9f86d081884c7d65", "serial=9f86d081884c7d65",
    ],
)  # fmt: skip
def test_a_line_that_can_not_be_read_is_told_by_its_number_alone(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3: ") as caught:
        Revocations.read(f"# a list\nname desk-8\n{line}\nserial 9f86d081884c7d65\n")
    assert "whisper" not in str(caught.value)


@given(
    st.text()
    | st.lists(st.sampled_from(["serial", "key", "name", "before", "#", "\n", " ", "9f86d081884c7d65", "a"])).map(
        "".join
    )
)
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        found = Revocations.read(text)
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017  it may be a list as well
    else:
        assert found.count <= len(text.splitlines())


def test_of_one_line_each_the_times_are_unix_seconds() -> None:
    assert Revocations.read(f"before {AUTHORITY} 2026-11-26T05:39:00Z").before == {authority_key(): FROM_SECONDS}
    assert Revocations.read(f"key {CLIENT['public-key']}").keys == {KEY}

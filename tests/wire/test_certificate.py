"""Certificates: the vector, the grammar, and against a writer and a reader that are not ours."""

import hashlib
import random
import re
import textwrap
from collections.abc import Mapping

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import certificates
from support.certificates import CLIENT, FROM_SECONDS, FULL, KEY, SERVER, UNTIL_SECONDS, certificate, signed, text_of
from support.handshake import fault_of
from support.process import ROOT
from zmq.utils import z85

from curveproxy.wire.certificate import FIELDS_MAX, MOST, read_untrusted, signed_octets, write
from curveproxy.wire.errors import Fault, LocalError, PeerError

WORDS = {each for each in Fault if each.startswith("certificate_")}
MALFORMED, FIELD = Fault.CERTIFICATE_MALFORMED, Fault.CERTIFICATE_FIELD


def fault(text: bytes) -> Fault:
    return fault_of(lambda: read_untrusted(text))


def test_the_vector_is_read() -> None:
    found = read_untrusted(certificates.VECTOR_TEXT)
    assert (len(certificates.VECTOR_TEXT), len(found.text)) == (637, 526)
    assert len(found.signed) == certificates.VECTOR_SIGNED_SIZE
    assert hashlib.blake2b(found.signed, digest_size=32).hexdigest() == certificates.VECTOR_SIGNED_DIGEST
    assert found.authority.hex() == certificates.VECTOR_AUTHORITY
    assert found.signature.hex() == certificates.VECTOR_SIGNATURE
    assert found.verifies()


def test_the_vector_is_what_we_write() -> None:
    text = write(certificates.VECTOR, certificates.SEED, certificates.VECTOR_COMMENTS)
    assert text.encode() == certificates.VECTOR_TEXT
    without = write(certificates.VECTOR, certificates.SEED)
    assert without.encode() == read_untrusted(certificates.VECTOR_TEXT).text


def test_the_docs_show_that_one_and_every_field() -> None:
    text = (ROOT / "docs" / "certificates.md").read_text()
    [shown] = re.findall(r"(?m)^    #   signed by.*\n(?:    .*\n|\n)*?    certificate\n(?: {8}.*\n)*", text)
    assert textwrap.dedent(shown).encode() == certificates.VECTOR_TEXT
    rows = "".join(re.findall(r"(?m)^\| (`.*?`) \|", text.partition("| field |")[2]))
    assert set(re.findall(r"`([a-z-]+)`", rows)) == {*FULL, *SERVER, "authority", "signature"} - {"note-of-ours"}


def test_all_fields_of_a_client_are_read() -> None:
    found = read_untrusted(certificate(FULL))
    assert (found.key, found.kind, found.name) == (KEY, "client", "desk-7")
    assert (found.serial, found.valid_from, found.valid_until) == (CLIENT["serial"], FROM_SECONDS, UNTIL_SECONDS)
    assert found.renewable_until == UNTIL_SECONDS + 365 * 86400
    assert found.services == frozenset({"orders", "prices of all"})
    assert found.socket_types == {b"DEALER", b"REQ"}
    assert found.identity == b"desk\x007"
    assert found.topics == (b"orders.", b"*", b"\xff")
    assert found.publish_topics is None
    assert found.limits == {"max_sessions": 4, "messages_per_second": 100, "bytes_per_second": 0}
    assert found.verifies()


def test_what_is_left_out_restricts_nothing() -> None:
    found = read_untrusted(certificate())
    assert (found.services, found.topics, found.publish_topics, found.renewable_until) == (None, None, None, None)
    assert (found.socket_types, found.identity, found.limits, found.names) == (frozenset(), b"", {}, ())


def test_a_server_has_names() -> None:
    found = read_untrusted(certificate(SERVER))
    assert (found.kind, found.names, found.verifies()) == ("server", ("orders.example", "Orders"), True)


def test_order_and_comments_are_not_signed() -> None:
    whole = read_untrusted(certificate(FULL))
    fields = signed(FULL)
    for seed in range(20):
        names = random.Random(seed).sample(list(fields), len(fields))
        lines = text_of({name: fields[name] for name in names}).splitlines(keepends=True)
        for at in range(len(lines), -1, -3):
            lines.insert(at, b"#   said by nobody\n\n")
        found = read_untrusted(b"".join(lines))
        assert (found.signed, found.signature, found.verifies()) == (whole.signed, whole.signature, True)
        assert b"#   said" not in found.text
        assert read_untrusted(found.text).text == found.text


def test_sections_come_in_any_order() -> None:
    head, middle, tail = re.fullmatch(rb"(metadata\n)(curve\n.*\n)(certificate\n(?:.*\n)*)", certificate()).groups()  # type: ignore[union-attr]
    for text in (tail + middle + head, middle + head + tail, tail + middle):
        assert read_untrusted(text).verifies()


# --- each field altered, left out, doubled, in another section, unknown


@pytest.mark.parametrize("name", FULL)
def test_an_altered_field_has_another_signature(name: str) -> None:
    fields = signed(FULL)
    other = {"public-key": z85.encode(bytes(32)).decode(), "valid-from": "2026-11-26T05:39:01Z", "topics": "other"}
    other |= {"valid-until": "2026-12-03T05:40:01Z", "renewable-until": "2027-12-03T05:40:01Z", "serial": "0" * 16}
    other |= {"socket-types": "SUB", "max-sessions": "5", "messages-per-second": "5", "bytes-per-second": "5"}
    if name in ("version", "kind"):
        kinds = {"version": Fault.CERTIFICATE_VERSION, "kind": Fault.CERTIFICATE_KIND}
        assert fault(text_of({**fields, name: "2"})) == kinds[name]
    else:
        assert not read_untrusted(text_of({**fields, name: other.get(name, "other")})).verifies()


@pytest.mark.parametrize("name", FULL)
def test_a_field_that_is_taken_out_is_missed(name: str) -> None:
    fields = signed(FULL)
    del fields[name]
    if name in CLIENT:
        assert fault(text_of(fields)) == MALFORMED
    else:
        assert not read_untrusted(text_of(fields)).verifies()


@pytest.mark.parametrize("name", ["authority", "signature", "names"])
def test_so_are_these(name: str) -> None:
    fields = signed(SERVER)
    del fields[name]
    assert fault(text_of(fields)) == MALFORMED


@pytest.mark.parametrize("name", [*FULL, "authority", "signature"])
def test_a_field_comes_once_and_in_its_section(name: str) -> None:
    fields = signed(FULL)
    line = f'    {name} = "{fields[name]}"\n'.encode()
    text = text_of(fields)
    assert fault(text.replace(line, line + line)) == MALFORMED
    elsewhere = b"certificate\n" if name == "public-key" else b"curve\n"
    assert fault(text.replace(line, b"").replace(elsewhere, elsewhere + line)) == MALFORMED
    assert fault(text.replace(line, b"").replace(b"metadata\n", b"metadata\n" + line)) == MALFORMED
    assert fault(line + text.replace(line, b"")) == MALFORMED


@pytest.mark.parametrize("name", ["colour", "secret-key", "public-keys", "topic", "note", "expires", "names"])
def test_an_unknown_field_refuses_a_client(name: str) -> None:
    assert fault(certificate({**CLIENT, name: "x"})) == FIELD


@pytest.mark.parametrize("name", sorted(FULL.keys() - SERVER.keys() - {"renewable-until", "note-of-ours"}))
def test_a_field_of_a_client_refuses_a_server(name: str) -> None:
    assert fault(certificate({**SERVER, name: FULL[name]})) == FIELD


def test_notes_are_signed_and_mean_nothing() -> None:
    assert read_untrusted(certificate({**SERVER, "note-": "", "note-to-self": "#1"})).verifies()
    assert not read_untrusted(certificate(note_to_self="x").replace(b'"x"', b'"y"')).verifies()


@pytest.mark.parametrize("change", [{"version": "2"}, {"version": "1.0"}, {"version": " 1"}])
def test_another_version_is_told_before_what_it_may_mean(change: Mapping[str, str]) -> None:
    assert fault(certificate({**CLIENT, "kind": "new", **change})) == Fault.CERTIFICATE_VERSION


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("serial", "9F86D081884C7D65"), ("serial", "9f86d081884c7d6"), ("serial", "9f86d081884c7d655"),
        ("name", "desk 7"), ("name", "d" * 65), ("name", "desk/7"), ("name", "desk%207"),
        ("valid-from", "2026-11-26"), ("valid-until", "2026-02-30T00:00:00Z"), ("renewable-until", "never"),
        ("valid-until", "2026-11-26T05:39:00Z"), ("valid-from", "2026-12-04T05:39:00Z"),
        ("public-key", "x" * 39), ("public-key", "x" * 35), ("public-key", "é" * 40), ("public-key", "%" * 40),
        ("services", " orders"), ("services", "orders "), ("services", "a  b"), ("services", "100%"),
        ("services", "a%2"), ("services", "a%gg"), ("services", "%ff"),
        ("socket-types", "dealer"), ("socket-types", "DEALER,REQ"), ("socket-types", "DEALER  REQ"),
        ("identity", "desk 7"), ("identity", "%00desk"), ("identity", "d" * 256), ("identity", "%"),
        ("topics", "a *"), ("topics", "* *"), ("publish-topics", "* a"), ("topics", "a%"),
        ("max-sessions", "-1"), ("max-sessions", "1.5"), ("max-sessions", "9" * 19), ("bytes-per-second", "1e3"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_malformed(name: str, value: str) -> None:
    text = certificate({**CLIENT, name: value})
    assert fault(text) == MALFORMED


@pytest.mark.parametrize("name", ["services", "socket-types", "identity", "topics", "publish-topics", "max-sessions"])
def test_an_empty_restriction_is_none_and_is_refused(name: str) -> None:
    assert fault(text_of(signed({**CLIENT, name: ""}))) == MALFORMED


@pytest.mark.parametrize(
    "line",
    [
        b"  # behind a blank", b'    name="desk-7"', b'   name = "desk-7"', b'     name = "desk-7"', b"\tname = \"d\"",
        b"    name = 'desk-7'", b'    name = "desk-7" # no', b'    Name = "desk-7"', b'    name = "de"sk"',
        b'    na\xc3\xa9 = "x"', b'    name = "\xc3\xa9"', b'    name = "a\tb"', b"#\xc3\xa9", b"\r", b"#\0", b" ",
        b"metadata ", b"other", b"certificate/name", b"    name", b"curve", b'    1st = "x"', b'    -a = "x"',
        b"    n" + b"a" * 32 + b' = "x"', b'    note-x = "' + b"a" * 1025 + b'"',
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_malformed(line: bytes) -> None:
    assert fault(certificate() + line + b"\n") == MALFORMED


def test_lines_end_as_they_are_written() -> None:
    text = certificate()
    assert fault(text.replace(b"\n", b"\r\n")) == MALFORMED
    assert fault(text[:-1]) == MALFORMED
    assert fault(text.replace(b"\n", b"\r")) == MALFORMED
    assert fault(b"\xef\xbb\xbf" + text) == MALFORMED
    assert fault(text + b"\0") == MALFORMED
    assert fault(b"") == MALFORMED


def test_the_size_and_the_number_of_fields_are_bounded() -> None:
    text = certificate()
    comment = b"#" * (MOST - len(text) - 1) + b"\n"
    assert read_untrusted(text + comment).verifies()
    assert fault(text + b"#" + comment) == Fault.CERTIFICATE_TOO_LARGE
    room = FIELDS_MAX - len(signed(CLIENT))
    assert read_untrusted(certificate({**CLIENT, **{f"note-{at}": "x" for at in range(room)}})).verifies()
    assert fault(certificate({**CLIENT, **{f"note-{at}": "x" for at in range(room + 1)}})) == MALFORMED


def test_a_detail_tells_nothing_of_what_was_said() -> None:
    for text in (
        certificate(whisper="x"),
        certificate(name="whisper whisper"),
        certificate() + b"whisper\n",
        certificate(identity="whisper%"),
        certificate(kind="whisper"),
        certificate(version="whisper"),
        certificate(max_sessions="whisper"),
        certificate(valid_from="whisper"),
    ):
        with pytest.raises(PeerError) as caught:
            read_untrusted(text)
        assert caught.value.detail
        assert "whisper" not in str(caught.value)


# --- any text


def lines_of(text: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(text.splitlines(keepends=True))).map(b"".join)


GOOD = certificate(FULL)
texts = st.one_of(
    st.binary(max_size=MOST + 1),
    lines_of(GOOD),
    st.tuples(st.integers(0, len(GOOD)), st.integers(0, 40), st.binary(max_size=40)).map(
        lambda change: GOOD[: change[0]] + change[2] + GOOD[change[0] + change[1] :]
    ),
)


@given(texts)
def test_any_text_is_a_certificate_or_a_peers_error(text: bytes) -> None:
    try:
        found = read_untrusted(text)
    except PeerError as error:
        assert error.fault in WORDS  # noqa: PT017  it may be a certificate as well
    else:
        assert read_untrusted(found.text).signed == found.signed
        assert found.verifies() == verified_by_others(found.signed, found.signature, found.authority)


def verified_by_others(octets: bytes, signature: bytes, authority: bytes) -> bool:
    try:
        return bool(nacl.bindings.crypto_sign_open(signature + octets, authority) == octets)
    except nacl.exceptions.BadSignatureError:
        return False


words = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=4)


def written(found: list[bytes]) -> str:
    return " ".join("".join(f"%{octet:02x}" for octet in word) for word in found)


@given(
    topics=words,
    identity=st.binary(min_size=1, max_size=60).filter(lambda each: each[0] != 0),
    limit=st.integers(0, 10**18 - 1),
)
def test_what_is_written_is_read(topics: list[bytes], identity: bytes, limit: int) -> None:
    fields = {**CLIENT, "topics": written(topics), "identity": written([identity]), "max-sessions": str(limit)}
    del fields["version"]
    found = read_untrusted(write(fields, certificates.SEED).encode())
    assert (found.topics, found.identity, found.limits) == (tuple(topics), identity, {"max_sessions": limit})
    assert found.verifies()
    assert found.signed == signed_octets({**fields, "version": "1", "authority": signed(CLIENT)["authority"]})
    assert found.signed == certificates.signed_octets(signed({**CLIENT, **fields}))


@pytest.mark.parametrize(
    "change", [{"name": "a b"}, {"services": ""}, {"name": 'a"b'}, {"note-x": "x" * 1000, "note-y": "y" * 1000}]
)
def test_nothing_is_written_that_can_not_be_read(change: dict[str, str]) -> None:
    with pytest.raises(LocalError):
        write({**CLIENT, **change}, certificates.SEED)


def test_a_certificate_does_not_print_what_is_long() -> None:
    found = read_untrusted(certificate())
    assert "signed" not in repr(found)
    assert "signature" not in repr(found)

"""Signing and looking: what is signed is what was asked for, for each option, and mistakes get a sentence."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import (
    FROM_SECONDS,
    KEY,
    OTHER_SEED,
    SEED,
    SERVER,
    authority_key,
    certificate,
    signed,
    text_of,
)
from support.trust import TRUST
from zmq.utils import z85

from curveproxy.app.commands.certificates import SignOptions, look, sign
from curveproxy.app.commands.options import OptionsError
from curveproxy.app.config.authorities import AuthorityFile, write_authority
from curveproxy.app.config.certificates import KeyFileError, write_key_pair
from curveproxy.policy.access.judgement import VerifiedTexts, judge_client, judge_server
from curveproxy.policy.access.terms import Bearer
from curveproxy.wire.certificate import Certificate, read_untrusted
from curveproxy.wire.curve.keys import KeyPair

Options = dict[str, Any]
NOW = FROM_SECONDS + 60
PLANT = AuthorityFile("plant-1", authority_key(), SEED)


def key_text(metadata: str = "") -> str:
    """The .key file of a client."""
    return f'metadata\n{metadata}curve\n    public-key = "{z85.encode(KEY).decode()}"\n'


class Desk:
    """A directory with an authority and a key. told: what sign has told beside."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.told = directory, list[str]()
        self.public_file, self.secret_file = write_authority(directory / "keys", PLANT)
        self.key = directory / "desk-7.key"
        self.key.write_text(key_text())

    def sign(self, now: int = NOW, **options: Any) -> tuple[bytes, Certificate]:
        """The text of a certificate, and what it says."""
        given = attrs.evolve(SignOptions(self.key, self.secret_file), **options)
        assert given.objection is None
        path, _ = sign(given, now, self.told.append)
        text = path.read_bytes()
        path.unlink()
        return text, read_untrusted(text)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_certificate_as_it_is_without_options(desk: Desk) -> None:
    path, until = sign(SignOptions(desk.key, desk.secret_file), NOW, desk.told.append)
    assert (path, until, desk.told) == (desk.directory / "desk-7.cert", "2026-12-03T05:40:00Z", [])
    text = path.read_text()
    assert text.startswith(
        "#   signed by the authority plant-1, 2026-11-26 05:40:00 UTC\n#   the certificate of a CURVE"
    )
    found = read_untrusted(text.encode())
    assert (found.key, found.kind, found.name, found.authority) == (KEY, "client", "desk-7", authority_key())
    assert (found.valid_from, found.valid_until) == (FROM_SECONDS, NOW + 7 * 86400)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"name": "lamp"}, "name", "lamp"),
        ({"days": 1}, "valid_until", NOW + 86400),
        ({"days": 31}, "valid_until", NOW + 31 * 86400),
        ({"services": "orders a%20b"}, "services", frozenset({"orders", "a b"})),
        ({"socket_types": "DEALER REQ"}, "socket_types", frozenset({b"DEALER", b"REQ"})),
        ({"identity": "desk-7"}, "identity", b"desk-7"),
        ({"topics": "orders. %2A"}, "topics", (b"orders.", b"*")),
        ({"topics": "*"}, "topics", None),
        ({"publish_topics": "prices."}, "publish_topics", (b"prices.",)),
        ({"max_sessions": 0}, "limits", {"max_sessions": 0}),
        ({"messages_per_second": 5}, "limits", {"messages_per_second": 5}),
        ({"bytes_per_second": 7}, "limits", {"bytes_per_second": 7}),
        ({"renewable_days": 365}, "renewable_until", NOW + 365 * 86400),
        ({"server": True, "names": "orders.example orders"}, "names", ("orders.example", "orders")),
        ({"server": True, "names": "x", "days": 90, "renewable_days": 90}, "kind", "server"),
    ],
)  # fmt: skip
def test_each_option_is_signed_read_and_judged(desk: Desk, options: Options, field: str, value: object) -> None:
    text, found = desk.sign(**options)
    assert getattr(found, field) == value
    if found.kind == "server":
        assert judge_server(text, found.names[0], TRUST, NOW, VerifiedTexts()).flaw is None
    else:
        assert judge_client(text, Bearer(KEY, "orders", b"REQ"), TRUST, NOW, VerifiedTexts()).flaw is None


octets = st.binary(min_size=1, max_size=20)


@given(
    words=st.lists(octets, min_size=1, max_size=5),
    identity=octets.filter(lambda each: each[0] != 0),
    days=st.integers(1, 36500),
)
def test_whatever_is_signed_is_read_and_judged(
    tmp_path_factory: pytest.TempPathFactory, words: list[bytes], identity: bytes, days: int
) -> None:
    def written(found: list[bytes]) -> str:
        return " ".join("".join(f"%{octet:02X}" for octet in word) for word in found)

    desk = Desk(tmp_path_factory.mktemp("desk"))
    text, found = desk.sign(topics=written(words), identity=written([identity]), days=days)
    assert (found.topics, found.identity) == (tuple(words), identity)
    assert found.valid_until - NOW == days * 86400
    assert judge_client(text, Bearer(KEY, "x", b"SUB", identity), TRUST, NOW, VerifiedTexts()).flaw is None


def test_two_certificates_have_two_serials(desk: Desk) -> None:
    assert desk.sign()[1].serial != desk.sign()[1].serial


def test_nothing_is_overwritten(desk: Desk) -> None:
    (there := desk.directory / "desk-7.cert").write_text("here before")
    with pytest.raises(KeyFileError, match="exists already, and is not overwritten: choose another file by --out"):
        desk.sign()
    assert there.read_text() == "here before"
    assert desk.sign(out=desk.directory / "out" / "x.cert")[1].name == "desk-7"


def test_a_certificate_is_not_signed_again_for_its_restrictions_would_be_lost(desk: Desk) -> None:
    (old := desk.directory / "desk-8.cert").write_bytes(certificate())
    with pytest.raises(KeyFileError, match="is a certificate already: name the"):
        desk.sign(key=old, out=desk.directory / "new.cert")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"server": True}, "nothing says what the server is called: add --names"),
        ({"server": True, "names": "x", "topics": "a"}, "--topics is for a client's certificate"),
        ({"server": True, "names": "x", "max_sessions": 0}, "--max-sessions is for a client's certificate"),
        ({"names": "x"}, "--names is for --server"),
        ({"renewable_days": 6}, "--renewable-days ends before --days"),
        ({"socket_types": "PIGEON"}, "--socket-types: there is no such type: there are CHANNEL"),
        ({"socket_types": "dealer"}, "--socket-types: there is no such type"),
    ],
)
def test_options_that_do_not_go_together(options: Options, sentence: str) -> None:
    given = attrs.evolve(SignOptions(Path("a"), Path("b")), **options)
    assert given.objection is not None
    assert sentence in given.objection


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "desk 7"}, "choose one by --name"),
        ({"services": ""}, "its services: it is not made of words"),
        ({"services": "a  b"}, "its services: it is not made of words"),
        ({"services": 'a"b'}, "its services has letters beyond ASCII, quotes"),
        ({"services": "größe"}, "letters beyond ASCII"),
        ({"services": "\udcff"}, "letters beyond ASCII"),
        ({"identity": "a b"}, "a space is %20"),
        ({"topics": "a *"}, "is %2A"),
        ({"topics": "t" * 1025}, "or more than 1,024"),
        ({"server": True, "names": " ".join(["n" * 500] * 5)}, "or more than 1,024"),
        ({"topics": "t" * 1000, "publish_topics": "p" * 1000}, "more than 2048 octets"),
    ],
)
def test_values_that_can_not_be_signed(desk: Desk, options: Options, sentence: str) -> None:
    with pytest.raises(OptionsError, match=sentence):
        desk.sign(**options)
    assert not list(desk.directory.glob("*.cert"))


def test_a_file_name_that_is_no_name_wants_one(desk: Desk) -> None:
    desk.key = desk.key.rename(desk.directory / "desk 7.key")
    with pytest.raises(OptionsError, match="choose one by --name"):
        desk.sign()


def test_restrictions_of_a_key_file_are_not_lost_unnoticed(desk: Desk) -> None:
    desk.key.write_text(key_text('    identity = "desk-7"\n    max-sessions = "3"\n    email = "a@b"\n'))
    with pytest.raises(KeyFileError, match="restricts its key by identity, which the certificate would not"):
        desk.sign(max_sessions=3)
    found = desk.sign(max_sessions=5, identity="desk-8")[1]
    assert (found.identity, found.limits) == (b"desk-8", {"max_sessions": 5})
    assert desk.sign(server=True, names="x")[1].kind == "server"


@pytest.mark.parametrize("name", ["topics", "publish-topics"])
def test_nor_are_topics(desk: Desk, name: str) -> None:
    desk.key.write_text(key_text(f'    {name} = "a %20"\n'))
    with pytest.raises(KeyFileError, match=f"restricts its key by {name}, which .* say --{name} here"):
        desk.sign()
    option = name.replace("-", "_")
    given: dict[str, Any] = {option: "a %20"}
    assert getattr(desk.sign(**given)[1], option) == (b"a", b" ")


def test_a_secret_key_is_not_signed(desk: Desk) -> None:
    desk.key = desk.directory / "mine.key_secret"
    write_key_pair(desk.key, KeyPair.generate())
    with pytest.raises(KeyFileError, match="holds a secret key"):
        desk.sign()


def test_a_secret_that_others_can_read_is_told(desk: Desk) -> None:
    desk.secret_file.chmod(0o644)
    desk.sign()
    assert desk.told == [f"the secret of the authority can be read by others: chmod 600 {desk.secret_file}"]


# --- look


def seen(desk: Desk, text: bytes, *authorities: Path, now: float = NOW) -> tuple[str, str]:
    (path := desk.directory / "x.cert").write_bytes(text)
    found = look(path, authorities, now)
    return found.flaw.partition(":")[0], found.conclusion


def test_a_look_tells_what_it_says(desk: Desk) -> None:
    (path := desk.directory / "x.cert").write_bytes(certificate(SERVER))
    found = look(path, [desk.public_file], NOW)
    told = dict(found.lines)
    assert told.keys() == SERVER.keys() - {"version"} | {"authority"}
    assert told == {name: signed(SERVER)[name] for name in told}
    assert (found.flaw, found.conclusion) == ("", "valid until 2026-12-03T05:40:00Z, signed by plant-1")


def test_a_look_without_an_authority_takes_the_one_that_is_named(desk: Desk) -> None:
    assert seen(desk, certificate()) == ("", "valid until 2026-12-03T05:40:00Z")
    assert seen(desk, certificate(seed=OTHER_SEED)) == ("", "valid until 2026-12-03T05:40:00Z")
    assert seen(desk, text_of(signed(SERVER) | {"names": "x"}))[0] == "signature"


def test_of_several_authorities_the_one_that_signed_is_told(desk: Desk) -> None:
    other, _ = write_authority(desk.directory / "keys", AuthorityFile("plant-2", authority_key(OTHER_SEED), OTHER_SEED))
    until = "valid until 2026-12-03T05:40:00Z, signed by"
    assert seen(desk, certificate(), other, desk.public_file) == ("", f"{until} plant-1")
    assert seen(desk, certificate(seed=OTHER_SEED), other, desk.public_file) == ("", f"{until} plant-2")
    assert seen(desk, certificate(), other) == ("authority", "")


@pytest.mark.parametrize(
    ("text", "now", "flaw"),
    [
        (certificate(), NOW + 8 * 86400, "expired"),
        (certificate(), NOW - 86400, "not_yet_valid"),
        (certificate(colour="red"), NOW, "unknown_field"),
        (certificate(version="2"), NOW, "version"),
        (b"#" * 3000, NOW, "too_large"),
        (b"", NOW, "malformed"),
        (certificate(socket_types="PIGEON"), NOW, "malformed"),
        (key_text().encode(), NOW, "malformed"),
        (text_of(signed(SERVER) | {"names": "x"}), NOW, "signature"),
    ],
)
def test_a_flaw_is_told_by_its_word(desk: Desk, text: bytes, now: float, flaw: str) -> None:
    assert seen(desk, text, desk.public_file, now=now) == (flaw, "")

"""The allow-list: what a listing changes, and what it must not."""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st
from support.authority import authority, key_file
from support.certificates import certificate

from curveproxy.app.config.certificates import KeyFileError, write_key_pair
from curveproxy.app.config.signed import read_signed
from curveproxy.app.watch.clients import BOTH, NO_SERVICE, UNREADABLE, Client, Clients, read_client
from curveproxy.app.watch.files import Stamp
from curveproxy.app.watch.trust import FLAWED
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.terms import NO_TERMS, Bearer, KeyTerms
from curveproxy.wire import z85
from curveproxy.wire.certificate import read_untrusted
from curveproxy.wire.curve.keys import KeyPair

A, B = b"a" * 32, b"b" * 32


class Log:
    """Remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, event: str, **_: Any) -> None:
        self.lines.append(event)

    info = warning


class Directory(Clients):
    """Clients whose listings and files are what a test says."""

    def __init__(self, held: dict[str, bytes | None], log: Log) -> None:
        super().__init__(None, [], False, log)
        self._held = held

    def _read(self, name: str) -> Client:
        key = self._held[name]
        if key is None:
            raise KeyFileError(f"{name} is broken")
        return Client(key)

    def take(self, listing: Mapping[str, Stamp]) -> bool:
        """Refresh by this listing."""
        self._files = listing
        return self.refresh()

    def _listing(self) -> Mapping[str, Stamp]:
        return self._files

    def names(self) -> Mapping[bytes, str | None]:
        return self.list.names


def listing(**sizes: int) -> dict[str, Stamp]:
    return {f"{name}.key": Stamp(1, 1, 1, size) for name, size in sizes.items()}


def test_a_key_comes_at_once_and_goes_after_two_listings() -> None:
    files: dict[str, bytes | None] = {"alice.key": A}
    found = Directory(files, Log())
    assert found.take(listing(alice=1))
    assert found.names() == {A: "alice"}
    assert not found.take(listing(alice=1))
    assert not found.take({})
    assert found.names() == {A: "alice"}
    assert found.take({})
    assert found.names() == {}


def test_a_file_that_is_away_for_one_listing_keeps_its_key() -> None:
    found = Directory({"alice.key": A}, Log())
    for seen in (listing(alice=1), {}, listing(alice=1), {}, listing(alice=1)):
        found.take(seen)
        assert found.names() == {A: "alice"}


def test_a_file_that_stops_parsing_keeps_its_key_and_is_told() -> None:
    files: dict[str, bytes | None] = {"alice.key": A, "bob.key": None}
    log = Log()
    found = Directory(files, log)
    found.take(listing(alice=1, bob=1))
    assert found.names() == {A: "alice"}
    files["alice.key"], files["bob.key"] = None, B
    found.take(listing(alice=2, bob=2))
    assert found.names() == {A: "alice", B: "bob"}
    assert len(log.lines) == 2
    found.take(listing(alice=2, bob=2))
    assert len(log.lines) == 2


def test_of_two_files_with_one_key_the_first_counts_and_it_is_told_once() -> None:
    log = Log()
    found = Directory({"bob.key": A, "alice.key": A, "carol.key": B}, log)
    found.take(listing(bob=1, alice=1))
    assert found.names() == {A: "alice"}
    found.take(listing(bob=1, alice=1, carol=1))
    assert log.lines == ["two files hold one client's key"]


def test_a_file_that_is_renamed_is_no_twin_and_never_without_its_key() -> None:
    log = Log()
    found = Directory({"alice.key": A, "bob.key": A}, log)
    found.take(listing(alice=1))
    found.take(listing(bob=1))
    assert A in found.names()
    found.take(listing(bob=1))
    assert found.names() == {A: "bob"}
    assert log.lines == []


names = st.sampled_from(["alice", "bob", "carol"])
steps = st.lists(st.tuples(st.dictionaries(names, st.integers(0, 2)), st.sets(names)), max_size=8)


@given(steps)
def test_no_history_takes_a_key_away_before_its_file_was_missing_twice(history: list[tuple[Any, set[str]]]) -> None:
    files: dict[str, bytes | None] = {}
    found = Directory(files, Log())
    held: dict[str, bytes] = {}
    missed: Counter[str] = Counter()
    seen: dict[str, int] = {}
    for sizes, broken in history:
        for name in ("alice", "bob", "carol"):
            missed[name] = 0 if name in sizes else missed[name] + 1
            if missed[name] >= 2:
                held.pop(name, None)
                seen.pop(name, None)
            elif name in sizes and seen.get(name) != sizes[name]:
                key = None if name in broken else f"{name} {sizes[name]}".encode()
                files[f"{name}.key"] = key
                held |= {name: key} if key else {}
                seen[name] = sizes[name]
        found.take(listing(**sizes))
        assert found.names() == {key: name for name, key in held.items()}


def test_a_real_directory(tmp_path: Path) -> None:
    log, pair, inline = Log(), KeyPair.generate(), KeyPair.generate()
    clients = Clients(tmp_path, [inline.public], False, log)
    assert clients.load().names == {inline.public: None}
    write_key_pair(tmp_path / "carol.key_secret", pair)
    (tmp_path / "notes.txt").write_text("not a key")
    (tmp_path / ".hidden.key").write_text("not one either")
    (tmp_path / "broken.key").write_text("not a certificate")
    assert clients.load().names == {inline.public: None, pair.public: "carol"}
    assert sorted(log.lines) == [
        "a file among the clients is passed over",
        "a secret key lies among the clients",
        "client key can not be read",
    ]
    target = tmp_path / "..data"
    target.mkdir()
    (tmp_path / "carol.key").rename(target / "carol.key")
    (tmp_path / "carol.key").symlink_to(target / "carol.key")  # as a kubelet lays secrets
    assert clients.load().names[pair.public] == "carol"


def test_a_directory_that_can_not_be_listed_changes_nothing(tmp_path: Path) -> None:
    log, pair = Log(), KeyPair.generate()
    place = tmp_path / "clients"
    write_key_pair(place / "carol.key_secret", pair)
    (place / "carol.key_secret").unlink()
    clients = Clients(place, [], False, log)
    assert pair.public in clients.load().names
    place.rename(tmp_path / "gone")
    for _ in range(3):
        assert pair.public in clients.load().names
    assert log.lines == ["clients directory can not be listed"]


def test_what_lies_there_and_is_no_file_spoils_only_itself(tmp_path: Path) -> None:
    log, pair = Log(), KeyPair.generate()
    write_key_pair(tmp_path / "alice.key_secret", pair)
    (tmp_path / "alice.key_secret").unlink()
    (tmp_path / "ring.key").symlink_to(tmp_path / "ring.key")
    (tmp_path / "dangling.key").symlink_to(tmp_path / "nowhere")
    (tmp_path / "directory.key").mkdir()
    os.mkfifo(tmp_path / "pipe.key")  # to open it would wait for a writer, for good
    (tmp_path / "kernel.key").symlink_to("/dev/zero")
    (tmp_path / "long.key").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "alice.key", os.fsencode(tmp_path) + b"/\xff.key")
    clients = Clients(tmp_path, [], False, log)
    names = clients.load().names
    assert names == {pair.public: "alice"}
    assert sorted(log.lines) == [
        *["client key can not be read"] * 3,
        "two files hold one client's key",
        *["what lies among the clients is no regular file"] * 2,
    ]
    (tmp_path / "alice.key").unlink()
    for _ in range(2):
        names = clients.load().names
    assert names[pair.public] == "\ufffd", "what is told to the service is UTF-8"


def test_limits_in_a_certificate_are_whole_numbers(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "alice.key_secret", KeyPair.generate())
    text = (tmp_path / "alice.key").read_text()

    def limited(words: str) -> Mapping[str, int]:
        (tmp_path / "alice.key").write_text(text.replace("curve\n", f"metadata\n    {words}\ncurve\n"))
        return read_client(tmp_path / "alice.key").terms.limits

    assert limited("") == {}
    assert limited('max-sessions = "3"\n    bytes-per-second = "0"') == {"max_sessions": 3, "bytes_per_second": 0}
    for wrong in ("", "-1", "1.5", "many", "\u0663", "9" * 19):
        with pytest.raises(KeyFileError, match="messages-per-second is not a whole number"):
            limited(f'messages-per-second = "{wrong}"')


def written(path: Path, metadata: str = "", *, secret: str = "", start: str = "") -> bytes:
    """A certificate as CZMQ writes it. Returns its key."""
    pair = KeyPair.generate()
    half = f'    secret-key = "{z85.encode(pair.secret)}"\n' if secret else ""
    lines = (
        f'#   ****  Generated by CZMQ  ****\nmetadata\n{metadata}curve\n    public-key = "{z85.encode(pair.public)}"\n'
    )
    path.write_text(start + lines + half, encoding="utf-8")
    return pair.public


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ('    socket-type = "REQ"\n', "no socket-type is known: did you mean socket-types"),
        ('    socket_types = "REQ"\n', "no socket_types is known: did you mean socket-types"),
        ('    max_sessions = "3"\n', "no max_sessions is known: did you mean max-sessions"),
        ('    Identity = "desk-7"\n', "no Identity is known: did you mean identity"),
        ('    service = "orders"\n', "no service is known: did you mean services"),
        ('    message-per-second = "3"\n', "no message-per-second is known: did you mean messages-per-second"),
        ('identity = "desk-7"\n', "its identity is not in the section metadata"),
        ('Metadata\n    services = "orders"\n', "its services is not in the section metadata"),
        ('    socket-types = ""\n', "its socket-types is empty"),
        ("    services = # all\n", "its services is empty"),
        ('    topic = "a"\n', "no topic is known: did you mean topics"),
        ('    Topics = "a"\n', "no Topics is known: did you mean topics"),
        ('    publish_topics = "a"\n', "no publish_topics is known: did you mean publish-topics"),
        ('    topics = ""\n', "its topics is empty"),
        ('    publish-topics = " "\n', "its publish-topics is empty"),
        ('topics = "a"\n', "its topics is not in the section metadata"),
        ("    identity\n        desk-7\n", "its identity is empty"),
    ],
)
def test_a_restriction_that_would_be_none_refuses_the_certificate(
    tmp_path: Path, metadata: str, complaint: str
) -> None:
    written(tmp_path / "alice.key", metadata)
    with pytest.raises(KeyFileError, match=re.escape(complaint)):
        read_client(tmp_path / "alice.key")


def test_topics_in_a_certificate_are_prefixes_as_in_a_signed_one(tmp_path: Path) -> None:
    def terms(*lines: str) -> KeyTerms:
        written(tmp_path / "alice.key", "".join(f"    {line}\n" for line in lines))
        return read_client(tmp_path / "alice.key").terms

    assert (terms().topics, terms().publish_topics) == (None, None)
    found = terms('topics = "orders.eu. a,b %FF%20 %2A"', "publish-topics = desk-7. # no other")
    assert (found.topics, found.publish_topics) == ((b"orders.eu.", b"a,b", b"\xff ", b"*"), (b"desk-7.",))
    assert terms('topics = "*"') == NO_TERMS
    for wrong in ("a  b", " a", "a ", "%", "a%2", "%GG", "a *", "\u00e9 *"):
        for name in ("topics", "publish-topics"):
            with pytest.raises(KeyFileError, match=f"its {name}: "):
                terms(f'{name} = "{wrong}"')
    assert terms('topics = "\u00e9"').topics == ("\u00e9".encode(),), "a key file is in UTF-8"


def test_what_others_write_into_certificates_binds_nothing_and_is_told_once(tmp_path: Path) -> None:
    log = Log()
    keys = {written(tmp_path / f"{name}.key", '    name = "x"\n    email = "a@b"\n') for name in ("alice", "bob")}
    zmq.auth.create_certificates(tmp_path, "carol", {"organisation": "iMatix", "country": "be", "name": "Carol"})
    (tmp_path / "carol.key_secret").unlink()
    found = Clients(tmp_path, [], False, log).load()
    assert keys < set(found.names)
    assert not found.terms
    assert log.lines == ["metadata of clients that binds nothing"]


def test_a_client_for_a_service_that_does_not_exist_is_told(tmp_path: Path) -> None:
    log = Log()
    key = written(tmp_path / "alice.key", '    services = "ordres, prices"\n')
    clients = Clients(tmp_path, [], False, log, service="prices")
    clients.know(["orders", "prices"], Trust)
    assert clients.load().names == {key: "alice"}
    assert log.lines == ["a client is for a service that does not exist"]


def test_a_public_certificate_counts_whatever_its_file_is_called(tmp_path: Path) -> None:
    log = Log()
    names = {"alice": "alice", "bob.pub": "bob", "carol.cert": "carol", "dora.key": "dora", "desk.example.com": ""}
    keys = {written(tmp_path / file): name or file for file, name in names.items()}
    keys[written(tmp_path / "bom", start="\ufeff")] = "bom"
    written(tmp_path / "alice_secret", secret="too")
    assert Clients(tmp_path, [], False, log).load().names == keys
    assert log.lines == ["a secret key lies among the clients"]


def test_what_has_been_set_aside_lets_nobody_in(tmp_path: Path) -> None:
    log = Log()
    for name in ("alice.key~", "bob.bak", "carol.key.disabled", "dora.key.2026-11-26", ".erin.key"):
        written(tmp_path / name)
    (tmp_path / "archive").mkdir()
    (tmp_path / "README").write_text("Who is who:\n    alice is the one with the desk\n")
    clients = Clients(tmp_path, [A], False, log)
    for _ in range(2):
        assert clients.load().names == {A: None}
    assert log.lines == ["a file among the clients is passed over"] * 6


def test_a_secret_half_that_is_not_called_so_is_refused(tmp_path: Path) -> None:
    log = Log()
    for name in ("alice.key", "bob"):
        written(tmp_path / name, secret="too")
        with pytest.raises(KeyFileError, match="holds a secret key: leave it to its owner"):
            read_client(tmp_path / name)
    assert not Clients(tmp_path, [A], False, log).load().names.keys() - {A}
    assert log.lines == ["client key can not be read"] * 2


def test_a_certificate_that_stops_being_one_keeps_its_key_whatever_it_is_called(tmp_path: Path) -> None:
    log = Log()
    key = written(tmp_path / "alice")
    clients = Clients(tmp_path, [], False, log)
    clients.load()
    (tmp_path / "alice").write_text("")  # somebody is about to write it
    assert clients.load().names == {key: "alice"}
    assert log.lines == ["client key can not be read"]


def test_two_keys_with_one_name_are_both_clients_and_told(tmp_path: Path) -> None:
    log = Log()
    keys = [written(tmp_path / "alice"), written(tmp_path / "alice.key")]
    assert Clients(tmp_path, [], False, log).load().names == dict.fromkeys(keys, "alice")
    assert log.lines == ["two keys have one client's name"]


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.01)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings follow each other fast."""
    monkeypatch.setattr("curveproxy.app.watch.files.LISTING_SECONDS", 0.01)
    monkeypatch.setattr("curveproxy.app.watch.files.AGAIN_SECONDS", 0.01)


async def test_a_new_key_is_told_to_who_watches(tmp_path: Path, often: None) -> None:
    log, pair = Log(), KeyPair.generate()
    clients, told = Clients(tmp_path, [A], False, log), list[AccessList]()
    clients.load()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients.watch, lambda: told.append(clients.list))
        (tmp_path / "broken.key").write_text("not a certificate")  # changes the directory, and nobody's rights
        await until(lambda: "client key can not be read" in log.lines)
        await until(lambda: told)
        assert told.pop().names == {A: None}
        write_key_pair(tmp_path / "carol.key_secret", pair)
        await until(lambda: told)
        assert [each.names for each in told] == [{A: None, pair.public: "carol"}]
        (tmp_path / "carol.key").unlink()
        await until(lambda: told[1:])
        assert [each.names for each in told[1:]] == [{A: None}]
        nursery.cancel_scope.cancel()


async def test_a_listing_that_can_not_be_made_changes_nothing_and_ends_nothing(
    tmp_path: Path, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, told, tried = Log(), list[AccessList](), list[None]()

    async def no_thread(*_: Any, **__: Any) -> None:
        tried.append(None)
        raise RuntimeError("can't start new thread")

    clients = Clients(tmp_path, [], False, log)
    clients.load()
    async with trio.open_nursery() as nursery:
        with monkeypatch.context() as patch:
            patch.setattr(trio.to_thread, "run_sync", no_thread)
            nursery.start_soon(clients.watch, lambda: told.append(clients.list))
            await until(lambda: len(tried) > 3)
        assert log.lines == ["nobody can connect", "clients directory can not be listed"]
        write_key_pair(tmp_path / "carol.key_secret", KeyPair.generate())
        await until(lambda: told)
        nursery.cancel_scope.cancel()


async def test_a_listing_that_takes_long_is_told_once_and_waited_for(
    tmp_path: Path, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curveproxy.app.watch.files.SLOW_SECONDS", 0.05)
    log, told, hangs = Log(), list[AccessList](), threading.Event()

    class Slow(Clients):
        def _listing(self) -> Mapping[str, Stamp]:
            hangs.wait(10)
            return super()._listing()

    clients = Slow(tmp_path, [], False, log)
    write_key_pair(tmp_path / "carol.key_secret", KeyPair.generate())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients.watch, lambda: told.append(clients.list))
        await until(lambda: log.lines)
        await trio.sleep(0.2)
        assert log.lines == ["clients directory can not be listed yet"]
        hangs.set()
        await until(lambda: told)
        nursery.cancel_scope.cancel()


def test_an_empty_list_is_a_list_and_is_told(tmp_path: Path) -> None:
    log = Log()
    bearer = Bearer(A, "", b"REQ")
    assert Clients(tmp_path, [], False, log).load().admit(bearer, None, 0.0).grant is None
    assert log.lines == ["nobody can connect"]
    assert Clients(None, [], True, log).load().admit(bearer, None, 0.0).grant is not None


@pytest.mark.parametrize("name", ["desk-7.cert", "desk-7.key", "desk-7"])
def test_a_signed_certificate_is_no_key_without_an_end(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(certificate(identity="desk-7", services="orders"))
    log = Log()
    assert not Clients(tmp_path, [], False, log).load().names
    assert log.lines[0] == UNREADABLE
    with pytest.raises(KeyFileError, match="a certificate that an authority has signed: this directory takes keys"):
        read_client(tmp_path / name)
    written(tmp_path / "plain.cert")
    assert set(Clients(tmp_path, [], False, log).load().names.values()) == {"plain"}


def certified(clients: Clients) -> Mapping[bytes, list[str]]:
    """The names in the certificates that count, by their keys."""
    return {key: [read_untrusted(text).name for text in texts] for key, texts in clients.list.certified.items()}


def test_certificates_of_an_authority_that_is_listed_lie_among_the_keys(tmp_path: Path) -> None:
    plant, log, place = authority(tmp_path), Log(), tmp_path / "clients"
    place.mkdir()
    key = key_file(tmp_path / "desk-7.key_secret").public
    plant.sign(key, place / "desk-7.cert", identity="me", services="orders")
    plant.sign(key, place / "desk-7-next.cert", "desk-7", until=2 * 86400)
    plant.sign(B, place / "till.key", services="orders")
    clients = Clients(place, [], False, log, service="orders", trust=lambda: Trust([Authority("plant-1", plant.key)]))
    assert clients.load().names == {}
    assert certified(clients) == {key: ["desk-7", "desk-7"], B: ["till"]}
    assert clients.list.certified[B] == (read_signed(place / "till.key").text,)
    assert log.lines == [], "authorities are a list"
    plant.sign(key, place / "desk-7.cert", "desk-7", until=3 * 86400)
    (place / "desk-7-next.cert").unlink()
    for _ in range(2):
        clients.load()
    assert certified(clients) == {key: ["desk-7"], B: ["till"]}
    (place / "till.key").write_bytes(certificate(kind="server", names="x"))
    clients.load()
    assert certified(clients)[B] == ["till"], "the one that it held before stays"
    assert log.lines == [UNREADABLE]


def test_a_key_that_is_listed_and_certified_is_told(tmp_path: Path) -> None:
    plant, log = authority(tmp_path), Log()
    pair = key_file(tmp_path / "clients" / "desk-7.key_secret")
    (place := tmp_path / "clients").joinpath("desk-7.key_secret").unlink()
    clients = Clients(place, [], False, log, trust=lambda: Trust([Authority("plant-1", plant.key)]))
    clients.load()
    plant.sign(pair.public, place / "desk-7.cert")
    for _ in range(2):
        assert clients.load().names == {pair.public: "desk-7"}
    assert certified(clients) == {pair.public: ["desk-7"]}
    assert log.lines == [BOTH]
    (place / "desk-7.key").unlink()
    for _ in range(2):
        clients.load()
    assert (clients.list.names, log.lines) == ({}, [BOTH])


def test_a_certificate_that_lets_nobody_in_is_told(tmp_path: Path) -> None:
    plant, log = authority(tmp_path), Log()
    (place := tmp_path / "clients").mkdir()
    authority(tmp_path, "stranger").sign(A, place / "desk-7.cert")
    plant.sign(A, place / "desk-8.cert", services="ordres")
    clients = Clients(place, [], False, log)
    clients.know(["orders"], lambda: Trust([Authority("plant-1", plant.key)]))
    for _ in range(2):
        clients.load()
    assert log.lines == [NO_SERVICE, FLAWED]

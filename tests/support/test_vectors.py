"""The file of vectors: that it is not stale, and that the readers of the independent implementation agree with it."""

import pytest

from support import curve, vectors, zmtp
from support.vectors import Message, Vectors
from support.zmtp import read_frames


@pytest.fixture(scope="module")
def stored() -> Vectors:
    return vectors.load()


def test_the_file_is_what_would_be_written_today(stored: Vectors) -> None:
    assert stored == vectors.build(), "stale: write it again, see support/vectors.py"


def test_the_handshake_reads_back(stored: Vectors) -> None:
    keys, parts = stored.keys, stored.handshake
    bodies = {name: read_frames(parts[name].octets)[0].body for name in ("hello", "welcome", "initiate", "ready")}
    transient, server_transient = keys["client_transient"], keys["server_transient"]
    assert curve.read_hello(bodies["hello"], keys["server"]) == (transient.public, parts["hello"].nonce)
    assert curve.read_welcome(bodies["welcome"], keys["server"].public, transient) == (
        server_transient.public,
        parts["cookie"].octets,
    )
    assert curve.read_cookie(parts["cookie"].octets, stored.cookie_key) == (transient.public, server_transient.secret)
    opened = curve.read_initiate(bodies["initiate"], transient.public, server_transient)
    assert (opened.client, opened.vouch) == (keys["client"].public, parts["vouch"].octets)
    assert zmtp.read_metadata(opened.metadata) == list(vectors.CLIENT_PROPERTIES.items())
    assert curve.read_vouch(opened.vouch, opened.client, server_transient) == (
        transient.public,
        keys["server"].public,
    )
    nonce, octets = curve.read_ready(bodies["ready"], server_transient.public, transient)
    assert nonce == curve.short(1)
    assert zmtp.read_metadata(octets) == list(vectors.SERVER_PROPERTIES.items())
    assert {name: len(body) for name, body in bodies.items()} == {
        "hello": 200,
        "welcome": 168,
        "initiate": 257 + len(opened.metadata),
        "ready": 30 + len(octets),
    }


def test_the_messages_read_back(stored: Vectors) -> None:
    for message in stored.messages:
        prefix = curve.FROM_CLIENT if message.sender == "client" else curve.FROM_SERVER
        ((outer, body),) = read_frames(message.frame)
        nonce, flags, data = curve.read_message(body, stored.session, prefix)
        assert outer == 0
        assert (nonce, flags, data) == (curve.short(message.nonce), message.flags, vectors.data(message.size))
        assert (message.frame[0] == zmtp.LONG) == (message.size > 222)
    assert {(m.sender, m.size) for m in stored.messages} == {
        (sender, size) for sender in ("client", "server") for size in (0, 1, 222, 223, 255, 256, 65536)
    }
    assert nonces(stored.messages, "client")[0] == 3
    assert nonces(stored.messages, "server")[0] == 2


def nonces(messages: list[Message], sender: str) -> list[int]:
    found = [message.nonce for message in messages if message.sender == sender]
    assert found == list(range(found[0], found[0] + len(found)))
    return found


def test_every_neighbour_has_a_name_and_is_not_the_good_one(stored: Vectors) -> None:
    good = {name: part.octets for name, part in stored.handshake.items()}
    good["greeting"], good["metadata"] = stored.greetings["client"], stored.metadata[2].octets
    for neighbour in stored.malformed:
        assert neighbour.octets != good.get(neighbour.of)
    assert len({(neighbour.of, neighbour.flaw) for neighbour in stored.malformed}) == len(stored.malformed)

"""Every command against the vectors of the independent implementation in tests/support."""

from collections.abc import Callable
from types import ModuleType

import pytest
from support import vectors
from support.vectors import Malformed, Message
from support.zmtp import command_frame

from curveproxy.proxy.accept.outcomes import OUTCOMES
from curveproxy.reasons import Invalid
from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.select import CodecState, open_frames, seal_frames
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.curve import box, cookie
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import PeerError
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import frame
from curveproxy.wire.zmtp.greeting import check_client_untrusted, greeting
from curveproxy.wire.zmtp.null import NullInitiator, Pacing

GIVEN = vectors.load()
KEYS = {name: KeyPair(keys.public, keys.secret) for name, keys in GIVEN.keys.items()}
HELLO = GIVEN.handshake["hello"].octets
INITIATE = GIVEN.handshake["initiate"].octets
LIMIT = 1 << 20


def answer_hello(twin: ModuleType, octets: bytes) -> tuple[KeyPair, bytes, bytes]:
    mark, begin, end = curve_server.hello_mark_untrusted(octets)
    assert mark == end == len(octets)
    chance = GIVEN.handshake["cookie"].nonce + GIVEN.handshake["welcome"].nonce
    servers, transient = (KEYS["client"], KEYS["server"]), KEYS["server_transient"]
    found: tuple[KeyPair, bytes, bytes] = twin.answer_hello_untrusted(
        octets[begin:end], servers, GIVEN.rotating, GIVEN.binding, transient, chance
    )
    return found


def read_initiate(twin: ModuleType, octets: bytes) -> curve_server.Initiate:
    mark, begin, end = curve_server.initiate_mark_untrusted(octets, 4096)
    assert mark == end == len(octets)
    good = bytearray(32), GIVEN.rotating
    opened = twin.open_initiate_untrusted(
        octets[begin:end], KEYS["server"].public, good, GIVEN.binding, GIVEN.handshake["hello"].nonce
    )
    return curve_server.Initiate.read_untrusted(*opened)


def test_greetings() -> None:
    assert check_client_untrusted(GIVEN.greetings["client"]) == 64
    assert greeting(spec.CURVE, as_server=True) == GIVEN.greetings["server"]
    assert greeting(spec.NULL, as_server=False) == GIVEN.greetings["null"]


@pytest.mark.parametrize("given", GIVEN.metadata, ids=range(len(GIVEN.metadata)))
def test_metadata(given: vectors.Metadata) -> None:
    assert metadata.encode(dict(given.properties)) == given.octets
    assert list(metadata.read_untrusted(given.octets).items()) == list(map(tuple, given.properties))


def test_hello_and_welcome(twin: ModuleType) -> None:
    server, nonce, welcome = answer_hello(twin, HELLO)
    assert (server, nonce) == (KEYS["server"], GIVEN.handshake["hello"].nonce)
    assert welcome == GIVEN.handshake["welcome"].octets


def test_cookie() -> None:
    given = GIVEN.handshake["cookie"]
    assert cookie.cookie_key(GIVEN.rotating, GIVEN.binding) == GIVEN.cookie_key
    transients = KEYS["client_transient"].public, KEYS["server_transient"].secret
    assert cookie.seal_cookie(*transients, given.nonce, GIVEN.cookie_key) == given.octets
    assert cookie.open_cookie(given.octets, GIVEN.cookie_key) == transients


def test_vouch() -> None:
    given = GIVEN.handshake["vouch"]
    ours = KEYS["client_transient"].public, KEYS["server"].public
    made = box.seal_vouch(KEYS["client"], *ours, KEYS["server_transient"].public, given.nonce)
    assert made == given.octets
    assert box.vouches(made, KEYS["client"].public, *ours, KEYS["server_transient"].secret)


def test_initiate(twin: ModuleType) -> None:
    initiate = read_initiate(twin, INITIATE)
    assert initiate.client == KEYS["client"].public
    assert initiate.shared == GIVEN.session
    assert initiate.properties == vectors.CLIENT_PROPERTIES


def test_ready_and_error() -> None:
    assert curve_server.ready(GIVEN.session, vectors.SERVER_PROPERTIES) == GIVEN.handshake["ready"].octets
    assert curve_server.error("400") == GIVEN.frames["error"]


def test_null_ready() -> None:
    peer = NullInitiator({}, Pacing.PIPELINED)
    peer.receive_untrusted(GIVEN.greetings["null"] + GIVEN.frames["null_ready"])
    assert peer.done
    assert command_frame(b"READY", metadata.encode(peer.negotiated.metadata)) == GIVEN.frames["null_ready"]


@pytest.mark.parametrize("given", GIVEN.messages, ids=lambda given: f"{given.sender}-{given.nonce}-{given.size}")
def test_message(given: Message) -> None:
    prefix = box.MESSAGE_FROM_CLIENT if given.sender == "client" else box.MESSAGE_FROM_SERVER
    data = vectors.data(given.size)
    source, target = Buffer(len(given.frame)), Buffer(len(given.frame) + 64)
    source.view[:] = given.frame
    opening = CodecState(GIVEN.session, prefix, given.nonce - 1, LIMIT)
    opened = open_frames(opening, source, 0, len(source), target, 0)
    sealing = CodecState(GIVEN.session, prefix, given.nonce - 1, LIMIT)
    if given.flags & spec.INNER_COMMAND:
        offset, size = opening.command
        assert opened.stop == Stop.COMMAND
        assert bytes(target.view[offset : offset + size]) == data
        assert sealing.seal_one(given.flags, data) == given.frame
        return
    assert opened.stop == Stop.INCOMPLETE
    assert bytes(target.view[: opened.at]) == frame(given.flags, data)
    sealed = Buffer(len(given.frame) + 64)
    batch = seal_frames(sealing, target, 0, opened.at, sealed, 0)
    assert bytes(sealed.view[: batch.at]) == given.frame


@pytest.mark.parametrize("given", GIVEN.malformed, ids=lambda given: f"{given.of}: {given.flaw}")
def test_malformed_neighbours_have_their_reason(twin: ModuleType, given: Malformed) -> None:
    if given.of == "message":
        source, target = Buffer(len(given.octets)), Buffer(1024)
        source.view[:] = given.octets
        state = CodecState(GIVEN.session, box.MESSAGE_FROM_CLIENT, 3, LIMIT)
        batch = open_frames(state, source, 0, len(source), target, 0)
        assert batch.at == 0
        # Which of the two a wrong nonce is, its box decides (wire/codec/resync.py).
        assert batch.stop == (Stop.NONCE if given.outcome in ("nonce", "gap") else Stop[Invalid(given.outcome).name])
        return
    judges: dict[str, Callable[[], object]] = {
        "greeting": lambda: check_client_untrusted(given.octets),
        "hello": lambda: answer_hello(twin, given.octets),
        "initiate": lambda: read_initiate(twin, given.octets),
        "metadata": lambda: metadata.read_untrusted(given.octets),
    }
    with pytest.raises(PeerError) as caught:
        judges[given.of]()
    assert OUTCOMES[caught.value.fault] == given.outcome


def test_the_shared_key_is_the_same_from_both_sides() -> None:
    transient, server_transient = KEYS["client_transient"], KEYS["server_transient"]
    assert sodium.shared_key(transient.public, server_transient.secret) == GIVEN.session
    assert sodium.shared_key(server_transient.public, transient.secret) == GIVEN.session

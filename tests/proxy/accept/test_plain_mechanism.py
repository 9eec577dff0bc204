"""The units of plain clients: which version takes which way, what each is told when, and what is held back."""

from collections.abc import Iterator, Mapping

import pytest
from support import old, plain_steps, zmtp
from support.gates import RecordingGate, egress
from support.mechanism import Walk
from support.plain_steps import GREETING, signature, version_2

from curveproxy.proxy.accept.half_open import Authenticated
from curveproxy.proxy.accept.plain_mechanism import PlainMechanism
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire.errors import Fault, LocalError, PeerError
from curveproxy.wire.security import Plain
from curveproxy.wire.zmtp.frame import Dialect

OURS = zmtp.greeting(b"NULL")
REMOTE = {"Socket-Type": b"ROUTER", "Identity": b"them"}


class Listening:
    """The mechanism of an egress."""

    def __init__(self, client_socket_type: str = "SUB") -> None:
        self.mechanism = PlainMechanism()
        self.gate = RecordingGate(egress=egress(client_socket_type=client_socket_type), max_initiate_bytes=1000)
        self.mechanism.configure([self.gate])
        self.walks: list[Walk] = []

    def walk(self) -> Walk:
        """A new connection."""
        self.walks.append(walk := Walk(self.mechanism, [self.gate]))
        return walk

    def close(self) -> None:
        for walk in self.walks:
            walk.close()


@pytest.fixture
def listening() -> Iterator[Listening]:
    listening = Listening()
    yield listening
    listening.close()


def end_of(walk: Walk) -> Authenticated:
    """Of a handshake that has come to its end: it proves no key."""
    found = walk.authenticated
    assert found is not None
    assert (found.key, found.server_key, found.has_records) == (b"", b"", False)
    return found


def ready(found: Authenticated, metadata: Mapping[str, bytes]) -> bytes:
    """Our last word of a handshake that has come to its end. Behind it frames are plain."""
    octets, security = found.ready(metadata)
    assert security == Plain()
    return octets


@pytest.mark.parametrize("size", [1, 10_000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize("name", [b"", b"me", b"i" * 255], ids=len)
def test_a_1_0_client_says_its_identity_and_hears_nothing_until_the_remote_is_there(
    listening: Listening, name: bytes, size: int
) -> None:
    walk = listening.walk()
    assert walk.feed(old.frame1(name), size) == b""
    found = end_of(walk)
    assert found.metadata == {"Socket-Type": b"SUB"} | ({"Identity": name} if name else {})
    assert found.version == (Dialect.V1, 0)
    assert (ready(found, REMOTE), found.skip) == (b"\x05\x00them", 0)


@pytest.mark.parametrize("size", [1, 10_000], ids=["octet by octet", "in one piece"])
def test_a_2_0_client_without_identity_is_not_told_our_type_until_the_remote_is_there(
    listening: Listening, size: int
) -> None:
    walk = listening.walk()
    assert walk.feed(signature(), size) == OURS[:11]
    assert walk.feed(version_2("REQ"), size) == b"", "with our type it would send its messages"
    found = end_of(walk)
    assert (found.metadata, found.version) == ({"Socket-Type": b"REQ"}, (Dialect.V2, 0))
    assert ready(found, REMOTE) == b"\x04\x00\x04them", "REP"
    assert found.skip == len(zmtp.frame(b"")), "what it then says as its identity"


@pytest.mark.parametrize("size", [1, 10_000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize(("tells", "name"), [(3, b"me"), (0, b""), (0, b"i" * 255)])
def test_a_2_0_client_with_an_identity_is_told_our_type_for_it(
    listening: Listening, tells: int, name: bytes, size: int
) -> None:
    walk = listening.walk()
    assert walk.feed(signature(tells), size) == OURS[:11]
    assert walk.feed(version_2("DEALER"), size) == b"\x06", "ROUTER"
    assert walk.feed(zmtp.frame(name), size) == b""
    found = end_of(walk)
    assert found.metadata == {"Socket-Type": b"DEALER"} | ({"Identity": name} if name else {})
    assert (ready(found, {}), found.skip) == (b"\x00\x00", 0)


@pytest.mark.parametrize("kind", old.TYPES)
def test_every_type_of_2_0_has_a_counterpart(listening: Listening, kind: str) -> None:
    walk = listening.walk()
    walk.feed(signature(3))
    [ours] = walk.feed(version_2(kind))
    counterparts = {"REQ": "REP", "DEALER": "ROUTER", "PUSH": "PULL", "SUB": "PUB", "XSUB": "PUB", "PAIR": "PAIR"}
    counterparts |= {theirs: mine for mine, theirs in counterparts.items() if mine != "XSUB"} | {"XPUB": "SUB"}
    assert old.TYPES[ours] == counterparts[kind]


@pytest.mark.parametrize("size", [1, 10_000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize("minor", [0, 1, 7])
def test_a_3_x_client_is_greeted_step_by_step_and_has_no_ready_until_the_remote_is_there(
    listening: Listening, minor: int, size: int
) -> None:
    walk = listening.walk()
    greeting = zmtp.greeting(b"NULL", version=(3, minor))
    assert walk.feed(greeting[:10], size) == OURS[:11]
    assert walk.feed(greeting[10:11], size) == b"", "a client that is not for us shall tell its mechanism"
    assert walk.feed(greeting[11:], size) == OURS[11:]
    assert walk.feed(plain_steps.READY, size) == b""
    found = end_of(walk)
    assert found.metadata == {"Socket-Type": b"DEALER", "Identity": b"me", "X-Colour": b"green"}
    assert found.version == (Dialect.V3, minor)
    assert ready(found, REMOTE) == plain_steps.ready(REMOTE)
    assert found.skip == 0


@pytest.mark.parametrize(
    ("early", "version", "type_of_1_0"),
    [
        (GREETING + plain_steps.READY, Dialect.V3, ""),
        (GREETING + plain_steps.READY, Dialect.V3, "PULL"),
        (signature(3) + version_2() + zmtp.frame(b"me"), Dialect.V2, ""),
        (signature() + version_2(), Dialect.V2, "PULL"),
        (old.frame1(b"me"), Dialect.V1, "PULL"),
    ],
)
def test_what_a_client_says_early_is_left_where_it_is(early: bytes, version: Dialect, type_of_1_0: str) -> None:
    listening = Listening(type_of_1_0)
    walk = listening.walk()
    walk.feed(early + b"and a message")
    assert end_of(walk).version.dialect == version
    assert walk.half.socket.recv(100) == b"and a message"
    listening.close()


def test_a_1_0_client_is_refused_where_its_type_is_not_configured() -> None:
    listening = Listening("")
    with pytest.raises(RefusedError) as caught:
        listening.walk().feed(old.frame1(b""), 1)
    assert caught.value.outcome == Outcome.SOCKET_TYPE
    assert "set client_socket_type" in caught.value.detail
    assert listening.walk().feed(signature(), 1) == OURS[:11]
    listening.close()


def test_a_client_that_says_all_at_once_is_none_of_1_0_where_no_type_is_configured() -> None:
    listening = Listening("")
    walk = listening.walk()
    assert walk.feed(GREETING + plain_steps.READY) == OURS
    assert end_of(walk).version == (Dialect.V3, 1)
    listening.close()


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([b"GET / HTTP/1.1\r\n"], Fault.NOT_ZMTP),
        ([signature(), b"\x02"], Fault.ZMTP_VERSION),
        ([signature(), b"\x01\x0b"], Fault.OLD_HANDSHAKE),
        ([signature(3), version_2(), b"\x04\x02me"], Fault.OLD_HANDSHAKE),
        ([old.frame1(b"i" * 256)], Fault.OLD_HANDSHAKE),
        ([zmtp.greeting(b"CURVE")], Fault.MECHANISM),
        ([zmtp.greeting(b"PLAIN")], Fault.MECHANISM),
        ([GREETING, zmtp.command_frame(b"ERROR", b"\x03400")], Fault.COMMAND),
        ([GREETING, zmtp.frame(b"hello")], Fault.COMMAND),
        ([GREETING, zmtp.command_frame(b"READY", b"\x0bSocket")], Fault.METADATA),
        ([GREETING, plain_steps.ready({"X-Large": bytes(1000)})], Fault.METADATA),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000], ids=["octet by octet", "in one piece"])
def test_what_is_no_plain_client_has_its_fault(
    listening: Listening, said: list[bytes], fault: Fault, size: int
) -> None:
    walk = listening.walk()
    for octets in said[:-1]:
        walk.feed(octets, size)
    with pytest.raises(PeerError) as caught:
        walk.feed(said[-1], size)
    assert caught.value.fault == fault


def test_who_waits_for_the_remote_waits_before_anything_is_taken_and_is_never_spoken_to_first(
    listening: Listening,
) -> None:
    assert [unit.waits_for_service for unit in listening.mechanism.units] == [True, False, False, False, False]
    assert not any(unit.opening for unit in listening.mechanism.units)


def test_the_honest_go_through_every_unit(listening: Listening) -> None:
    units = set()
    for said in plain_steps.HONEST.values():
        walk = listening.walk()
        for octets in said:
            units.add(walk.half.unit)
            walk.feed(octets)
    assert units == set(range(1, len(listening.mechanism.units) + 1))


def test_a_type_may_be_configured_later(listening: Listening) -> None:
    walk = listening.walk()
    listening.gate.settings = Listening("PULL").gate.settings
    listening.mechanism.configure([listening.gate])
    walk.feed(old.frame1(b""))
    assert end_of(walk).metadata == {"Socket-Type": b"PULL"}


def test_a_service_has_no_such_clients(listening: Listening) -> None:
    with pytest.raises(LocalError):
        listening.mechanism.configure([RecordingGate()])

"""CURVE's units, by an independent client whose octets come one by one; and each near-miss gets its own reason."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from attrs import evolve
from support import curve, records, zmtp
from support.certificates import SERVER as SERVER_FIELDS
from support.certificates import answer, certificate
from support.curve import Keys
from support.curve_steps import CurveSteps
from support.gates import RecordingGate
from support.mechanism import Walk
from support.zmtp import COMMAND, LONG

from curveproxy.policy.limits import MessageLimits, OnInvalid, RecordsMode
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import OPENING, CurveMechanism
from curveproxy.proxy.accept.half_open import Authenticated
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Curve, Records, Security, Version
from curveproxy.wire.zmtp.frame import Dialect

SERVER, OLD_SERVER, OTHER_SERVER = (Keys.new() for _ in range(3))
GREETING = zmtp.greeting(as_server=1)
SPLIT = len(OPENING)


class Listening:
    """The mechanism of a listener with two services, the first of which has two keys."""

    def __init__(self) -> None:
        self.cookies = CookieKeys()
        self.mechanism = CurveMechanism(self.cookies, TransientKeys())
        self.first = RecordingGate("first", server_keys=[SERVER, OLD_SERVER])
        self.second = RecordingGate("second", server_keys=[OTHER_SERVER])
        self.mechanism.configure([self.first, self.second])
        self.walks: list[Walk] = []

    def walk(self) -> Walk:
        """A new connection."""
        self.walks.append(walk := Walk(self.mechanism, [self.first, self.second]))
        return walk

    def greeted(self) -> tuple[Walk, CurveSteps]:
        """A client of the first service that has been greeted."""
        walk, client = self.walk(), CurveSteps(SERVER.public)
        walk.feed(client.greeting())
        return walk, client

    def welcomed(self) -> tuple[Walk, CurveSteps]:
        """The same, and it has its WELCOME."""
        walk, client = self.greeted()
        client.welcomed(walk.feed(client.hello()))
        return walk, client


@pytest.fixture
def listening() -> Iterator[Listening]:
    listening = Listening()
    yield listening
    for walk in listening.walks:
        walk.close()


# --- an honest client


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["octet by octet", "by sevens", "in one piece"])
def test_a_client_is_authenticated_however_its_octets_come(listening: Listening, size: int) -> None:
    walk, client = listening.walk(), CurveSteps(SERVER.public)
    assert walk.feed(client.greeting(), size) == GREETING
    client.welcomed(walk.feed(client.hello(), size))
    assert walk.feed(client.initiate(), size) == b"", "READY comes when the service has been reached"
    found = walk.authenticated
    assert found is not None
    assert (found.key, found.server_key) == (client.keys.public, SERVER.public)
    assert found.metadata == client.properties
    assert found.version == Version(Dialect.V3, 1)
    assert walk.half.gate is listening.first
    ready, security = found.ready({"Socket-Type": b"ROUTER"})
    assert client.ready(ready) == {"Socket-Type": b"ROUTER"}
    assert security == Curve(client.shared, curve.FROM_SERVER, 1, curve.FROM_CLIENT, 2, False)


def test_who_says_nothing_is_told_the_version_and_the_mechanism_comes_after_its_own(listening: Listening) -> None:
    walk, client = listening.walk(), CurveSteps(SERVER.public)
    assert walk.feed(client.greeting()[:1]) == GREETING[:SPLIT]
    assert walk.feed(client.greeting()[1:-1]) == b""
    assert walk.feed(client.greeting()[-1:]) == GREETING[SPLIT:]


@pytest.mark.parametrize("minor", [0, 1, 7])
def test_the_client_s_minor_version_is_known(listening: Listening, minor: int) -> None:
    walk, client = listening.walk(), CurveSteps(SERVER.public)
    walk.feed(client.greeting(minor))
    client.welcomed(walk.feed(client.hello()))
    walk.feed(client.initiate())
    assert walk.authenticated is not None
    assert walk.authenticated.version.minor == minor


@pytest.mark.parametrize(
    ("keys", "name"), [(SERVER, "first"), (OLD_SERVER, "first"), (OTHER_SERVER, "second")], ids=["new", "old", "other"]
)
def test_the_server_key_of_hello_tells_which_service_is_wanted(listening: Listening, keys: Keys, name: str) -> None:
    walk, client = listening.walk(), CurveSteps(keys.public)
    walk.feed(client.greeting())
    client.welcomed(walk.feed(client.hello()))
    assert walk.half.gate.settings.name == name
    walk.feed(client.initiate())
    assert walk.authenticated is not None
    assert walk.authenticated.server_key == keys.public


@pytest.mark.parametrize(
    ("order", "step", "little"), [("big", 1, False), ("little", 1, True), ("big", 0, False)], ids=["4.3", "4.0", "OMQ"]
)
def test_the_order_of_a_client_s_numbers_is_learned(listening: Listening, order: str, step: int, little: bool) -> None:
    walk, client = listening.walk(), CurveSteps(SERVER.public, nonce=7, order=order)
    walk.feed(client.greeting())
    client.welcomed(walk.feed(client.hello()))
    walk.feed(client.initiate(step=step))
    assert walk.authenticated is not None
    _, security = walk.authenticated.ready({})
    assert isinstance(security, Curve)
    assert (security.open_nonce, security.little_endian) == (7 + step, little)


def test_a_service_s_keys_may_change_before_hello(listening: Listening) -> None:
    walk, client = listening.greeted()
    listening.first.configure(server_keys=[OLD_SERVER])
    listening.mechanism.configure([listening.first, listening.second])
    with pytest.raises(PeerError) as error:
        walk.feed(client.hello())
    assert error.value.fault == Fault.HELLO_BOX


def test_what_waits_for_its_service_is_hello_alone_and_only_a_greeting_has_an_opening(listening: Listening) -> None:
    greeting, hello, initiate = listening.mechanism.units
    assert [unit.waits_for_service for unit in (greeting, hello, initiate)] == [False, True, False]
    assert [unit.opening for unit in (greeting, hello, initiate)] == [OPENING, b"", b""]


def test_no_more_is_looked_at_than_a_unit_may_have(listening: Listening) -> None:
    listening.first.configure(max_initiate_bytes=1000)
    listening.mechanism.configure([listening.first])
    greeting, hello, initiate = listening.mechanism.units
    assert initiate.most == 1000 + 9
    assert (greeting.most, hello.most) == (64 + 1, 200 + 9 + 1), "one octet more tells that somebody does not wait"


def test_no_transient_key_is_used_twice(listening: Listening) -> None:
    clients = [listening.welcomed()[1] for _ in range(3)]
    assert len({client.server_transient for client in clients}) == 3


# --- near-misses


def fault_of(walk: Walk, octets: bytes, size: int) -> tuple[object, str]:
    """What is wrong with octets; nothing is answered to them."""
    try:
        walk.feed(octets, size)
    except PeerError as error:
        return error.fault, error.detail
    except RefusedError as error:
        return error.outcome, error.detail
    pytest.fail("it was taken")


SIZES = pytest.mark.parametrize("size", [1, 10_000], ids=["octet by octet", "in one piece"])


@SIZES
@pytest.mark.parametrize(
    ("greeting", "fault", "detail"),
    [
        (b"GET / HTTP/1.1\r\n", Fault.NOT_ZMTP, ""),
        (zmtp.greeting(version=(2, 0)), Fault.ZMTP_VERSION, "ZMTP 2.0"),
        (b"\x06\x00local", Fault.ZMTP_VERSION, "ZMTP 1.0"),
        (zmtp.greeting(b"NULL"), Fault.MECHANISM, "it offers NULL"),
        (zmtp.greeting(b"CURVE\0X"), Fault.MECHANISM, ""),
        (zmtp.greeting(as_server=1), Fault.ROLE, ""),
    ],
    ids=["HTTP", "2.0", "1.0", "NULL", "a longer name", "a server"],
)
def test_a_greeting_that_is_not_a_client_s(
    listening: Listening, greeting: bytes, fault: Fault, detail: str, size: int
) -> None:
    found, words = fault_of(listening.walk(), greeting, size)
    if size == 1 and detail == "ZMTP 1.0":  # its first octet alone could be anything
        fault, detail = Fault.NOT_ZMTP, ""
    assert found == fault
    if size > 1 or fault != Fault.MECHANISM:  # of a name that has not come to its end nothing is known
        assert words == detail


Spoiled = Callable[[CurveSteps], bytes]

HELLOS: dict[str, tuple[Spoiled, Fault]] = {
    "another version": (lambda client: client.hello(version=b"\x02\x00"), Fault.HELLO_VERSION),
    "a padding": (lambda client: client.hello(padding=bytes(71) + b"\1"), Fault.HELLO),
    "another server's": (lambda client: client.hello(server=Keys.new().public), Fault.HELLO_BOX),
    "another's C'": (lambda client: client.hello(public=Keys.new().public), Fault.HELLO_BOX),
    "a C' of low order": (lambda client: client.hello(public=bytes(32)), Fault.HELLO_BOX),
    "a spoiled box": (lambda client: client.hello(box=bytes(80)), Fault.HELLO_BOX),
    "a box without zeros": (lambda client: client.hello(plaintext=bytes(63) + b"\1"), Fault.HELLO),
    "too long": (lambda client: zmtp.frame(client.hello()[2:] + b"\0", COMMAND), Fault.HELLO),
    "too short": (lambda client: zmtp.frame(client.hello()[2:-1], COMMAND), Fault.HELLO),
    "no command": (lambda client: zmtp.frame(client.hello()[2:]), Fault.COMMAND),
    "another command": (lambda client: zmtp.frame(zmtp.command(b"HALLO", bytes(194)), COMMAND), Fault.COMMAND),
    "INITIATE": (lambda client: zmtp.frame(zmtp.command(b"INITIATE", bytes(191)), COMMAND), Fault.COMMAND),
}


@SIZES
@pytest.mark.parametrize(("spoiled", "fault"), HELLOS.values(), ids=HELLOS.keys())
def test_a_hello_with_one_thing_wrong(listening: Listening, spoiled: Spoiled, fault: Fault, size: int) -> None:
    walk, client = listening.greeted()
    assert fault_of(walk, spoiled(client), size)[0] == fault
    assert walk.half.gate is listening.first, "it wants nothing that is known"


def test_a_hello_with_a_long_header_is_one(listening: Listening) -> None:
    walk, client = listening.greeted()
    client.welcomed(walk.feed(zmtp.frame(client.hello()[2:], COMMAND, long=True)))


def test_nobody_can_say_initiate_before_welcome(listening: Listening) -> None:
    walk, client = listening.greeted()
    outcome, detail = fault_of(walk, client.hello() + b"\4", 10_000)
    assert (outcome, detail) == (Outcome.COMMAND, "more than HELLO has come, before WELCOME")


INITIATES: dict[str, tuple[Spoiled, Fault]] = {
    "a spoiled cookie": (lambda client: client.initiate(cookie=zmtp.damaged(client.cookie)), Fault.COOKIE),
    "another server's cookie": (
        lambda client: client.initiate(cookie=curve.cookie(client.transient.public, bytes(32), bytes(32))),
        Fault.COOKIE,
    ),
    "a spoiled box": (lambda client: client.initiate(box=bytes(300)), Fault.INITIATE_BOX),
    "a number left out": (lambda client: client.initiate(step=2), Fault.INITIATE),
    "another's C": (lambda client: client.initiate(client=Keys.new().public), Fault.VOUCH),
    "another's vouch": (lambda client: client.initiate(vouch=client.vouch(keys=Keys.new())), Fault.VOUCH),
    "a vouch for another C'": (
        lambda client: client.initiate(vouch=client.vouch(transient=Keys.new().public)),
        Fault.VOUCH,
    ),
    "a vouch for another S": (
        lambda client: client.initiate(vouch=client.vouch(server=OTHER_SERVER.public)),
        Fault.VOUCH,
    ),
    "half a property": (lambda client: client.initiate(metadata=b"\x0bSocket-Type\0\0\0\x06DEAL"), Fault.METADATA),
    "no command": (lambda client: zmtp.frame(client.initiate()[9:]), Fault.COMMAND),
    "HELLO again": (lambda client: zmtp.frame(zmtp.command(b"HELLO", bytes(300)), COMMAND), Fault.COMMAND),
    "too short": (lambda client: zmtp.frame(client.initiate(metadata=b"")[9:-1], COMMAND), Fault.INITIATE),
    "too large": (lambda client: client.initiate(metadata=bytes(4096)), Fault.INITIATE_TOO_LARGE),
}


@SIZES
@pytest.mark.parametrize(("spoiled", "fault"), INITIATES.values(), ids=INITIATES.keys())
def test_an_initiate_with_one_thing_wrong(listening: Listening, spoiled: Spoiled, fault: Fault, size: int) -> None:
    walk, client = listening.welcomed()
    assert fault_of(walk, spoiled(client), size)[0] == fault
    assert walk.authenticated is None


def test_a_cookie_is_good_for_its_own_connection_alone(listening: Listening) -> None:
    _, client = listening.welcomed()
    other, _ = listening.welcomed()
    assert fault_of(other, client.initiate(), 10_000)[0] == Fault.COOKIE


def test_a_cookie_outlives_one_change_of_its_key_and_not_two(listening: Listening) -> None:
    walk, client = listening.welcomed()
    late, other = listening.welcomed()
    listening.cookies.rotate()
    walk.feed(client.initiate())
    assert walk.authenticated is not None
    listening.cookies.rotate()
    assert fault_of(late, other.initiate(), 10_000)[0] == Fault.COOKIE


@pytest.mark.parametrize("over", [0, 1])
def test_so_large_is_initiate_and_not_larger(listening: Listening, over: int) -> None:
    listening.first.configure(max_initiate_bytes=257 + 300)
    listening.mechanism.configure([listening.first, listening.second])
    walk, client = listening.welcomed()
    value = bytes(300 - 7 + over)
    octets = client.initiate(metadata=zmtp.metadata({"X-": value}))
    if over:
        assert octets[0] & LONG
        assert fault_of(walk, octets[:9], 1)[0] == Fault.INITIATE_TOO_LARGE, "its header says so"
    else:
        walk.feed(octets)
        assert walk.authenticated is not None
        assert walk.authenticated.metadata == {"X-": value}


def test_a_refusal_is_an_error_that_any_client_reads(listening: Listening) -> None:
    [frame] = zmtp.read_frames(listening.mechanism.error("400"))
    assert frame.flags == COMMAND
    assert zmtp.read_error(frame.body) == b"400"


# --- certificates


TEXTS = (certificate(SERVER_FIELDS), certificate(SERVER_FIELDS, serial="0123456789abcdef"))
ASKS = zmtp.greeting(b"CURVE-CERTIFICATE")


def telling(listening: Listening, first: Sequence[bytes], second: Sequence[bytes] = ()) -> None:
    """These are the certificates of the two services."""
    for gate, texts in ((listening.first, first), (listening.second, second)):
        gate.settings = evolve(gate.settings, certificates=tuple(texts))
    listening.mechanism.configure([listening.first, listening.second])


def heard(walk: Walk, octets: bytes, size: int) -> bytes:
    """What is answered until nothing more is wanted."""
    with pytest.raises(RefusedError) as error:
        walk.feed(octets, size)
    assert (error.value.outcome, error.value.detail) == (Outcome.CERTIFICATE_ASKED, "")
    return walk.far.recv(1 << 16)


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["octet by octet", "by sevens", "in one piece"])
def test_who_asks_is_told_the_certificates_of_all_services_once(listening: Listening, size: int) -> None:
    telling(listening, TEXTS, TEXTS[:1])
    assert heard(listening.walk(), ASKS, size) == answer(*TEXTS)


def test_who_asks_may_do_so_of_any_version_and_says_no_more(listening: Listening) -> None:
    telling(listening, (), TEXTS[1:])
    asks = zmtp.greeting(b"CURVE-CERTIFICATE", version=(3, 7))
    assert heard(listening.walk(), asks + b"more", 10_000) == answer(TEXTS[1])


def test_where_certificates_are_told_a_client_of_curve_goes_on_as_ever(listening: Listening) -> None:
    telling(listening, TEXTS)
    walk, client = listening.welcomed()
    walk.feed(client.initiate())
    assert walk.authenticated is not None


@SIZES
def test_without_certificates_the_question_is_another_mechanism(listening: Listening, size: int) -> None:
    why = "it asks for certificates, and none are set here"
    assert fault_of(listening.walk(), ASKS, size) == (Outcome.MECHANISM, why)
    telling(listening, TEXTS)
    walk = listening.walk()
    walk.feed(ASKS[:-1])
    telling(listening, ())
    assert fault_of(walk, ASKS[-1:], size) == (Outcome.MECHANISM, why)


@SIZES
@pytest.mark.parametrize(
    ("greeting", "fault"),
    [
        (zmtp.greeting(b"CURVE-CERTIFICATE", as_server=1), Fault.ROLE),
        (zmtp.greeting(b"CURVE-CERTIFICATES"), Fault.MECHANISM),
        (zmtp.greeting(b"CURVE-"), Fault.MECHANISM),
        (zmtp.greeting(b"NULL-CERTIFICATE"), Fault.MECHANISM),
    ],
    ids=["a server", "a longer name", "a shorter name", "NULL"],
)
def test_a_question_with_one_thing_wrong(listening: Listening, greeting: bytes, fault: Fault, size: int) -> None:
    telling(listening, TEXTS)
    assert fault_of(listening.walk(), greeting, size)[0] == fault


# --- records


OFFER = {"Socket-Type": b"DEALER", "X-Curveproxy-Records": b"\x01\x01\x01"}


def agreeing(listening: Listening, records_mode: RecordsMode = RecordsMode.AUTO, **limits: Any) -> None:
    """The first service agrees on records."""
    settings = evolve(listening.first.settings, messages=MessageLimits(records=records_mode, **limits))
    listening.first.settings = settings
    listening.mechanism.configure([listening.first, listening.second])


def last_word(listening: Listening, **client: Any) -> tuple[CurveSteps, Authenticated, bytes, Security]:
    """A client, what it has proved, and READY with what is behind it."""
    walk, steps = listening.walk(), CurveSteps(SERVER.public, **{"properties": OFFER} | client)
    walk.feed(steps.greeting())
    steps.welcomed(walk.feed(steps.hello()))
    walk.feed(steps.initiate())
    assert walk.authenticated is not None
    return steps, walk.authenticated, *walk.authenticated.ready({"Socket-Type": b"ROUTER"})


@pytest.mark.parametrize("pad_to", [0, 1024])
def test_an_offer_is_answered_and_both_sides_have_the_same_chains(listening: Listening, pad_to: int) -> None:
    agreeing(listening, pad_to=pad_to)
    client, found, ready, security = last_word(listening)
    assert found.has_records
    [frame] = zmtp.read_frames(ready)
    _, octets = curve.read_ready(frame.body, client.server_transient, client.transient)
    answer = {"X-Curveproxy-Records": bytes([1, pad_to > 0, 1])}
    assert zmtp.read_metadata(octets) == list((answer | {"Socket-Type": b"ROUTER"}).items())
    told = zmtp.metadata(OFFER), octets, client.keys.public, SERVER.public
    root = records.root(client.shared, *told, records.XSALSA)
    assert security == Records(
        records.XSALSA,
        seal_chain=records.derived(root, b"server to client"),
        open_chain=records.derived(root, b"client to server"),
        peer_pads=True,
        pad_to=pad_to,
    )


@pytest.mark.parametrize(
    ("limits", "client"),
    [
        ({"records_mode": RecordsMode.OFF}, {}),
        ({"on_invalid": OnInvalid.DROP}, {}),
        ({"record_suites": ("aegis-256",)}, {}),
        ({}, {"order": "little", "nonce": 7}),
        ({}, {"properties": {"Socket-Type": b"DEALER"}}),
        ({}, {"properties": OFFER | {"X-Curveproxy-Records": b"\x02\x01\x01"}}),
    ],
    ids=["off", "drop", "another suite", "libzmq 4.0", "no offer", "another version"],
)
def test_without_a_fitting_offer_messages_are_what_they_were(
    listening: Listening, limits: dict[str, Any], client: dict[str, Any]
) -> None:
    agreeing(listening, **limits)
    steps, found, ready, security = last_word(listening, **client)
    assert not found.has_records
    assert steps.ready(ready) == {"Socket-Type": b"ROUTER"}
    assert ready == curve_server.ready(steps.shared, {"Socket-Type": b"ROUTER"}), "octet by octet"
    assert isinstance(security, Curve)

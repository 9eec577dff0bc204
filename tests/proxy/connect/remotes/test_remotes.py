"""The remotes of an egress: real CURVE servers, and those that are none; what each is called, and what follows it."""

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest
import trio
import zmq
from attrs import evolve
from support import zmtp
from support.client import RawServer
from support.curve import Keys
from support.dialling import DEALER, SUB, Dialling, Wanting, dialling
from support.egress import Remote
from support.fakes import RecordingObserver
from support.libzmq import Libzmq
from support.loopback import free_endpoint
from support.peer import Peer
from support.tasks import until

from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.limits import MessageLimits, OnInvalid, RecordsMode
from curveproxy.proxy.connect.approach import Judgement, Progress, Then
from curveproxy.proxy.connect.attempt import AttemptError
from curveproxy.proxy.connect.dial_request import DialRequest
from curveproxy.proxy.connect.failures import AT_ONCE_SECONDS, UNWANTED
from curveproxy.proxy.connect.recovery import EXCUSED_MAX
from curveproxy.proxy.connect.remotes.remote import REST_FACTOR
from curveproxy.proxy.connect.remotes.remotes import RemoteApproach, Remotes
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Curve, Negotiated, Plain, Records, Version
from curveproxy.wire.zmtp.frame import Dialect

SERVER, OTHER, THIRD, OURS = (KeyPair.generate() for _ in range(4))
CURVE = Keys(SERVER.public, SERVER.secret)
RECORDS, CERTIFICATE = "X-Curveproxy-Records", "X-Curveproxy-Certificate"
V3 = Version(Dialect.V3, 1)
Behaviour = Callable[[RawServer], object]


def egress(*remotes: str, keys: tuple[KeyPair, ...] = (SERVER,)) -> EgressSettings:
    return EgressSettings(tuple(map(Endpoint.parse, remotes)), tuple(each.public for each in keys), OURS)


def reaching(*remotes: str, keys: tuple[KeyPair, ...] = (SERVER,), **more: Any) -> Any:
    return dialling(remotes[0], egress=egress(*remotes, keys=keys), **more)


async def failure(at_work: Dialling, metadata: dict[str, bytes] = DEALER) -> tuple[Any, str]:
    """Why a client is not served, as it is told and as it is observed."""
    end = await at_work.end(metadata)
    _, reason, detail = at_work.observer.events[-1]
    assert end == reason
    return reason, str(detail)


def late(at_work: Dialling, dial: DialRequest | None) -> None:
    """The deadline of a dial has passed."""
    assert dial is not None
    at_work.dialer.expire(dial.deadline)


# --- libzmq


@contextmanager
def asking(zeromq: Libzmq, status: str) -> Iterator[list[bytes]]:
    """Somebody who decides on the clients of CURVE servers (RFC 27), always so. Gives the keys that were asked for."""
    asked: list[bytes] = []
    sock = zeromq.socket(zmq.REP)
    sock.bind("inproc://zeromq.zap.01")
    sock.rcvtimeo = 50
    over = threading.Event()

    def decide() -> None:
        while not over.is_set():
            try:
                _, number, *_, key = sock.recv_multipart()
            except zmq.Again:
                continue
            asked.append(key)
            sock.send_multipart([b"1.0", number, status.encode(), b"", b"", b""])

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        yield asked
    finally:
        over.set()
        thread.join()


async def test_a_curve_server_is_reached_and_told_what_the_client_says() -> None:
    with Libzmq() as zeromq:
        server, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE)
        async with reaching(endpoint) as at_work:
            peer = await at_work.end({**DEALER, "Identity": b"me"})
            assert isinstance(peer, Established)
            assert peer.socket_type == b"ROUTER"
            assert isinstance(peer.security, Curve)
            assert at_work.observer.events == [("backend_up",)]
            assert at_work.recovery.up
            await trio.to_thread.run_sync(lambda: until_known(server, b"me"))
            at_work.dialer.take_back(peer.socket)


def until_known(server: Any, identity: bytes) -> None:
    """Until a ROUTER has a peer of that name."""
    server.router_mandatory = True
    while True:
        try:
            server.send_multipart([identity, b""])
        except zmq.ZMQError:  # it has none
            continue
        return


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("200", None),
        ("400", (ClientFailure.REFUSED, "400")),
        ("500", (ClientFailure.REFUSED, "500")),
        ("700", (ClientFailure.READY_CLOSED, "")),  # no status of ZAP
    ],
)
async def test_who_decides_on_a_servers_clients_is_heard(status: str, end: tuple[ClientFailure, str] | None) -> None:
    with Libzmq() as zeromq, asking(zeromq, status) as asked:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE, zap_domain=b"global")
        async with reaching(endpoint) as at_work:
            if end is None:
                assert await at_work.serves()
            else:
                assert await failure(at_work) == end
                assert at_work.recovery.is_down
        assert asked == [OURS.public]


async def test_who_is_not_decided_on_hears_nothing_or_is_closed() -> None:
    """libzmq closes when the answer of its handler is there at once, and else says nothing."""
    with Libzmq() as zeromq, asking(zeromq, "300") as asked:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE, zap_domain=b"global")
        async with reaching(endpoint) as at_work:
            dial = at_work.dialer.dial(wanting := Wanting(), DEALER)
            await until(lambda: asked)
            late(at_work, dial)
            assert wanting.heard[0] in (ClientFailure.READY_TIMEOUT, ClientFailure.READY_CLOSED)


@pytest.mark.parametrize(("options", "offers"), [({}, "NULL"), ({"plain_server": True}, "PLAIN")])
async def test_a_server_of_another_mechanism_is_named(options: dict[str, Any], offers: str) -> None:
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, **options)
        async with reaching(endpoint) as at_work:
            assert await failure(at_work) == (ClientFailure.MECHANISM, f"it offers {offers}")


async def test_a_server_with_another_key_closes_behind_hello() -> None:
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE)
        async with reaching(endpoint, keys=(OTHER,)) as at_work:
            assert await failure(at_work) == (ClientFailure.WELCOME_CLOSED, "")
        async with reaching(endpoint, keys=(OTHER, THIRD)) as at_work:
            assert await failure(at_work) == (ClientFailure.WELCOME_CLOSED, "none of 2 server keys")
            assert len(at_work.observer.events) == 1


async def test_of_several_server_keys_the_one_that_worked_is_tried_first_the_next_time() -> None:
    hellos: list[bytes] = []

    def counts(server: RawServer) -> None:
        server.greeting()
        hellos.append(b"")
        server.hello()
        server.welcome()
        server.initiate()
        server.ready()
        server.hold()

    with quietly(counts) as remote:
        async with reaching(remote.endpoint, keys=(OTHER, THIRD, SERVER)) as at_work:
            for tried in (3, 4, 5):
                assert await at_work.serves()
                assert len(hellos) == tried
            rotated = evolve(at_work.settings, egress=egress(remote.endpoint, keys=(OTHER, SERVER)))
            at_work.dialer.configure(rotated)
            assert await at_work.serves()
            assert len(hellos) == 6


@contextmanager
def quietly(behaviour: Behaviour, keys: Keys = CURVE, **more: Any) -> Iterator[Remote]:
    """A server whose client may send what does not open."""

    def behave(peer: Peer) -> None:
        assert isinstance(peer, RawServer)
        try:
            behaviour(peer)
        except zmtp.Malformed:
            return  # and close: it has another key

    with Remote(keys, behave, **more) as remote:
        yield remote


# --- servers of bare sockets: silent, closing, wrong at each stage


def greets(server: RawServer) -> None:
    server.greeting()


def welcomes(server: RawServer) -> None:
    server.greeting()
    server.hello()
    server.welcome()


def takes_initiate(server: RawServer) -> None:
    welcomes(server)
    server.initiate()


def takes_hello(server: RawServer) -> None:
    server.greeting()
    server.hello()


def says_half_a_greeting(server: RawServer) -> None:
    server.send_raw(zmtp.greeting(b"CURVE")[:20])
    server.recv_exactly(11)


STAGES: dict[str, tuple[Behaviour, str]] = {
    "accepts": (lambda server: server.recv_exactly(11), "greeting"),
    "half a greeting": (says_half_a_greeting, "greeting"),
    "greets": (takes_hello, "welcome"),
    "welcomes": (takes_initiate, "ready"),
}
each_stage = pytest.mark.parametrize(("behaviour", "stage"), STAGES.values(), ids=STAGES)


@each_stage
async def test_a_server_that_falls_silent_is_late_for_what_it_owes(behaviour: Behaviour, stage: str) -> None:
    reached = threading.Event()

    def falls_silent(server: RawServer) -> None:
        behaviour(server)
        reached.set()
        server.hold()

    with quietly(falls_silent) as remote:
        async with reaching(remote.endpoint) as at_work:
            dial = at_work.dialer.dial(wanting := Wanting(), DEALER)
            await until(reached.is_set)
            await trio.sleep(0.05)
            late(at_work, dial)
            assert wanting.heard == [f"{stage}_timeout"]
            assert at_work.recovery.is_down


@each_stage
@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_server_that_goes_away_has_closed_where_it_was(how: str, behaviour: Behaviour, stage: str) -> None:
    def goes(server: RawServer) -> None:
        behaviour(server)
        if how == "resets":
            server.reset()

    with quietly(goes) as remote:
        async with reaching(remote.endpoint) as at_work:
            reason, _ = await failure(at_work)
            assert reason == f"{stage}_closed"


def says(*octets: bytes, behind: Behaviour = lambda _: None) -> Behaviour:
    """Say octets at a stage, and wait."""

    def behave(server: RawServer) -> None:
        behind(server)
        for each in octets:
            server.send_raw(each)
        server.hold()

    return behave


def ready(metadata: bytes) -> Behaviour:
    def behave(server: RawServer) -> None:
        takes_initiate(server)
        server.ready(metadata=metadata)
        server.hold()

    return behave


def spoiled_welcome(server: RawServer) -> None:
    takes_hello(server)
    server.welcome(nonce=bytes(16), plaintext=bytes(127))
    server.hold()


def damaged_welcome(server: RawServer) -> None:
    takes_hello(server)
    send, server.send_raw = server.send_raw, lambda octets: send(zmtp.damaged(octets))  # type: ignore[method-assign]
    server.welcome()
    server.hold()


def error(reason: bytes) -> bytes:
    return zmtp.frame(zmtp.error(reason), zmtp.COMMAND)


HUGE = zmtp.frame(b"\x05READY" + bytes(8), zmtp.COMMAND, long=True, size=1 << 62)
WRONG: dict[str, tuple[Behaviour, ClientFailure]] = {
    "HTTP": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ClientFailure.NOT_ZMTP),
    "noise": (says(b"\x80\x13\x37\x00" * 30), ClientFailure.NOT_ZMTP),
    "ZMTP 1.0": (says(b"\x01\x00"), ClientFailure.ZMTP_VERSION),
    "ZMTP 2.0": (says(b"\xff" + bytes(7) + b"\x01\x7f\x01\x05"), ClientFailure.ZMTP_VERSION),
    "HELLO": (says(zmtp.command_frame(b"HELLO", bytes(194)), behind=greets), ClientFailure.ROLE),
    "noise behind the greeting": (says(b"noise" * 40, behind=greets), ClientFailure.COMMAND),
    "MESSAGE for WELCOME": (says(zmtp.frame(b"\x07MESSAGE" + bytes(40)), behind=greets), ClientFailure.COMMAND),
    "a short WELCOME": (says(zmtp.command_frame(b"WELCOME", bytes(159)), behind=greets), ClientFailure.WELCOME),
    "a spoiled WELCOME": (spoiled_welcome, ClientFailure.WELCOME),
    "a damaged WELCOME": (damaged_welcome, ClientFailure.WELCOME),
    "a huge WELCOME": (says(b"\x06" + b"\x40" + bytes(7) + b"\x07WELCOME", behind=greets), ClientFailure.WELCOME),
    "ERROR for WELCOME": (says(error(b""), behind=takes_hello), ClientFailure.WELCOME_CLOSED),
    "ERROR for READY": (says(error(b"whatever"), behind=takes_initiate), ClientFailure.REFUSED),
    "READY twice as small": (says(zmtp.command_frame(b"READY", bytes(9)), behind=takes_initiate), ClientFailure.READY),
    "READY of noise": (says(zmtp.command_frame(b"READY", bytes(64)), behind=takes_initiate), ClientFailure.READY),
    "READY of 2^62": (says(HUGE, behind=takes_initiate), ClientFailure.READY),
    "READY of 2^16": (ready(zmtp.metadata({"X-A": bytes(1 << 16)})), ClientFailure.READY),
    "READY cut short": (ready(zmtp.metadata({"Socket-Type": b"ROUTER"})[:-1]), ClientFailure.READY),
    "READY with octets left over": (ready(zmtp.metadata({"Socket-Type": b"ROUTER"}) + b"\0"), ClientFailure.READY),
    "READY that says twice": (ready(zmtp.metadata([("A", b""), ("a", b"")])), ClientFailure.READY),
    "READY with a bad name": (ready(zmtp.metadata([("A B", b"")])), ClientFailure.READY),
    "an identity that begins with zero": (ready(zmtp.metadata({"Identity": b"\0x"})), ClientFailure.READY),
    "an identity that is too long": (ready(zmtp.metadata({"Identity": b"x" * 256})), ClientFailure.READY),
    "a type that is too long": (ready(zmtp.metadata({"Socket-Type": b"X" * 17})), ClientFailure.READY),
    "a type that does not fit": (ready(zmtp.metadata({"Socket-Type": b"PUB"})), ClientFailure.SOCKET_TYPE),
}  # fmt: skip


@pytest.mark.parametrize(("behaviour", "reason"), WRONG.values(), ids=WRONG)
async def test_what_a_server_must_not_say_has_its_word(behaviour: Behaviour, reason: ClientFailure) -> None:
    with quietly(behaviour) as remote:
        async with reaching(remote.endpoint) as at_work:
            end = await at_work.end()
            is_misfit = reason == ClientFailure.SOCKET_TYPE
            assert end == (Outcome.SOCKET_TYPE if is_misfit else reason)
            [(_, observed, _)] = at_work.observer.events
            assert observed is reason
            assert at_work.recovery.is_down is not is_misfit


async def test_what_comes_behind_ready_is_kept_and_metadata_may_be_large() -> None:
    def talks(server: RawServer) -> None:
        takes_initiate(server)
        server.ready(metadata=zmtp.metadata({"Socket-Type": b"ROUTER", "X-A": bytes(60000)}) + b"")
        server.send([b"at once"])
        server.hold()

    with quietly(talks) as remote:
        async with reaching(remote.endpoint) as at_work:
            peer = await at_work.end({**DEALER, "Identity": b"me", "Resource": b"r", "X-Note": b"n"})
            assert isinstance(peer, Established)
            [accepted] = remote.accepted
            assert accepted.theirs.pop(RECORDS)
            assert accepted.theirs == {"Socket-Type": b"DEALER", "Identity": b"me", "Resource": b"r", "X-Note": b"n"}
            at_work.dialer.take_back(peer.socket)


async def test_each_dial_has_transient_keys_and_nonces_of_its_own() -> None:
    seen: list[bytes] = []

    def keeps(server: RawServer) -> None:
        greets(server)
        hello = server.recv_handshake()
        seen.append(hello[80:112])

    with quietly(keeps) as remote:
        async with reaching(remote.endpoint) as at_work:
            for _ in range(3):
                await at_work.end()
    assert len(set(seen)) == 3


# --- records


def overheard(said: list[bytes], answer: bytes | None) -> Behaviour:
    """A server that keeps what INITIATE said as it stood in its box. answer: to the offer; None of a stock one."""

    def behave(server: RawServer) -> None:
        takes_initiate(server)
        said.append(zmtp.metadata(server.theirs))
        properties = {} if answer is None else {RECORDS: answer}
        server.ready(metadata=zmtp.metadata({**properties, "Socket-Type": b"ROUTER"}))
        server.hold()

    return behave


@pytest.mark.parametrize(
    ("messages", "offer"),
    [
        ({"record_suites": ["xsalsa20-poly1305"]}, b"\x01\x00\x01"),
        ({"record_suites": ["xsalsa20-poly1305"], "pad_to": 1024}, b"\x01\x01\x01"),
        ({"records": RecordsMode.OFF}, None),
        ({"on_invalid": OnInvalid.DROP}, None),
    ],
    ids=["auto", "padded", "off", "drop"],
)
async def test_a_stock_server_is_offered_records_and_messages_are_what_they_were(
    messages: dict[str, Any], offer: bytes | None
) -> None:
    said: list[bytes] = []
    with quietly(overheard(said, None)) as remote:
        async with reaching(remote.endpoint, messages=MessageLimits(**messages)) as at_work:
            peer = await at_work.end()
            assert isinstance(peer, Established)
            assert isinstance(peer.security, Curve)
            assert isinstance(peer.security, Curve)
            at_work.dialer.take_back(peer.socket)
    assert said == [zmtp.metadata(DEALER | ({} if offer is None else {RECORDS: offer}))]


@pytest.mark.parametrize("size", [0, 100, 193, 194, 255])
async def test_a_long_identity_leaves_the_offer_out_for_old_servers(size: int) -> None:
    said: list[bytes] = []
    client = DEALER | {"Identity": b"i" * size}
    with quietly(overheard(said, None)) as remote:
        async with reaching(remote.endpoint) as at_work:
            peer = await at_work.end(client)
            assert isinstance(peer, Established)
            at_work.dialer.take_back(peer.socket)
    assert (RECORDS.encode() in said[0]) == (len(said[0]) > len(zmtp.metadata(client)))
    assert len(said[0]) == len(zmtp.metadata(client)) or len(said[0]) <= 256


async def test_a_proxy_that_answers_has_records() -> None:
    with quietly(overheard([], b"\x01\x01\x01")) as remote:
        async with reaching(remote.endpoint) as at_work:
            peer = await at_work.end()
            assert isinstance(peer, Established)
            assert isinstance(peer.security, Records)
            assert (Suite(peer.security.suite), peer.security.peer_pads) == (Suite.XSALSA20_POLY1305, True)
            at_work.dialer.take_back(peer.socket)


@pytest.mark.parametrize("answer", [b"\x01\x00\x02", b"\x02\x00\x01", b"\x01\x00", b""], ids=bytes.hex)
async def test_an_answer_that_was_not_offered_is_wrong(answer: bytes) -> None:
    limits = MessageLimits(record_suites=["xsalsa20-poly1305"])
    with quietly(overheard([], answer)) as remote:
        async with reaching(remote.endpoint, messages=limits) as at_work:
            assert (await failure(at_work))[0] == ClientFailure.READY


async def test_where_records_are_required_a_stock_server_is_left_for_the_next() -> None:
    limits = MessageLimits(records=RecordsMode.REQUIRE)
    with quietly(overheard([], None)) as stock, quietly(overheard([], b"\x01\x00\x01")) as proxy:
        async with reaching(stock.endpoint, messages=limits) as at_work:
            assert await failure(at_work) == (ClientFailure.RECORDS, "")
        async with reaching(stock.endpoint, proxy.endpoint, messages=limits) as at_work:
            assert await at_work.serves()


async def test_a_client_whose_offer_would_have_no_room_is_not_dialled_for_where_records_are_required() -> None:
    limits = MessageLimits(records=RecordsMode.REQUIRE)
    with quietly(overheard([], b"\x01\x00\x01")) as proxy:
        async with reaching(proxy.endpoint, messages=limits) as at_work:
            end = await at_work.end(DEALER | {"Identity": b"i" * 255})
            assert end == Outcome.METADATA
            assert at_work.observer.events == []
            assert await at_work.serves(), "it is nobody else's fault"


@pytest.mark.parametrize("records", [RecordsMode.AUTO, RecordsMode.REQUIRE])
async def test_who_is_presented_a_certificate_is_offered_records_whatever_the_client_says(records: RecordsMode) -> None:
    said: list[bytes] = []
    client, text = DEALER | {"Identity": b"i" * 255}, b"the text of a certificate\n" * 78
    limits = MessageLimits(records=records, record_suites=["xsalsa20-poly1305"])
    with quietly(overheard(said, b"\x01\x00\x01")) as proxy:
        presenting = evolve(egress(proxy.endpoint), certificate=text)
        async with dialling(proxy.endpoint, egress=presenting, messages=limits) as at_work:
            peer = await at_work.end(client)
            assert isinstance(peer, Established)
            assert isinstance(peer.security, Records)
            at_work.dialer.take_back(peer.socket)
    assert said == [zmtp.metadata(client | {CERTIFICATE: text, RECORDS: b"\x01\x00\x01"})]


# --- several remotes


async def test_the_next_remote_is_tried_when_one_can_not_be_had() -> None:
    dead = str(free_endpoint())
    with quietly(greets) as closing, quietly(ready(zmtp.metadata({"Socket-Type": b"ROUTER"}))) as good:
        async with reaching(dead, closing.endpoint, good.endpoint) as at_work:
            assert await at_work.serves()
            failed = [event[1:] for event in at_work.observer.events[:-1]]
            assert failed == [
                (ClientFailure.CONNECT_REFUSED, f"{dead}: connection refused"),
                (ClientFailure.WELCOME_CLOSED, closing.endpoint),
            ]
            assert not at_work.recovery.is_down
            at_work.observer.take()
            assert await at_work.serves()
            assert at_work.observer.events == [("backend_up",)], "those that have just failed are tried last"


async def test_where_no_remote_can_be_had_the_client_hears_of_the_one_that_was_nearest() -> None:
    dead = str(free_endpoint())
    with quietly(takes_initiate) as closing:
        async with reaching(closing.endpoint, dead) as at_work:
            assert await at_work.end() == ClientFailure.READY_CLOSED
            assert [event[1] for event in at_work.observer.events] == [
                ClientFailure.READY_CLOSED,
                ClientFailure.CONNECT_REFUSED,
            ]
            assert at_work.recovery.is_down
            at_work.recovery.check_listener(trio.current_time() + 9, at_work.settings)
            await trio.testing.wait_all_tasks_blocked()
            assert at_work.recovery.is_down, "one listens, which tells nothing"


async def test_a_refusal_for_good_is_not_asked_for_twice() -> None:
    refuses = says(error(b"400"), behind=takes_initiate)
    passing = says(error(b"500"), behind=takes_initiate)
    with quietly(refuses) as final, quietly(passing) as busy, quietly(takes_initiate) as never:
        async with reaching(busy.endpoint, final.endpoint, never.endpoint) as at_work:
            assert await at_work.end() == ClientFailure.REFUSED
            assert [event[2] for event in at_work.observer.events] == [
                f"{busy.endpoint}: 500",
                f"{final.endpoint}: 400",
            ]
            assert not never.accepted


async def test_each_remote_has_all_of_the_time() -> None:
    with quietly(lambda server: server.hold()) as silent, quietly(ready(b"")) as good:
        async with reaching(silent.endpoint, good.endpoint) as at_work:
            dial = at_work.dialer.dial(wanting := Wanting(), DEALER)
            await until(lambda: silent.accepted)
            late(at_work, dial)
            assert wanting.heard == []
            await until(lambda: wanting.heard)
            [peer] = wanting.heard
            assert isinstance(peer, Established)
            at_work.dialer.take_back(peer.socket)


async def test_a_name_of_which_one_address_is_dead_is_reached_at_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE)
        port = Endpoint.parse(endpoint).port

        async def known(*_: object, **__: object) -> list[Any]:
            nonlocal asked
            asked += 1
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(trio.socket, "getaddrinfo", known)
        async with reaching(f"tcp://some.host:{port}") as at_work:
            assert await at_work.serves()
            assert await at_work.serves()
            assert at_work.observer.events == [("backend_up",)] * 2
        assert asked == 2, "it may mean others by then"


async def test_a_name_whose_addresses_all_fail_tells_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_endpoint().port
    with quietly(greets) as closing:
        open_port = Endpoint.parse(closing.endpoint).port

        async def known(*_: object, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in (port, open_port)]

        monkeypatch.setattr(trio.socket, "getaddrinfo", known)
        async with reaching("tcp://some.host:7") as at_work:
            assert await failure(at_work) == (
                ClientFailure.WELCOME_CLOSED,
                f"127.0.0.1:{port}: connect_refused: connection refused; 127.0.0.1:{open_port}: welcome_closed",
            )


async def test_a_name_that_does_not_resolve_or_not_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with reaching("tcp://name.invalid:7") as at_work:
        assert await failure(at_work) == (ClientFailure.RESOLVE, "name.invalid does not resolve")

    async def hangs(*_: object, **__: object) -> list[Any]:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(trio.socket, "getaddrinfo", hangs)
    async with reaching("tcp://some.host:7") as at_work:
        dial = at_work.dialer.dial(wanting := Wanting(), DEALER)
        await trio.testing.wait_all_tasks_blocked()
        late(at_work, dial)
        assert wanting.heard == [ClientFailure.RESOLVE_TIMEOUT]


async def test_a_remote_may_be_a_unix_socket(tmp_path: Path) -> None:
    with Libzmq() as zeromq:
        zeromq.bind(zmq.ROUTER, f"ipc://{tmp_path}/s", server=CURVE)
        async with reaching(f"ipc://{tmp_path}/s") as at_work:
            assert await at_work.serves()
    async with reaching(f"ipc://{tmp_path}/gone") as at_work:
        assert (await failure(at_work))[0] == ClientFailure.CONNECT_REFUSED


# --- the circuit breaker


async def test_remotes_of_which_nobody_listens_are_looked_for() -> None:
    gone, other = str(free_endpoint()), free_endpoint()
    async with reaching(gone, str(other)) as at_work:
        await at_work.end()
        assert at_work.recovery.is_down
        with socket.create_server((other.host, other.port)):
            at_work.recovery.check_listener(trio.current_time() + 9, at_work.settings)
            await until(lambda: at_work.recovered)
        assert not at_work.recovery.is_down


async def test_a_client_whose_type_is_not_wanted_is_alone_to_blame_at_first_where_others_are_served() -> None:
    def wants_dealers(server: RawServer) -> None:
        takes_initiate(server)
        if server.theirs["Socket-Type"] == b"DEALER":
            server.ready(metadata=b"")
            server.hold()

    with quietly(wants_dealers) as remote:
        async with reaching(remote.endpoint) as at_work:
            assert await at_work.end(SUB) == ClientFailure.READY_CLOSED
            assert at_work.recovery.is_down, "nobody has been served yet"
            assert await at_work.serves(DEALER)
            for _ in range(EXCUSED_MAX):
                assert await at_work.end(SUB) == ClientFailure.READY_CLOSED
                assert not at_work.recovery.is_down
            assert await at_work.end(SUB) == ClientFailure.READY_CLOSED
            assert at_work.recovery.is_down, "it comes again and again, or there is more to it"
            assert await at_work.serves(DEALER)
            remote.behaviour = lambda peer: greets(peer)  # type: ignore[arg-type]
            assert await at_work.end(SUB) == ClientFailure.WELCOME_CLOSED
            assert at_work.recovery.is_down


@pytest.mark.parametrize("how", ["closes", "refuses"])
async def test_a_client_that_does_not_fit_what_the_remote_was_is_alone_to_blame_however_often(how: str) -> None:
    def wants_dealers(server: RawServer) -> None:
        takes_initiate(server)
        if server.theirs["Socket-Type"] == b"DEALER":
            server.ready()
        elif how == "refuses":
            server.send_raw(error(b"400"))
        else:
            return
        server.hold()

    with quietly(wants_dealers) as remote:
        async with reaching(remote.endpoint) as at_work:
            assert await at_work.serves(DEALER)
            for _ in range(EXCUSED_MAX + 1):
                assert await at_work.end(SUB) == Outcome.SOCKET_TYPE
                assert not at_work.recovery.is_down
            assert at_work.observer.events == [("backend_up",)], "it is not at fault"
            remote.behaviour = lambda peer: takes_initiate(peer)  # type: ignore[arg-type]
            assert await at_work.end(DEALER) == ClientFailure.READY_CLOSED
            assert at_work.recovery.is_down


@pytest.mark.parametrize("word", UNWANTED)
@pytest.mark.parametrize("more", [{"Identity": b"taken"}, {"X-Own": b"v"}], ids=["identity", "property"])
async def test_a_client_that_is_refused_for_what_it_says_of_itself_costs_no_other_its_way(
    word: ClientFailure, more: dict[str, bytes]
) -> None:
    def takes_one(server: RawServer) -> None:
        takes_initiate(server)
        if not more.items() <= server.theirs.items():
            server.ready()
        elif word == ClientFailure.REFUSED:
            server.send_raw(error(b"400"))
        else:
            return
        server.hold()

    with quietly(takes_one) as remote:
        async with reaching(remote.endpoint) as at_work:
            assert await at_work.serves(DEALER)
            for _ in range(3):
                assert await at_work.end(DEALER | more) == word
                assert not at_work.recovery.is_down
                assert await at_work.serves(DEALER | {"Identity": b"free"})
            failures = [event[1] for event in at_work.observer.events if event[0] == "backend_failed"]
            assert failures == [word] * 3, "it is told of all the same"
            remote.behaviour = lambda peer: takes_initiate(peer)  # type: ignore[arg-type]
            for tried in range(EXCUSED_MAX + 1):
                assert not at_work.recovery.is_down, tried
                await at_work.end(DEALER | {"Identity": b"free"})
            assert at_work.recovery.is_down, "so many in a row are not their clients' fault"
            remote.behaviour = lambda peer: takes_one(peer)  # type: ignore[arg-type]
            assert await at_work.serves(DEALER)
            remote.behaviour = lambda peer: takes_initiate(peer)  # type: ignore[arg-type]
            await at_work.end(DEALER)
            assert at_work.recovery.is_down, "it has said nothing that those who were served have not"


async def test_other_keys_are_another_question() -> None:
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE)
        async with reaching(endpoint, keys=(OTHER,)) as at_work:
            await at_work.end()
            assert at_work.recovery.is_down
            at_work.dialer.configure(evolve(at_work.settings, egress=egress(endpoint)))
            assert (at_work.recovery.up, at_work.recovery.is_down) == (None, False)
            assert await at_work.serves()


async def test_a_service_may_become_an_egress_and_back() -> None:
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE)
        _, plain = zeromq.bind(zmq.ROUTER)
        async with dialling(plain) as at_work:
            assert await at_work.serves()
            at_work.dialer.configure(evolve(at_work.settings, egress=egress(endpoint)))
            assert await at_work.serves()
            at_work.dialer.configure(at_work.settings)
            assert await at_work.serves()


# --- without sockets: what follows what


def remotes(*keys: KeyPair, number: int = 1, **more: Any) -> Remotes:
    places = [f"tcp://127.0.0.1:{port}" for port in range(1, number + 1)]
    settings = ServiceSettings("test", Endpoint("tcp", "*"), Endpoint.parse(places[0]), (), **more)
    nobody: Any = None  # who is pinned is not asked
    return Remotes(evolve(settings, egress=egress(*places, keys=keys or (SERVER,))), RecordingObserver(), nobody, time)


def approach_of(behind: Remotes) -> RemoteApproach:
    approach = behind.approaches(DEALER)[0]
    assert isinstance(approach, RemoteApproach)
    return approach


def word(judged: Judgement) -> tuple[str, Then]:
    assert isinstance(judged.error, DialError)
    assert isinstance(judged.error.failure, ClientFailure)
    return judged.error.failure, judged.then


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), ClientFailure.CONNECT_REFUSED),
        (FileNotFoundError(errno.ENOENT, "no"), ClientFailure.CONNECT_REFUSED),
        (TimeoutError(errno.ETIMEDOUT, "no"), ClientFailure.CONNECT_TIMEOUT),
        (OSError(errno.EHOSTUNREACH, "no"), ClientFailure.CONNECT),
    ],
)
async def test_where_there_is_no_connection_the_next_address_is_tried(error: OSError, failure: ClientFailure) -> None:
    assert word(approach_of(remotes()).judge(error, Progress.CONNECTING)) == (failure, Then.NEXT)


async def test_what_the_system_has_too_little_of_is_no_remotes_fault() -> None:
    judged = approach_of(remotes()).judge(OSError(errno.EMFILE, "no"), Progress.CONNECTING)
    assert isinstance(judged.error, RefusedError)
    assert judged.error.outcome == Outcome.SESSIONS_LIMIT


async def test_a_connection_that_stands_for_a_moment_was_closed_in_its_greeting() -> None:
    approach = approach_of(remotes())
    for number in (errno.ECONNRESET, errno.EPIPE):
        found = word(approach.judge(OSError(number, "gone"), Progress.CONNECTING))
        assert found[0] == ClientFailure.GREETING_CLOSED


async def test_who_closes_in_its_greeting_is_asked_once_more_without_our_mechanism() -> None:
    approach = approach_of(remotes())
    assert len(approach.initiator().start()) == 64
    assert word(approach.judge(EOFError(), Progress.GREETING)) == (ClientFailure.GREETING_CLOSED, Then.AGAIN)
    assert len(approach.initiator().start()) == 11
    assert approach.late(Progress.GREETING).failure == ClientFailure.GREETING_CLOSED, "and not that it took long"
    assert word(approach.judge(EOFError(), Progress.GREETING)) == (ClientFailure.GREETING_CLOSED, Then.NEXT)


async def test_a_server_that_closes_late_behind_hello_has_not_closed_because_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    approach = approach_of(remotes(SERVER, OTHER))
    approach.initiator().receive_untrusted(curve_server.GREETING)
    await trio.sleep(AT_ONCE_SECONDS + 1)
    assert word(approach.judge(EOFError(), Progress.GREETING)) == (ClientFailure.WELCOME_TIMEOUT, Then.NEXT)


async def test_each_address_is_asked_with_each_key() -> None:
    approach = approach_of(remotes(SERVER, OTHER))
    closed: AttemptError = EOFError()
    for address in range(2):
        approach.addresses = [(socket.AF_INET, ("127.0.0.1", address))]
        for then in (Then.AGAIN, Then.NEXT):
            approach.initiator().receive_untrusted(curve_server.GREETING)
            assert word(approach.judge(closed, Progress.GREETING)) == (ClientFailure.WELCOME_CLOSED, then)
        approach.leave_address(DialError(ClientFailure.WELCOME_CLOSED))


@pytest.mark.parametrize(("said", "shown"), [("400", "400"), ("500", "500"), ("client_unknown", "")])
async def test_only_a_status_is_repeated_of_a_refusal(said: str, shown: str) -> None:
    judged = approach_of(remotes()).judge(PeerError(Fault.REFUSED, said), Progress.GREETING)
    assert isinstance(judged.error, DialError)
    assert judged.error.detail == shown


async def test_a_remote_that_has_failed_is_tried_first_by_one_dial_at_a_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    behind = remotes(number=2)
    first, second = (approach.endpoint.port for approach in behind.approaches(DEALER))

    def order() -> list[int]:
        return [approach.endpoint.port for approach in behind.approaches(DEALER)]

    behind.approaches(DEALER)[0].failed()
    assert order() == [second, first]
    await trio.sleep(1.1)
    assert order() == [first, second]
    await trio.sleep(4)
    assert order() == [second, first], "that dial is under way"
    await trio.sleep(2)
    approach = behind.approaches(DEALER)[0]
    assert approach.endpoint.port == first
    approach.addresses = [(socket.AF_INET, ("127.0.0.1", 1))]
    approach.initiator()
    await trio.sleep(5)
    approach.failed()
    await trio.sleep(5 * REST_FACTOR - 1)
    assert order() == [second, first], "it took long to fail"
    await trio.sleep(2)
    sock: Any = None
    approach = behind.approaches(DEALER)[0]
    approach.addresses = [(socket.AF_INET, ("127.0.0.1", 1))]
    approach.initiator()
    approach.succeeded(Established(sock, {}, V3, Plain()))
    assert order() == order() == [first, second]


async def test_what_is_known_of_a_remote_is_kept_while_it_is_in_the_settings() -> None:
    behind = remotes(number=2)
    behind.approaches(DEALER)[0].failed()
    now = ServiceSettings("test", Endpoint("tcp", "*"), Endpoint("tcp", "127.0.0.1", 1), ())
    more = egress("tcp://127.0.0.1:1", "tcp://127.0.0.1:3")
    assert behind.configure(evolve(now, egress=more))
    assert behind.configure(evolve(now, egress=evolve(more, certificate=b"text"))), "it may be what they have missed"
    assert behind.configure(evolve(now, egress=more))
    assert [approach.endpoint.port for approach in behind.approaches(DEALER)] == [3, 1]
    assert not behind.configure(evolve(now, egress=evolve(more, socket_mode=0o660)))
    assert behind.misfit(DEALER) is None
    assert behind.takes_one(DEALER) is None


@pytest.mark.parametrize(
    "news", [{"certificate": b"x"}, {"server_certificate": b"x"}, {"server_name": "x"}, {"trust": Trust()}], ids=str
)
async def test_other_certificates_are_news_for_who_has_failed_by_them(news: dict[str, Any]) -> None:
    behind = remotes()
    before = ServiceSettings("test", Endpoint("tcp", "*"), Endpoint("tcp", "127.0.0.1", 1), ())
    before = evolve(before, egress=egress("tcp://127.0.0.1:1"))
    after = evolve(before, egress=evolve(egress("tcp://127.0.0.1:1"), **news))
    assert not behind.configure(after)
    assert not behind.configure(before)
    approach_of(behind).failed()
    assert behind.configure(after)


async def test_a_misfit_ends_it_and_a_remote_that_suffers_from_dropping_is_told_of() -> None:
    behind = remotes(messages=MessageLimits(on_invalid=OnInvalid.DROP))
    judged = approach_of(behind).accept(Negotiated({"Socket-Type": b"PUB"}, V3, Plain()))
    assert isinstance(judged, Judgement)
    assert word(judged) == (ClientFailure.SOCKET_TYPE, Then.END)
    assert approach_of(behind).accept(Negotiated({"Socket-Type": b"ROUTER"}, V3, Plain())) == b"ROUTER"


async def test_no_key_shows_in_what_is_written_of_them() -> None:
    behind = remotes()
    approach = approach_of(behind)
    for each in (behind, approach, approach.initiator(), egress("tcp://127.0.0.1:1")):
        assert repr(OURS.secret)[2:-1] not in repr(each)

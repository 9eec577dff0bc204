"""A remote whose key is told by its certificates: when it is asked, what is believed, and no HELLO before that."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import trio
import zmq
from attrs import evolve
from support import certificates, zmtp
from support.certificates import CLIENT, OTHER_SEED, SERVER, authority_key, certificate, signed, text_of
from support.certified import NAME, QUESTION, CertifiedRemote, certificate_of
from support.client import RawServer
from support.curve import Keys
from support.dialling import DEALER, Dialling, Wanting, dialling
from support.libzmq import Libzmq
from support.loopback import free_endpoint
from support.tasks import until
from support.trust import NOW, TRUST
from support.zmtp import COMMAND

from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.known_server import NONE, OTHER_SERVERS, KnownServer
from curveproxy.policy.access.revocations import Revocations
from curveproxy.proxy.connect.failures import NO_ANSWER
from curveproxy.proxy.connect.remotes import remote as remote_module
from curveproxy.proxy.connect.remotes.inquiry import SILENT
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire.curve.keys import KeyPair

DAY = 86400
KEYS, OTHER_KEYS, OURS = Keys.new(), Keys.new(), KeyPair.generate()
FIRST = certificate_of(KEYS)
SECOND = certificate_of(OTHER_KEYS, valid_from="2026-11-26T06:00:00Z", serial="0" * 16)
BOUND = evolve(TRUST, authorities=[Authority("plant-1", authority_key(), ["prices*"], 31)])
REVOKING = evolve(TRUST, revocations=Revocations.read(f"serial {SERVER['serial']}"))


@pytest.fixture
def server() -> Iterator[CertifiedRemote]:
    """It has one key, with a certificate."""
    with CertifiedRemote(KEYS, FIRST) as remote:
        yield remote


@pytest.fixture
def may_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough time has passed."""
    monkeypatch.setattr(remote_module, "ASK_SECONDS", 0.0)


def egress(*remotes: str, trust: Trust | None = TRUST, **more: Any) -> EgressSettings:
    endpoints = tuple(map(Endpoint.parse, remotes))
    return EgressSettings(endpoints, (), OURS, trust, **{"server_name": NAME, **more})


def reaching(*remotes: str, trust: Trust = TRUST, **more: Any) -> Any:
    return dialling(remotes[0], egress=egress(*remotes, trust=trust, **more))


def reconfigure(at_work: Dialling, **changes: Any) -> ServiceSettings:
    """Other settings of the egress."""
    assert at_work.settings.egress is not None
    settings = evolve(at_work.settings, egress=evolve(at_work.settings.egress, **changes))
    at_work.dialer.configure(settings)
    return settings


def failures(at_work: Dialling) -> list[tuple[object, ...]]:
    """Why the remote could not be reached, each with its detail."""
    return [event[1:] for event in at_work.observer.take() if event[0] == "backend_failed"]


def notices(at_work: Dialling) -> int:
    return at_work.observer.events.count(("notice", "a remote has shown no newer certificate"))


async def test_it_is_asked_before_hello_and_not_again(server: CertifiedRemote) -> None:
    async with reaching(server.endpoint) as at_work:
        for dials in (1, 2, 3):
            assert await at_work.serves()
            assert (server.questions, server.hellos) == (1, dials)
        assert at_work.observer.events == [("backend_up",)] * 3


async def test_the_host_of_its_endpoint_is_its_name_unless_another_is_given(server: CertifiedRemote) -> None:
    server.texts = [certificate_of(KEYS, names="127.0.0.1")]
    async with reaching(server.endpoint, server_name="") as at_work:
        assert await at_work.serves()


async def test_all_that_come_at_once_wait_for_one_question(server: CertifiedRemote) -> None:
    goes_on = threading.Event()

    def answer_late(peer: RawServer) -> None:
        goes_on.wait(10)
        peer.send_raw(certificates.answer(*server.texts))

    server.answer = answer_late
    async with reaching(server.endpoint) as at_work:
        crowd = [Wanting() for _ in range(20)]
        for wanting in crowd:
            at_work.dialer.dial(wanting, DEALER)
        await until(lambda: server.questions)
        assert not any(wanting.heard for wanting in crowd)
        goes_on.set()
        await until(lambda: all(wanting.heard for wanting in crowd))
        for wanting in crowd:
            at_work.dialer.take_back(wanting.heard[0].socket)
        assert (server.questions, server.hellos) == (1, 20)


# --- what is not believed


def says(*octets: bytes, greeting: bytes = zmtp.greeting(QUESTION, as_server=1)) -> Callable[[RawServer], object]:
    def answer(peer: RawServer) -> None:
        peer.send_raw(greeting + b"".join(octets))
        peer.hold()

    return answer


def closes(peer: RawServer) -> None:
    """It knows no such mechanism."""


def shows(*texts: bytes) -> Callable[[RawServer], object]:
    return lambda peer: peer.send_raw(certificates.answer(*texts))


def of_a_client() -> bytes:
    return certificate(CLIENT)


HUGE = zmtp.frame(b"\x0bCERTIFICATE", COMMAND, long=True, size=8193)
FORGED = text_of(signed(SERVER) | {"serial": "0" * 16})
UNBELIEVED: dict[str, tuple[Callable[[RawServer], object], ClientFailure, str]] = {
    "HTTP": (says(greeting=b"HTTP/1.1 400 Bad Request\r\n"), ClientFailure.NOT_ZMTP, "it looks like HTTP"),
    "noise": (says(greeting=b"\x80\x13\x37\x00" * 30), ClientFailure.NOT_ZMTP, ""),
    "ZMTP 2.0": (says(greeting=b"\xff" + bytes(7) + b"\1\x7f\1\5"), ClientFailure.ZMTP_VERSION, "ZMTP 2.0"),
    "NULL": (says(greeting=zmtp.greeting(b"NULL")), ClientFailure.MECHANISM, "it offers NULL"),
    "CURVE": (says(greeting=zmtp.greeting(b"CURVE")), ClientFailure.CERTIFICATE_NONE, NO_ANSWER),
    "another who asks": (says(greeting=zmtp.greeting(QUESTION)), ClientFailure.ROLE, ""),
    "noise behind the greeting": (says(b"noise" * 40), ClientFailure.COMMAND, "not a command"),
    "8,193 octets": (says(HUGE), ClientFailure.CERTIFICATE, "too_large: too long"),
    "half a text": (says(zmtp.command_frame(b"CERTIFICATE", b"\0\5half")), ClientFailure.CERTIFICATE, "malformed: "),
    "close": (closes, ClientFailure.CERTIFICATE_NONE, NO_ANSWER),
    "reset": (lambda peer: peer.reset(), ClientFailure.CERTIFICATE_NONE, NO_ANSWER),
    "no text": (shows(), ClientFailure.CERTIFICATE_NONE, NONE),
    "noise as a text": (shows(b"noise"), ClientFailure.CERTIFICATE, "malformed: "),
    "a forged one": (shows(FORGED), ClientFailure.CERTIFICATE, "signature"),
    "a client's": (shows(of_a_client()), ClientFailure.CERTIFICATE, "kind: "),
    "another authority's": (shows(certificate(SERVER, OTHER_SEED)), ClientFailure.CERTIFICATE, "authority"),
    "another server's": (
        shows(certificate_of(KEYS, names="prices.example")),
        ClientFailure.CERTIFICATE_NAME,
        OTHER_SERVERS,
    ),
    "an expired one": (
        shows(certificate_of(KEYS, valid_from="2026-11-20T00:00:00Z", valid_until="2026-11-26T00:00:00Z")),
        ClientFailure.CERTIFICATE_EXPIRED,
        "expired",
    ),
    "one for tomorrow": (
        shows(certificate_of(KEYS, valid_from="2026-11-28T00:00:00Z")),
        ClientFailure.CERTIFICATE_EXPIRED,
        "not_yet_valid",
    ),
}


@pytest.mark.parametrize(("answer", "failure", "detail"), UNBELIEVED.values(), ids=UNBELIEVED)
async def test_who_shows_nothing_that_is_believed_hears_no_hello_and_rests(
    server: CertifiedRemote, answer: Callable[[RawServer], object], failure: ClientFailure, detail: str
) -> None:
    server.answer = answer
    async with reaching(server.endpoint) as at_work:
        assert await at_work.end() == failure
        [(reason, said)] = failures(at_work)
        assert reason == failure
        assert str(said).startswith(detail)
        assert bool(said) == bool(detail)
        assert (server.hellos, at_work.recovery.is_down) == (0, True)
        server.answer = shows(FIRST)
        assert await at_work.serves(), "the next one that is dialled for asks again"


@pytest.mark.parametrize(
    ("trust", "detail"),
    [(REVOKING, "revoked"), (BOUND, "bounds: the name is not among those"), (Trust(), "authority")],
)
async def test_what_is_believed_is_up_to_the_settings(server: CertifiedRemote, trust: Trust, detail: str) -> None:
    async with reaching(server.endpoint, trust=trust) as at_work:
        assert await at_work.end() == ClientFailure.CERTIFICATE
        [(_, said)] = failures(at_work)
        assert str(said).startswith(detail)
        assert server.hellos == 0
        reconfigure(at_work, trust=TRUST)
        assert await at_work.serves()
        reconfigure(at_work, trust=trust)
        assert await at_work.end() == ClientFailure.CERTIFICATE
        assert (server.questions, server.hellos) == (3, 1)


@pytest.mark.parametrize("greets", [False, True], ids=["at once", "behind its greeting"])
async def test_who_is_silent_is_late(server: CertifiedRemote, greets: bool) -> None:
    def falls_silent(peer: RawServer) -> None:
        if greets:
            peer.send_raw(zmtp.greeting(QUESTION, as_server=1))
        peer.hold()

    server.answer = falls_silent
    async with reaching(server.endpoint) as at_work:
        dial = at_work.dialer.dial(wanting := Wanting(), DEALER)
        assert dial is not None
        await until(lambda: server.questions)
        at_work.dialer.expire(dial.deadline)
        assert wanting.heard == [ClientFailure.CERTIFICATE_NONE]
        assert failures(at_work) == [(ClientFailure.CERTIFICATE_NONE, SILENT)]
        assert (server.hellos, at_work.recovery.is_down) == (0, True)
        server.close_connections()  # for the question has its own time


async def test_nobody_is_asked_where_nobody_listens() -> None:
    async with reaching(str(free_endpoint())) as at_work:
        assert await at_work.end() == ClientFailure.CONNECT_REFUSED
        assert failures(at_work) == [(ClientFailure.CONNECT_REFUSED, "connection refused")]


async def test_libzmq_closes_when_it_is_asked_and_serves_on() -> None:
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=KEYS)
        async with reaching(endpoint) as at_work:
            for _ in range(3):
                assert await at_work.end() == ClientFailure.CERTIFICATE_NONE
            assert {detail for _, detail in failures(at_work)} == {NO_ANSWER}
            reconfigure(at_work, trust=None, server_keys=(KEYS.public,))
            assert await at_work.serves()


# --- other certificates


async def test_a_new_key_is_asked_for_when_the_old_one_is_not_taken_and_nobody_is_refused(
    server: CertifiedRemote, may_ask_again: None
) -> None:
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        server.keys, server.texts = OTHER_KEYS, [FIRST, SECOND]
        assert await at_work.serves()
        assert await at_work.serves()
        assert (server.questions, server.hellos) == (2, 4)
        assert at_work.observer.events == [("backend_up",)] * 3


async def test_whoever_has_lost_the_old_key_waits_for_the_same_question(
    server: CertifiedRemote, may_ask_again: None
) -> None:
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        server.keys, server.texts = OTHER_KEYS, [FIRST, SECOND]
        crowd = [Wanting() for _ in range(10)]
        for wanting in crowd:
            at_work.dialer.dial(wanting, DEALER)
        await until(lambda: all(wanting.heard for wanting in crowd))
        for wanting in crowd:
            at_work.dialer.take_back(wanting.heard[0].socket)
        assert failures(at_work) == []


async def test_it_is_asked_once_in_ten_seconds_while_a_certificate_is_believed(server: CertifiedRemote) -> None:
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        server.keys, server.texts = OTHER_KEYS, [SECOND]
        assert await at_work.end() == ClientFailure.WELCOME_CLOSED
        assert server.questions == 1


@pytest.mark.parametrize("texts", [[FIRST], [certificate_of(OTHER_KEYS, valid_from="2026-11-26T05:00:00Z")], []])
async def test_a_key_that_is_not_taken_stays_where_no_newer_certificate_is_shown(
    server: CertifiedRemote, may_ask_again: None, texts: list[bytes]
) -> None:
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        server.keys, server.texts = OTHER_KEYS, texts
        assert await at_work.end() == ClientFailure.WELCOME_CLOSED
        assert notices(at_work) == (texts != [FIRST]), "why is told beside it"
        assert failures(at_work) == [(ClientFailure.WELCOME_CLOSED, "")]
        server.keys = KEYS
        assert await at_work.serves()


async def test_one_that_is_older_than_what_was_seen_is_not_taken_either_when_that_has_ended(
    server: CertifiedRemote,
) -> None:
    server.keys, server.texts = OTHER_KEYS, [SECOND]
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        at_work.wall_time = NOW + 8 * DAY
        server.keys, server.texts = KEYS, [certificate_of(KEYS, valid_until="2027-01-01T00:00:00Z")]
        assert await at_work.end() == ClientFailure.CERTIFICATE_OLDER
        assert failures(at_work) == [(ClientFailure.CERTIFICATE_OLDER, "")]
        assert (server.questions, server.hellos) == (2, 1)


async def test_it_is_asked_again_when_most_of_its_life_is_over_and_nobody_waits_for_that(
    server: CertifiedRemote, may_ask_again: None
) -> None:
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        at_work.wall_time = NOW + 5 * DAY
        server.answer = closes
        assert await at_work.serves()
        await until(lambda: notices(at_work))
        assert server.questions == 2
        server.keys, server.answer = OTHER_KEYS, shows(SECOND)
        assert await at_work.serves(), "it has another key, and one that has been asked for"
        assert failures(at_work) == []


async def test_what_is_asked_in_time_is_used_from_then_on(server: CertifiedRemote, may_ask_again: None) -> None:
    lasting = certificate_of(OTHER_KEYS, valid_from="2026-11-30T00:00:00Z", valid_until="2026-12-30T00:00:00Z")
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        at_work.wall_time = NOW + 5 * DAY
        server.texts = [FIRST, lasting]
        assert await at_work.serves()
        await until(lambda: server.questions == 2 and not len(at_work.reactor))
        server.keys = OTHER_KEYS
        assert await at_work.serves()
        assert (server.questions, server.hellos) == (2, 3)


async def test_what_has_ended_is_asked_for_anew(server: CertifiedRemote) -> None:
    async with reaching(server.endpoint) as at_work:
        assert await at_work.serves()
        at_work.wall_time = NOW + 8 * DAY
        assert await at_work.end() == ClientFailure.CERTIFICATE_EXPIRED
        server.texts = [certificate_of(KEYS, valid_from="2026-12-04T00:00:00Z", valid_until="2026-12-10T00:00:00Z")]
        assert await at_work.serves()
        assert (server.questions, server.hellos) == (3, 2)


# --- a text in place of the question


async def test_a_text_that_is_at_hand_takes_the_place_of_the_question(server: CertifiedRemote) -> None:
    async with reaching(server.endpoint, server_certificate=FIRST) as at_work:
        assert await at_work.serves()
        server.keys = OTHER_KEYS
        assert await at_work.end() == ClientFailure.WELCOME_CLOSED
        reconfigure(at_work, server_certificate=SECOND)
        assert await at_work.serves()
        assert server.questions == 0
        reconfigure(at_work, server_certificate=FIRST)
        assert await at_work.end() == ClientFailure.CERTIFICATE_OLDER


async def test_where_that_is_not_believed_nobody_is_dialled(server: CertifiedRemote) -> None:
    async with reaching(server.endpoint, server_certificate=of_a_client()) as at_work:
        assert await at_work.end() == ClientFailure.CERTIFICATE
        assert failures(at_work) == [(ClientFailure.CERTIFICATE, "kind: it is a client's")]
        assert (server.accepted, at_work.recovery.is_down) == ([], True)


# --- several places


async def test_of_two_remotes_the_one_that_is_believed_serves(server: CertifiedRemote) -> None:
    with CertifiedRemote(OTHER_KEYS, certificate_of(OTHER_KEYS, names="prices")) as other:
        async with reaching(other.endpoint, server.endpoint) as at_work:
            assert await at_work.serves()
            assert failures(at_work) == [(ClientFailure.CERTIFICATE_NAME, f"{other.endpoint}: {OTHER_SERVERS}")]
            assert (other.hellos, server.hellos) == (0, 1)
            other.texts = [certificate_of(OTHER_KEYS)]
            server.close_connections()


async def test_a_name_with_several_addresses_is_asked_at_one_that_answers(
    server: CertifiedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = Endpoint.parse(server.endpoint).port

    async def two(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.9", "127.0.0.1")]

    monkeypatch.setattr(trio.socket, "getaddrinfo", two)
    async with reaching(f"tcp://some.host:{port}") as at_work:
        assert await at_work.serves()
        assert (failures(at_work), server.questions, len(server.accepted)) == ([], 1, 2)
    server.texts = []
    async with reaching(f"tcp://some.host:{port}") as at_work:
        assert await at_work.end() == ClientFailure.CERTIFICATE_NONE
        [(_, detail)] = failures(at_work)
        assert detail == (
            f"127.0.0.9:{port}: connect_refused: connection refused; 127.0.0.1:{port}: certificate_none: {NONE}"
        )


# --- ours


async def test_an_error_of_ours_in_the_judgement_is_told_once_and_ends_who_waits(
    server: CertifiedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object, texts: Sequence[bytes], *__: object) -> None:
        raise ValueError(f"ours, of {len(texts)}")

    monkeypatch.setattr(KnownServer, "learn", fails)
    async with reaching(server.endpoint) as at_work:
        assert await at_work.end() == Outcome.INTERNAL
        assert at_work.observer.events == [("unexpected", "ours, of 1")]
        monkeypatch.undo()
        assert await at_work.serves()

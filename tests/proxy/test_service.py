"""A service: whom it lets in, what it counts, and what becomes of its clients when something changes.

What applies is a stand-in; sessions, dials and the service behind them are real.
"""

import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import evolve
from support import curve
from support.certificates import CLIENT as FIELDS
from support.certificates import KEY as CERTIFIED_KEY
from support.certificates import SERVER as SERVER_FIELDS
from support.certificates import UNTIL_SECONDS, certificate
from support.curve import Keys
from support.fakes import (
    ANYBODY,
    CLIENT,
    OTHER_CLIENT,
    RecordingApplying,
    RecordingObserver,
    RecordingRegistry,
    applicant,
)
from support.peer import SECONDS, Peer
from support.reactor import LoneReactor
from support.record_peers import RecordServer
from support.service import RawService, echo, never_ready
from support.tasks import spawner, until
from support.trust import NOW, TRUST

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.revocations import Revocations
from curveproxy.policy.access.terms import Grant, KeyTerms
from curveproxy.policy.limits import RESERVED_DESCRIPTORS, AdmissionLimits, ClientLimits, MessageLimits, RecordsMode
from curveproxy.policy.metadata import CERTIFICATE
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.connect.dial_request import DialHandler
from curveproxy.proxy.connect.dialer import Dialer
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.observer import SessionView
from curveproxy.proxy.relay.session import LINGER_SECONDS
from curveproxy.proxy.service import Service, ServiceEnv
from curveproxy.proxy.sessions.identities import IdentityRegistry
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.reasons import BackendFailure, Closed, Outcome
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair

KEY = bytes(range(32))  # of the boxes of a ``RecordingApplying``
SERVER = KeyPair.generate()
NOBODY = "tcp://127.0.0.1:1"
LISTEN = Endpoint.parse("tcp://127.0.0.1:0")
PROBE = {"X-Curveproxy-Probe": b""}


class AtWork:
    """One service with all that it stands on, and who has applied to it. now: Unix seconds, by its clock."""

    def __init__(
        self,
        nursery: trio.Nursery,
        settings: ServiceSettings,
        clients: AccessList,
        descriptors: int,
        registry: IdentityRegistry | None,
    ) -> None:
        self.observer, self.reactor, self.capacity = RecordingObserver(), LoneReactor(16), Capacity(descriptors)
        self.now = NOW
        env = ServiceEnv(
            self.reactor,
            BufferPool(),
            MemoryBudget(),
            self.capacity,
            spawner(nursery),
            lambda: False,
            registry,
            lambda: self.now,
        )
        self.service = Service(settings, clients, self.observer, env)
        self.applied: list[RecordingApplying] = []

    def apply(self, identity: bytes = b"", *, who: Applicant | None = None) -> RecordingApplying:
        """Somebody has proved its key, and there is no objection."""
        who = who or applicant(identity, accepted_at=trio.current_time())
        grant = self.service.judge(who)
        assert isinstance(grant, Grant)
        applying = RecordingApplying(who, grant)
        self.applied.append(applying)
        self.service.apply(applying)
        return applying

    async def enter(self, identity: bytes = b"", *, who: Applicant | None = None) -> RecordingApplying:
        """Somebody comes in."""
        inside = len(self.service.sessions)
        applying = self.apply(identity, who=who)
        await until(lambda: len(self.service.sessions) > inside)
        self.observer.take()
        return applying

    async def wait(self, *events: tuple[object, ...]) -> None:
        """Until so much has happened; it is exactly this."""
        await until(lambda: len(self.observer.events) >= len(events))
        assert self.observer.take() == list(events)

    def objects(self, who: Applicant) -> Outcome | None:
        refusal = self.refusal(who)
        return None if refusal is None else refusal.outcome

    def refusal(self, who: Applicant) -> RefusedError | None:
        judged = self.service.judge(who)
        return judged if isinstance(judged, RefusedError) else None


@asynccontextmanager
async def at_work(
    backend: str = NOBODY,
    clients: AccessList = ANYBODY,
    *,
    descriptors: int = 4096,
    registry: IdentityRegistry | None = None,
    **settings: object,
) -> AsyncIterator[AtWork]:
    wanted = ServiceSettings("test", LISTEN, Endpoint.parse(backend), (SERVER,), **settings)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        case = AtWork(nursery, wanted, clients, descriptors, registry)
        nursery.start_soon(case.reactor.run)
        try:
            yield case
            case.service.leave()
            for session in case.service.sessions:
                session.abort(Closed.DRAINED)
            assert (case.service.places_in_use, case.capacity.places_in_use, len(case.reactor)) == (0, 0, 0)
        finally:
            nursery.cancel_scope.cancel()
            for applying in case.applied:
                applying.close()
    case.reactor.close()


@pytest.fixture
def backend() -> Iterator[RawService]:
    with RawService(echo) as service:
        yield service


@pytest.fixture
def silent() -> Iterator[RawService]:
    with RawService(never_ready) as service:
        yield service


def ask(applying: RecordingApplying, nonce: int, data: bytes, *, more: bool = False) -> None:
    frame = curve.message(KEY, curve.FROM_CLIENT, nonce, data, more)
    applying.client.sendall(bytes([0, len(frame)]) + frame)


# --- whom it lets in


async def test_whoever_is_not_listed_is_unknown_and_the_listed_have_names() -> None:
    async with at_work(clients=AccessList({CLIENT: "alice"})) as case:
        assert case.objects(applicant()) is None
        assert case.objects(applicant(key=OTHER_CLIENT)) == Outcome.CLIENT_UNKNOWN
        assert case.service.name_of(applicant(key=CLIENT)) == "alice"
        assert case.service.name_of(applicant(key=OTHER_CLIENT)) == z85.encode(OTHER_CLIENT)


async def test_a_certificate_s_terms_hold() -> None:
    terms = KeyTerms(identity=b"me", socket_types=frozenset({b"DEALER"}))
    async with at_work(clients=AccessList({CLIENT: None}, allow_any=True, terms={CLIENT: terms})) as case:
        assert case.objects(applicant(b"me")) is None
        assert case.objects(applicant()) is None
        assert case.objects(applicant(b"you")) == Outcome.METADATA
        assert case.objects(applicant(b"me", key=OTHER_CLIENT)) == Outcome.METADATA
        assert case.objects(applicant(b"me", socket_type=b"REQ")) == Outcome.SOCKET_TYPE


@pytest.mark.parametrize(("mode", "is_refused"), [(RecordsMode.REQUIRE, True), (RecordsMode.AUTO, False)])
async def test_who_has_no_records_is_refused_where_they_are_required(mode: RecordsMode, is_refused: bool) -> None:
    async with at_work(clients=AccessList({CLIENT: "alice"}), messages=MessageLimits(records=mode)) as case:
        assert case.objects(applicant(key=CLIENT)) == (Outcome.RECORDS if is_refused else None)
        assert case.objects(applicant(key=CLIENT)._replace(has_records=True)) is None
        assert case.objects(applicant(key=OTHER_CLIENT)) == Outcome.CLIENT_UNKNOWN


async def test_local_clients_of_an_egress_need_no_records() -> None:
    async with at_work(egress=EGRESS, messages=MessageLimits(records=RecordsMode.REQUIRE)) as case:
        assert case.objects(applicant(key=b"")) is None


async def test_nobody_comes_in_once_the_service_leaves() -> None:
    async with at_work() as case:
        case.service.leave()
        assert case.objects(applicant()) == Outcome.SHUTDOWN


async def test_an_identity_belongs_to_the_key_that_is_about_to_have_it(silent: RawService) -> None:
    async with at_work(silent.endpoint) as case:
        case.apply(b"me")
        assert case.objects(applicant(b"me", key=OTHER_CLIENT)) == Outcome.IDENTITY_IN_USE
        assert case.objects(applicant(b"you", key=OTHER_CLIENT)) is None
        assert case.objects(applicant(b"me", key=OTHER_CLIENT, more=PROBE)) is None, "a probe is nobody"


async def test_an_identity_from_a_certificate_needs_no_claim(silent: RawService) -> None:
    async with at_work(silent.endpoint) as case:
        case.service.admit(AccessList({CLIENT: None}, terms={CLIENT: KeyTerms(identity=b"me")}))
        case.apply()
        case.service.admit(ANYBODY)
        assert case.objects(applicant(b"me", key=OTHER_CLIENT)) == Outcome.IDENTITY_IN_USE


async def test_those_that_are_about_to_come_in_count_to_max_sessions(silent: RawService) -> None:
    async with at_work(silent.endpoint, admission=AdmissionLimits(max_sessions=2)) as case:
        case.apply()
        assert case.objects(applicant()) is None
        case.apply()
        assert case.objects(applicant()) == Outcome.SESSIONS_LIMIT
        assert case.objects(applicant(key=OTHER_CLIENT)) == Outcome.SESSIONS_LIMIT


async def test_the_descriptors_of_the_process_bound_all_services_together(silent: RawService) -> None:
    async with at_work(silent.endpoint, descriptors=2 * RESERVED_DESCRIPTORS + 4) as case:
        assert case.capacity.sessions_limit(100) == 2
        case.apply()
        case.capacity.take_place()  # another service's
        assert case.objects(applicant()) == Outcome.SESSIONS_LIMIT
        case.capacity.give_place_back()
        assert case.objects(applicant()) is None


async def test_a_client_has_so_many_sessions_and_may_replace_one_of_its_own(backend: RawService) -> None:
    async with at_work(backend.endpoint, client_limits=ClientLimits(max_sessions=1)) as case:
        await case.enter(b"me")
        refusal = case.refusal(applicant())
        assert refusal is not None
        assert (refusal.outcome, refusal.detail) == (Outcome.CLIENT_SESSIONS_LIMIT, "at most 1")
        assert case.objects(applicant(key=OTHER_CLIENT)) is None
        assert case.objects(applicant(b"me")) is None


async def test_a_proxy_that_says_it_answers_a_ping_is_told_that_we_do() -> None:
    told: list[dict[str, bytes]] = []

    def remember(peer: Peer) -> None:
        told.append(peer.handshake().theirs)
        peer.hold()

    with RawService(remember) as backend:
        async with at_work(backend.endpoint) as case:
            others = await case.enter(who=applicant())
            proxy = await case.enter(who=applicant(more={"X-Curveproxy-Ping": b""}))
            assert "X-Curveproxy-Ping" not in (others.welcomed or {})
            assert "X-Curveproxy-Ping" in (proxy.welcomed or {})
            assert all("X-Curveproxy-Ping" not in each for each in told), "the service is told nothing of it"


# --- an egress

EGRESS = EgressSettings(
    remotes=(Endpoint.parse("tcp://a.example:1"), Endpoint.parse("tcp://b.example:2")),
    server_keys=(bytes(32), bytes(range(32))),
    keys=SERVER,
)


def local(identity: bytes = b"", *, user: str = "uid 1000", more: Mapping[str, bytes] | None = None) -> Applicant:
    """A client of an egress, which has no key."""
    return applicant(identity, more=more)._replace(key=b"", server_key=b"", user=user)


async def test_clients_of_an_egress_are_named_by_their_user_or_address() -> None:
    async with at_work(egress=EGRESS) as case:
        assert case.objects(local()) is None
        assert case.service.name_of(local()) == "uid 1000"
        assert case.service.name_of(local(user="")) == "192.0.2.1:4242"


async def test_clients_of_an_egress_share_an_identity_which_the_remote_judges(
    silent: RawService, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Mapping[str, bytes]] = []

    def dial(_: Dialer, handler: DialHandler, metadata: Mapping[str, bytes]) -> None:
        told.append(metadata)

    monkeypatch.setattr(Dialer, "dial", dial)
    registry = RecordingRegistry(grants=False)
    async with at_work(silent.endpoint, egress=EGRESS, registry=registry) as case:
        for _ in range(2):
            case.apply(who=local(b"me", more={"Resource": b"r", "X-Colour": b"green", "User-Id": b"root"}))
        theirs = {"Socket-Type": b"DEALER", "Identity": b"me", "Resource": b"r", "X-Colour": b"green"}
        assert told == [theirs | {"X-Curveproxy-Ping": b""}] * 2
        assert case.service.places_in_use == 2
        assert registry.calls == []


async def test_users_that_are_not_allowed_are_refused_and_the_sessions_of_those_that_were_end() -> None:
    async with at_work(egress=EGRESS) as case:
        case.service.configure(evolve(case.service.settings, egress=evolve(EGRESS, allow_uids=frozenset({1000, 0}))))
        assert case.objects(local()) is None
        assert case.objects(local(user="uid 0")) is None
        refusal = case.refusal(local(user="uid 100"))
        assert refusal is not None
        assert (refusal.outcome, refusal.detail) == (Outcome.CLIENT_UNKNOWN, "uid 100")
        assert case.objects(local(user="")) is None, "the listener judges where no Unix socket tells it"


async def test_figures_of_an_egress_tell_all_its_remotes_and_their_keys() -> None:
    async with at_work(egress=EGRESS) as case:
        figures = case.service.figures(LISTEN, [], 0)
        assert (figures.direction, figures.backend) == ("egress", "tcp://a.example:1, tcp://b.example:2")
        assert (figures.server_keys, figures.client_keys) == (2, None)


async def test_a_remote_that_was_greeted_with_another_certificate_is_told_the_one_that_has_come_meanwhile() -> None:
    keys, greeted, goes_on = Keys.new(), threading.Event(), threading.Event()
    told: list[bytes] = []

    def accepted(sock: socket.socket, *, minor: int, **options: Any) -> RecordServer:
        server = RecordServer(sock, keys, **options)
        server.suites = [1]
        return server

    def behave(server: Any) -> None:
        server.greeting()
        server.hello()
        server.welcome()
        told.append(server.initiate()[CERTIFICATE])
        greeted.set()
        goes_on.wait(SECONDS)
        server.ready()
        while True:
            told.append(server.recv_frame().body)

    with RawService(behave, peer=cast("Any", accepted)) as remote:
        first = EgressSettings((Endpoint.parse(remote.endpoint),), (keys.public,), SERVER, certificate=b"first")
        async with at_work(egress=first) as case:
            case.apply(who=local())
            await until(greeted.is_set)
            case.service.configure(evolve(case.service.settings, egress=evolve(first, certificate=b"second")))
            goes_on.set()
            await until(lambda: len(told) > 1)
            assert told == [b"first", b"\x0bCERTIFICATEsecond"]


# --- in and out


async def test_a_client_is_admitted_relayed_and_counted_once(backend: RawService) -> None:
    async with at_work(backend.endpoint) as case:
        applying = case.apply(who=applicant(accepted_at=trio.current_time() - 3))
        assert (case.service.places_in_use, len(case.service.sessions), case.capacity.places_in_use) == (1, 0, 1)
        await case.wait(("backend_up",), ("admitted", z85.encode(CLIENT)))
        assert 3 <= case.observer.seconds < 10
        assert applying.welcomed is not None
        assert applying.welcomed["Socket-Type"] == b"ROUTER"
        assert (case.service.places_in_use, len(case.service.sessions), case.capacity.places_in_use) == (1, 1, 1)
        ask(applying, 3, b"hello")
        assert (await trio.to_thread.run_sync(applying.client.recv, 100))[:1] == b"\0"
        applying.client.close()
        await case.wait(("closed", Closed.CLIENT_CLOSED))
        assert (case.service.places_in_use, case.capacity.places_in_use) == (0, 0)


async def test_figures_tell_what_is_configured_who_is_inside_and_what_was_relayed(backend: RawService) -> None:
    async with at_work(backend.endpoint, AccessList({CLIENT: "alice", OTHER_CLIENT: None})) as case:
        bound = Endpoint.parse("tcp://127.0.0.1:5555")
        figures = case.service.figures(bound, ["127.0.0.1:5555"], 7)
        assert (figures.name, figures.endpoint, figures.addresses) == ("test", str(bound), ["127.0.0.1:5555"])
        assert (figures.backend, figures.backend_up) == (backend.endpoint, None)
        assert (figures.half_open, figures.half_open_limit) == (7, 4096 - RESERVED_DESCRIPTORS)
        assert (figures.sessions, figures.sessions_limit) == (0, (4096 - 2 * RESERVED_DESCRIPTORS) // 2)
        assert (figures.client_keys, figures.server_keys, figures.throttled_seconds) == (2, 1, 0)
        applying = case.apply()
        assert case.service.figures(bound, [], 7).half_open == 8, "dialled for, and not inside"
        await case.wait(("backend_up",), ("admitted", "alice"))
        ask(applying, 3, b"hello")
        await trio.to_thread.run_sync(applying.client.recv, 100)
        case.service.admit(ANYBODY)
        figures = case.service.figures(bound, [], 0)
        assert (figures.half_open, figures.sessions, figures.backend_up, figures.client_keys) == (0, 1, True, None)
        assert (figures.messages_in, figures.messages_out, figures.octets_in, figures.octets_out) == (1, 1, 5, 5)


@pytest.mark.parametrize("forwards", [True, False])
async def test_the_service_is_told_who_it_is_if_it_wants_to_know(forwards: bool) -> None:
    told: list[dict[str, bytes]] = []

    def remember(peer: Peer) -> None:
        told.append(peer.handshake().theirs)
        peer.hold()

    with RawService(remember) as backend:
        clients = AccessList({CLIENT: "alice"}, terms={CLIENT: KeyTerms(identity=b"me")})
        async with at_work(backend.endpoint, clients, forward_identity=forwards) as case:
            who = applicant(more={"User-Id": b"root", "X-Curve-Key": b"forged", "X-Colour": b"green"})
            await case.enter(who=who)
            await until(lambda: told)
            [theirs] = told
            assert (theirs["Identity"], theirs["X-Colour"]) == (b"me", b"green")
            about = {name: theirs[name] for name in ("User-Id", "X-Curve-Key", "X-Peer-Address") if name in theirs}
            assert about == (
                {"User-Id": b"alice", "X-Curve-Key": z85.encode(CLIENT).encode(), "X-Peer-Address": b"192.0.2.1:4242"}
                if forwards
                else {}
            ), "and nobody says it of itself"


async def test_a_probe_is_let_in_and_sent_away(backend: RawService) -> None:
    async with at_work(backend.endpoint) as case:
        await case.enter(b"me")
        case.apply(who=applicant(b"me", more=PROBE))
        await case.wait(("backend_up",), ("admitted", z85.encode(CLIENT)), ("closed", Closed.PROBE))
        assert len(case.service.sessions) == 1, "the session with that identity stays"


async def test_whoever_comes_again_replaces_its_session_before_the_service_is_dialled(backend: RawService) -> None:
    async with at_work(backend.endpoint) as case:
        await case.enter(b"me")
        case.apply(b"me")
        assert case.observer.take() == [("closed", Closed.REPLACED)]
        await case.wait(("backend_up",), ("admitted", z85.encode(CLIENT)))
        assert case.service.places_in_use == 1


async def test_a_service_that_is_not_there_is_a_refusal_and_those_that_wait_hear_when_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with at_work(f"tcp://127.0.0.1:{port}") as case:
        recovered: list[bool] = []
        case.service.on_recovery(lambda: recovered.append(case.service.is_down))
        assert not case.service.is_down
        applying = case.apply()
        await case.wait(
            ("backend_failed", BackendFailure.REFUSED, "connection refused"),
            ("refused", Outcome.BACKEND_UNAVAILABLE, "refused: connection refused", z85.encode(CLIENT)),
        )
        assert applying.refused == [Outcome.BACKEND_UNAVAILABLE]
        assert case.service.is_down
        now = trio.current_time()
        assert case.service.allow_probes(now) == 0
        assert case.service.allow_probes(now + 1.5) == 1
        with RawService(echo, endpoint=f"tcp://127.0.0.1:{port}"):
            case.service.check_listener(now)
            assert case.service.is_down, "it is not time to look yet"
            case.service.check_listener(now + 1.5)
            await until(lambda: recovered)
            assert recovered == [False]
            await case.enter()


async def test_a_dial_that_takes_too_long_is_given_up(silent: RawService) -> None:
    async with at_work(silent.endpoint, admission=AdmissionLimits(backend_connect_seconds=5.0)) as case:
        applying = case.apply()
        case.service.expire(trio.current_time() + 4)
        assert case.observer.events == []
        case.service.expire(trio.current_time() + 6)
        assert case.observer.events[0] == ("backend_failed", BackendFailure.TIMEOUT, "")
        assert applying.refused == [Outcome.BACKEND_UNAVAILABLE]


async def test_an_observer_that_fails_at_admission_ends_that_session_alone(
    backend: RawService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work(backend.endpoint) as case:

        def fails(session: SessionView, seconds: float) -> None:
            raise ValueError("ours")

        monkeypatch.setattr(case.observer, "admitted", fails)
        case.apply()
        await case.wait(("backend_up",), ("unexpected", "ours"), ("closed", Closed.INTERNAL))
        monkeypatch.undo()
        await case.enter()


async def test_an_error_in_what_is_done_for_all_is_reported() -> None:
    async with at_work() as case:
        case.service.failed(ValueError("ours"))
        assert case.observer.take() == [("unexpected", "ours")]


# --- certificates

BEARER = applicant(key=CERTIFIED_KEY, more={CERTIFICATE: certificate()})
REVOCATIONS = Revocations.read("name lamp-1\nserial " + "0" * 16)


def by_certificate() -> AccessList:
    """A list of one authority, which has verified nothing yet."""
    return AccessList(trust=evolve(TRUST, revocations=REVOCATIONS))


async def test_who_presents_a_certificate_is_known_by_its_name_and_the_service_is_told_nothing_else_of_it() -> None:
    told: list[dict[str, bytes]] = []

    def remember(peer: Peer) -> None:
        told.append(peer.handshake().theirs)
        peer.hold()

    with RawService(remember) as backend:
        async with at_work(backend.endpoint, by_certificate(), forward_identity=True) as case:
            case.apply(who=BEARER)
            await case.wait(("certificate", "valid"), ("backend_up",), ("admitted", "desk-7"))
            await until(lambda: told)
            assert told[0]["User-Id"] == b"desk-7"
            assert not [name for name in told[0] if name.lower().startswith("x-curveproxy-")]
            [session] = case.service.sessions
            assert (session.serial, session.authority, session.until) == (FIELDS["serial"], "plant-1", UNTIL_SECONDS)
            figures = case.service.figures(LISTEN, [], 0)
            assert (figures.certificate_sessions, figures.revocations, figures.client_keys) == ({"plant-1": 1}, 2, 0)


async def test_a_session_ends_behind_the_message_begun_when_its_certificate_does(backend: RawService) -> None:
    async with at_work(backend.endpoint, by_certificate()) as case:
        applying = await case.enter(who=BEARER)
        [session] = case.service.sessions
        ask(applying, 3, b"begun", more=True)
        await until(lambda: session.octets_in)
        case.now = UNTIL_SECONDS + 60
        case.service.expire(trio.current_time())
        assert session.reason is None
        case.now += 1
        case.service.expire(trio.current_time())
        assert (await trio.to_thread.run_sync(applying.client.recv, 100)) == b"", "nothing is owed to the client"
        ask(applying, 4, b"ended")
        await case.wait(("closed", Closed.EXPIRED))
        assert (session.messages_in, session.octets_in) == (1, 10), "it was delivered whole"
        assert case.service.figures(LISTEN, [], 0).certificate_sessions == {"plant-1": 0}


async def test_a_certificate_that_ends_while_the_service_is_dialled_lets_nobody_in(backend: RawService) -> None:
    async with at_work(backend.endpoint, by_certificate()) as case:
        applying = case.apply(who=BEARER)
        case.now = UNTIL_SECONDS + 61
        await case.wait(
            ("certificate", "valid"),
            ("backend_up",),
            ("refused", Outcome.CERTIFICATE_EXPIRED, "expired", "desk-7"),
        )
        assert applying.refused == [Outcome.CERTIFICATE_EXPIRED]
        assert case.service.name_of(BEARER) == "desk-7", "its signature was good"


async def test_figures_tell_of_our_own_certificates_and_of_the_revocations_of_an_egress() -> None:
    async with at_work(certificates=(certificate(SERVER_FIELDS),)) as case:
        assert case.service.figures(LISTEN, [], 0).own_certificates == {"server": UNTIL_SECONDS}
    egress = evolve(EGRESS, certificate=certificate(), trust=by_certificate().trust)
    async with at_work(egress=egress) as case:
        figures = case.service.figures(LISTEN, [], 0)
        assert (figures.own_certificates, figures.revocations) == ({"client": UNTIL_SECONDS}, 2)
        assert figures.certificate_sessions == {}


# --- changes


async def test_whoever_is_struck_off_the_list_is_sent_away_inside_or_not(backend: RawService) -> None:
    async with at_work(backend.endpoint, AccessList({CLIENT: "alice"})) as case:
        await case.enter()
        case.apply()
        case.service.admit(AccessList({OTHER_CLIENT: "bob"}))
        await until(lambda: len(case.observer.events) == 3)
        assert set(case.observer.take()) == {
            ("closed", Closed.REVOKED),
            ("backend_up",),
            ("refused", Outcome.CLIENT_UNKNOWN, "", "alice"),
        }


async def test_other_settings_hold_for_those_inside_and_those_to_come(backend: RawService) -> None:
    async with at_work(backend.endpoint) as case:
        first, second = await case.enter(), await case.enter()
        case.service.configure(evolve(case.service.settings, client_limits=ClientLimits(max_sessions=1)))
        assert case.objects(applicant()) == Outcome.CLIENT_SESSIONS_LIMIT
        assert (await trio.to_thread.run_sync(second.client.recv, 100)) == b"", "the newest is told to leave"
        second.client.close()
        await case.wait(("closed", Closed.LIMIT))
        ask(first, 3, b"hello")
        assert await trio.to_thread.run_sync(first.client.recv, 100)


async def test_another_backend_is_another_service(backend: RawService) -> None:
    async with at_work(NOBODY) as case:
        case.apply()
        await until(lambda: case.service.is_down)
        case.service.configure(evolve(case.service.settings, backend=Endpoint.parse(backend.endpoint)))
        assert not case.service.is_down
        assert case.service.figures(LISTEN, [], 0).backend_up is None
        await case.enter()


async def test_sessions_of_a_client_in_other_processes_are_among_those_it_may_have(backend: RawService) -> None:
    async with at_work(backend.endpoint, client_limits=ClientLimits(max_sessions=2)) as case:
        await case.enter()
        assert case.service.share_clients({}) == {CLIENT: 1}
        assert case.objects(applicant()) is None
        assert case.service.share_clients({CLIENT: 1}) == {CLIENT: 1}
        assert case.objects(applicant()) == Outcome.CLIENT_SESSIONS_LIMIT


async def test_a_service_that_leaves_keeps_its_sessions_and_refuses_those_that_wait(backend: RawService) -> None:
    async with at_work(backend.endpoint) as case:
        inside = await case.enter()
        waiting = case.apply()
        case.service.leave()
        assert case.observer.take() == [("refused", Outcome.SHUTDOWN, "", z85.encode(CLIENT))]
        assert waiting.refused == [Outcome.SHUTDOWN]
        ask(inside, 3, b"hello")
        assert await trio.to_thread.run_sync(inside.client.recv, 100)
        assert len(case.service.sessions) == 1


async def test_a_session_that_is_ending_is_closed_when_its_time_has_come(backend: RawService) -> None:
    async with at_work(backend.endpoint) as case:
        await case.enter()
        [session] = case.service.sessions
        session.drain()
        case.service.expire(trio.current_time() + LINGER_SECONDS - 1)
        assert case.observer.events == []
        case.service.expire(trio.current_time() + LINGER_SECONDS + 1)
        assert case.observer.take() == [("closed", Closed.DRAINED)]


async def test_an_identity_is_claimed_of_all_processes_and_may_be_claimed_back(backend: RawService) -> None:
    registry = RecordingRegistry(grants=False)
    async with at_work(backend.endpoint, registry=registry) as case:
        case.apply(b"you")
        await case.wait(("refused", Outcome.IDENTITY_IN_USE, "", z85.encode(CLIENT)))
        registry.grants = True
        await case.enter(b"me")
        [session] = case.service.sessions
        facts = "test", b"me", CLIENT, session.number
        assert registry.calls[-1] == ("claim", *facts)
        await case.service.make_way(b"me", session.number + 1)
        assert len(case.service.sessions) == 1
        await case.service.make_way(b"me", session.number)
        assert case.observer.take() == [("closed", Closed.REPLACED)]
        assert registry.calls[-1] == ("release", *facts)

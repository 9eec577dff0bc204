"""Strangers at the door of the running process: each is refused at once, for one reason, and nothing is dialled."""

import json
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
import zmq
from support import curve, zmtp
from support.client import RawClient, answers
from support.curve import Keys
from support.door import Door
from support.libzmq import Libzmq
from support.peer import Peer, Refused, connect
from support.process import Sidecar, toml, wait_until
from support.service import RawService, echo
from support.zmtp import COMMAND, MORE

from curveproxy.reasons import Outcome


def at_door(door: Door) -> RawClient:
    """A client whose greeting has been exchanged."""
    client = RawClient(door.proxy.public, door.proxy.server.public, door.keys)
    client.greeting()
    return client


def before_initiate(door: Door, **options: object) -> RawClient:
    """A client who owes INITIATE."""
    client = RawClient(door.proxy.public, door.proxy.server.public, door.keys, **options)  # type: ignore[arg-type]
    client.greeting()
    client.hello()
    client.welcome()
    return client


@pytest.mark.parametrize(
    ("octets", "outcome"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_zmtp"),
        (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(32), "not_zmtp"),
        (b"S", "not_zmtp"),
        (b"\x01\x00", "zmtp_version"),
        (b"\x01\x7e", "zmtp_version"),
        (zmtp.greeting(signature_end=0)[:10], "zmtp_version"),
        (zmtp.greeting(version=(1, 5))[:12], "zmtp_version"),
        (zmtp.greeting(b"NULL"), "mechanism"),
        (zmtp.greeting(b"NULL")[:33], "mechanism"),
        (zmtp.greeting(b"PLAIN"), "mechanism"),
        (zmtp.greeting(b"CURVE2"), "mechanism"),
        (zmtp.greeting(as_server=1), "role"),
        (zmtp.greeting() + b"\x04", None),
        (zmtp.greeting() + b"\x00", "command"),
        (zmtp.greeting() + b"\x04\xc8\x05HELLX", "command"),
        (zmtp.greeting() + b"\x04\xc7\x05HELLO", "hello_malformed"),
        (zmtp.greeting() + b"\x04\xc9\x05HELLO", "hello_malformed"),
        (zmtp.greeting() + b"\x06" + (1 << 40).to_bytes(8, "big") + b"\x05HELLO", "hello_malformed"),
        (zmtp.greeting() + b"\x06" + (1 << 40).to_bytes(8, "big") + b"\x08INITIATE", "command"),
        (zmtp.greeting() + zmtp.frame(zmtp.ping(), COMMAND), "command"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 1000], ids=["octet by octet", "in one piece"])
def test_octets_that_are_wrong_are_refused_as_soon_as_they_have_come(
    door: Door, octets: bytes, outcome: str | None, step: int
) -> None:
    if octets[:1] == b"\x01" and step == 1:
        octets, outcome = octets[:1], "not_zmtp"  # the first octet of ZMTP 1.0 alone could be anything
    with door.expecting(**{outcome or "peer_closed": 1}), connect(door.proxy.public) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock)
        for at in range(0, len(octets), step):
            try:
                sock.send(octets[at : at + step])
            except OSError:
                break  # refused before its end
        if outcome is None:
            return  # a good beginning that its sender leaves
        assert zmtp.greeting(as_server=1).startswith(peer.recv_until_closed().octets)
    assert door.hint(outcome) == Outcome(outcome).hint


HELLOS: dict[str, tuple[Callable[[RawClient], object], str]] = {
    "version 2.0": (lambda client: client.hello(version=b"\x02\x00"), "hello_version"),
    "padding": (lambda client: client.hello(padding=bytes(71) + b"\1"), "hello_malformed"),
    "a box of something": (lambda client: client.hello(plaintext=b"x" * 64), "hello_malformed"),
    "another server": (lambda client: client.hello(server=Keys.new().public), "hello_box"),
    "a key of zeros": (lambda client: client.hello(public=bytes(32)), "hello_box"),
    "as a message": (lambda client: client.hello(flags=0), "command"),
    "with MORE": (lambda client: client.hello(flags=COMMAND | MORE), "command"),
}


@pytest.mark.parametrize(("say", "outcome"), HELLOS.values(), ids=HELLOS)
def test_a_hello_that_is_wrong(door: Door, say: Callable[[RawClient], object], outcome: str) -> None:
    with door.expecting(**{outcome: 1}), at_door(door) as client:
        say(client)
        assert client.recv_until_closed().octets == b""


def test_one_wrong_octet_anywhere_in_hello(door: Door) -> None:
    with ExitStack() as stack:
        clients = []
        for at in range(0, 202, 3):
            client = stack.enter_context(at_door(door))
            hello = zmtp.frame(curve.hello(client.transient, client.server), COMMAND)
            client.send_raw(hello[:at] + bytes([hello[at] ^ 0x80]) + hello[at + 1 :])
            clients.append(client)
        for client in clients:
            assert client.recv_until_closed().octets == b""


INITIATES: dict[str, tuple[Callable[[RawClient], object], str]] = {
    "too short": (lambda client: client.send_frame(b"\x08INITIATE" + bytes(247)), "initiate_malformed"),
    "too long": (lambda client: client.initiate(metadata=bytes(4000)), "initiate_too_large"),
    "2^40": (
        lambda client: client.send_raw(b"\x06" + (1 << 40).to_bytes(8, "big") + b"\x08INITIATE"),
        "initiate_too_large",
    ),
    "nonce": (lambda client: client.initiate(nonce=3), "initiate_malformed"),
    "box": (lambda client: client.initiate(box=bytes(200)), "initiate_box"),
    "cookie": (lambda client: client.initiate(cookie=bytes(96)), "cookie"),
    "vouch for another client": (lambda client: client.initiate(vouch=client.vouch(transient=bytes(32))), "vouch"),
    "vouch for another server": (lambda client: client.initiate(vouch=client.vouch(server=Keys.new().public)), "vouch"),
    "vouch of another client": (lambda client: client.initiate(vouch=client.vouch(keys=Keys.new())), "vouch"),
    "a client key of zeros": (lambda client: client.initiate(client=bytes(32)), "vouch"),
    "HELLO again": (lambda client: client.hello(), "command"),
    "a message": (lambda client: client.initiate(flags=0), "command"),
    "PING": (lambda client: client.send_frame(zmtp.ping()), "command"),
}


@pytest.mark.parametrize(("say", "outcome"), INITIATES.values(), ids=INITIATES)
def test_an_initiate_that_is_wrong(door: Door, say: Callable[[RawClient], object], outcome: str) -> None:
    with door.expecting(**{outcome: 1}), before_initiate(door) as client:
        say(client)
        assert client.recv_until_closed().octets == b""
    assert door.hint(outcome) == Outcome(outcome).hint


def test_one_wrong_octet_anywhere_in_initiate(door: Door) -> None:
    with ExitStack() as stack:
        clients = []
        for at in [*range(18), *range(18, 300, 7)]:
            client = stack.enter_context(before_initiate(door))
            body = curve.initiate(
                client.cookie, client.keys.public, client.vouch(), zmtp.metadata({"Socket-Type": b"DEALER"}),
                client.transient, client.server_transient, nonce=2,
            )  # fmt: skip
            frame = bytearray(zmtp.frame(body, COMMAND))
            frame[at % len(frame)] ^= 0x80
            client.send_raw(bytes(frame))
            with suppress(OSError):  # it may be refused already
                client.finish()  # a size that was made larger would rightly wait for the rest
            clients.append(client)
        admitted = door.outcomes().get("admitted", 0)
        for client in clients:
            assert client.recv_until_closed().octets == b""
        assert door.outcomes().get("admitted", 0) == admitted


@pytest.mark.parametrize(
    "metadata",
    [
        b"\x05",
        zmtp.metadata([("Identity", b"a"), ("identity", b"b")]),
        zmtp.metadata({"": b"x"}),
        zmtp.metadata({"X Y": b"x"}),
        zmtp.metadata({"Identity": b"\0abc"}),
        zmtp.metadata({"Identity": b"a" * 256}),
    ],
    ids=["cut", "twice", "no name", "grammar", "zero-led", "long"],
)
def test_metadata_that_would_harm_the_service_is_told_to_the_client(door: Door, metadata: bytes) -> None:
    with door.expecting(metadata=1), before_initiate(door) as client:
        client.initiate(metadata=zmtp.metadata({"Socket-Type": b"DEALER"}) + metadata)
        with pytest.raises(Refused, match="400"):
            client.ready()
        assert client.recv_until_closed().octets == b""


def test_who_is_not_on_the_list_is_told(door: Door) -> None:
    with door.expecting(client_unknown=1), RawClient(door.proxy.public, door.proxy.server.public) as client:
        with pytest.raises(Refused, match="400"):
            client.handshake()
        assert client.recv_until_closed().octets == b""
    assert door.hint("client_unknown") == Outcome.CLIENT_UNKNOWN.hint


def test_a_socket_type_that_does_not_fit_is_told(door: Door) -> None:
    client = RawClient(door.proxy.public, door.proxy.server.public, door.keys, socket_type="SUB")
    with client, pytest.raises(Refused, match="400"):
        client.handshake()
    wait_until(lambda: door.outcomes().get("socket_type") == 1, "socket_type")


def test_the_cookie_of_another_connection_does_not_open(door: Door) -> None:
    with (
        door.expecting(cookie=1, peer_closed=1),
        before_initiate(door) as one,
        before_initiate(door, transient=one.transient) as other,
    ):
        other.initiate(cookie=one.cookie)
        assert other.recv_until_closed().octets == b""


@pytest.mark.parametrize(("at_once", "outcome"), [(False, "cookie"), (True, "command")])
@pytest.mark.parametrize("same_port", [False, True])
def test_a_recorded_session_played_again_is_refused(door: Door, same_port: bool, at_once: bool, outcome: str) -> None:
    client = RawClient(door.proxy.public, door.proxy.server.public, door.keys, source=("127.0.0.1", 0))
    source = client.sock.getsockname()
    client.handshake()
    client.send([b"transfer 100"])
    assert client.recv() == [b"transfer 100"]
    recorded = bytes(client.sent)
    client.reset()
    wait_until(lambda: not door.proxy.metric("curveproxy_sessions"), "the session is gone")
    with (
        door.expecting(**{outcome: 1}),
        connect(door.proxy.public, source=source if same_port else None) as sock,
        Peer(sock) as player,
    ):
        before_welcome = len(recorded) if at_once else 266  # greeting and HELLO
        player.send_raw(recorded[:before_welcome])
        if not at_once:
            player.recv_exactly(64)
            player.recv_frame()
            player.send_raw(recorded[before_welcome:])
        player.recv_until_closed()


@pytest.mark.parametrize("together", [True, False])
def test_who_says_more_than_hello_before_welcome_is_refused(door: Door, together: bool) -> None:
    hello = zmtp.frame(curve.hello(Keys.new(), door.proxy.server.public), COMMAND)
    with door.expecting(command=1), connect(door.proxy.public) as sock, Peer(sock) as client:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        octets = zmtp.greeting() + hello + b"\x04"
        for part in [octets] if together else [octets[:100], octets[100:]]:
            client.send_raw(part)
        assert zmtp.greeting(as_server=1).startswith(client.recv_until_closed().octets), "no WELCOME"
    assert door.hint("command") == Outcome.COMMAND.hint


def test_clients_without_curve_are_named(door: Door) -> None:
    before = len(door.proxy.log)

    def named(detail: str) -> bool:
        return detail in {line.get("detail") for line in door.proxy.log[before:] if line.get("outcome") == "mechanism"}

    with Libzmq() as z:
        plain = z.connect(zmq.REQ, door.proxy.public)
        wait_until(lambda: named("it offers NULL"), "the NULL client is refused")
        plain.close(0)
        user = z.socket(zmq.REQ)
        user.plain_username, user.plain_password = b"admin", b"admin"
        user.connect(door.proxy.public)
        wait_until(lambda: named("it offers PLAIN"), "the PLAIN client is refused")


def test_a_load_balancers_probe_is_no_failure(door: Door) -> None:
    with door.expecting(probe=2):
        connect(door.proxy.public).close()
        with connect(door.proxy.public) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert {line["level"] for line in door.proxy.log if line.get("outcome") == "probe"} == {"debug"}


def test_who_leaves_in_the_middle_is_counted_as_such(door: Door) -> None:
    with door.expecting(peer_closed=3):
        with connect(door.proxy.public) as sock:
            sock.send(zmtp.greeting()[:20])
            door.proxy.metrics()  # they have been seen by now: else the reset would take them away unseen
        at_door(door).close()
        before_initiate(door).close()


def test_a_handshake_octet_by_octet_is_admitted(door: Door) -> None:
    with RawClient(door.proxy.public, door.proxy.server.public, door.keys) as client:
        whole = client.sock.sendall
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def slowly(octets: bytes) -> None:
            for at in range(len(octets)):
                whole(octets[at : at + 1])

        original, client.send_raw = client.send_raw, slowly  # type: ignore[method-assign]
        client.handshake()
        client.send_raw = original  # type: ignore[method-assign]
        assert answers(client)


# --- limits, each on a proxy of its own


@pytest.mark.deep
def test_silence_at_every_stage_ends_at_the_one_deadline() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint, admission={"handshake_seconds": 3}) as proxy:
        door = Door(proxy, service)
        with door.expecting(timeout=3), connect(proxy.public) as silent, at_door(door), before_initiate(door):
            assert Peer(silent).recv_until_closed().octets == zmtp.greeting(as_server=1)[:11]
        assert proxy.metric("curveproxy_half_open_connections") == 0


def test_at_the_limit_the_oldest_goes_and_the_newcomer_is_admitted() -> None:
    limits = {"max_half_open": 5, "handshake_seconds": 60}
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, admission=limits, clients={"allow": "any"}) as proxy,
        ExitStack() as stack,
    ):
        silent = [stack.enter_context(connect(proxy.public)) for _ in range(5)]
        wait_until(lambda: proxy.metric("curveproxy_half_open_connections") == 5, "the house is full")
        with RawClient(proxy.public, proxy.server.public) as client:
            client.handshake()
            assert answers(client)
            assert Peer(silent[0]).recv_until_closed().octets == zmtp.greeting(as_server=1)[:11]
            assert proxy.metric("curveproxy_half_open_connections") == 4
            assert proxy.metric("curveproxy_handshakes_total", outcome="evicted") == 1


def test_one_source_has_its_limits_and_another_does_not_pay_for_them() -> None:
    limits = {"max_half_open_per_source": 3, "handshake_seconds": 60}
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, admission=limits, clients={"allow": "any"}) as proxy,
        ExitStack() as stack,
    ):
        silent = [stack.enter_context(connect(proxy.public, source=("127.0.0.2", 0))) for _ in range(5)]
        proxy.wait_metric("curveproxy_handshakes_total", 2, outcome="source_limit")
        for oldest in silent[:2]:
            Peer(oldest).recv_until_closed(5)
        for source in ("127.0.0.3", "127.0.0.2"):
            with RawClient(proxy.public, proxy.server.public, source=(source, 0)) as client:
                assert answers(client.handshake())
        Peer(silent[2]).recv_until_closed(5)
        assert proxy.metric("curveproxy_half_open_connections") == 2, "nobody else has gone"
        details = {line["detail"] for line in proxy.log if line.get("outcome") == "source_limit"}
        assert details == {"the oldest of its source: max_half_open_per_source"}


def test_one_source_may_come_so_often() -> None:
    limits = {"handshakes_per_second_per_source": 5, "handshake_seconds": 60}
    with Sidecar(backend="tcp://127.0.0.1:1", admission=limits) as proxy, ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connect(proxy.public))
        wait_until(lambda: proxy.metric("curveproxy_connections_accepted_total") == 30, "all came")
        refused = proxy.metric("curveproxy_handshakes_total", outcome="source_limit")
        assert 30 - 5 - 10 <= refused <= 25  # five at once, and some more while they came
        details = {line["detail"] for line in proxy.log if line.get("outcome") == "source_limit"}
        assert details == {"too often: handshakes_per_second_per_source"}


def test_descriptors_are_one_pool_of_all_services_and_far_too_few_are_a_warning() -> None:
    """128 for all else, one each half-open, two each session: on metrics, page and in ``/api/status``."""

    def service(name: str, endpoint: str) -> str:
        table = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": endpoint, "secret_keys": ["server.key_secret"]}
        return toml("[[service]]", table) + toml("[service.clients]", {"allow": "any"})

    with RawService(echo) as behind, ExitStack() as stack:
        config = service("orders", behind.endpoint) + service("prices", behind.endpoint)
        proxy = stack.enter_context(Sidecar(config, descriptors=260))
        lines = [line for line in proxy.log if line["event"] == "fewer sessions than configured"]
        assert [(line["level"], line["sessions_limit"]) for line in lines] == [("warning", 2)] * 2
        assert all("LimitNOFILE" in line["hint"] for line in lines)
        for _ in range(2):
            stack.enter_context(RawClient(proxy.public, proxy.server.public)).handshake()
        proxy.wait_metric("curveproxy_descriptors_in_use", 128 + 4)
        assert proxy.metric("curveproxy_descriptors_limit") == 260
        for _ in range(90):
            stack.enter_context(connect(proxy.public))
        proxy.wait_metric("curveproxy_descriptors_in_use", 128 + 4 + 90)
        status = json.loads(proxy.get("/api/status")[1])
        assert status["descriptors"] == {"value": 222, "limit": 260}
        [trouble] = [trouble for trouble in status["troubles"] if trouble["word"] == "descriptors"]
        assert trouble["what"] == "222 of 260 descriptors are in use, of all services together"
        assert "222</b> of 260" in proxy.get("/")[1]


def test_a_full_table_of_descriptors_does_not_keep_an_honest_client_out() -> None:
    import resource

    limit = 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with RawService(echo) as service, ExitStack() as stack:
        proxy = Sidecar(
            backend=service.endpoint,
            clients={"allow": "any"},
            admission={"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000},
            descriptors=limit,
        )
        with proxy:
            silent = [stack.enter_context(connect(proxy.public)) for _ in range(2 * limit)]
            with RawClient(proxy.public, proxy.server.public) as client:
                client.handshake()
                assert answers(client)
            assert proxy.fds() < limit
            assert proxy.metric("curveproxy_handshakes_total", outcome="evicted") > 0
            assert proxy.get("/readyz")[0] == 200
            for sock in silent:
                sock.close()
            wait_until(lambda: not proxy.metric("curveproxy_half_open_connections"), "all have left")
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)

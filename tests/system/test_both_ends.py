"""What holds of a session holds of one between two curveproxies, in whichever form its messages go between them."""

import fcntl
import os
import select
import signal
import socket
import struct
import termios
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import zmq
from support import zmtp
from support.client import answers
from support.lane import UNLIMITED
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import Sidecar, children, free_port, wait_until
from support.service import echo

from curveproxy.wire.codec.suites import available_suites
from system.endings import ENDED, ending
from system.facing import facing
from system.test_drain import Asker, asking, upgrade

Form = Mapping[str, object]

OFF: Form = {"records": "off"}

THROTTLED, BY_FORM = "curveproxy_throttled_seconds_total", "curveproxy_sessions_by_form"
WORD = {True: available_suites()[0].word, False: "message"}
ends = pytest.mark.parametrize("side", [pytest.param("egress", marks=pytest.mark.deep), "ingress"])


@pytest.fixture(params=["records", pytest.param("messages", marks=pytest.mark.deep)])
def form(request: pytest.FixtureRequest) -> Form:
    """``[service.messages]`` and ``[egress.messages]``."""
    return {} if request.param == "records" else OFF


def in_form(proxy: Sidecar, form: Form) -> float:
    """How many of its sessions are in that form."""
    return proxy.metric(BY_FORM, form=WORD[not form])


# --- who says nothing


def idle_after(side: str, seconds: int) -> dict[str, Any]:
    """The tables with which sessions that are idle end at one of the two."""
    return {side: {"limits" if side == "egress" else "clients": {"idle_seconds": seconds}}}


@pytest.mark.deep
@ends
def test_only_the_idle_end(form: Form, side: str) -> None:
    """One of them has stopped in the middle of a frame, of which half has gone on where there are records."""
    with facing(echo, messages=form, **idle_after(side, 3)) as pair:
        with ending(pair.at(side), {"idle": 2}):
            idle, stopped, busy = (pair.client() for _ in range(3))
            stopped.send_raw(zmtp.frame(bytes(100_000))[:50_000])

            def have_ended() -> bool:
                return answers(busy) and len(select.select([idle.sock, stopped.sock], [], [], 0)[0]) == 2

            wait_until(have_ended, "the idle ones have ended")
            for gone in (idle, stopped):
                assert gone.recv_until_closed().octets == b""
                gone.close()
        assert answers(busy)
        busy.close()


@pytest.mark.deep
@pytest.mark.parametrize(("side", "form"), [("egress", {}), ("egress", OFF), ("ingress", {})])
def test_of_an_unfinished_frame_so_much_has_to_come(form: Form, side: str) -> None:
    """An ingress sees of it what the egress passes on: without records that is nothing before it is whole."""
    with facing(echo, messages=form, **idle_after(side, 3)) as pair:
        at, frame = 0, zmtp.frame(bytes(1 << 20))
        with ending(pair.at(side), {"idle": 1}):
            trickling, uploading = pair.client(), pair.client()

            def has_ended() -> bool:  # one octet now and then is no growth; a slow upload is
                nonlocal at
                with suppress(OSError):
                    trickling.send_raw(frame[at : at + 1])
                uploading.send_raw(frame[at * 1000 : (at + 1) * 1000])
                at += 1
                return bool(select.select([trickling.sock], [], [], 0.1)[0])

            wait_until(has_ended, "who sends next to nothing has ended")
            trickling.close()
        uploading.send_raw(frame[at * 1000 :])
        assert uploading.recv() == [bytes(1 << 20)]
        uploading.close()


@pytest.mark.deep
@ends
def test_a_proxy_that_has_answered_and_is_stopped_is_dead_to_the_other(form: Form, side: str) -> None:
    tables = {"limits" if side == "egress" else "clients": {"heartbeat_seconds": 0.5}}
    with facing(echo, messages=form, **{side: tables}) as pair:
        asks, other = pair.at(side), pair.at("ingress" if side == "egress" else "egress")

        def is_found_dead() -> bool:
            """Unless it was stopped before it had answered once."""
            other.signal(signal.SIGSTOP)
            try:
                asks.wait_metric(ENDED, 1, reason="heartbeat", timeout=3)
            except TimeoutError:
                return False
            finally:
                other.signal(signal.SIGCONT)
            return True

        with ending(asks, {"heartbeat": 1}):
            client = pair.client()
            wait_until(is_found_dead, "it is found dead", timeout=60)
        assert client.recv_until_closed().octets == b""
        client.close()


# --- what clients may take


@pytest.mark.deep
@pytest.mark.parametrize(
    ("limit", "count", "size"),
    [({"messages_per_second_per_client": 50}, 300, 10), ({"bytes_per_second_per_client": 100_000}, 4, 99_999)],
    ids=["messages", "octets"],
)
def test_what_comes_faster_than_it_may_is_held_up_and_not_lost(
    form: Form, limit: Mapping[str, object], count: int, size: int
) -> None:
    with facing(echo, messages=form, ingress={"clients": limit}) as pair, pair.client() as client:
        client.send_raw(b"".join(client.seal(b"%d" % number + bytes(size)) for number in range(count)))
        for number in range(count):
            assert client.recv() == [b"%d" % number + bytes(size)]
        assert answers(client), "that was owed for, where all was in one record"
        assert pair.ingress.metric(THROTTLED) > 0
        assert pair.egress.metric(THROTTLED) == 0


def test_a_message_over_the_limit_ends_its_session_and_nothing_of_it_is_delivered(form: Form) -> None:
    """Of the service too: the limit is that of whichever proxy it comes to first, or of the next."""
    narrow, wide = {"max_message_bytes": 100_000, **form}, {"max_message_bytes": 200_000, **form}
    with facing(ingress={"messages": narrow}, egress={"messages": wide}) as pair:
        for size, side in ((150_000, "ingress"), (250_000, "egress")):
            client, behind = pair.driven()
            client.send([b"small"])
            assert behind.recv() == [b"small"]
            with ending(pair.at(side), {"invalid_message": 1}, {"too_large": 1}):
                with suppress(OSError):
                    client.send_raw(zmtp.frame(bytes(size)))
                assert behind.recv_until_closed().octets == b""
                behind.close()
                client.close()
        client, behind = pair.driven()
        behind.send([b"small"])
        assert client.recv() == [b"small"]
        with ending(pair.ingress, {"limit": 1}, {"too_large": 1}):
            with suppress(OSError):
                behind.send_raw(zmtp.frame(bytes(150_000)))
            assert client.recv_until_closed().octets == b""
            behind.close()
            client.close()


# --- who must go


@pytest.mark.deep
def test_what_a_revoked_egress_has_passed_on_is_delivered(form: Form) -> None:
    with facing(messages=form) as pair:
        client, behind = pair.driven()
        client.send([b"first", b"second"])
        frame = zmtp.frame(bytes(100_000))
        client.send_raw(frame[:50_000])
        assert behind.recv() == [b"first", b"second"]
        with ending(pair.ingress, {"revoked": 1}):
            (pair.ingress.clients / "alice.key").unlink()
            came = behind.recv_until_closed().octets
            assert came == frame[: len(came)], "half a frame at most, which no library delivers"
            assert client.recv_until_closed().octets == b""
            client.close()


def test_who_has_an_identity_of_another_replaces_it(form: Form) -> None:
    """Both are the egress to the ingress, and so the same client that comes again."""
    with facing(echo, messages=form) as pair, pair.client(identity=b"me") as older:
        assert answers(older)
        with ending(pair.ingress, {"replaced": 1}):
            newer = pair.client(identity=b"me")
            assert older.recv_until_closed().octets == b""
            assert answers(newer)
        assert pair.ingress.metric("curveproxy_sessions") == 1
        older.close()
        assert answers(newer)
        newer.close()


def test_one_that_comes_again_waits_until_what_it_has_said_is_there(form: Form) -> None:
    with facing(messages=form) as pair:
        first, busy = pair.driven(identity=b"me")
        part, sent, read = bytes(100_000), 0, 0
        while select.select([], [first.sock], [], 0.2)[1]:
            first.send([part])
            sent += 1
        while unsent(first.sock):  # behind which its end would wait too
            assert busy.recv() == [part]
            read += 1
        first.close()
        second = pair.begun(identity=b"me")
        for _ in range(sent - read):
            assert busy.recv() == [part]
        assert busy.recv_until_closed().octets == b""
        busy.close()
        with pair.service.accept().handshake() as behind:
            second.recv_ready()
            second.send([b"again"])
            assert behind.recv() == [b"again"]
        assert "replaced" not in [line.get("reason") for line in pair.ingress.log]
        second.close()


def unsent(sock: socket.socket) -> int:
    """Octets that its system has not been rid of."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


# --- a proxy that leaves


@pytest.mark.deep
@pytest.mark.parametrize("side", ["egress", "ingress"])
def test_an_upgrade_in_place_of_either_fails_no_client(form: Form, side: str) -> None:
    """Neither one that asks all the time, nor one that connects anew."""
    tables: dict[str, Any] = {"process": {"reuse_port": True, "drain_seconds": 6}}
    if side == "egress":
        tables["egress"] = {"listen": f"tcp://127.0.0.1:{free_port()}"}
    with ExitStack() as stack:
        pair = stack.enter_context(facing(echo, messages=form, **{side: tables}))
        old = pair.at(side)
        busy = [
            Asker(pair.egress.public, None, kind, each=10**9, pause=pause)
            for kind in (zmq.REQ, zmq.DEALER)
            for pause in (0, 0.001, 0.005)
        ]
        with asking(pair.egress.public, None, *busy) as askers:
            upgrade(old, stack, askers)
        assert "Traceback" not in old.stderr


@ends
def test_who_waits_for_its_reply_is_waited_for(form: Form, side: str) -> None:
    tables: dict[str, Any] = {"process": {"drain_seconds": 20}}
    with facing(None, messages=form, socket_type="REP", **{side: tables}) as pair, Libzmq() as z:
        client = z.connect(zmq.REQ, pair.egress.public)
        client.send(b"question")
        with pair.service.accept().handshake() as behind:
            assert behind.recv() == [b"", b"question"]
            proxy = pair.at(side)
            proxy.signal()
            wait_until(lambda: proxy.get("/readyz")[0] == 503, "it drains")
            behind.send([b"", b"answer"])
            assert client.recv() == b"answer"
            client.close()
            behind.recv_until_closed()
        assert proxy.wait() == 0


# --- a service that is down


def test_clients_wait_for_a_service_that_is_down(form: Form) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with facing(messages=form, endpoint=endpoint) as pair, Libzmq() as z:
        pair.service.close()
        clients = [z.connect(zmq.REQ, pair.egress.public) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
        wait_until(lambda: pair.ingress.metric("curveproxy_backend_failures_total", reason="refused"), "it is down")
        service, _ = z.bind(zmq.REP, endpoint)
        for _ in clients:
            service.send(b"answer to " + service.recv())
        for number, client in enumerate(clients):
            assert client.recv() == b"answer to %d" % number
        assert in_form(pair.ingress, form) == in_form(pair.egress, form) == len(clients)


# --- a reload, and several processes


def taken(proxy: Sidecar) -> int:
    """How often it has taken a changed configuration."""
    return [line["event"] for line in proxy.log].count("configuration taken")


@ends
def test_a_reload_changes_the_form_of_whoever_comes_from_then_on(side: str) -> None:
    table = "[service.messages]" if side == "ingress" else "[egress.messages]"
    with facing(echo) as pair:
        proxy, inside = pair.at(side), [pair.client()]
        text = proxy.config.read_text()
        for changed, counts in ((text.replace(table, f'{table}\nrecords = "off"'), (1, 1)), (text, (2, 1))):
            before = taken(proxy)
            proxy.config.write_text(changed)
            proxy.signal(signal.SIGHUP)
            wait_until(lambda: taken(proxy) > before, "it is taken")  # noqa: B023
            inside.append(pair.client())
            for client in inside:
                assert answers(client)
            for each in (pair.egress, pair.ingress):
                assert (in_form(each, {}), in_form(each, OFF)) == counts
        for client in inside:
            client.close()


@pytest.mark.deep
def test_of_several_processes_one_that_dies_costs_its_own_sessions(form: Form) -> None:
    several = {"process": {"workers": 2}, "admission": UNLIMITED}
    outward = {"process": {"workers": 2}, "egress": {"listen": f"tcp://127.0.0.1:{free_port()}"}}
    with facing(echo, messages=form, ingress=several, egress=outward) as pair, ExitStack() as stack:
        clients = [stack.enter_context(pair.client()) for _ in range(12)]
        assert all(map(answers, clients))
        for proxy in (pair.egress, pair.ingress):
            assert in_form(proxy, form) == len(clients)
        wait_until(lambda: len(opened_by(pair.ingress)) == len(clients), "all are told of")
        stay = len(clients) - opened_by(pair.ingress).count(0)
        os.kill(children(pair.ingress.process.pid)[0], signal.SIGKILL)
        assert sum(map(is_alive, clients)) == stay
        pair.egress.wait_metric("curveproxy_sessions", stay)
        assert answers(stack.enter_context(pair.client()))


def opened_by(proxy: Sidecar) -> list[int]:
    """Which worker each session was opened by."""
    return [line["worker"] for line in proxy.log if line["event"] == "session opened"]


def is_alive(client: Peer) -> bool:
    """Whether what it sends comes back; else its session has ended."""
    try:
        return answers(client)
    except (EOFError, OSError):
        return False

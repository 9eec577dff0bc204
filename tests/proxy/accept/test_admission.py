"""Admission: from accept to an applicant, and the one outcome of everybody else."""

import errno
import gc
import os
import socket
import struct
import sys
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve
from support import old, plain_steps, zmtp
from support.accepting import accepting
from support.certificates import SERVER, answer, certificate
from support.gates import RecordingGate, egress
from support.loopback import tcp_pair
from support.peer import Ending, Peer, Refused
from support.tasks import until

from curveproxy.proxy.accept.half_open import HalfOpen
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.endpoint import Endpoint, Network
from curveproxy.proxy.net.linger import LINGER_SECONDS
from curveproxy.proxy.net.sockets import SO_BUF_LOCK, source_of
from curveproxy.proxy.settings import RefusalMode
from curveproxy.reasons import Outcome

ACCEPTED = ("accepted",)


def balanced(host: str, port: int) -> bytes:
    """The header of a load balancer, of version 2 of its protocol, for a client at an IPv4 address."""
    there, here = socket.inet_aton(host), socket.inet_aton("127.0.0.1")
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H4s4sHH", 12, there, here, port, 5555)


def refused(outcome: Outcome, detail: str = "", client: str = "") -> tuple[object, ...]:
    return ("refused", outcome, detail, client)


async def test_who_proves_a_key_applies_to_the_service_whose_key_it_was_given() -> None:
    first, second = RecordingGate("first"), RecordingGate("second")
    async with accepting(first, second) as at_work:
        with at_work.client(second, identity=b"me") as client:
            await at_work.applies(client)
            await until(lambda: second.applied)
            applicant = second.applied[0].applicant
            assert applicant.key == client.keys.public
            assert applicant.server_key == second.keys.public
            assert applicant.metadata["Identity"] == b"me"
            assert applicant.address == f"127.0.0.1:{client.sock.getsockname()[1]}"
            assert applicant.accepted_at <= trio.current_time()
            assert at_work.admission.half_open == 0
    assert first.observer.events == [ACCEPTED], "what comes before HELLO counts to the first"
    assert second.observer.events == []


async def test_who_sends_its_units_whole_costs_no_option_but_those_of_its_receive_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = list[int]()

    class Telling(socket.SocketType):
        def setsockopt(self, level: int, name: int, value: Any, *more: int) -> None:
            told.append(name)
            super().setsockopt(level, name, value, *more)

    async with accepting() as at_work:
        [gate] = at_work.gates
        monkeypatch.setattr(socket, "SocketType", Telling)
        with at_work.client() as client:
            await at_work.applies(client)
            await until(lambda: gate.applied)
            assert told == [socket.SO_RCVBUF]
            gate.applied[0].welcome({})
            assert told == [socket.SO_RCVBUF, socket.SO_RCVBUF, SO_BUF_LOCK]
            client.ready()
        monkeypatch.undo()


async def test_each_failure_is_told_once_with_its_outcome() -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        async def is_refused(outcome: Outcome) -> None:
            await until(lambda: len(gate.observer.events) == 2)
            assert [event[:2] for event in gate.observer.take()] == [ACCEPTED, ("refused", outcome)]

        with at_work.client():
            pass
        await is_refused(Outcome.PROBE)
        with at_work.client() as client:
            client.send_raw(b"GET / HTTP/1.1\r\n\r\n")
            await is_refused(Outcome.NOT_ZMTP)
        with at_work.client() as client:
            await trio.to_thread.run_sync(client.greeting)
        await is_refused(Outcome.PEER_CLOSED)
        with at_work.client() as client:
            await trio.to_thread.run_sync(client.greeting)
            client.hello(box=bytes(80))
            await is_refused(Outcome.HELLO_BOX)
        with at_work.client() as client:
            await at_work.has_asked(client)
            client.initiate(cookie=bytes(96))
            await is_refused(Outcome.COOKIE)
        with at_work.client(identity=b"\0x") as client:
            await at_work.applies(client)
            await is_refused(Outcome.METADATA)
        assert gate.applied == []


async def test_a_service_may_object_to_who_has_proved_its_key() -> None:
    gate = RecordingGate()
    gate.refusal = RefusedError(Outcome.CLIENT_UNKNOWN, "why")
    async with accepting(gate) as at_work:
        with at_work.client() as client:
            await at_work.applies(client)
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.events[1] == refused(Outcome.CLIENT_UNKNOWN, "why", "alice")
            with pytest.raises(Refused):
                await trio.to_thread.run_sync(client.ready)
        assert gate.applied == []


async def test_who_takes_too_long_is_late() -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates
        with at_work.client():
            await until(lambda: at_work.admission.half_open)
            at_work.admission.expire(trio.current_time() + gate.settings.admission.handshake_seconds - 1)
            assert at_work.admission.half_open == 1
            at_work.admission.expire(trio.current_time() + gate.settings.admission.handshake_seconds + 1)
            assert gate.observer.events == [ACCEPTED, refused(Outcome.TIMEOUT)]


async def test_beyond_the_limit_the_oldest_makes_room() -> None:
    gate = RecordingGate(max_half_open=2)
    async with accepting(gate) as at_work:
        with at_work.client() as first, at_work.client():
            await until(lambda: at_work.admission.half_open == 2)
            with at_work.client():
                await until(lambda: refused(Outcome.EVICTED) in gate.observer.events)
                assert at_work.admission.half_open == 2
                await until(lambda: len(gate.observer.events) == 4)
                assert await trio.to_thread.run_sync(first.sock.recv, 100), "it had been greeted"


async def test_of_one_source_the_oldest_gives_its_place_up_and_who_comes_too_often_is_closed() -> None:
    gate = RecordingGate(max_half_open_per_source=1, handshakes_per_second_per_source=2)
    async with accepting(gate) as at_work:
        with at_work.client(), at_work.client(), at_work.client():
            await until(lambda: len(gate.observer.events) == 5)
            details = [event[2] for event in gate.observer.events if event[0] == "refused"]
            assert details == [
                "the oldest of its source: max_half_open_per_source",
                "too often: handshakes_per_second_per_source",
            ]
            assert at_work.admission.half_open == 1


async def test_where_descriptors_are_short_somebody_is_ended_before_the_next_is_taken() -> None:
    gate = RecordingGate()
    async with accepting(gate, descriptors=128 + 2) as at_work:
        with at_work.client(), at_work.client(), at_work.client():
            await until(lambda: len(gate.observer.events) >= 4)
            assert refused(Outcome.EVICTED) in gate.observer.events
            assert at_work.admission.half_open == at_work.capacity.half_open.number == 2


async def test_behind_a_balancer_a_connection_counts_to_whom_that_names() -> None:
    gate = RecordingGate(balancers=(Network.parse("127.0.0.1"),), max_half_open_per_source=1)
    async with accepting(gate) as at_work:
        with at_work.client() as first, at_work.client() as second, at_work.client() as third:
            for client, source in ((first, "192.0.2.1"), (second, "192.0.2.2"), (third, "192.0.2.1")):
                client.send_raw(balanced(source, 4242))
                await trio.sleep(0.02)
            await until(lambda: len(gate.observer.events) == 4)
            assert gate.observer.events[3][1] == Outcome.SOURCE_LIMIT
            await at_work.applies(second)
            await until(lambda: gate.applied)
            assert gate.applied[0].applicant.address == "192.0.2.2:4242"


async def test_a_connection_waits_for_a_service_that_is_down_and_costs_nothing() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        gate.is_down = True
        with at_work.client() as client:
            await trio.to_thread.run_sync(client.greeting)
            client.hello()
            await trio.sleep(0.05)
            assert at_work.admission.half_open == 1
            at_work.admission.tick(trio.current_time())
            assert gate.checks == 1
            gate.is_down = False
            gate.resume()
            await trio.to_thread.run_sync(client.welcome)
        with at_work.client() as client:
            gate.is_down = True
            await trio.to_thread.run_sync(client.greeting)
            client.hello()
            await trio.sleep(0.05)
            gate.observer.take()
            at_work.admission.expire(trio.current_time() + gate.settings.admission.handshake_seconds + 1)
            assert gate.observer.events == [refused(Outcome.BACKEND_UNAVAILABLE)], "it is not the client that was late"


async def test_who_leaves_while_it_waits_for_a_service_has_closed() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        gate.is_down = True
        with at_work.client() as client:
            await trio.to_thread.run_sync(client.greeting)
            client.hello()
            await trio.sleep(0.05)
        await until(lambda: len(gate.observer.events) == 2)
        assert gate.observer.events[1] == refused(Outcome.PEER_CLOSED)


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), [refused(Outcome.SESSIONS_LIMIT)]),
        (OSError(errno.EPERM, "ours"), [("unexpected", "[Errno 1] ours"), refused(Outcome.INTERNAL)]),
    ],
    ids=["a full epoll", "an error of ours"],
)
async def test_who_can_not_be_watched_is_refused(
    error: OSError, events: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        def fails(*_: Any) -> None:
            raise error

        with socket.create_server(("127.0.0.1", 0)) as listener, closing(socket.socket()) as far:
            far.connect(listener.getsockname())
            near, address = listener.accept()
            monkeypatch.setattr(at_work.reactor, "register", fails)
            at_work.admission.enter(near, address)
            monkeypatch.undo()
        assert [event[:2] for event in gate.observer.events] == [ACCEPTED, *(event[:2] for event in events)]
        assert near.fileno() == -1
        assert source_of(address) is not None


async def test_when_it_closes_everybody_is_told_so() -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates
        with at_work.client(), at_work.client():
            await until(lambda: at_work.admission.half_open == 2)
            at_work.admission.close()
            assert gate.observer.events == [ACCEPTED, ACCEPTED, refused(Outcome.SHUTDOWN), refused(Outcome.SHUTDOWN)]


# --- the order of what is checked: cheap before dear


async def test_who_comes_too_often_is_not_even_greeted_and_ends_nobody() -> None:
    gate = RecordingGate(max_half_open=1, handshakes_per_second_per_source=1)
    async with accepting(gate) as at_work:
        with at_work.client() as first, at_work.client() as second:
            await until(lambda: len(gate.observer.events) == 3)
            assert gate.observer.events[2] == refused(
                Outcome.SOURCE_LIMIT, "too often: handshakes_per_second_per_source"
            )
            assert at_work.admission.half_open == 1
            assert await trio.to_thread.run_sync(first.sock.recv, 100)
            assert (await trio.to_thread.run_sync(second.recv_until_closed)).octets == b""


async def test_no_box_is_opened_while_the_service_is_down() -> None:
    gate = RecordingGate()
    gate.is_down = True
    async with accepting(gate) as at_work:
        with at_work.client() as client:
            await trio.to_thread.run_sync(client.greeting)
            client.hello(box=bytes(80))
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert gate.observer.events == [ACCEPTED], "that it does not open is not known"
            gate.is_down = False
            gate.resume()
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.events[1] == refused(Outcome.HELLO_BOX)


async def test_of_those_that_wait_some_find_out_whether_their_service_is_up() -> None:
    gate = RecordingGate()
    gate.is_down = True
    async with accepting(gate) as at_work:
        with at_work.client() as first, at_work.client() as second:
            for client in (first, second):
                await trio.to_thread.run_sync(client.greeting)
                client.hello()
            await trio.testing.wait_all_tasks_blocked(0.02)
            gate.probes = 1
            at_work.admission.tick(trio.current_time())
            await trio.testing.wait_all_tasks_blocked(0.02)
            for client in (first, second):
                client.sock.setblocking(False)
            heard = []
            for client in (first, second):
                try:
                    heard.append(bool(client.sock.recv(1000)))
                except BlockingIOError:
                    heard.append(False)
            assert sorted(heard) == [False, True], "one has its WELCOME, the other waits"
            assert at_work.admission.half_open == 2


async def test_an_identity_that_no_service_could_bear_is_refused_before_the_service_is_asked() -> None:
    gate = RecordingGate()
    gate.refusal = RefusedError(Outcome.CLIENT_UNKNOWN)
    async with accepting(gate) as at_work:
        for identity in (b"\0x", bytes(256)):
            with at_work.client(identity=identity) as client:
                await at_work.applies(client)
                await until(lambda: len(gate.observer.events) == 2)
                assert gate.observer.take()[1] == refused(
                    Outcome.METADATA, "the identity is too long or begins with a zero octet"
                )


async def test_a_source_that_fails_may_come_half_as_often_until_one_of_it_succeeds(
    mock_clock: trio.testing.MockClock,
) -> None:
    gate = RecordingGate(handshakes_per_second_per_source=1)
    async with accepting(gate) as at_work:

        async def fails() -> tuple[object, ...]:
            """What becomes of who comes a second later."""
            mock_clock.jump(1)
            with at_work.client() as client:
                client.send_raw(b"GET / HTTP/1.1\r\n\r\n")
                await until(lambda: len(gate.observer.events) == 2)
                return gate.observer.take()[1]

        assert [await fails() for _ in range(3)] == [refused(Outcome.NOT_ZMTP)] * 3
        detail = "too many failures: half of handshakes_per_second_per_source is left"
        assert await fails() == refused(Outcome.SOURCE_LIMIT, detail)
        mock_clock.jump(1)
        with at_work.client() as client:
            await at_work.applies(client)
            await until(lambda: gate.applied)
            gate.observer.take()
        mock_clock.jump(1)  # its bucket is full again
        assert [await fails() for _ in range(2)] == [refused(Outcome.NOT_ZMTP)] * 2


# --- a load balancer


async def test_a_balancer_s_header_is_checked_and_its_client_s_rate() -> None:
    gate = RecordingGate(balancers=(Network.parse("127.0.0.1"),), handshakes_per_second_per_source=1)
    async with accepting(gate) as at_work:

        async def ends(octets: bytes) -> tuple[object, ...]:
            with at_work.client() as client:
                client.send_raw(octets)
                await until(lambda: len(gate.observer.events) == 2)
                return gate.observer.take()[1]

        assert await ends(b"\xff") == refused(Outcome.NOT_ZMTP, "no PROXY protocol header from the balancer")
        with at_work.client() as first:
            first.send_raw(balanced("192.0.2.1", 1))
            await until(lambda: gate.observer.take())
            assert await trio.to_thread.run_sync(first.sock.recv, 100)
            detail = "too often: handshakes_per_second_per_source"
            assert await ends(balanced("192.0.2.1", 2)) == refused(Outcome.SOURCE_LIMIT, detail)
            with at_work.client() as other:
                other.send_raw(balanced("192.0.2.2", 1))
                assert await trio.to_thread.run_sync(other.sock.recv, 100)


async def test_a_balancer_that_speaks_for_itself_counts_to_no_source() -> None:
    gate = RecordingGate(balancers=(Network.parse("127.0.0.1"),), max_half_open_per_source=1)
    local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    async with accepting(gate) as at_work:
        with at_work.client() as first, at_work.client() as second:
            for client in (first, second):
                client.send_raw(local)
                assert await trio.to_thread.run_sync(client.sock.recv, 100)
            await until(lambda: at_work.admission.half_open == 2)
            assert [event[0] for event in gate.observer.events] == ["accepted"] * 2
        await until(lambda: len(gate.observer.events) == 4)
        assert gate.observer.events[2:] == [refused(Outcome.PROBE)] * 2


# --- certificates


ASKS = zmtp.greeting(b"CURVE-CERTIFICATE")
TEXTS = (certificate(SERVER), certificate(SERVER, serial="0123456789abcdef"))
TOLD = answer(*TEXTS)


def telling(**limits: Any) -> RecordingGate:
    """A service that tells its certificates."""
    gate = RecordingGate(**limits)
    gate.settings = evolve(gate.settings, certificates=TEXTS)
    return gate


async def test_who_asks_for_certificates_is_told_and_closed_and_has_failed_at_nothing() -> None:
    gate = telling(handshakes_per_second_per_source=4)
    async with accepting(gate) as at_work:
        for _ in range(3):  # a failure would leave half of the four
            with at_work.client() as client:
                client.send_raw(ASKS)
                assert await trio.to_thread.run_sync(client.recv_until_closed) == Ending(TOLD, reset=False)
                assert gate.observer.take() == [ACCEPTED, refused(Outcome.CERTIFICATE_ASKED)]
                assert at_work.admission.half_open == 0
        with at_work.client() as client:
            await at_work.applies(client)
            await until(lambda: gate.applied)
        await until(lambda: not at_work.lingering)


async def test_behind_a_balancer_the_question_comes_after_its_header() -> None:
    gate = telling(balancers=(Network.parse("127.0.0.1"),))
    async with accepting(gate) as at_work:
        with at_work.client() as client:
            client.send_raw(balanced("192.0.2.1", 4242) + ASKS)
            assert await trio.to_thread.run_sync(client.recv_until_closed) == Ending(TOLD, reset=False)
            assert gate.observer.take() == [ACCEPTED, refused(Outcome.CERTIFICATE_ASKED)]


async def test_who_has_closed_its_half_behind_the_question_is_told_too() -> None:
    async with accepting(telling()) as at_work:
        with at_work.client() as client:
            client.send_raw(ASKS)
            client.sock.shutdown(socket.SHUT_WR)
            assert await trio.to_thread.run_sync(client.recv_until_closed) == Ending(TOLD, reset=False)


async def test_who_asks_and_reads_nothing_is_not_waited_for_for_long() -> None:
    async with accepting(telling()) as at_work:
        with at_work.client() as client:
            client.send_raw(ASKS)
            await until(lambda: len(at_work.lingering) == 1)
            at_work.lingering.expire(trio.current_time() + LINGER_SECONDS + 1)
            assert len(at_work.lingering) == 0
            assert await trio.to_thread.run_sync(client.recv_until_closed) == Ending(TOLD, reset=False)


async def test_askers_leave_nothing_behind() -> None:
    """As many as make a leak of one object each be seen, each with all that it is told."""
    gate = telling(handshakes_per_second_per_source=1_000_000)
    async with accepting(gate) as at_work:

        async def ask(times: int) -> int:
            for _ in range(times):
                with at_work.client() as client:
                    client.send_raw(ASKS)
                    assert await trio.to_thread.run_sync(client.recv_exactly, len(TOLD)) == TOLD
            await until(lambda: not at_work.lingering)
            gate.observer.take()
            gc.collect()
            return len(gc.get_objects())

        await ask(10)
        before = await ask(10)
        assert await ask(200) < before + 100


# --- errors and changes


async def test_an_error_of_ours_in_a_unit_ends_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates

        def fails(*_: Any) -> None:
            monkeypatch.undo()
            raise ValueError("ours")

        monkeypatch.setattr(HalfOpen, "note", fails)
        with at_work.client() as broken, at_work.client() as well:
            await until(lambda: at_work.admission.half_open == 2)
            broken.send_greeting()
            await until(lambda: len(gate.observer.events) == 4)
            assert gate.observer.take()[2:] == [("unexpected", "ours"), refused(Outcome.INTERNAL)]
            await at_work.applies(well)
            await until(lambda: gate.applied)


async def test_who_has_been_refused_is_not_looked_at_again() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        with at_work.client() as client:
            await trio.to_thread.run_sync(client.greeting)
            await until(lambda: at_work.admission.half_open == 1)
            client.hello()  # it is ready
            assert at_work.admission.evict_oldest()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert gate.observer.events == [ACCEPTED, refused(Outcome.EVICTED)]


async def test_a_reload_holds_for_those_that_are_half_open() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        with at_work.client() as client:
            await at_work.has_asked(client)
            gate.configure(max_initiate_bytes=257)
            at_work.admission.configure([gate])
            client.initiate()
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.events[1][:2] == ("refused", Outcome.INITIATE_TOO_LARGE)


@pytest.mark.parametrize("seconds", [1.0, 60.0])
async def test_a_reload_does_not_change_when_somebody_came(seconds: float) -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        with at_work.client(gate) as client:
            before = trio.current_time()
            await at_work.has_asked(client)
            asked = trio.current_time()
            gate.configure(handshake_seconds=seconds)
            at_work.admission.configure([gate])
            client.initiate()
            await until(lambda: gate.applied)
            assert before <= gate.applied[0].applicant.accepted_at <= asked


async def test_a_reload_changes_how_long_those_may_take_that_are_half_open() -> None:
    gate = RecordingGate()
    async with accepting(gate) as at_work:
        with at_work.client(), at_work.client():
            await until(lambda: at_work.admission.half_open == 2)
            now = trio.current_time()
            gate.configure(handshake_seconds=60.0)
            at_work.admission.configure([gate])
            at_work.admission.expire(now + 50)
            assert at_work.admission.half_open == 2
            gate.configure(handshake_seconds=20.0)
            at_work.admission.configure([gate])
            at_work.admission.expire(now + 25)
            assert at_work.admission.half_open == 0


# --- an egress


def egress_at(directory: Path, *, allow_uids: Collection[int] = (), **limits: Any) -> RecordingGate:
    """An egress at a Unix socket."""
    options = egress(allow_uids=frozenset(allow_uids), client_socket_type="PULL")
    gate = RecordingGate(egress=options, refuses_by=RefusalMode.CLOSE, **limits)
    gate.settings = evolve(gate.settings, listen=Endpoint("ipc", str(directory / "plain.sock")))
    return gate


async def test_a_plain_client_applies_without_a_key_and_its_user_is_known(tmp_path: Path) -> None:
    gate = egress_at(tmp_path, allow_uids={os.getuid()})
    async with accepting(gate) as at_work:
        with Peer.to(at_work.endpoint) as client:
            client.send_raw(b"\x03\x00me")
            await until(lambda: gate.applied)
            applicant = gate.applied[0].applicant
            assert (applicant.key, applicant.server_key, applicant.address) == (b"", b"", "ipc")
            assert applicant.user == f"uid {os.getuid()}"
            assert applicant.metadata == {"Socket-Type": b"PULL", "Identity": b"me"}


async def test_who_is_no_allowed_user_is_closed_before_anything_is_read(tmp_path: Path) -> None:
    gate = egress_at(tmp_path, allow_uids={os.getuid() + 1})
    async with accepting(gate) as at_work:
        with Peer.to(at_work.endpoint) as client:
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.events == [ACCEPTED, refused(Outcome.CLIENT_UNKNOWN, f"uid {os.getuid()}")]
            assert (await trio.to_thread.run_sync(client.recv_until_closed)).octets == b""
            assert at_work.admission.half_open == 0


async def test_of_another_connection_than_a_unix_socket_s_no_user_is_known_and_none_is_allowed() -> None:
    gate = RecordingGate(egress=egress(allow_uids=frozenset({os.getuid()})))
    async with accepting(gate) as at_work:
        with Peer.to(at_work.endpoint):
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.events[1] == refused(Outcome.CLIENT_UNKNOWN, "uid unknown")


@pytest.mark.deep
@pytest.mark.skipif(os.getuid() != 0, reason="only root may be another user")
async def test_another_real_user_is_told_apart() -> None:
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        gate = egress_at(Path(directory), allow_uids={0})
        async with accepting(gate) as at_work:
            (Path(directory) / "plain.sock").chmod(0o666)
            connects = f"import os, socket; os.setuid(12345); socket.socket(1).connect({directory + '/plain.sock'!r})"
            await trio.run_process([sys.executable, "-I", "-c", connects])
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.take() == [ACCEPTED, refused(Outcome.CLIENT_UNKNOWN, "uid 12345")]
            with Peer.to(at_work.endpoint) as client:
                client.send_raw(b"\x01\x00")
                await until(lambda: gate.applied)
                assert gate.applied[0].applicant.user == "uid 0"


async def test_a_plain_client_waits_for_its_remote_before_anything_of_it_is_taken() -> None:
    gate = RecordingGate(egress=egress())
    gate.is_down = True
    async with accepting(gate) as at_work:
        with Peer.to(at_work.endpoint) as client:
            client.send_raw(plain_steps.GREETING + plain_steps.READY)
            await trio.testing.wait_all_tasks_blocked(0.02)
            client.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.sock.recv(1)
            client.sock.settimeout(10)
            gate.is_down = False
            gate.resume()
            assert await trio.to_thread.run_sync(client.recv_exactly, 64) == zmtp.greeting(b"NULL")
            await until(lambda: gate.applied)
        with Peer.to(at_work.endpoint) as late:
            gate.is_down = True
            late.send_raw(plain_steps.signature())
            await trio.testing.wait_all_tasks_blocked(0.02)
            gate.observer.take()
            at_work.admission.expire(trio.current_time() + gate.settings.admission.handshake_seconds + 1)
            assert gate.observer.events == [refused(Outcome.BACKEND_UNAVAILABLE)]


async def test_the_clients_of_this_host_are_not_limited_by_their_address_and_others_are() -> None:
    gate = RecordingGate(egress=egress(), max_half_open_per_source=1, handshakes_per_second_per_source=1)
    async with accepting(gate) as at_work:
        for _ in range(3):
            with Peer.to(at_work.endpoint) as client:
                client.send_raw(b"GET / HTTP/1.1\r\n\r\n")
                await until(lambda: len(gate.observer.events) == 2)
                assert gate.observer.take()[1] == refused(Outcome.NOT_ZMTP)
        with Peer.to(at_work.endpoint), Peer.to(at_work.endpoint):
            await until(lambda: at_work.admission.half_open == 2)
            assert gate.observer.take() == [ACCEPTED] * 2
            pairs = [tcp_pair() for _ in range(2)]
            for near, _ in pairs:
                at_work.admission.enter(near, ("192.0.2.1", 4242))
            detail = "too often: handshakes_per_second_per_source"
            assert gate.observer.take() == [ACCEPTED, ACCEPTED, refused(Outcome.SOURCE_LIMIT, detail)]
            for _, far in pairs:
                far.close()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ([b"GET / HTTP/1.1\r\n\r\n"], Outcome.NOT_ZMTP),
        ([plain_steps.signature(), b"\x02"], Outcome.ZMTP_VERSION),
        ([zmtp.greeting(b"CURVE")], Outcome.MECHANISM),
        ([old.frame1(b"i" * 256)], Outcome.METADATA),
        ([old.frame1(b"\0me")], Outcome.METADATA),
        ([plain_steps.signature(), b"\x01\x0b"], Outcome.METADATA),
        ([plain_steps.GREETING, zmtp.frame(b"hello")], Outcome.COMMAND),
        ([plain_steps.GREETING, zmtp.command_frame(b"READY", b"\x0bSocket")], Outcome.METADATA),
    ],
)
async def test_each_failure_of_a_plain_client_has_its_outcome_and_nothing_more_is_said(
    tmp_path: Path, said: list[bytes], outcome: Outcome
) -> None:
    gate = egress_at(tmp_path)
    async with accepting(gate) as at_work:
        with Peer.to(at_work.endpoint) as client:
            for octets in said:
                client.send_raw(octets)
            await until(lambda: len(gate.observer.events) == 2)
            assert gate.observer.events[1][:2] == ("refused", outcome)
            heard = (await trio.to_thread.run_sync(client.recv_until_closed)).octets
            assert zmtp.greeting(b"NULL").startswith(heard), "no ERROR: it comes again by itself"

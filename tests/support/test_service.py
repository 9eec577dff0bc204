"""The raw plain service and the raw plain client against libzmq."""

from pathlib import Path

import pytest
import zmq

from support import service
from support.libzmq import Libzmq
from support.peer import Peer
from support.service import RawService


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "ipc://@raw-service", "ipc://{}/socket"])
def test_libzmq_clients_get_their_echo(libzmq: Libzmq, endpoint: str, tmp_path: Path) -> None:
    with RawService(service.echo, endpoint=endpoint.format(tmp_path)) as echo:
        for kind in (zmq.DEALER, zmq.REQ):
            client = libzmq.connect(kind, echo.endpoint, ipv6=True)
            for parts in ([b"one"], [b"many", b"", b"x" * 65536]):
                client.send_multipart(parts)
                assert client.recv_multipart() == parts
    assert len(echo.accepted) == 2


def test_a_libzmq_service_takes_our_plain_client(libzmq: Libzmq) -> None:
    router, endpoint = libzmq.bind(zmq.ROUTER)
    with Peer.to(endpoint) as client:
        assert client.handshake().theirs["Socket-Type"] == b"ROUTER"
        client.send([b"hello"])
        sender, hello = router.recv_multipart()
        router.send_multipart([sender, hello, b"again"])
        assert client.recv() == [b"hello", b"again"]
        assert client.ping(b"x") == b"x"


def test_a_service_can_be_driven_step_by_step(libzmq: Libzmq) -> None:
    with RawService(socket_type="PULL") as pull:
        push = libzmq.connect(zmq.PUSH, pull.endpoint)
        peer = pull.accept()
        peer.greeting()
        peer.send_ready()
        assert peer.recv_ready() == {"Socket-Type": b"PUSH"}
        push.send(b"job")
        assert peer.recv() == [b"job"]


FAULTS = [
    service.garbage,
    service.closes_at_once,
    service.closes_after_greeting,
    service.wrong_mechanism,
    service.never_ready,
    service.malformed_ready,
    service.answers_error,
    service.wrong_socket_type,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_never_becomes_a_connection_for_libzmq(libzmq: Libzmq, fault: service.Behaviour) -> None:
    with RawService(fault) as faulty:
        client = libzmq.socket(zmq.DEALER)
        monitor = client.get_monitor_socket()
        client.connect(faulty.endpoint)
        events: list[int] = []
        while monitor.poll(300 if events else 10_000):
            events.append(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
            if events[-1] in (zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
                break
        assert zmq.EVENT_CONNECTED in events
        assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in events
        client.disable_monitor()
        monitor.close(0)


def test_what_a_service_does_after_ready() -> None:
    with RawService(service.sink) as sink, Peer.to(sink.endpoint) as client:
        client.handshake().send([b"nothing comes back"])
        client.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv()
    with RawService(service.sends_endlessly) as endless, Peer.to(endless.endpoint) as client:
        assert client.handshake().recv() == [b"x" * 65536]
    with RawService(service.never_reads) as deaf, Peer.to(deaf.endpoint) as client:
        client.handshake()
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.send([b"x" * 65536] * 1000)
    with RawService(service.silent) as silent, Peer.to(silent.endpoint) as client:
        client.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.greeting()
    with RawService(service.closes_after_ready) as going, Peer.to(going.endpoint) as client:
        assert client.handshake().recv_until_closed() == (b"", False)
    with RawService(service.resets_after_ready) as going, Peer.to(going.endpoint) as client:
        assert client.handshake().recv_until_closed().reset
    with RawService(service.closes_inside_a_message) as going, Peer.to(going.endpoint) as client:
        client.handshake()
        with pytest.raises(EOFError):
            client.recv()
        assert client.parts == [b"first"]


def test_a_service_that_restarts_closes_its_connections() -> None:
    with RawService(service.echo) as echo, Peer.to(echo.endpoint) as client:
        client.handshake()
        echo.close_connections()
        assert client.recv_until_closed().octets == b""


def test_an_error_in_a_behaviour_is_not_lost() -> None:
    def broken(peer: Peer) -> None:
        raise ValueError("broken")

    def serve() -> None:
        with RawService(broken) as faulty, Peer.to(faulty.endpoint) as client:
            client.recv_until_closed()

    with pytest.raises(ValueError, match="broken"):
        serve()

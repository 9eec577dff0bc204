"""Messages of every shape, silence, and many clients, between real libzmq."""

import re
from typing import Any

import pytest
import zmq
from support.client import RawClient
from support.lane import CLIENT, Lane
from support.libzmq import Libzmq, Socket, check_each_is_answered
from support.process import wait_until
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

SIZES = [0, 1, 255, 256, 65535, 65536, 10_000_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("endpoint", ["tcp", "ipc"])
def test_a_frame_of_any_size_passes_both_ways(lanes: dict[str, Lane], libzmq: Libzmq, endpoint: str, size: int) -> None:
    lane = lanes[endpoint]
    service, client = lane.bind(libzmq, zmq.ROUTER), lane.connect(libzmq, zmq.DEALER)
    body = (bytes(range(251)) * (size // 251 + 1))[:size]  # 251 is prime: nothing repeats at a buffer's length
    octets = {way: lane.metric("curveproxy_message_bytes_total", direction=way) for way in ("in", "out")}
    client.send_multipart([body, b"end"])
    name, *there = service.recv_multipart()
    assert there == [body, b"end"]
    service.send_multipart([name, b"begin", body])
    assert client.recv_multipart() == [b"begin", body]
    for way, small in (("in", b"end"), ("out", b"begin")):
        lane.wait_metric("curveproxy_message_bytes_total", octets[way] + size + len(small), direction=way)


def test_a_message_of_a_thousand_parts(tcp: Lane, libzmq: Libzmq) -> None:
    service, client = tcp.bind(libzmq, zmq.ROUTER), tcp.connect(libzmq, zmq.DEALER)
    parts = [b"%d" % number * (number % 7) for number in range(1000)]
    client.send_multipart(parts)
    client.send(b"next")
    assert service.recv_multipart() == [CLIENT, *parts]
    assert service.recv_multipart() == [CLIENT, b"next"]
    service.send_multipart([CLIENT, *parts])
    assert client.recv_multipart() == parts


def test_much_in_both_directions_at_once(tcp: Lane, libzmq: Libzmq) -> None:
    service, client = tcp.bind(libzmq, zmq.PAIR), tcp.connect(libzmq, zmq.PAIR)
    for sock in (service, client):
        sock.sndhwm = sock.rcvhwm = 0
    for number in range(2000):
        client.send(b"%d " % number * 1000)
        service.send(b"%d " % number * 2000)
    for number in range(2000):
        assert service.recv() == b"%d " % number * 1000
        assert client.recv() == b"%d " % number * 2000


def endings(monitor: Socket) -> list[int]:
    """What a monitor has told of an end so far."""
    ends = {zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED}
    told = []
    while monitor.poll(0):
        told.append(recv_monitor_message(monitor)["event"])
    return [event for event in told if event in ends]


def test_heartbeats_of_both_sides_keep_a_silent_session(tcp: Lane, libzmq: Libzmq) -> None:
    beat: dict[str, Any] = {"heartbeat_ivl": 100, "heartbeat_timeout": 1500, "heartbeat_ttl": 1500}
    service, client = tcp.bind(libzmq, zmq.ROUTER, **beat), tcp.connect(libzmq, zmq.DEALER, **beat)
    client.send(b"before")
    assert service.recv_multipart() == [CLIENT, b"before"]
    with client.get_monitor_socket() as monitor:
        admitted = tcp.metric("curveproxy_handshakes_total", outcome="admitted")
        assert client.poll(3000) == 0  # silence of the application, twice as long as the time-out
        assert endings(monitor) == []
        service.send_multipart([CLIENT, b"after"])
        assert client.recv() == b"after"
        assert tcp.metric("curveproxy_handshakes_total", outcome="admitted") == admitted
        client.disable_monitor()


def test_five_hundred_clients_at_once(tcp: Lane, libzmq: Libzmq) -> None:
    service = tcp.bind(libzmq, zmq.ROUTER)
    clients = [tcp.connect(libzmq, zmq.DEALER, identity=b"%d" % number) for number in range(500)]
    check_each_is_answered(service, clients)
    assert tcp.metric("curveproxy_sessions") == 500
    for client in clients:
        client.close(linger=0)
    tcp.wait_metric("curveproxy_sessions", 0)


def test_a_client_finds_its_service_again_after_a_restart(tcp: Lane, libzmq: Libzmq) -> None:
    service, client = tcp.bind(libzmq, zmq.ROUTER), tcp.connect(libzmq, zmq.DEALER)
    client.send(b"one")
    assert service.recv_multipart() == [CLIENT, b"one"]
    closed = tcp.metric("curveproxy_sessions_closed_total", reason="backend_closed")
    failed = tcp.metric("curveproxy_handshakes_total", outcome="backend_unavailable")
    service.close(linger=0)
    tcp.wait_metric("curveproxy_sessions_closed_total", closed + 1, reason="backend_closed")
    wait_until(lambda: tcp.metric("curveproxy_handshakes_total", outcome="backend_unavailable") > failed, "it tries")
    assert tcp.metric("curveproxy_backend_up") == 0
    client.send(b"two")  # libzmq keeps it until somebody takes it
    service = tcp.bind(libzmq, zmq.ROUTER)
    assert service.recv_multipart() == [CLIENT, b"two"]
    service.send_multipart([CLIENT, b"three"])
    assert client.recv() == b"three"
    assert tcp.metric("curveproxy_backend_up") == 1


def test_a_service_reads_who_its_client_is(lanes: dict[str, Lane], libzmq: Libzmq) -> None:
    lane = lanes["named"]
    service, client = lane.bind(libzmq, zmq.ROUTER), lane.connect(libzmq, zmq.DEALER)
    client.send(b"hello")
    _, frame = service.recv_multipart(copy=False)
    assert frame.bytes == b"hello"
    assert frame.get("User-Id") == "alice"
    assert frame.get("X-Curve-Key") == z85.encode(lane.keys.public).decode()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", str(frame.get("X-Peer-Address")))


@pytest.mark.parametrize("name", ["tcp", "named"])
def test_a_client_tells_what_it_is_and_not_who(lanes: dict[str, Lane], libzmq: Libzmq, name: str) -> None:
    lane = lanes[name]
    service = lane.bind(libzmq, zmq.ROUTER)
    lies = ["User-Id", "USER-ID", "Peer-Address", "X-Curve-Key", "x-curve-KEY", "X-Peer-Address"]
    for lie in lies:
        properties = {"Socket-Type": b"DEALER", "X-Colour": b"green", lie: b"root"}
        with RawClient(lane.public, lane.proxy.server.public, lane.keys, properties=properties) as client:
            client.handshake()
            client.send([b"hello"])
            frame = service.recv_multipart(copy=False)[-1]
            assert frame.get("X-Colour") == "green"
            assert "root" not in {known(frame, name) for name in lies}
            assert known(frame, "User-Id") == ("alice" if name == "named" else None)


def known(frame: zmq.Frame, name: str) -> str | None:
    """What libzmq knows of the sender of a frame, by a property's name."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return None

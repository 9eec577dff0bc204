"""The independent implementation against libzmq, in both roles, and that it is independent."""

import ast
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from support import curve, zmtp
from support.client import RawClient, RawServer
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Peer, Refused, connect
from support.service import RawService
from support.zmtp import Malformed

SERVER, CLIENT = Keys.new(), Keys.new()
SIZES = [0, 1, 222, 223, 255, 256, 65535, 65536]


# What stands on the other side of the wire, written from the RFCs.
INDEPENDENT = ("curve", "zmtp", "vectors", "client", "peer", "service", "libzmq", "old", "lane")


def test_it_imports_nothing_of_curveproxy() -> None:
    """Nor does what it imports from beside it."""
    left, seen = {f"support.{name}" for name in INDEPENDENT}, set[str]()
    while left:
        seen.add(module := left.pop())
        imported = imports_of(Path(__file__).parent / f"{module.removeprefix('support.')}.py")
        assert not [name for name in imported if name.split(".")[0] == "curveproxy"], module
        left |= {name for name in imported if name.startswith("support.")} - seen


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "support":
            names |= {f"support.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_a_libzmq_server_accepts_our_client(libzmq: Libzmq) -> None:
    server, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    with RawClient(endpoint, SERVER.public, CLIENT, identity=b"me") as client:
        assert client.greeting()[12:20] == b"CURVE\0\0\0"
        client.hello()
        client.welcome()
        client.initiate()
        assert client.ready()["Socket-Type"] == b"ROUTER"
        for size in SIZES:
            client.send([b"", b"x" * size])
            assert server.recv_multipart() == [b"me", b"", b"x" * size]
            server.send_multipart([b"me", b"many", b"", b"y" * size])
            assert client.recv() == [b"many", b"", b"y" * size]
        assert client.ping(b"sixteen octets!!", ttl=100) == b"sixteen octets!!"


def test_a_libzmq_client_accepts_our_server(libzmq: Libzmq) -> None:
    with RawService() as listener:
        client = libzmq.connect(zmq.DEALER, listener.endpoint, server=SERVER.public, keys=CLIENT, routing_id=b"me")
        with RawServer(listener.accept().sock, SERVER) as server:
            server.handshake()
            assert server.client == CLIENT.public
            assert server.theirs == {"Socket-Type": b"DEALER", "Identity": b"me"}
            for size in SIZES:
                client.send_multipart([b"a", b"x" * size])
                assert server.recv() == [b"a", b"x" * size]
                server.send([b"b", b"y" * size])
                assert client.recv_multipart() == [b"b", b"y" * size]


def test_our_client_and_our_server_agree() -> None:
    with RawService() as listener, RawClient(listener.endpoint, SERVER.public, CLIENT) as client:
        server = RawServer(listener.accept().sock, SERVER)
        thread = threading.Thread(target=server.handshake)
        thread.start()
        client.handshake()
        thread.join(10)
        client.send([b"a", b""])
        assert server.recv() == [b"a", b""]
        server.send([b"b"])
        assert client.recv() == [b"b"]
        assert [bytes(body[1:6]) for _, body in zmtp.read_frames(bytes(client.sent[64:]))] == [
            b"HELLO",
            b"INITI",
            b"MESSA",
            b"MESSA",
        ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.hello(server=Keys.new().public),
        lambda c: c.hello(version=b"\x02\x00"),
        lambda c: c.send_raw(zmtp.frame(curve.hello(c.transient, c.server)[:-1], zmtp.COMMAND)),
    ],
    ids=["another server", "version", "too short"],
)
def test_libzmq_closes_on_our_near_misses(libzmq: Libzmq, spoil: Callable[[RawClient], None]) -> None:
    _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    with RawClient(endpoint, SERVER.public) as client:
        client.greeting()
        spoil(client)
        assert client.recv_until_closed().octets == b""


def test_libzmq_refuses_a_vouch_of_another_key_and_a_repeated_nonce(libzmq: Libzmq) -> None:
    _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    with RawClient(endpoint, SERVER.public) as client:
        client.greeting()
        client.hello()
        client.welcome()
        client.initiate(vouch=client.vouch(transient=bytes(32)))
        assert client.recv_until_closed().octets == b""
    with RawClient(endpoint, SERVER.public) as client:
        client.handshake()
        client.send_raw(client.seal(b"once", nonce=3) + client.seal(b"twice", nonce=3))
        assert client.recv_until_closed().octets == b""


def test_our_server_refuses_what_does_not_belong_to_its_connection() -> None:
    transient, server_transient = Keys.new(), Keys.new()
    hello = curve.hello(transient, SERVER.public)
    assert curve.read_hello(hello, SERVER).client_transient == transient.public
    for spoiled in (
        hello[:-1],
        zmtp.damaged(hello),
        curve.hello(transient, SERVER.public, padding=b"x" * 72),
        curve.hello(transient, SERVER.public, plaintext=b"x" * 64),
        curve.hello(transient, SERVER.public, public=bytes(32)),
    ):
        with pytest.raises(Malformed):
            curve.read_hello(spoiled, SERVER)
    cookie = curve.cookie(transient.public, server_transient.secret, bytes(32))
    with pytest.raises(Malformed):
        curve.read_cookie(cookie, b"k" * 32)
    vouch = curve.vouch(CLIENT, transient.public, SERVER.public, server_transient.public)
    assert curve.read_vouch(vouch, CLIENT.public, server_transient) == (transient.public, SERVER.public)
    with pytest.raises(Malformed):
        curve.read_vouch(vouch, SERVER.public, server_transient)


def test_an_error_is_told_to_the_client() -> None:
    with RawService() as listener, RawClient(listener.endpoint, SERVER.public) as client:
        server = listener.accept()
        server.send_raw(zmtp.greeting() + zmtp.frame(zmtp.error(b"400"), zmtp.COMMAND))
        client.greeting()
        with pytest.raises(Refused, match="400"):
            client.ready()


def test_an_ending_tells_fin_from_reset_and_silence() -> None:
    with RawService() as listener:
        with Peer(connect(listener.endpoint)) as client, listener.accept() as server:
            with pytest.raises(TimeoutError):
                client.recv_until_closed(0.05)
            server.send_raw(b"bye")
            server.close()
            assert client.recv_until_closed() == (b"bye", False)
        with Peer(connect(listener.endpoint)) as client, listener.accept() as server:
            server.reset()
            assert client.recv_until_closed() == (b"", True)


def test_a_client_may_choose_its_source_and_use_it_again() -> None:
    with RawService() as listener:
        with RawClient(listener.endpoint, SERVER.public, source=("127.0.0.1", 0)) as client:
            listener.accept()
            source = client.sock.getsockname()
            client.reset()
        with RawClient(listener.endpoint, SERVER.public, source=source) as client:
            assert listener.accept().sock.getpeername() == source


def test_metadata_and_frames_come_back_and_halves_do_not() -> None:
    pairs = [("Socket-Type", b"DEALER"), ("Identity", b""), ("Identity", b"x" * 300)]
    octets = zmtp.metadata(pairs)
    assert zmtp.read_metadata(octets) == pairs
    for cut in (1, 299, len(octets) - 1):
        with pytest.raises(Malformed):
            zmtp.read_metadata(octets[:-cut])
    stream = zmtp.frame(b"a" * 256, zmtp.MORE) + zmtp.frame(b"", long=True)
    assert zmtp.read_frames(stream) == [(zmtp.MORE, b"a" * 256), (0, b"")]
    with pytest.raises(Malformed):
        zmtp.read_frames(stream[:-1])


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x05HELLO", b"\x08INITIATE", b"\x07MESSAGE", b"\x05ERROR"]))
def test_a_reader_of_anything_raises_malformed_or_nothing(octets: bytes, name: bytes) -> None:
    for reader in (
        zmtp.read_frames,
        zmtp.read_command,
        zmtp.read_metadata,
        zmtp.read_error,
        lambda body: curve.read_hello(body, SERVER),
        lambda body: curve.read_welcome(body, SERVER.public, CLIENT),
        lambda body: curve.read_cookie(body, bytes(32)),
        lambda body: curve.read_initiate(body, CLIENT.public, SERVER),
        lambda body: curve.read_vouch(body, CLIENT.public, SERVER),
        lambda body: curve.read_ready(body, SERVER.public, CLIENT),
        lambda body: curve.read_message(body, bytes(32), curve.FROM_CLIENT),
    ):
        with suppress(Malformed):
            reader(name + octets)


def test_a_secret_does_not_show() -> None:
    assert repr(CLIENT.secret) not in repr(CLIENT)

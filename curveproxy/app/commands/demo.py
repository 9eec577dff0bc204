"""``curveproxy demo``: a sample service, the proxy before it, a client and one that is refused, in one process.

Service and client are built on ``wire``; no libzmq is needed.
"""

import signal
import tempfile
from functools import partial
from pathlib import Path

import trio
from rich.console import Console

from curveproxy.app.admin.routes import Routes
from curveproxy.app.admin.server import application, listen, serve
from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.keys import SecretKey
from curveproxy.app.config.schema import AdminConfig, ClientsConfig, Config, ServiceConfig
from curveproxy.app.observe.log import open_log
from curveproxy.app.observe.status import Query
from curveproxy.app.process.main import prepare_process
from curveproxy.app.process.relay import LocalRelay
from curveproxy.policy.socket_types import REP, REQ
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.select import CodecState, open_frames
from curveproxy.wire.codec.single import seal_one
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.curve.client import CurveInitiator
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import PeerError
from curveproxy.wire.security import Curve
from curveproxy.wire.zmtp.frame import frame, read_frame
from curveproxy.wire.zmtp.negotiation import PlainInitiator

MESSAGES = 10
EVERY_SECONDS = 1.0
CHUNK = 65536
LIMIT = 1 << 20
LOOPBACK = "127.0.0.1"
SHOWN = (
    ("curveproxy_handshakes_total", {"outcome": "admitted", "service": "demo"}),
    ("curveproxy_handshakes_total", {"outcome": "client_unknown", "service": "demo"}),
    ("curveproxy_sessions", {"service": "demo"}),
    ("curveproxy_messages_total", {"direction": "in", "service": "demo"}),
    ("curveproxy_message_bytes_total", {"direction": "in", "service": "demo"}),
    ("curveproxy_messages_total", {"direction": "out", "service": "demo"}),
)


def demo(once: bool) -> None:
    """Run until a signal ends it, or with ``once`` for ten messages. The keys are removed at the end."""
    console = Console(highlight=False, soft_wrap=True)
    descriptors = prepare_process()
    try:
        with tempfile.TemporaryDirectory(prefix="curveproxy-demo-") as directory:
            trio.run(_demo, console, Path(directory), once, descriptors)
    except KeyboardInterrupt:
        console.print("\nbye")


async def _demo(console: Console, directory: Path, once: bool, descriptors: int) -> None:
    # Before any key is written, which a signal that kills by default would leave behind.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, console, directory, once, descriptors, nursery.cancel_scope)
            async for _ in signals:
                nursery.cancel_scope.cancel()


async def _show(console: Console, directory: Path, once: bool, descriptors: int, everything: trio.CancelScope) -> None:
    server, client = KeyPair.generate(), KeyPair.generate()
    server_file = directory / "server.key_secret"
    write_key_pair(server_file, server)
    (clients := directory / "clients").mkdir()
    public_file = write_key_pair(directory / "alice.key_secret", client)
    public_file.rename(clients / public_file.name)
    relay = LocalRelay(descriptors=descriptors, handed_over=(), log=open_log("warning", "text"))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, shout, 0, host=LOOPBACK))
        plain = listeners[0].socket.getsockname()[1]
        backend, here = Endpoint("tcp", LOOPBACK, plain), Endpoint("tcp", LOOPBACK, 0)
        keys, allowed = [SecretKey(server, server_file)], ClientsConfig(directory=clients)
        config = Config(service=[ServiceConfig("demo", here, backend, keys, clients=allowed)])
        await nursery.start(relay.run)
        await relay.apply(config)
        [page] = listen(LOOPBACK, 0)
        routes = Routes(relay, lambda: "", list, AdminConfig)
        nursery.start_soon(serve, page, application(relay.collect, lambda: "", beside=routes.routes))
        bound = Endpoint.parse((await relay.look(Query())).services[0].endpoint)
        console.print(f"[bold]service[/]  plain ZMTP, no keys, answers in capitals   tcp://{LOOPBACK}:{plain}")
        console.print(f"[bold]proxy[/]    CURVE before it                            {bound}")
        console.print(
            f"[bold]page[/]     its status; /metrics for Prometheus        http://{LOOPBACK}:{page.getsockname()[1]}/"
        )
        console.print(f"[bold]keys[/]     made for this run                          {directory}\n")
        await _talk(console, bound.port, server.public, client, 0.05 if once else EVERY_SECONDS)
        console.print("\na client whose key is not on the list is refused, and the log says why:\n")
        await _is_refused(bound.port, server.public)
        console.print("what that moved:\n")
        samples = [sample for family in await relay.collect() for sample in family.samples]
        for name, labels in SHOWN:
            [value] = [sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)]
            text = ",".join(f'{label}="{text}"' for label, text in labels.items())
            console.print(f"  {value:6.0f}  {name}{{{text}}}", markup=False)
        if not once:
            console.print("\nconnect to it yourself, with pyzmq:\n")
            console.print(_snippet(directory, server_file, str(bound)), markup=False)
            console.print("it runs until Ctrl-C")
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    everything.cancel()


def _snippet(directory: Path, server_file: Path, endpoint: str) -> str:
    return f"""\
    import zmq, zmq.auth
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate("{directory}/alice.key_secret")
    socket.curve_serverkey, _ = zmq.auth.load_certificate("{server_file}")
    socket.connect("{endpoint}")
    socket.send(b"hello"); print(socket.recv())
"""


# --- the service: REP, on a plain socket


async def shout(stream: trio.SocketStream) -> None:
    """Serve one connection: answer each request in capitals."""
    peer = PlainInitiator({"Socket-Type": REP})
    await stream.send_all(peer.start())
    while not peer.done:
        if not (octets := await stream.receive_some(CHUNK)):
            return
        await stream.send_all(peer.receive_untrusted(octets))
    seen = peer.negotiated.leftover
    while True:
        while (found := read_frame(seen)) is not None:
            flags, body, seen = found
            if not flags & spec.COMMAND:  # the envelope goes back as it came
                await stream.send_all(frame(flags & spec.MORE, body.upper()))
        if not (octets := await stream.receive_some(CHUNK)):
            return
        seen += octets


# --- the client: REQ, on a CURVE socket


async def _is_refused(port: int, server: bytes) -> None:
    """A handshake with a key that nobody has listed."""
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    peer = CurveInitiator(server, KeyPair.generate(), KeyPair.generate(), sodium.randombytes(16), {"Socket-Type": REQ})
    async with stream:
        await stream.send_all(peer.start())
        while octets := bytes(await stream.receive_some(CHUNK)):
            try:
                await stream.send_all(peer.receive_untrusted(octets))
            except PeerError:
                return


async def _talk(console: Console, port: int, server: bytes, keys: KeyPair, pause: float) -> None:
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    peer = CurveInitiator(server, keys, KeyPair.generate(), sodium.randombytes(16), {"Socket-Type": REQ})
    async with stream:
        await stream.send_all(peer.start())
        while not peer.done:
            octets = bytes(await stream.receive_some(CHUNK))
            if not octets:
                raise SystemExit(f"the proxy closed the handshake while {peer.stage} was due")
            await stream.send_all(peer.receive_untrusted(octets))
        curve = peer.negotiated.security
        assert isinstance(curve, Curve)
        sealing = CodecState(curve.key, curve.seal_prefix, curve.seal_nonce, LIMIT)
        opening = CodecState(curve.key, curve.open_prefix, curve.open_nonce, LIMIT)
        source, target = Buffer(CHUNK), Buffer(CHUNK)
        for number in range(1, MESSAGES + 1):
            request = f"message {number}".encode()
            sealed = seal_one(sealing, spec.INNER_MORE, b"") + seal_one(sealing, 0, request)
            await stream.send_all(sealed)
            end, plain, answered = 0, b"", 0
            while not answered:
                octets = await stream.receive_some(CHUNK - end)
                source.view[end : end + len(octets)] = octets
                end += len(octets)
                batch = open_frames(opening, source, 0, end, target, 0)
                start, answered = batch.start, batch.messages
                plain += bytes(target.view[: batch.at])
                source.view[: end - start], end = bytes(source.view[start:end]), end - start
            _, _, answer = read_frame(plain) or (0, b"", b"")  # the empty delimiter of REQ and REP
            _, body, _ = read_frame(answer) or (0, b"", b"")
            console.print(f"  sent {request.decode()!r:14} got {body.decode()!r}", markup=False)
            await trio.sleep(pause)

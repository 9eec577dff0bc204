"""``curveproxy demo``: both directions, between a service and a client that know no CURVE, in one process.

    client -- plain, a Unix socket --> egress -- CURVE --> ingress -- plain --> service

Service and client are those of ``demo_peers``; no libzmq is needed.
"""

import signal
import tempfile
from functools import partial
from pathlib import Path

import trio
from rich.console import Console

from curveproxy.app.admin.routes import Routes
from curveproxy.app.admin.server import application, listen, serve
from curveproxy.app.commands.demo_peers import Conversation, ask, is_refused, shout
from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.keys import RemoteKey, SecretKey
from curveproxy.app.config.schema import AdminConfig, ClientsConfig, Config, EgressConfig, ServiceConfig
from curveproxy.app.observe.log import open_log
from curveproxy.app.observe.status import Query
from curveproxy.app.process.main import prepare_process
from curveproxy.app.process.relay import LocalRelay
from curveproxy.policy.socket_types import REQ
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire.curve.keys import KeyPair

MESSAGES = 10
EVERY_SECONDS = 1.0
LOOPBACK = "127.0.0.1"
INGRESS, EGRESS = "demo", "demo-egress"
SHOWN = (
    ("curveproxy_handshakes_total", {"outcome": "admitted", "service": EGRESS}),
    ("curveproxy_handshakes_total", {"outcome": "admitted", "service": INGRESS}),
    ("curveproxy_handshakes_total", {"outcome": "client_unknown", "service": INGRESS}),
    ("curveproxy_messages_total", {"direction": "in", "service": EGRESS}),
    ("curveproxy_messages_total", {"direction": "in", "service": INGRESS}),
    ("curveproxy_message_bytes_total", {"direction": "in", "service": INGRESS}),
    ("curveproxy_messages_total", {"direction": "out", "service": EGRESS}),
)


def demo(once: bool) -> None:
    """Run until a signal ends it, or with ``once`` for ten messages. The keys are removed at the end."""
    console = Console(highlight=False, soft_wrap=True)
    descriptors, closed = prepare_process(), False
    try:
        with tempfile.TemporaryDirectory(prefix="curveproxy-") as directory:
            try:
                trio.run(_demo, console, Path(directory), once, descriptors)
            except* EOFError:
                closed = True
    except KeyboardInterrupt:
        console.print("\nbye")
    if closed:
        raise SystemExit("the egress has closed the client's connection, and the log says why")


async def _demo(console: Console, directory: Path, once: bool, descriptors: int) -> None:
    # Before any key is written, which a signal that kills by default would leave behind.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show, console, directory, once, descriptors, nursery.cancel_scope)
            async for _ in signals:
                nursery.cancel_scope.cancel()


async def _show(console: Console, directory: Path, once: bool, descriptors: int, everything: trio.CancelScope) -> None:
    keys = _Keys(directory)
    relay = LocalRelay(descriptors=descriptors, handed_over=(), log=open_log("warning", "text"))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, shout, 0, host=LOOPBACK))
        backend = Endpoint("tcp", LOOPBACK, listeners[0].socket.getsockname()[1])
        ingress = keys.ingress(backend)
        await nursery.start(relay.run)
        await relay.apply(Config(service=[ingress]))
        bound = Endpoint.parse((await relay.look(Query())).services[0].endpoint)
        egress = keys.egress(bound)
        await relay.apply(Config(service=[ingress], egress=[egress]))
        [page] = listen(LOOPBACK, 0)
        routes = Routes(relay, lambda: "", list, AdminConfig)
        nursery.start_soon(serve, page, application(relay.collect, lambda: "", beside=routes.routes))
        console.print(f"[bold]service[/]  plain ZMTP, no keys, answers in capitals   {backend}")
        console.print(f"[bold]ingress[/]  CURVE, for the clients whose keys it has   {bound}")
        console.print(f"[bold]egress[/]   plain, for whoever may open its socket     {egress.listen}")
        console.print(
            f"[bold]page[/]     their status; /metrics for Prometheus      http://{LOOPBACK}:{page.getsockname()[1]}/"
        )
        console.print(f"[bold]keys[/]     made for this run                          {directory}\n")
        console.print("a client with no CURVE at all asks the egress, which has a key and asks the ingress:\n")
        await _talk(console, egress.listen, 0.05 if once else EVERY_SECONDS)
        console.print("\na client whose key is not on the list is refused, and the log says why:\n")
        async with await trio.open_tcp_stream(LOOPBACK, bound.port) as stream:
            await is_refused(stream, keys.server.public)
        console.print("what that moved:\n")
        await _tell_figures(console, relay)
        if not once:
            console.print("\nconnect to them yourself, with pyzmq:\n")
            console.print(keys.snippet(bound, egress.listen), markup=False)
            console.print("they run until Ctrl-C")
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    everything.cancel()


class _Keys:
    """Keys in a directory, and what the two directions do with them. server: the ingress's; alice: the egress's."""

    def __init__(self, directory: Path) -> None:
        self.server, self._alice = KeyPair.generate(), KeyPair.generate()
        self._server_file, self._alice_file = directory / "server.key_secret", directory / "alice.key_secret"
        self._socket, self._clients = directory / "demo.sock", directory / "clients"
        write_key_pair(self._server_file, self.server)
        self._clients.mkdir()
        public_file = write_key_pair(self._alice_file, self._alice)
        public_file.rename(self._clients / public_file.name)

    def ingress(self, backend: Endpoint) -> ServiceConfig:
        """CURVE on any free port, for alice."""
        keys = [SecretKey(self.server, self._server_file)]
        return ServiceConfig(
            INGRESS, Endpoint("tcp", LOOPBACK, 0), backend, keys, clients=ClientsConfig(directory=self._clients)
        )

    def egress(self, remote: Endpoint) -> EgressConfig:
        """A Unix socket, behind which everybody is alice."""
        return EgressConfig(
            EGRESS,
            Endpoint("ipc", str(self._socket)),
            [remote],
            [RemoteKey(self.server.public)],
            SecretKey(self._alice, self._alice_file),
        )

    def snippet(self, ingress: Endpoint, egress: Endpoint) -> str:
        """A client of each."""
        return f"""\
    import zmq, zmq.auth
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.connect("{egress}")
    socket.send(b"hello, without keys"); print(socket.recv())

    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate("{self._alice_file}")
    socket.curve_serverkey, _ = zmq.auth.load_certificate("{self._server_file}")
    socket.connect("{ingress}")
    socket.send(b"hello, with keys"); print(socket.recv())
"""


async def _talk(console: Console, egress: Endpoint, pause: float) -> None:
    async with await trio.open_unix_socket(egress.unix_address) as stream:
        talk = await Conversation.begin(stream, REQ)
        for number in range(1, MESSAGES + 1):
            request = f"message {number}".encode()
            answer = await ask(talk, request)
            console.print(f"  sent {request.decode()!r:14} got {answer.decode()!r}", markup=False)
            await trio.sleep(pause)


async def _tell_figures(console: Console, relay: LocalRelay) -> None:
    samples = [sample for family in await relay.collect() for sample in family.samples]
    for name, labels in SHOWN:
        [value] = [sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)]
        text = ",".join(f'{label}="{text}"' for label, text in labels.items())
        console.print(f"  {value:6.0f}  {name}{{{text}}}", markup=False)

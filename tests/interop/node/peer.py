"""Real ZeroMQ sockets of Node.js: its package ``zeromq``, which brings a libzmq of its own with all draft types.

``with Node(modules) as node`` is one process of ``peer.js``; its sockets speak with the names of pyzmq's, so that a
test need not know which of the two it has.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from support.cache import cached
from support.curve import Keys
from support.peer import SECONDS
from zmq.utils import z85

HERE = Path(__file__).parent
INSTALL_SECONDS = 300
VERSION = json.loads((HERE / "package.json").read_text())["dependencies"]["zeromq"]


class NodeError(Exception):
    """What a call threw: its code, such as EAGAIN, or its message."""


def installed() -> Path:
    """The directory of the package, installed once into the user's cache: its binaries come ready-made, nothing is
    compiled and no script of it is run. Skips where it can not be had.
    """
    return cached(f"node-zeromq-{VERSION}", install) / "node_modules"


def install(directory: Path) -> None:
    """Let npm put it there."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if "error" in line] or ["it does not say why"]
        pytest.skip(f"npm can not install zeromq {VERSION}: {complaints[0]}")


class NodeSocket:
    """One socket; kind: the package's name of its type. Sending and receiving raise NodeError after SECONDS."""

    def __init__(self, node: "Node", kind: str, number: int) -> None:
        self.node, self.kind, self.number = node, kind, number

    def call(self, name: str, *args: object) -> Any:
        """Call a method as the package names it, or read a property."""
        return self.node.ask(socket=self.number, call=name, args=args)

    def send_multipart(self, parts: Sequence[bytes], **options: object) -> None:
        """Send one message. options: group or routingId, where the type has them."""
        # the draft types take one part, not a list of one
        self.call("send", parts[0] if len(parts) == 1 else parts, *([options] if options else []))

    def recv_multipart(self) -> list[Any]:
        """The next message; the last of it is a dict of group or routingId, where the type has them."""
        parts: list[Any] = self.call("receive")
        return parts

    def poll(self, milliseconds: float) -> bool:
        """Whether there is a message within this time."""
        deadline = time.monotonic() + milliseconds / 1000
        while not (readable := self.call("readable")) and time.monotonic() < deadline:
            time.sleep(0.005)
        return bool(readable)

    def events(self) -> list[tuple[str, int | None]]:
        """What has happened to it so far: the package's name of each event, and the status of its error."""
        return [(name, status) for name, status in self.node.ask(socket=self.number, events=True)]


class Node:
    """A process of Node.js and its sockets. modules: what ``installed`` returned."""

    def __init__(self, modules: Path) -> None:
        self.environment = {**os.environ, "NODE_PATH": str(modules)}
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            ["node", "--no-warnings", str(HERE / "peer.js")],  # it warns of every draft type
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                status = self.process.wait(SECONDS)
            finally:
                self.process.kill()
        assert status == 0 or kind is not None

    def ask(self, **request: object) -> Any:
        """Send a request to ``peer.js``; what it answers. Raises NodeError with what was thrown there."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request, default=_written) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 2 * SECONDS)  # a call waits no longer than SECONDS
        line = self.process.stdout.readline() if ready else ""
        assert line, "node has ended, or does not answer"
        answer = json.loads(line, object_hook=_read)
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["value"]

    def socket(self, kind: str, *, metadata: Mapping[str, str] | None = None, **options: object) -> NodeSocket:
        """A socket neither bound nor connected. Kind and options are the package's names; metadata: X- properties."""
        patience = int(SECONDS * 1000)
        options = {"receiveTimeout": patience, "sendTimeout": patience, **options}
        return NodeSocket(self, kind, self.ask(open=kind, options=options, metadata=metadata or {}))

    def bind(self, kind: str, endpoint: str, *, server: Keys | None = None, **options: Any) -> NodeSocket:
        """A bound socket. server: its keys, which make it a CURVE server."""
        if server is not None:
            options |= {"curveServer": True, "curveSecretKey": z85.encode(server.secret).decode()}
        sock = self.socket(kind, **options)
        sock.call("bind", endpoint)
        return sock

    def connect(
        self, kind: str, endpoint: str, *, server: bytes | None = None, keys: Keys | None = None, **options: Any
    ) -> NodeSocket:
        """A connected socket. server: the server's public key, which makes it a CURVE client, keys: its own."""
        if server is not None:
            keys = keys or Keys.new()
            named = {"curveServerKey": server, "curvePublicKey": keys.public, "curveSecretKey": keys.secret}
            options |= {name: z85.encode(key).decode() for name, key in named.items()}
        sock = self.socket(kind, **options)
        sock.call("connect", endpoint)
        return sock


def _written(octets: object) -> dict[str, str]:
    assert isinstance(octets, bytes)
    return {"base64": base64.b64encode(octets).decode()}


def _read(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if "base64" in value else value

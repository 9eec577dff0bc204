"""``curveproxy probe``: a real handshake from outside, step by step, and where it fails the likely cause.

It sends no message, and goes as soon as it has READY. What it writes holds no secret.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio
from attrs import define, field, frozen
from rich.console import Console

from curveproxy.app.config.certificates import KeyFileError, parse_key, read_certificate, read_key_pair, reason
from curveproxy.app.observe.text import printable
from curveproxy.policy.metadata import PROBE
from curveproxy.policy.socket_types import fits, known
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire import sodium, spec, z85
from curveproxy.wire.curve.client import READY_MAX, CurveInitiator, Stage
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.greeting import MAJOR_END
from curveproxy.wire.zmtp.metadata import find

SECONDS = 10.0
# How long we wait for the mechanism of somebody who did not like ours.
ASK_SECONDS = 2.0
# Whoever closes later than that after HELLO has not closed because of what HELLO said.
AT_ONCE_SECONDS = 3.0
CHUNK = READY_MAX + spec.LONG_HEADER

Address = tuple[socket.AddressFamily, Any]


@frozen
class Step:
    """What was done, in how many seconds, and what it told."""

    step: str
    seconds: float
    detail: str


@frozen
class Failure:
    """Why it went no further than ``step``. reason: a ClientFailure, or the Outcome that curveproxy told."""

    step: str
    seconds: float
    reason: ClientFailure | Outcome
    detail: str = ""

    @property
    def cause(self) -> str:
        return f"{self.reason.cause} ({self.detail})" if self.detail else self.reason.cause


@define
class Report:
    """What was found out. client_key: the public key that was tried; properties: what READY said."""

    endpoint: str
    socket_type: str
    client_key: str = ""
    steps: list[Step] = field(factory=list)
    properties: dict[str, str] = field(factory=dict)
    failure: Failure | None = None

    def as_json(self) -> str:
        """One object."""
        found = attrs.asdict(self) | {"ok": self.failure is None}
        if self.failure is not None:
            found["failure"] |= {"cause": self.failure.cause, "remedy": self.failure.reason.remedy}
        return json.dumps(found)


# What a fault of the server is called.
CAUSES: Mapping[Fault, ClientFailure] = {
    Fault.NOT_ZMTP: ClientFailure.NOT_ZMTP,
    Fault.ZMTP_VERSION: ClientFailure.ZMTP_VERSION,
    Fault.MECHANISM: ClientFailure.MECHANISM,
    Fault.ROLE: ClientFailure.ROLE,
    Fault.COMMAND: ClientFailure.COMMAND,
    Fault.WELCOME: ClientFailure.WELCOME,
    Fault.READY: ClientFailure.READY,
    Fault.METADATA: ClientFailure.READY,
    Fault.REFUSED: ClientFailure.REFUSED,
}


class ProbeError(Exception):
    """The probe goes no further. detail: our own words for the report."""

    def __init__(self, failure: ClientFailure, detail: str = "") -> None:
        super().__init__(f"{failure}: {detail}" if detail else str(failure))
        self.failure = failure
        self.detail = detail


# The server may want another key: which one was tried is worth telling.
OF_THE_KEY = (ClientFailure.REFUSED, ClientFailure.READY_CLOSED)


def probe(endpoint: Endpoint, server_key: str, secret_key: Path | None, socket_type: str, *, as_json: bool) -> bool:
    """Probe, and tell. server_key: Z85 or a file; secret_key: the client's file, None for a fresh key."""
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)  # keys look like all of these
    report = Report(str(endpoint), socket_type)
    try:
        keys = KeyPair.generate() if secret_key is None else _client_keys(secret_key)
        server = _server_key(server_key, keys)
    except KeyFileError as error:
        report.failure = Failure("keys", 0.0, ClientFailure.KEYS, str(error))
    else:
        report.client_key = z85.encode(keys.public)
        show = partial(_show, Console(quiet=True) if as_json else console)
        trio.run(_Probe(endpoint, server, keys, report, show).run)
    if as_json:
        console.out(report.as_json())
    else:
        _conclude(console, report, fresh=secret_key is None)
    return report.failure is None


def _show(console: Console, step: Step) -> None:
    _print_step(console, "green", step.step, step.seconds, step.detail)


def _print_step(console: Console, style: str, step: str, seconds: float, told: str) -> None:
    console.print(f"{step:9}", style=style, end="")
    console.print(f"{seconds * 1000:9.1f} ms  {printable(told)}".rstrip())


def _conclude(console: Console, report: Report, *, fresh: bool) -> None:
    if (failure := report.failure) is None:
        for name, value in report.properties.items():
            console.print(printable(f"{'':23}{name}: {value}").rstrip())
        console.print("it is let in", style="bold green")
        return
    _print_step(console, "bold red", failure.step, failure.seconds, f"failed: {failure.reason}")
    lines = {"cause": failure.cause, "remedy": failure.reason.remedy}
    if failure.reason in OF_THE_KEY:
        lines["key"] = f"{report.client_key} ({'made for this probe: see --secret-key' if fresh else 'public'})"
    for title, text in lines.items():
        console.print(f"{title:9}", style="bold", end="")
        console.print(printable(text))


# --- keys: what can be wrong with them is a finding too


def _server_key(text: str, keys: KeyPair) -> bytes:
    """The server's public key; a file that is there wins, for a path may be 40 letters that Z85 knows, as a key is.

    Raises KeyFileError, which does not repeat what may be a secret.
    """
    if os.path.lexists(text):
        key = read_certificate(Path(text)).public
    else:
        try:
            key = parse_key(text)
        except ValueError as error:
            raise KeyFileError(f"the server key is no file, and as a key it is {error}") from None
    if key == keys.public:
        raise KeyFileError("the server key is the client's own public key")
    if key == keys.secret:
        raise KeyFileError("the server key is the client's secret key")
    return key


def _client_keys(path: Path) -> KeyPair:
    """The client's key pair. Raises KeyFileError, which does not repeat what may be a secret."""
    if not os.path.lexists(path):
        raise KeyFileError("there is no such file as --secret-key names")
    return read_key_pair(path)


# --- the handshake


class _Probe:
    """One handshake. step: what is being done."""

    def __init__(
        self, endpoint: Endpoint, server: bytes, keys: KeyPair, report: Report, tell: Callable[[Step], None]
    ) -> None:
        self.step = "resolve"
        self._endpoint, self._server, self._keys = endpoint, server, keys
        self._report, self._tell = report, tell
        self._began = 0.0

    async def run(self) -> None:
        """Fill the report."""
        try:
            with trio.fail_after(SECONDS):
                await self._handshake()
        except trio.TooSlowError:
            self._failed(ClientFailure(f"{self.step}_timeout"))
        except ProbeError as error:
            self._failed(error.failure, error.detail)
        except PeerError as error:
            if error.fault == Fault.REFUSED and not error.detail.isdecimal():
                self._refused(error.detail)
            else:
                self._failed(CAUSES[error.fault], error.detail)

    def _refused(self, why: str) -> None:
        """The server is a proxy of ours that told why, or another that said what we do not know."""
        if why in list(Outcome):
            self._failed(Outcome(why))
        else:
            self._failed(ClientFailure.REFUSED)

    def _failed(self, why: ClientFailure | Outcome, detail: str = "") -> None:
        self._report.failure = Failure(self.step, self._seconds, why, detail)

    @property
    def _seconds(self) -> float:
        return round(trio.current_time() - self._began, 6)

    @contextmanager
    def _timed(self, step: str) -> Iterator[list[str]]:
        """Do a step; what it told goes into the list."""
        self.step, self._began = step, trio.current_time()
        told: list[str] = []
        yield told
        self._report.steps.append(Step(step, self._seconds, ", ".join(told)))
        self._tell(self._report.steps[-1])

    async def _handshake(self) -> None:
        with self._timed("resolve") as told:
            addresses = await self._resolve()
            told += [_text(address) for address in addresses]
        with self._timed("connect") as told:
            stream, address = await _connect(addresses)
            told.append(_text(address))
        async with stream:
            peer = self._client()
            with self._timed("greeting") as told:
                try:
                    await self._exchange(stream, peer, peer.start())
                except ProbeError as error:
                    if error.failure == ClientFailure.GREETING_CLOSED:
                        await self._ask_mechanism(address)
                    raise
                told.append(f"ZMTP 3.{peer.minor}, CURVE")
            with self._timed("welcome") as told:
                await self._exchange(stream, peer)
                told.append("the server has this key")
            with self._timed("ready") as told:
                await self._exchange(stream, peer)
                service = find(peer.negotiated.metadata, "Socket-Type")
                if not fits(self._report.socket_type.encode(), service):
                    detail = f"client {self._report.socket_type}, service {known(service)}"
                    raise ProbeError(ClientFailure.SOCKET_TYPE, detail)
            self._report.properties = {name: _printable(value) for name, value in peer.negotiated.metadata.items()}

    def _client(self) -> CurveInitiator:
        properties = {"Socket-Type": self._report.socket_type.encode(), PROBE.title(): b""}
        return CurveInitiator(self._server, self._keys, KeyPair.generate(), sodium.randombytes(16), properties)

    async def _resolve(self) -> list[Address]:
        if self._endpoint.transport == "ipc":
            return [(socket.AF_UNIX, self._endpoint.unix_address)]
        try:
            found = await trio.socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ProbeError(ClientFailure.RESOLVE, reason(error)) from None
        return [(family, address) for family, _, _, _, address in found]

    async def _exchange(self, stream: trio.SocketStream, peer: CurveInitiator, octets: bytes = b"") -> None:
        """Send, then listen and answer until the stage at which we are is over."""
        stage = peer.stage
        room = spec.GREETING_SIZE if stage is Stage.GREETING else CHUNK  # what is behind is the next step's
        await _send(stream, octets)
        while peer.stage is stage:
            octets = await _receive(stream, room)
            room -= len(octets)
            if not octets:
                late = stage is Stage.WELCOME and self._seconds > AT_ONCE_SECONDS
                raise ProbeError(ClientFailure(f"{stage}_timeout" if late else f"{stage}_closed"))
            await _send(stream, peer.receive_untrusted(octets))

    async def _ask_mechanism(self, address: Address) -> None:
        """Come again without naming ours: libzmq leaves without a word when it sees one that is not its own.

        Raises PeerError when it is another than CURVE.
        """
        with trio.move_on_after(ASK_SECONDS):
            try:
                stream, _ = await _connect([address])
            except ProbeError:
                return
            async with stream:
                peer = self._client()
                await _send(stream, peer.start()[:MAJOR_END])
                while peer.stage is Stage.GREETING and (octets := await _receive(stream, spec.GREETING_SIZE)):
                    peer.receive_untrusted(octets)


async def _connect(addresses: list[Address]) -> tuple[trio.SocketStream, Address]:
    """A connection to the first of them that takes it. Raises ProbeError."""
    failure = ProbeError(ClientFailure.CONNECT)
    for family, address in addresses:
        try:
            sock = trio.socket.socket(family, socket.SOCK_STREAM)
            try:
                await sock.connect(address)
            except BaseException:
                sock.close()
                raise
        except (ConnectionRefusedError, FileNotFoundError):
            failure = ProbeError(ClientFailure.CONNECT_REFUSED)
        except OSError as error:
            failure = ProbeError(ClientFailure.CONNECT, reason(error))
        else:
            return trio.SocketStream(sock), (family, address)
    raise failure


async def _send(stream: trio.SocketStream, octets: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # it has closed: what it still said tells more
        await stream.send_all(octets)


async def _receive(stream: trio.SocketStream, most: int) -> bytes:
    """Octets from the other side; none when it has closed, in whatever manner."""
    try:
        return bytes(await stream.receive_some(most))
    except trio.BrokenResourceError:
        return b""


def _text(address: Address) -> str:
    family, where = address
    if family == socket.AF_UNIX:
        return str(Endpoint("ipc", where.replace("\0", "@")))
    return str(Endpoint("tcp", where[0], where[1])).removeprefix("tcp://")


def _printable(value: bytes) -> str:
    """A property's value as text when it is text, else in hex: a terminal shows no peer's control characters."""
    text = value.decode(errors="replace")
    return text if text.isprintable() and "\ufffd" not in text else value.hex()

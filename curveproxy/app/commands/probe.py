"""``curveproxy probe``: a real handshake from outside, step by step, and the likely cause where it fails.

It sends no message, and leaves as soon as it has READY. What it writes holds no secret.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio
from attrs import evolve
from rich.console import Console

from curveproxy.app.commands.probe_report import NO_RECORDS, Failure, Report, Step, conclude, show_step
from curveproxy.app.commands.probe_sides import ProbeOptions, Sides, read_sides
from curveproxy.app.config.certificates import KeyFileError, reason
from curveproxy.policy.access.known_server import Disbelief
from curveproxy.policy.metadata import CERTIFICATE as CERTIFICATE_PROPERTY
from curveproxy.policy.metadata import PROBE, for_client
from curveproxy.policy.socket_types import fits, known
from curveproxy.proxy.connect.failures import handshake_failure, question_failure
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire import sodium, spec, z85
from curveproxy.wire.codec.suites import Suite, available_suites
from curveproxy.wire.curve.asking import CertificateQuestion
from curveproxy.wire.curve.client import READY_MAX, CurveInitiator, Stage
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.offer import Terms
from curveproxy.wire.security import Negotiated, Records
from curveproxy.wire.zmtp.metadata import find

SECONDS = 10.0
# How long we wait for the mechanism of a server that did not like ours.
ASK_SECONDS = 2.0
CHUNK = READY_MAX + spec.LONG_HEADER

CERTIFICATE = "certificate"  # the step
SILENT = "it is silent when it is asked"
ITS_LOG = "it stands in the log there"

Address = tuple[socket.AddressFamily, Any]


class ProbeError(Exception):
    """The probe goes no further. detail: text for the report, in our own words."""

    def __init__(self, failure: ClientFailure, detail: str = "") -> None:
        super().__init__(f"{failure}: {detail}" if detail else str(failure))
        self.failure = failure
        self.detail = detail


def probe(options: ProbeOptions, *, as_json: bool) -> bool:
    """Probe, and show what was found. Returns whether the client is let in."""
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)  # keys look like all of these
    steps_console = Console(quiet=True) if as_json else console
    try:
        sides = read_sides(options)
    except KeyFileError as error:
        failure = Failure("keys", 0.0, ClientFailure.KEYS, str(error))
        report = Report(str(options.endpoint), options.socket_type, failure=failure)
    else:
        steps: list[Step] = []

        def done(step: Step) -> None:
            steps.append(step)
            show_step(steps_console, step)

        report = Report(str(options.endpoint), options.socket_type, z85.encode(sides.keys.public), steps)
        found = trio.run(_Probe(options.endpoint, sides, options.socket_type, done).run)
        if isinstance(found, Failure):
            report = evolve(report, failure=found)
        else:
            report = evolve(report, properties=_told(found), records=_form_of(found))
    if as_json:
        console.out(report.as_json())
    else:
        conclude(console, report, fresh_key=options.secret_key is None)
    return report.ok


# --- the handshake


class _Probe:
    """One handshake. done: is called after each step."""

    def __init__(self, endpoint: Endpoint, sides: Sides, socket_type: str, done: Callable[[Step], None]) -> None:
        self._endpoint, self._sides, self._server = endpoint, sides, sides.server or b""
        self._socket_type, self._done = socket_type.encode(), done
        self._step, self._began = "resolve", 0.0

    async def run(self) -> Negotiated | Failure:
        """What READY said, or why the probe went no further."""
        try:
            with trio.fail_after(SECONDS):
                return await self._handshake()
        except trio.TooSlowError:
            if self._step == CERTIFICATE:
                return self._failure(ClientFailure.CERTIFICATE_NONE, SILENT)
            return self._failure(ClientFailure(f"{self._step}_timeout"))
        except ProbeError as error:
            return self._failure(error.failure, error.detail)
        except (PeerError, EOFError) as error:
            told = error.detail if isinstance(error, PeerError) and error.fault == Fault.REFUSED else ""
            if told in list(Outcome):  # a proxy of ours tells a probe why
                return self._failure(Outcome(told), ITS_LOG if told == Outcome.CERTIFICATE else "")
            found = handshake_failure(error, self._step, self._seconds)
            assert isinstance(found.failure, ClientFailure)
            return self._failure(found.failure, found.detail)

    def _failure(self, why: ClientFailure | Outcome, detail: str = "") -> Failure:
        return Failure(self._step, self._seconds, why, detail)

    @property
    def _seconds(self) -> float:
        return round(trio.current_time() - self._began, 6)

    @contextmanager
    def _timed(self, step: str) -> Iterator[list[str]]:
        """Do a step. What it shows goes into the list."""
        self._step, self._began = step, trio.current_time()
        shown: list[str] = []
        yield shown
        self._done(Step(step, self._seconds, ", ".join(shown)))

    async def _handshake(self) -> Negotiated:
        """What READY said. Raises ProbeError, PeerError, and EOFError where the other side has closed."""
        with self._timed("resolve") as shown:
            addresses = await self._resolve()
            shown += [_text(address) for address in addresses]
        with self._timed("connect") as shown:
            stream, address = await _connect(addresses)
            shown.append(_text(address))
        if self._sides.server is None:
            async with stream:
                await self._learn_key(stream)
            self._step, self._began = "greeting", trio.current_time()
            stream, _ = await _connect([address])
        async with stream:
            peer = self._client()
            with self._timed("greeting") as shown:
                try:
                    await self._exchange(stream, peer, peer.start())
                except EOFError:
                    await self._ask_mechanism(address)
                    raise
                shown.append(f"ZMTP 3.{peer.minor}, CURVE")
            with self._timed("welcome") as shown:
                await self._exchange(stream, peer)
                shown.append("the server has this key")
            with self._timed("ready"):
                await self._exchange(stream, peer)
                service = find(peer.negotiated.metadata, "Socket-Type")
                if not fits(self._socket_type, service):
                    detail = f"client {self._socket_type.decode()}, service {known(service)}"
                    raise ProbeError(ClientFailure.SOCKET_TYPE, detail)
        return peer.negotiated

    async def _learn_key(self, stream: trio.SocketStream) -> None:
        """Ask for the server's certificates, and take its key from the one that is believed. Raises ProbeError."""
        question = CertificateQuestion()
        with self._timed(CERTIFICATE) as shown:
            try:
                await _ask(stream, question)
            except (PeerError, EOFError) as error:
                failure = question_failure(error, is_curve=question.is_curve)
                assert isinstance(failure.failure, ClientFailure)
                raise ProbeError(failure.failure, failure.detail) from None
            found = self._sides.learn(question.texts, time.time())
            if isinstance(found, Disbelief):
                raise ProbeError(found.failure, found.detail)
            self._server = found.key
            shown += found.words

    def _client(self, *, stepwise: bool = False) -> CurveInitiator:
        properties = {"Socket-Type": self._socket_type, PROBE.title(): b""}
        if self._sides.certificate:
            properties[CERTIFICATE_PROPERTY] = self._sides.certificate
        transient, nonce = KeyPair.generate(), sodium.randombytes(16)
        peer = CurveInitiator(self._server, self._sides.keys, transient, nonce, properties, stepwise=stepwise)
        peer.offer_records(Terms(available_suites()), is_no_old=bool(self._sides.certificate))
        return peer

    async def _resolve(self) -> list[Address]:
        if self._endpoint.transport == "ipc":
            return [(socket.AF_UNIX, self._endpoint.unix_address)]
        try:
            found = await trio.socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ProbeError(ClientFailure.RESOLVE, reason(error)) from None
        return [(family, address) for family, _, _, _, address in found]

    async def _exchange(self, stream: trio.SocketStream, peer: CurveInitiator, octets: bytes = b"") -> None:
        """Send, then read and answer until the present stage is over. Raises PeerError, EOFError."""
        stage = peer.stage
        room = spec.GREETING_SIZE if stage is Stage.GREETING else CHUNK  # what follows it belongs to the next step
        await _send(stream, octets)
        while peer.stage is stage:
            octets = await _receive(stream, room)
            room -= len(octets)
            if not octets:
                raise EOFError
            await _send(stream, peer.receive_untrusted(octets))

    async def _ask_mechanism(self, address: Address) -> None:
        """Connect again without naming ours: libzmq closes silently when it sees a mechanism that is not its own.

        Raises PeerError when it is another than CURVE.
        """
        with trio.move_on_after(ASK_SECONDS):
            try:
                stream, _ = await _connect([address])
            except ProbeError:
                return
            async with stream:
                peer = self._client(stepwise=True)
                await _send(stream, peer.start())
                while peer.stage is Stage.GREETING and (octets := await _receive(stream, spec.GREETING_SIZE)):
                    peer.receive_untrusted(octets)


async def _connect(addresses: list[Address]) -> tuple[trio.SocketStream, Address]:
    """A connection to the first address that accepts it. Raises ProbeError."""
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


async def _ask(stream: trio.SocketStream, question: CertificateQuestion) -> None:
    """Have a question answered. Raises PeerError, EOFError."""
    await _send(stream, question.start())
    while not question.done:
        if not (octets := await _receive(stream, CHUNK)):
            raise EOFError
        question.receive_untrusted(octets)


async def _send(stream: trio.SocketStream, octets: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # it has closed: what it sent before tells more
        await stream.send_all(octets)


async def _receive(stream: trio.SocketStream, most: int) -> bytes:
    """Octets from the other side; none when it has closed, in an orderly way or not."""
    try:
        return bytes(await stream.receive_some(most))
    except trio.BrokenResourceError:
        return b""


def _text(address: Address) -> str:
    family, where = address
    if family == socket.AF_UNIX:
        return str(Endpoint("ipc", where.replace("\0", "@")))
    return str(Endpoint("tcp", where[0], where[1])).removeprefix("tcp://")


def _told(found: Negotiated) -> dict[str, str]:
    """What the service says of itself. What two curveproxies say to each other is none of it."""
    properties = for_client(found.metadata, {})
    return {name: _printable(value) for name, value in properties.items()}


def _form_of(found: Negotiated) -> str:
    return Suite(found.security.suite).word if isinstance(found.security, Records) else NO_RECORDS


def _printable(value: bytes) -> str:
    """A property's value as text when it is text, else in hex: a terminal shows no peer's control characters."""
    text = value.decode(errors="replace")
    return text if text.isprintable() and "\ufffd" not in text else value.hex()

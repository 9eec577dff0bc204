"""The load: clients on raw sockets, with CURVE or plain, as far as they are wanted, many at a time and cheap.

They go in step: all of a wave send, then all of it wait, so that one thread needs no event loop. What does not depend
on the server's answer is made once. They send what libzmq's clients send, cut as those cut it.
"""

import resource
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from nacl.bindings import crypto_box_afternm, crypto_box_beforenm, crypto_box_open_afternm
from nacl.exceptions import CryptoError
from support import curve, zmtp
from support.curve import Keys
from support.peer import address_of

from bench.peers import HANDSHAKE_SECONDS, BenchError, Proxy

WAVE = 20
RESERVED_DESCRIPTORS = 512  # what a process has open beside its sessions

GREETING = zmtp.greeting()
SIGNATURE = 10  # octets of a greeting, which libzmq sends before the others
WELCOME_FRAME = 170
BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT of in.h: the port is chosen at connect

# How far a client goes before it falls silent: what it sends, and how many octets it then waits for.
TCP = ((b"", SIGNATURE),)
GREETED = ((GREETING[:SIGNATURE], SIGNATURE), (GREETING[SIGNATURE:], len(GREETING) - SIGNATURE))
NULL = zmtp.greeting(b"NULL")
PLAIN_GREETED = ((NULL[:SIGNATURE], SIGNATURE), (NULL[SIGNATURE:], len(NULL) - SIGNATURE))
Steps = tuple[tuple[bytes, int], ...]
Source = Callable[[int], str]


def one_address(_: int) -> str:
    """All clients come from one address."""
    return "127.0.0.1"


def many_addresses(number: int) -> str:
    """Each client comes from its own."""
    return socket.inet_ntoa(struct.pack(">I", 0x7F010001 + number))


def that_fit(sessions: int) -> int:
    """So many sessions, or as many as descriptors allow: two for each in curveproxy, or here in two proxies' loads."""
    return min(sessions, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS) // 2)


class Load(ABC):
    """Clients of one proxy. ``load_of`` gives the kind that it wants."""

    def __init__(self, proxy: Proxy) -> None:
        _, self._address = address_of(proxy.endpoint)
        self._properties = zmtp.metadata({"Socket-Type": proxy.client.encode(), "Identity": b""})

    @contextmanager
    def silent(self, count: int, steps: Steps, source: Source = one_address) -> Iterator[None]:
        """So many connections that took these steps stand while the block runs. Raises OSError, BenchError."""
        standing: list[socket.socket] = []
        try:
            for begin in range(0, count, WAVE):
                wave = [self._connect(source(number)) for number in range(begin, min(begin + WAVE, count))]
                standing += wave
                self._go(wave, steps)
                for sock in wave:  # of what a server said ahead, nothing is to lie in the kernel
                    with suppress(BlockingIOError):
                        sock.recv(len(GREETING), socket.MSG_DONTWAIT)
            yield
        finally:
            for sock in standing:
                sock.close()

    @contextmanager
    def sessions(self, count: int, at_once: int = WAVE) -> Iterator[list[socket.socket]]:
        """So many clients that were told READY stand, silent, while the block runs. Raises OSError, BenchError."""
        standing: list[socket.socket] = []
        try:
            for begin in range(0, count, at_once):
                wave = [self._connect(one_address(0)) for _ in range(min(at_once, count - begin))]
                standing += wave
                self._admit(wave)
            yield standing
        finally:
            for sock in standing:
                sock.close()

    def admitted(self, count: int, at_once: int = WAVE) -> None:
        """So many clients, so many at once, come, are told READY, and go. Raises OSError, BenchError."""
        for begin in range(0, count, at_once):
            wave = [self._connect(one_address(0)) for _ in range(min(at_once, count - begin))]
            try:
                self._admit(wave)
            finally:
                for sock in wave:
                    sock.close()

    @abstractmethod
    def _admit(self, wave: list[socket.socket]) -> None:
        """All go through their handshakes, until they are told READY."""

    def _connect(self, source: str) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not settimeout: with it a recv is two system calls, and MSG_WAITALL does not wait.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", HANDSHAKE_SECONDS, 0))
        sock.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        sock.connect(self._address)
        return sock

    @staticmethod
    def _go(wave: list[socket.socket], steps: Steps) -> list[bytes]:
        """All take all steps. Returns what each was sent last."""
        answers: list[bytes] = []
        for octets, wanted in steps:
            if octets:
                for sock in wave:
                    sock.send(octets)
            answers = [_receive(sock, wanted) for sock in wave]
        return answers


class CurveLoad(Load):
    """With one transient key between them, which no server can tell. helloed: the steps until WELCOME."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy)
        self._server, self._keys, self._transient = proxy.server, Keys.new(), Keys.new()
        self._hello_key = crypto_box_beforenm(proxy.server, self._transient.secret)
        hello = zmtp.frame(curve.hello(self._transient, proxy.server), zmtp.COMMAND)
        self.helloed: Steps = (*GREETED, (hello, WELCOME_FRAME))

    def recorded(self) -> bytes:
        """INITIATE's frame of a connection that is no more."""
        with self._connect(one_address(0)) as sock:
            [welcome] = self._go([sock], self.helloed)
            return self._initiate(welcome)[0]

    def _admit(self, wave: list[socket.socket]) -> None:
        shared = []
        for sock, welcome in zip(wave, self._go(wave, self.helloed), strict=True):
            initiate, key = self._initiate(welcome)
            sock.send(initiate)
            shared.append(key)
        for sock, key in zip(wave, shared, strict=True):
            self._take_ready(sock, key)

    def _initiate(self, welcome: bytes) -> tuple[bytes, bytes]:
        """INITIATE's frame, and the session's key."""
        body = zmtp.part(welcome[2:], b"WELCOME", 168, 168)
        plain = _opened(body[16:], b"WELCOME-" + body[:16], self._hello_key)
        server_transient, cookie = plain[:32], plain[32:]
        key = crypto_box_beforenm(server_transient, self._transient.secret)
        vouch = curve.vouch(self._keys, self._transient.public, self._server, server_transient)
        plain = self._keys.public + vouch + self._properties
        box = crypto_box_afternm(plain, b"CurveZMQINITIATE" + curve.short(2), key)
        body = curve.initiate(cookie, b"", b"", b"", self._transient, server_transient, box=box)
        return zmtp.frame(body, zmtp.COMMAND), key

    @staticmethod
    def _take_ready(sock: socket.socket, key: bytes) -> None:
        body = _ready(sock, 30)
        _opened(body[8:], b"CurveZMQREADY---" + body[:8], key)


class PlainLoad(Load):
    """With no CURVE."""

    def _admit(self, wave: list[socket.socket]) -> None:
        self._go(wave, PLAIN_GREETED)
        for sock in wave:
            sock.send(zmtp.command_frame(b"READY", self._properties))
        for sock in wave:
            _ready(sock, 6)


def load_of(proxy: Proxy) -> Load:
    """Clients as this proxy wants them."""
    return CurveLoad(proxy) if proxy.server else PlainLoad(proxy)


def _ready(sock: socket.socket, least: int) -> bytes:
    """What READY holds. least: octets of its body."""
    return zmtp.part(_receive(sock, _receive(sock, 2)[1]), b"READY", least)


def _receive(sock: socket.socket, size: int) -> bytes:
    try:
        octets = sock.recv(size, socket.MSG_WAITALL)
    except BlockingIOError:
        raise BenchError(f"a client waited {HANDSHAKE_SECONDS} s for an answer") from None
    if len(octets) < size:
        raise BenchError(f"a client got {len(octets)} of {size} octets: it was turned away")
    return octets


def _opened(box: bytes, nonce: bytes, key: bytes) -> bytes:
    try:
        return crypto_box_open_afternm(box, nonce, key)
    except CryptoError:
        raise BenchError("a box of the server's does not open") from None

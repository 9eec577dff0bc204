"""What remotes of an egress may do wrong in their handshake, each with the reason that is told of it."""

from collections.abc import Callable

import pytest
from nacl.bindings import crypto_box, randombytes
from support import curve, old, zmtp
from support.client import RawServer
from support.curve import Keys
from support.peer import Peer
from support.service import Behaviour
from support.zmtp import COMMAND, MORE, Malformed

KIB = 1 << 10

Does = Callable[[RawServer], object]


# --- what a remote does


def behaviour(does: Does) -> Behaviour:
    """The same for any peer; it is a CURVE server."""

    def behaves(peer: Peer) -> None:
        assert isinstance(peer, RawServer)
        does(peer)

    return behaves


def upto(*steps: str, then: Does = Peer.hold) -> Does:
    """Takes steps of an honest handshake, and then does that."""

    def does(peer: RawServer) -> None:
        for step in steps:
            getattr(peer, step)()
        then(peer)

    return does


def raw(octets: bytes, then: Does = Peer.hold) -> Does:
    """Sends octets as they are."""

    def does(peer: RawServer) -> None:
        peer.send_raw(octets)
        then(peer)

    return does


def body(make: Callable[[RawServer], bytes], flags: int = COMMAND, size: int | None = None) -> Does:
    """Sends one frame, made of what it knows of the connection."""

    def does(peer: RawServer) -> None:
        peer.send_raw(zmtp.frame(make(peer), flags, size=size))
        peer.hold()

    return does


def has_another_key(peer: RawServer) -> None:
    """Does as libzmq: closes when HELLO does not open."""
    peer.keys = Keys.new()
    peer.greeting()
    with pytest.raises(Malformed):
        peer.hello()


def welcome_of(plaintext: bytes) -> Callable[[RawServer], bytes]:
    """A maker of WELCOME's body that holds something else."""
    return lambda peer: curve.welcome(peer.keys, peer.client_transient, b"", b"", plaintext=plaintext)


def ready(metadata: bytes) -> Does:
    """All of a handshake, with this metadata."""

    def does(peer: RawServer) -> None:
        peer.ready(metadata=metadata)
        peer.hold()

    return upto(*INITIATED, then=does)


GREETED = ("greeting",)
HELLO = ("greeting", "hello")
WELCOMED = ("greeting", "hello", "welcome")
INITIATED = ("greeting", "hello", "welcome", "initiate")
ROUTER = {"Socket-Type": b"ROUTER"}
GREETING, KNOWN = zmtp.greeting(as_server=1), zmtp.metadata(ROUTER)


def ready_body(peer: RawServer) -> bytes:
    return curve.ready(KNOWN, peer.transient, peer.client_transient)


def welcome_body(peer: RawServer) -> bytes:
    kept = curve.cookie(peer.client_transient, peer.transient.secret, peer.cookie_key)
    return curve.welcome(peer.keys, peer.client_transient, peer.transient.public, kept)


def message_body(peer: RawServer) -> bytes:
    shared = curve.shared_key(peer.client_transient, peer.transient.secret)
    return curve.message(shared, curve.FROM_SERVER, 1, b"hello")


def swapped(peer: RawServer) -> bytes:
    """READY whose box has INITIATE's nonce."""
    nonce = curve.short(1)
    box = crypto_box(KNOWN, b"CurveZMQINITIATE" + nonce, peer.client_transient, peer.transient.secret)
    return zmtp.command(b"READY", nonce + box)


def by_another(peer: RawServer) -> bytes:
    return curve.welcome(Keys.new(), peer.client_transient, bytes(32), bytes(96))


def half(make: Callable[[RawServer], bytes], then: Does) -> Does:
    """Sends half of a command."""

    def does(peer: RawServer) -> None:
        octets = zmtp.frame(make(peer), COMMAND)
        peer.send_raw(octets[: len(octets) // 2])
        then(peer)

    return does


def refuses(reason: bytes) -> Does:
    """Refuses what INITIATE says."""
    return upto(*INITIATED, then=body(lambda _: zmtp.error(reason)))


# What it does -> the reason that is told.
SILENT: dict[str, tuple[Does, str]] = {
    "is silent": (upto(), "greeting_timeout"),
    "is silent in its greeting": (raw(GREETING[:32]), "greeting_timeout"),
    "is silent behind its greeting": (upto(*GREETED), "welcome_timeout"),
    "is silent behind HELLO": (upto(*HELLO), "welcome_timeout"),
    "is silent in WELCOME": (upto(*HELLO, then=half(welcome_body, Peer.hold)), "welcome_timeout"),
    "is silent behind WELCOME": (upto(*WELCOMED), "ready_timeout"),
    "is silent behind INITIATE": (upto(*INITIATED), "ready_timeout"),
    "is silent in READY": (upto(*INITIATED, then=half(ready_body, Peer.hold)), "ready_timeout"),
}
STAGES: dict[str, tuple[Does, str]] = {
    "at once": (upto(then=lambda peer: None), "greeting_closed"),
    "in its greeting": (raw(GREETING[:32], lambda peer: None), "greeting_closed"),
    "behind its greeting": (upto(*GREETED, then=lambda peer: None), "welcome_closed"),
    "behind HELLO": (upto(*HELLO, then=lambda peer: None), "welcome_closed"),
    "in WELCOME": (upto(*HELLO, then=half(welcome_body, lambda peer: None)), "welcome_closed"),
    "behind WELCOME": (upto(*WELCOMED, then=lambda peer: None), "ready_closed"),
    "behind INITIATE": (upto(*INITIATED, then=lambda peer: None), "ready_closed"),
    "in READY": (upto(*INITIATED, then=half(ready_body, lambda peer: None)), "ready_closed"),
}


def ends(does: Does, end: Does) -> Does:
    """Does that, and ends its connection in this way."""

    def then(peer: RawServer) -> None:
        does(peer)
        end(peer)

    return then


def finishes(peer: RawServer) -> None:
    peer.finish()
    peer.hold()


ENDS: dict[str, Does] = {
    "closes": Peer.close,
    "finishes": finishes,
    "resets": Peer.reset,
}
ENDED = {
    f"{verb} {stage}": (ends(does, end), word) for verb, end in ENDS.items() for stage, (does, word) in STAGES.items()
}
FOREIGN: dict[str, tuple[Does, str]] = {
    "speaks HTTP": (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not_zmtp"),
    "speaks TLS": (raw(b"\x15\x03\x01\x00\x02\x02\x46"), "not_zmtp"),
    "speaks SSH": (raw(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), "not_zmtp"),
    "speaks garbage": (raw(bytes(range(2, 256)) * 300), "not_zmtp"),
    "speaks ZMTP 1.0": (raw(old.frame1(b"")), "zmtp_version"),
    "speaks ZMTP 2.0": (raw(old.SIGNATURE + b"\1\6"), "zmtp_version"),
    "speaks NULL": (raw(zmtp.greeting(b"NULL")), "mechanism"),
    "speaks PLAIN": (raw(zmtp.greeting(b"PLAIN", as_server=1)), "mechanism"),
    "speaks a mechanism of its own": (raw(zmtp.greeting(b"GSSAPI", as_server=1)), "mechanism"),
    "is a client": (upto(*GREETED, then=body(lambda _: curve.hello(Keys.new(), Keys.new().public))), "role"),
    "has another key": (has_another_key, "welcome_closed"),
    "refuses with 300": (refuses(b"300"), "refused"),
    "refuses with 400": (refuses(b"400"), "refused"),
    "refuses with 500": (refuses(b"500"), "refused"),
    "refuses with a word": (refuses(b"<b>go away\n</b>"), "refused"),
    "refuses without a word": (refuses(b""), "refused"),
    "refuses with 255 octets": (refuses(b"\xff" * 255), "refused"),
}
AT_WELCOME: dict[str, tuple[Does, str]] = {
    "ERROR": (body(lambda _: zmtp.error(b"400")), "welcome_closed"),
    "a message": (body(lambda _: b"hello", 0), "command"),
    "PING": (body(lambda _: zmtp.ping()), "command"),
    "READY": (body(lambda _: zmtp.command(b"READY", bytes(200))), "command"),
    "an empty command": (body(lambda _: b""), "welcome"),
    "WELCOME with MORE": (body(welcome_body, COMMAND | MORE), "command"),
    "WELCOME with a reserved flag": (body(welcome_body, COMMAND | 8), "command"),
    "WELCOME of an octet less": (body(lambda peer: welcome_body(peer)[:-1]), "welcome"),
    "WELCOME of an octet more": (body(lambda peer: welcome_body(peer) + b"\0"), "welcome"),
    "WELCOME of 2^62": (body(welcome_body, size=1 << 62), "welcome"),
    "WELCOME that does not open": (body(lambda _: zmtp.command(b"WELCOME", randombytes(160))), "welcome"),
    "WELCOME with S' of zeros": (body(welcome_of(bytes(128))), "welcome"),
    "WELCOME of low order": (body(welcome_of(b"\1" + bytes(127))), "welcome"),
    "WELCOME by another": (body(by_another), "welcome"),
}
AT_READY: dict[str, tuple[Does, str]] = {
    "a message": (body(lambda _: b"hello", 0), "command"),
    "MESSAGE": (body(message_body, 0), "command"),
    "MESSAGE as a command": (body(message_body), "command"),
    "WELCOME again": (body(welcome_body), "command"),
    "PING": (body(lambda _: zmtp.ping()), "command"),
    "NULL's READY": (body(lambda _: zmtp.null_ready(KNOWN)), "ready"),
    "READY with MORE": (body(ready_body, COMMAND | MORE), "command"),
    "READY with a reserved flag": (body(ready_body, COMMAND | 128), "command"),
    "READY of 2^62": (body(ready_body, size=1 << 62), "ready"),
    "READY of 2^64 - 1": (body(ready_body, size=(1 << 64) - 1), "ready"),
    "READY of 29 octets": (body(lambda peer: ready_body(peer)[:29]), "ready"),
    "READY with a changed octet": (body(lambda peer: zmtp.damaged(ready_body(peer))), "ready"),
    "READY as a client seals": (body(swapped), "ready"),
}


TOLD: dict[str, bytes] = {
    "metadata that is cut in a name": KNOWN[:5],
    "metadata that is cut in a size": KNOWN[:-8],
    "metadata that is cut in a value": KNOWN[:-1],
    "metadata with an octet behind it": KNOWN + b"\0",
    "a property twice": KNOWN + KNOWN,
    "a property twice in two spellings": zmtp.metadata([("Identity", b"a"), ("identity", b"b"), *ROUTER.items()]),
    "a value of 2^31": KNOWN + b"\1X" + (1 << 31).to_bytes(4, "big"),
    "a value of 2^32 - 1": KNOWN + b"\1X" + b"\xff" * 4,
    "a name outside the grammar": KNOWN + b"\2X \0\0\0\0",
    "an empty name": KNOWN + bytes(5),
    "an identity that is one zero": zmtp.metadata({**ROUTER, "Identity": b"\0"}),
    "an identity led by zero": zmtp.metadata({**ROUTER, "IDENTITY": b"\0\0\0\0\1"}),
    "an identity of 256 octets": zmtp.metadata({**ROUTER, "Identity": bytes([65]) * 256}),
    "a type of 256 octets": zmtp.metadata({"Socket-Type": bytes([65]) * 256}),
    "64 KiB and more": zmtp.metadata({**ROUTER, **{f"X-{n}": bytes(16 * KIB) for n in range(4)}}),
}
BROKEN = {
    **SILENT,
    **ENDED,
    **FOREIGN,
    **{f"says {what} for WELCOME": (upto(*HELLO, then=does), word) for what, (does, word) in AT_WELCOME.items()},
    **{f"says {what} for READY": (upto(*INITIATED, then=does), word) for what, (does, word) in AT_READY.items()},
    **{f"is ready with {what}": (ready(metadata), "ready") for what, metadata in TOLD.items()},
}

"""The octets of a whole conversation with fixed keys and nonces, made by ``support.curve`` and ``support.zmtp``.

``python -m support.vectors`` (with tests/ on the path) writes tests/vectors/curve.json; ``load()`` reads it.
The file's shape is that of the classes below, starting from ``Vectors``: an attrs class is an object with its
attributes' names, octets are a string of hexadecimal digits, a number is a number.
What is in a MESSAGE is not spelled out: it is ``data(size)``, the octets 0, 1, ... 250, 0, 1, ... and so on.
"""

import json
from hashlib import blake2b
from pathlib import Path

import cattrs
from attrs import frozen

from support import curve, zmtp
from support.curve import FROM_CLIENT, FROM_SERVER, INNER_COMMAND, INNER_MORE, Keys
from support.zmtp import COMMAND, MORE

FILE = Path(__file__).parent.parent / "vectors" / "curve.json"
CLIENT_PROPERTIES = {"Socket-Type": b"DEALER", "Identity": b"me", "X-Colour": b"green"}
SERVER_PROPERTIES = {"Socket-Type": b"ROUTER", "Identity": b""}


@frozen
class Metadata:
    """Properties in their order, and their octets."""

    properties: list[tuple[str, bytes]]
    octets: bytes


@frozen
class Boxed:
    """One encrypted thing of the handshake.

    key: what the box was sealed with, precomputed where it is not the cookie's; nonce: the short or long one as
    sent; octets: the whole of it, for commands the frame, for ``cookie`` and ``vouch`` their 96 octets.
    """

    key: bytes
    nonce: bytes
    plaintext: bytes
    box: bytes
    octets: bytes


@frozen
class Message:
    """A MESSAGE after the handshake. sender: client or server; flags: the inner ones; size: of its data."""

    sender: str
    nonce: int
    flags: int
    size: int
    frame: bytes


@frozen
class Malformed:
    """A neighbour of something good.

    of: greeting, hello or initiate from a client (whole, with the frame's header), message (from the client, after
    one with the nonce 3), or metadata (bare). outcome: the handshake's outcome or the invalid message's reason.
    """

    of: str
    flaw: str
    outcome: str
    octets: bytes


@frozen
class Vectors:
    """All of it.

    keys: client C, client_transient C', server S, server_transient S', stranger; session: the precomputed key of C' and
    S'.
    cookie_key: K, which is BLAKE2b-256 of binding under the key rotating, as curveproxy makes it.
    greetings: client, server (both CURVE), null. handshake: hello, cookie, welcome, vouch, initiate, ready.
    frames: the plain ones, error and null_ready.
    messages: each sender's, nonces in their order, the client's from 3 on, the server's from 2 on.
    """

    keys: dict[str, Keys]
    rotating: bytes
    binding: bytes
    cookie_key: bytes
    session: bytes
    greetings: dict[str, bytes]
    metadata: list[Metadata]
    handshake: dict[str, Boxed]
    frames: dict[str, bytes]
    messages: list[Message]
    malformed: list[Malformed]


KEYS = {
    name: Keys.of(bytes([number]) * 32)
    for number, name in enumerate(["client", "client_transient", "server", "server_transient", "stranger"], 1)
}
CLIENT, TRANSIENT, SERVER, SERVER_TRANSIENT, STRANGER = KEYS.values()
ROTATING, BINDING = b"\x0c" * 32, b"a socket"
COOKIE_KEY = blake2b(BINDING, key=ROTATING, digest_size=32).digest()
COOKIE_NONCE, WELCOME_NONCE, VOUCH_NONCE = b"\xc0" * 16, b"\x3e" * 16, b"\x70" * 16
SESSION = curve.shared_key(SERVER_TRANSIENT.public, TRANSIENT.secret)
PROPERTIES = zmtp.metadata(CLIENT_PROPERTIES)


def data(size: int) -> bytes:
    """What a MESSAGE of the vectors holds."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def cookie(key: bytes = COOKIE_KEY) -> bytes:
    """The cookie of the conversation."""
    return curve.cookie(TRANSIENT.public, SERVER_TRANSIENT.secret, key, nonce=COOKIE_NONCE)


def vouch(by: Keys = CLIENT, transient: Keys = TRANSIENT, server: bytes = SERVER.public) -> bytes:
    """The vouch of the conversation, or one of somebody else, for somebody else."""
    return curve.vouch(by, transient.public, server, SERVER_TRANSIENT.public, nonce=VOUCH_NONCE)


def initiate(
    *,
    cookie: bytes = cookie(),
    vouch: bytes = vouch(),
    metadata: bytes = PROPERTIES,
    nonce: int = 2,
    box: bytes | None = None,
) -> bytes:
    """INITIATE's body."""
    return curve.initiate(
        cookie, CLIENT.public, vouch, metadata, TRANSIENT, SERVER_TRANSIENT.public, nonce=nonce, box=box
    )


def boxed(key: bytes, octets: bytes, plaintext: bytes, nonce: int) -> Boxed:
    """A boxed thing whose nonce has so many octets; its box is its end."""
    box = octets[-len(plaintext) - 16 :]
    return Boxed(key, octets[-len(box) - nonce : -len(box)], plaintext, box, octets)


def handshake() -> dict[str, Boxed]:
    """What is boxed in a handshake, in its order."""
    hello_key = curve.shared_key(SERVER.public, TRANSIENT.secret)
    vouch_key = curve.shared_key(SERVER_TRANSIENT.public, CLIENT.secret)
    hello = curve.hello(TRANSIENT, SERVER.public)
    welcome = curve.welcome(SERVER, TRANSIENT.public, SERVER_TRANSIENT.public, cookie(), nonce=WELCOME_NONCE)
    answer = zmtp.metadata(SERVER_PROPERTIES)
    ready = curve.ready(answer, SERVER_TRANSIENT, TRANSIENT.public)
    return {
        "hello": boxed(hello_key, zmtp.frame(hello, COMMAND), curve.NO_BOX, 8),
        "cookie": boxed(COOKIE_KEY, cookie(), TRANSIENT.public + SERVER_TRANSIENT.secret, 16),
        "welcome": boxed(hello_key, zmtp.frame(welcome, COMMAND), SERVER_TRANSIENT.public + cookie(), 16),
        "vouch": boxed(vouch_key, vouch(), TRANSIENT.public + SERVER.public, 16),
        "initiate": boxed(SESSION, zmtp.frame(initiate(), COMMAND), CLIENT.public + vouch() + PROPERTIES, 8),
        "ready": boxed(SESSION, zmtp.frame(ready, COMMAND), answer, 8),
    }


def messages() -> list[Message]:
    """Both directions, each size around a border, each flag."""
    wanted = [(size, flags) for size in (0, 1, 222, 223, 255, 256) for flags in (0, INNER_MORE, INNER_COMMAND)]
    made = []
    for sender, prefix, first in (("client", FROM_CLIENT, 3), ("server", FROM_SERVER, 2)):
        for nonce, (size, flags) in enumerate([*wanted, (65536, INNER_MORE)], first):
            body = curve.message(SESSION, prefix, nonce, data(size), flags)
            made.append(Message(sender, nonce, flags, size, zmtp.frame(body)))
    return made


def malformed_greetings() -> dict[tuple[str, str], bytes]:
    """(flaw, outcome) -> a client's greeting."""
    return {
        ("HTTP", "not_zmtp"): b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".ljust(64, b"\n"),
        ("TLS", "not_zmtp"): b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".ljust(64, b"\0"),
        ("ZMTP 1.0, an empty identity", "zmtp_version"): b"\x01\x00",
        ("ZMTP 1.0, a long identity", "zmtp_version"): zmtp.greeting(signature_end=0),
        ("ZMTP 2.0", "zmtp_version"): zmtp.greeting(version=(1, 5)),
        ("NULL", "mechanism"): zmtp.greeting(b"NULL"),
        ("PLAIN", "mechanism"): zmtp.greeting(b"PLAIN"),
        ("a mechanism that only begins with CURVE", "mechanism"): zmtp.greeting(b"CURVE2"),
        ("as-server", "role"): zmtp.greeting(as_server=1),
    }


def malformed_hellos() -> dict[tuple[str, str], bytes]:
    """(flaw, outcome) -> HELLO's frame."""
    hello, server = curve.hello(TRANSIENT, SERVER.public), SERVER.public
    bodies = {
        ("one octet short", "hello_malformed"): hello[:-1],
        ("one octet long", "hello_malformed"): hello + b"\0",
        ("version 2.0", "hello_version"): curve.hello(TRANSIENT, server, version=b"\x02\x00"),
        ("version 1.1", "hello_version"): curve.hello(TRANSIENT, server, version=b"\x01\x01"),
        ("padding that is not zero", "hello_malformed"): curve.hello(TRANSIENT, server, padding=bytes(71) + b"\1"),
        ("a box of something else", "hello_malformed"): curve.hello(TRANSIENT, server, plaintext=bytes(63) + b"\1"),
        ("another server key", "hello_box"): curve.hello(TRANSIENT, STRANGER.public),
        ("a transient key of zeros", "hello_box"): curve.hello(TRANSIENT, server, public=bytes(32)),
        ("another transient key", "hello_box"): curve.hello(TRANSIENT, server, public=STRANGER.public),
        ("the last octet of the box", "hello_box"): zmtp.damaged(hello),
        ("INITIATE instead", "command"): initiate(),
    }
    frames = {flaw: zmtp.frame(body, COMMAND) for flaw, body in bodies.items()}
    frames["sent as a message", "command"] = zmtp.frame(hello)
    frames["COMMAND with MORE", "command"] = zmtp.frame(hello, COMMAND | MORE)
    return frames


def malformed_initiates() -> dict[tuple[str, str], bytes]:
    """(flaw, outcome) -> INITIATE's frame, after a HELLO with the nonce 1 and the right WELCOME."""
    good = initiate()
    twice = [("Socket-Type", b"DEALER"), ("IDENTITY", b"a"), ("Identity", b"b")]
    bodies = {
        ("256 octets", "initiate_malformed"): initiate(metadata=b"")[:-1],
        ("a nonce that does not follow", "initiate_malformed"): initiate(nonce=3),
        ("4,097 octets", "initiate_too_large"): initiate(metadata=bytes(4097 - 257)),
        ("a cookie under another key", "cookie"): initiate(cookie=cookie(b"\x0d" * 32)),
        ("the first octet of the cookie", "cookie"): good[:9] + bytes([good[9] ^ 1]) + good[10:],
        ("the last octet of the box", "initiate_box"): zmtp.damaged(good),
        ("a vouch for another transient key", "vouch"): initiate(vouch=vouch(transient=STRANGER)),
        ("a vouch for another server", "vouch"): initiate(vouch=vouch(server=STRANGER.public)),
        ("a vouch for a server of zeros", "vouch"): initiate(vouch=vouch(server=bytes(32))),
        ("a vouch of another client", "vouch"): initiate(vouch=vouch(STRANGER)),
        ("metadata with a stray octet", "metadata"): initiate(metadata=PROPERTIES + b"\x05"),
        ("metadata whose last value is cut", "metadata"): initiate(metadata=PROPERTIES[:-1]),
        ("a property twice", "metadata"): initiate(metadata=zmtp.metadata(twice)),
        ("a property without a name", "metadata"): initiate(metadata=zmtp.metadata({"": b"x"})),
        ("a name outside the grammar", "metadata"): initiate(metadata=zmtp.metadata({"X Y": b"x"})),
        ("HELLO again", "command"): curve.hello(TRANSIENT, SERVER.public, nonce=2),
    }
    frames = {flaw: zmtp.frame(body, COMMAND) for flaw, body in bodies.items()}
    frames["sent as a message", "command"] = zmtp.frame(good)
    return frames


def malformed_messages() -> dict[tuple[str, str], bytes]:
    """(flaw, reason) -> a frame of the client, where the nonce 4 is the next."""
    good = curve.message(SESSION, FROM_CLIENT, 4, b"data")
    bodies = {
        ("the last octet of the box", "box"): zmtp.damaged(good),
        ("the server's own direction", "box"): curve.message(SESSION, FROM_SERVER, 4, b"data"),
        ("a nonce again", "nonce"): curve.message(SESSION, FROM_CLIENT, 3, b"data"),
        ("a nonce left out", "gap"): curve.message(SESSION, FROM_CLIENT, 5, b"data"),
        ("32 octets", "too_short"): good[:32],
        ("not a MESSAGE", "not_message"): zmtp.ping().ljust(33, b"\0"),
    }
    frames = {flaw: zmtp.frame(body) for flaw, body in bodies.items()}
    frames["outer MORE", "outer_more"] = zmtp.frame(good, MORE)
    frames["a reserved flag", "framing"] = zmtp.frame(good, 8)
    frames["a size of 2^63", "framing"] = zmtp.frame(b"", long=True, size=2**63)
    return frames


def build() -> Vectors:
    """Make everything anew; it is the same at each time."""
    spoiled = {
        "greeting": malformed_greetings(),
        "hello": malformed_hellos(),
        "initiate": malformed_initiates(),
        "message": malformed_messages(),
        "metadata": {
            ("a stray octet", "metadata"): PROPERTIES + b"\x05",
            ("a size and no value", "metadata"): zmtp.metadata({"X-Long": b"x" * 300})[:-300],
            ("a value of 2^31", "metadata"): b"\x01X" + (2**31).to_bytes(4, "big"),
        },
    }
    return Vectors(
        keys=KEYS,
        rotating=ROTATING,
        binding=BINDING,
        cookie_key=COOKIE_KEY,
        session=SESSION,
        greetings={"client": zmtp.greeting(), "server": zmtp.greeting(as_server=1), "null": zmtp.greeting(b"NULL")},
        metadata=[
            Metadata(list(properties.items()), zmtp.metadata(properties))
            for properties in ({}, SERVER_PROPERTIES, CLIENT_PROPERTIES, {"X-Long": b"x" * 300})
        ],
        handshake=handshake(),
        frames={
            "error": zmtp.frame(zmtp.error(b"400"), COMMAND),
            "null_ready": zmtp.frame(zmtp.null_ready(PROPERTIES), COMMAND),
        },
        messages=messages(),
        malformed=[
            Malformed(of, flaw, outcome, octets)
            for of, neighbours in spoiled.items()
            for (flaw, outcome), octets in neighbours.items()
        ],
    )


CONVERTER = cattrs.Converter()
CONVERTER.register_unstructure_hook(bytes, bytes.hex)
CONVERTER.register_structure_hook(bytes, lambda digits, _: bytes.fromhex(digits))


def load() -> Vectors:
    """The vectors as they stand in the file."""
    return CONVERTER.structure(json.loads(FILE.read_text()), Vectors)


def write() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(CONVERTER.unstructure(build()), indent=1) + "\n")


if __name__ == "__main__":
    write()

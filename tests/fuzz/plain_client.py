"""The target of plain clients: what each of their units becomes, against a reader that has the whole stream."""

from collections.abc import Callable

from support import old, zmtp
from support.plain_steps import signature
from support.zmtp import COMMAND

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Negotiated, Plain
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp import acceptor, v2
from curveproxy.wire.zmtp.frame import Dialect, Span
from fuzz import faults
from fuzz.handshake import lawful_properties, marks, some_metadata
from fuzz.material import Material
from fuzz.targets import judged, target

MOST = 600  # of READY's body

Measure = Callable[[Octets], Span]


class Walk:
    """The units of one client, out of a stream that is all there. at: how far it was read."""

    def __init__(self, stream: bytes) -> None:
        self.stream, self.at = stream, 0

    def unit(self, measure: Measure) -> bytes:
        """The next unit's body. Raises PeerError; EOFError when it is not whole."""
        seen = self.stream[self.at :]
        verdict = marks(lambda have: measure(have).mark, seen, faults.OF_A_PLAIN_CLIENT)
        if isinstance(verdict, PeerError):
            raise verdict
        mark, begin, end = measure(seen)
        if mark > len(seen):
            raise EOFError
        assert mark == end, "what is whole is taken, and nothing behind it"
        self.at += end
        return seen[begin:end]

    def end(self) -> Negotiated:
        """The client, by the branches that the proxy takes. Raises as ``unit``."""
        opening = self.unit(acceptor.opening_span_untrusted)
        if (found := acceptor.read_opening_untrusted(opening)) is not None:
            return found
        number = acceptor.type_of(self.unit(acceptor.version_span_untrusted))
        if number is not None:
            named = not acceptor.tells_no_identity(opening)
            return v2.negotiated(number, self.unit(v2.identity_span_untrusted) if named else b"")
        minor = acceptor.minor_of(self.unit(acceptor.mechanism_span_untrusted))
        ready = self.unit(lambda seen: acceptor.ready_span_untrusted(seen, MOST))
        said: Negotiated | PeerError = judged([Fault.METADATA], acceptor.read_ready_untrusted, ready, minor)
        if isinstance(said, PeerError):
            raise said
        return said


@target(
    "wire.zmtp.acceptor.opening_span_untrusted",
    "wire.zmtp.acceptor.read_opening_untrusted",
    "wire.zmtp.acceptor.version_span_untrusted",
    "wire.zmtp.acceptor.mechanism_span_untrusted",
    "wire.zmtp.acceptor.ready_span_untrusted",
    "wire.zmtp.acceptor.read_ready_untrusted",
    "wire.zmtp.v1.identity_span_untrusted",
    "wire.zmtp.v2.check_type_untrusted",
    "wire.zmtp.v2.identity_span_untrusted",
)
def plain_client(material: Material) -> None:
    """A client's handshake in any version, octet by octet."""
    said, identity = some_metadata(material), material.octets(300)
    greeting = zmtp.greeting(material.pick([b"NULL", b"CURVE"]), version=(3, material.number(255)))
    body = zmtp.error(b"400") if material.number(3) == 3 else zmtp.null_ready(said)
    pieces = material.pick(
        [
            [greeting, zmtp.frame(body, COMMAND)],
            [greeting, zmtp.frame(body, COMMAND, long=True)],
            [old.frame1(identity, material.pick([0x00, 0x7E]))],
            [old.frame1(identity, long=True)],
            [signature(len(identity) + 1), bytes([1, material.number(12)]), zmtp.frame(identity)],
            [signature(material.number(2)), bytes([1, material.number(12)]), zmtp.frame(identity)],
        ]
    )
    stream = b"".join(material.damaged(piece, 1) for piece in [*pieces, material.octets(20)])
    walk = Walk(stream)
    try:
        found = walk.end()
    except (PeerError, EOFError):
        return
    check(found, stream[: walk.at])


def check(found: Negotiated, come: bytes) -> None:
    """What another reader makes of a handshake that came to its end."""
    (dialect, minor), told = found.version, found.metadata
    assert (found.security, found.leftover) == (Plain(), b"")
    if dialect == Dialect.V3:
        [ready] = zmtp.read_frames(come[64:])
        assert come[12:32] == b"NULL".ljust(20, b"\0")
        assert ready.flags == COMMAND
        assert told == lawful_properties(zmtp.part(ready.body, b"READY", 6, MOST)) is not None
        assert minor == come[11]
    elif dialect == Dialect.V2:
        [identity] = zmtp.read_frames(come[12:]) or [zmtp.Frame(0, b"")]
        assert bool(come[12:]) == (come[1:9] != signature()[1:9])
        wanted = {"Socket-Type": old.TYPES[come[11]].encode(), "Identity": identity.body}
        assert (told, minor) == ({name: value for name, value in wanted.items() if value}, 0)
        assert acceptor.v2_answer(b"", told) == zmtp.frame(identity.body)
    else:
        header = 10 if come[0] == 0xFF else 2
        size = int.from_bytes(come[1:9], "big") if header == 10 else come[0]
        assert size == len(come) - header + 1 <= 256
        assert (told, minor) == ({"Identity": come[header:]} if come[header:] else {}, 0)
        assert acceptor.v1_answer(told) == old.frame1(come[header:])

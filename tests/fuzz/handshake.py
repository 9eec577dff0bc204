"""Targets of the handshake: whatever we accept, an independent reader accepts too, and the other way round."""

import socket
import string
import struct
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Literal

from attrs import evolve
from support import curve, records, zmtp
from support.certificates import answer
from support.curve import Keys
from support.twins import twin_named
from support.zmtp import COMMAND, Malformed

from curveproxy.wire import proxy_protocol, spec
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.curve import handshake as turns
from curveproxy.wire.curve.asking import CertificateQuestion
from curveproxy.wire.curve.client import CurveInitiator, Stage
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.curve.server import Initiate, conclude, hello_mark_untrusted, initiate_mark_untrusted
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.offer import NAME as OFFER
from curveproxy.wire.offer import Terms
from curveproxy.wire.security import Curve, Negotiated, Plain, Records
from curveproxy.wire.zmtp import metadata as properties_of
from curveproxy.wire.zmtp.frame import Dialect, Due, read_command_untrusted
from curveproxy.wire.zmtp.greeting import check_client_untrusted, check_greeting_untrusted, check_server_untrusted
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import Pacing
from fuzz import faults
from fuzz.material import Material
from fuzz.targets import judged, refused, target

S, OTHER, S1, C, C1 = (Keys.of(bytes([number]) * 32) for number in range(1, 6))  # S1, C1: the transient ones
ROTATING, OTHER_ROTATING, BINDING = bytes([6]) * 32, bytearray([7]) * 32, b"a socket"
COOKIE_KEY = blake2b(BINDING, key=ROTATING, digest_size=32).digest()
NONCE, OTHER_NONCE = bytes(16), bytes([8]) * 16
SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
LOW_ORDER = (bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f")
NATIVE = twin_named("c")
ORDERS: Sequence[Literal["big", "little"]] = ("big", "little")
NAME = frozenset(string.ascii_letters + string.digits + "-_.+")


def pair(keys: Keys) -> KeyPair:
    """The same pair in the words of the code."""
    return KeyPair(keys.public, keys.secret)


def independently(read: Callable[[], Any]) -> Any:
    """What the other reader makes of it; None when it is malformed."""
    with suppress(Malformed):
        return read()
    return None


def lawful_properties(octets: bytes) -> dict[str, bytes] | None:
    """Metadata read by the other reader, and held to the grammar; None when it is not lawful."""
    pairs = independently(lambda: zmtp.read_metadata(octets))
    if pairs is None:
        return None
    names = [name for name, _ in pairs]
    unique = len({name.lower() for name in names}) == len(names)
    return dict(pairs) if unique and all(NAME.issuperset(name) for name in names) else None


def some_metadata(material: Material) -> bytes:
    """Metadata, honest at first."""
    pairs = [("Socket-Type", b"DEALER"), ("Identity", material.octets(40))]
    for _ in range(material.number(3)):
        pairs.append((material.pick(["X-a", "identity", "User-Id", "x y", ""]), material.octets(300)))
    return material.damaged(zmtp.metadata(pairs))


def some_offer(material: Material) -> bytes:
    """A property that offers records, or nothing."""
    if not material.flag():
        return b""
    offer = bytes([1, material.number(255), *material.pick([[2, 1], [1, 2], [1], [2], [3, 1], [1] * 14, [1] * 15, []])])
    return material.damaged(zmtp.metadata({OFFER: offer}), 1)


def marks(check: Callable[[Any], int], octets: bytes, words: Container[Fault]) -> int | PeerError:
    """The verdict on all of these octets. It must be the same in any memory; and what came piece by piece

    is never accepted again once it was refused, and always gives a next mark while it is not whole.
    """
    verdict: int | PeerError = judged(words, check, octets)
    for view in (bytearray(octets), memoryview(octets)):
        assert str(judged(words, check, view)) == str(verdict)
    was_refused = False
    for have in [*range(min(len(octets), 80)), len(octets)]:
        mark = judged(words, check, octets[:have])
        assert refused(mark) or not was_refused, f"refused, then accepted with {have} octets"
        assert refused(mark) or mark > have or not refused(verdict), f"nothing to wait for with {have} octets"
        was_refused = refused(mark)
    return verdict


@target("wire.proxy_protocol.header_mark_untrusted", "wire.proxy_protocol.read_header_untrusted")
def balancer(material: Material) -> None:
    """The header of a load balancer, octet by octet, with a greeting behind it or not."""
    body = material.filled(material.pick([0, 11, 12, 36, 37, 520, 521]))
    command, family = material.pick([0x21, 0x20, 0x22, 0x11]), material.pick([0x11, 0x21, 0x12, 0x31, 0])
    size = material.pick([len(body), 0, 12, 36, 521, 65535])
    octets = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, family, size) + body
    octets = material.damaged(octets) + material.octets(20)
    verdict = marks(proxy_protocol.header_mark_untrusted, octets, [Fault.NOT_ZMTP])
    if isinstance(verdict, PeerError) or verdict > len(octets):
        return
    found = judged([Fault.NOT_ZMTP], proxy_protocol.read_header_untrusted, octets[:verdict])
    command, family = octets[12:14]
    wanted = {0x11: (4, socket.AF_INET), 0x21: (16, socket.AF_INET6)}.get(family)
    if command == 0x21 and wanted is not None:
        width, kind = wanted
        assert refused(found) == (verdict < 16 + 2 * width + 4)
        if not refused(found):
            [port] = struct.unpack_from(">H", octets, 16 + 2 * width)
            assert (socket.inet_pton(kind, found[0]), found[1]) == (octets[16 : 16 + width], port)
    else:
        assert refused(found) == (command not in (0x20, 0x21))
        assert refused(found) or found is None


@target(
    "wire.zmtp.greeting.check_greeting_untrusted",
    "wire.zmtp.greeting.check_client_untrusted",
    "wire.zmtp.greeting.check_server_untrusted",
)
def greeting(material: Material) -> None:
    """A greeting, octet by octet."""
    ours, theirs = (material.pick([b"CURVE", b"NULL", b"PLAIN", b"CURVE-CERTIFICATE"]) for _ in range(2))
    octets = zmtp.greeting(
        theirs,
        as_server=material.number(1),
        version=(3 ^ material.number(3), material.number(255)),
        padding=material.filled(8),
    )
    octets = material.damaged(octets)[: spec.GREETING_SIZE]
    good = len(octets) == spec.GREETING_SIZE and octets[0] == 0xFF and octets[9] & 1 == 1 and octets[10] >= 3

    def check(seen: bytes) -> int:
        return check_greeting_untrusted(seen, ours.ljust(20, b"\0"))

    def check_server(seen: bytes) -> int:
        return check_server_untrusted(seen, ours.ljust(20, b"\0"))

    def check_door(seen: bytes) -> int:
        return check_client_untrusted(seen, ours.ljust(20, b"\0"))

    of_a_client, is_client = faults.GREETING | {Fault.ROLE}, octets[32:33] == b"\0"
    for verdict, mechanisms, has_its_role in (
        (marks(check, octets, faults.GREETING), {ours}, True),
        (marks(check_server, octets, faults.GREETING), {ours}, True),
        (marks(check_client_untrusted, octets, of_a_client), {b"CURVE"}, is_client),
        (marks(check_door, octets, of_a_client), {b"CURVE", ours}, is_client),
    ):
        accepted = not isinstance(verdict, PeerError) and verdict <= len(octets)
        wanted = {mechanism.ljust(20, b"\0") for mechanism in mechanisms}
        assert accepted == (good and octets[12:32] in wanted and has_its_role)


@target(
    "wire.zmtp.frame.read_command_untrusted",
    "wire.curve.server.hello_mark_untrusted",
    "wire.curve.server.initiate_mark_untrusted",
)
def command_marks(material: Material) -> None:
    """The frame of a handshake command, as much of it as has come."""
    name = material.pick([b"HELLO", b"INITIATE", b"READY", b"HELL", b""])
    body = zmtp.command(name, material.filled(material.pick([194, 248, 193, 300, 0, 1 << 12])))
    most = 257 + material.number(1000)
    least = min(len(b"\x05READY") + material.number(500), most)
    size = material.pick([None, most, most + 1, least, least - 1, 0, 1, 255, 256, 1 << 16, 1 << 63])
    long = material.pick([None, False, True]) if size is None and len(body) < 256 else True
    octets = material.damaged(zmtp.frame(body, COMMAND, long=long, size=size) + material.octets(20))

    def any_command(seen: bytes) -> tuple[int, int, int]:
        return read_command_untrusted(seen, Due(b"\x05READY", least, most, Fault.HELLO, Fault.INITIATE_TOO_LARGE))

    checks: list[tuple[bytes, int, int, Callable[[bytes], tuple[int, int, int]]]] = [
        (b"HELLO", 200, 200, hello_mark_untrusted),
        (b"INITIATE", 257, most, lambda seen: initiate_mark_untrusted(seen, most)),
        (b"READY", least, most, any_command),
    ]
    for wanted, least_of, most_of, check in checks:
        verdict = marks(lambda seen, check=check: check(seen)[0], octets, faults.MARKS)  # type: ignore[misc]
        is_refused, opening = isinstance(verdict, PeerError), zmtp.command(wanted)
        begin = 9 if octets[:1] and octets[0] & zmtp.LONG else 2
        if len(octets) < begin:
            assert is_refused == (octets[:1] not in (b"", b"\4", b"\6"))
            continue
        claimed = int.from_bytes(octets[1:begin], "big")
        named = opening.startswith(octets[begin : begin + min(claimed, len(opening))])
        lawful = octets[0] in (COMMAND, COMMAND | zmtp.LONG) and named and least_of <= claimed <= most_of
        assert is_refused != lawful
        if not is_refused:
            mark, begin, end = check(octets)
            assert mark <= end == begin + claimed
            if mark <= len(octets):
                assert mark == end
                assert zmtp.read_frames(octets[:end]) == [(COMMAND, octets[begin:end])]


@target("wire.zmtp.metadata.read_untrusted", "wire.zmtp.metadata._read_name_untrusted")
def metadata(material: Material) -> None:
    """Metadata is read as the other reader reads it, and written again it is the same."""
    octets = some_metadata(material)
    found = judged([Fault.METADATA], properties_of.read_untrusted, octets)
    wanted = lawful_properties(octets)
    assert refused(found) == (wanted is None)
    if wanted is not None:
        assert list(found.items()) == list(wanted.items())
        assert properties_of.encode(found) == octets
        assert all(properties_of.find(found, name.upper()) == value for name, value in wanted.items())


def opened_by(server: Keys, body: bytes) -> curve.Hello | None:
    """What this server reads in HELLO."""
    try:
        return curve.read_hello(body, server)
    except Malformed:
        return None


def turned(words: Container[Fault], name: str, *arguments: Any) -> Any:
    """The verdict of the server's turn of that name; the twin in C must say the same, the detail included."""
    verdict = judged(words, getattr(turns, name), *arguments)
    if NATIVE is not None:
        twins = judged(words, getattr(NATIVE, name), *arguments)
        assert refused(twins) == refused(verdict)
        assert str(twins) == str(verdict) if refused(verdict) else twins == verdict
    return verdict


@target("wire.curve.handshake.answer_hello_untrusted")
def hello(material: Material) -> None:
    """HELLO opens for whoever it was sealed to, and only then."""
    padding = bytearray(72)
    padding[material.pick([0, 71, material.number(71)])] = material.number(1)
    body = curve.hello(
        C1,
        material.pick([S, OTHER, C]).public,
        nonce=material.filled(8),
        version=material.damaged(b"\1\0", 1)[:2].ljust(2, b"\0"),
        padding=bytes(padding),
        public=material.pick([C1.public, *LOW_ORDER]),
        plaintext=material.damaged(curve.NO_BOX, 1)[:64].ljust(64, b"\0"),
    )
    body = (b"\x05HELLO" + material.damaged(body)[6:])[:200].ljust(200, b"\0")
    servers = material.pick([[S], [S, OTHER], [OTHER], []])
    pairs = {server.public: pair(server) for server in servers}
    rest = tuple(pairs.values()), ROTATING, BINDING, pair(S1), NONCE + OTHER_NONCE
    found = turned(faults.HELLO, "answer_hello_untrusted", body, *rest)
    opened = {server.public: opened_by(server, body) for server in servers}
    assert refused(found) == (not any(opened.values()))
    if not refused(found):
        server, nonce, welcome = found
        assert pairs[server.public] is server
        client, sent = opened[server.public] or (b"", b"")
        assert nonce == sent
        cookie = curve.cookie(client, S1.secret, COOKIE_KEY, nonce=NONCE)
        wanted = curve.welcome(Keys(server.public, server.secret), client, S1.public, cookie, nonce=OTHER_NONCE)
        assert welcome == zmtp.frame(wanted, COMMAND)


@target(
    "wire.curve.handshake.open_initiate_untrusted",
    "wire.curve.handshake._little_endian_untrusted",
    "wire.curve.server.Initiate.read_untrusted",
)
def initiate(material: Material) -> None:
    """INITIATE is accepted when cookie, nonce, box, vouch and metadata all are, and says what was said."""
    count = 1 + material.number(2**64 - 3)
    order = material.pick(ORDERS)
    hello_nonce = count.to_bytes(8, order)
    nonce = (count + material.pick([1, 0, 2])).to_bytes(8, order)
    client, vouch_for = material.pick([C.public, *LOW_ORDER]), material.pick([S, OTHER]).public
    vouch = curve.vouch(material.pick([C, OTHER]), material.pick([C1, C]).public, vouch_for, S1.public, nonce=NONCE)
    body = curve.initiate(
        curve.cookie(C1.public, S1.secret, COOKIE_KEY, nonce=NONCE),
        client,
        vouch,
        b"",
        C1,
        S1.public,
        nonce=nonce,
        plaintext=material.damaged(client + vouch, 1)[:128].ljust(128, b"\0")
        + some_metadata(material)
        + some_offer(material),
    )
    body = material.damaged(body)
    if len(body) < spec.INITIATE_OVERHEAD or not body.startswith(b"\x08INITIATE"):
        return  # the mark was not reached
    good = material.pick([(ROTATING,), (OTHER_ROTATING, ROTATING), (OTHER_ROTATING,), ()])
    found = turned(faults.INITIATE, "open_initiate_untrusted", body, S.public, good, BINDING, hello_nonce)
    if not refused(found):
        found = judged(faults.INITIATE, Initiate.read_untrusted, *found)

    def read() -> tuple[bytes, dict[str, bytes], int] | None:
        kept = ROTATING in good and curve.read_cookie(curve.initiate_cookie(body), COOKIE_KEY)
        if kept != (C1.public, S1.secret):
            return None
        seen, who, vouch, octets = curve.read_initiate(body, C1.public, S1)
        said = lawful_properties(octets)
        if curve.read_vouch(vouch, who, S1) != (C1.public, S.public) or said is None:
            return None
        for order in ORDERS:
            if seen == hello_nonce or int.from_bytes(seen, order) == int.from_bytes(hello_nonce, order) + 1:
                return who, said, int.from_bytes(seen, order)
        return None

    wanted = independently(read)
    assert refused(found) == (wanted is None), found
    if isinstance(found, Initiate):
        assert (found.client, found.properties, found.nonce) == wanted
        assert found.shared == curve.shared_key(C1.public, S1.secret)
        check_answer(found, material)


def check_answer(found: Initiate, material: Material) -> None:
    """What a server agrees on, and READY by which a client agrees on the very same."""
    terms = material.pick([None, Terms([Suite(2), Suite(1)], 64), Terms([Suite(1)])])
    agreed = found.agree(terms)
    offer = next((value for name, value in found.properties.items() if name.lower() == OFFER.lower()), b"")
    common = [] if terms is None else [suite for suite in terms.suites if suite in offer[2:]]
    fits = bool(common) and 3 <= len(offer) <= 16 and offer[0] == 1 and not found.little_endian
    assert (agreed is not None) == fits
    octets, security = conclude(found, S.public, agreed, {"Socket-Type": b"ROUTER"})
    [ready] = zmtp.read_frames(octets)
    _, said = curve.read_ready(ready.body, S1.public, C1)
    answer = lawful_properties(said)
    assert answer is not None
    if agreed is None or terms is None:
        assert OFFER not in answer
        assert security == found.security
        return
    assert answer[OFFER] == bytes([1, bool(terms.pad_to), common[0]])
    root = records.root(found.shared, found.metadata, said, found.client, S.public, common[0])
    theirs, ours = (records.derived(root, text) for text in (b"client to server", b"server to client"))
    assert security == Records(common[0], ours, theirs, bool(offer[1] & 1), terms.pad_to)


def fed(peer: Initiator, stream: bytes, ends: list[int], words: Container[Fault]) -> tuple[bytes, bytes] | None:
    """Feed a handshake in pieces: what it answered, and what stands behind it; None when it refused.

    It is the same for any pieces, and whoever refuses does so for any.
    """
    answer, at = b"", 0
    for end in ends:
        step = judged(words, peer.receive_untrusted, stream[at:end])
        if refused(step):
            return None
        answer, at = answer + step, end
        if peer.done:
            break
    return answer, (peer.negotiated.leftover if peer.done else b"") + stream[at:]


def without_leftover(peer: Initiator) -> Negotiated | None:
    """What was negotiated, which does not hang on how much came with the last piece."""
    return evolve(peer.negotiated, leftover=b"") if peer.done else None


@target(
    "wire.initiator.Initiator.receive_untrusted",
    "wire.curve.client.CurveInitiator._advance_untrusted",
    "wire.curve.client.CurveInitiator._greeting_untrusted",
    "wire.curve.client.CurveInitiator._command_untrusted",
    "wire.curve.client.CurveInitiator._may_be_instead_untrusted",
    "wire.curve.client.CurveInitiator._hello_untrusted",
    "wire.curve.client.CurveInitiator._initiate_untrusted",
    "wire.curve.client.CurveInitiator._ready_untrusted",
    "wire.curve.client._reason_untrusted",
)
def curve_client(material: Material) -> None:
    """Our own client, whatever the server says and however it is cut."""
    said = some_metadata(material)
    server_transient = material.pick([S1.public, *LOW_ORDER])
    cookie = curve.cookie(C1.public, S1.secret, COOKIE_KEY, nonce=NONCE)
    plaintext = material.damaged(server_transient + cookie, 1)
    refusal = material.pick([None, b"400", b"sessions_limit", b""])
    pieces = [
        zmtp.greeting(as_server=1, version=(3, material.number(255))),
        zmtp.frame(curve.welcome(S, C1.public, b"", b"", nonce=NONCE, plaintext=plaintext), COMMAND),
        zmtp.frame(curve.ready(said, S1, C1.public) if refusal is None else zmtp.error(refusal), COMMAND),
        material.octets(20),
    ]
    damaged = [material.damaged(piece, 1) for piece in pieces]
    stream = b"".join(damaged)

    def feed(ends: list[int]) -> tuple[tuple[bytes, bytes] | None, Stage, int, Negotiated | None]:
        client = CurveInitiator(server, pair(C), pair(C1), NONCE, {"Socket-Type": b"DEALER"}, stepwise=stepwise)
        if terms is not None:
            client.offer_records(terms)
        assert client.start() == ours[: 11 if stepwise else 64]
        result = fed(client, stream, ends, faults.OF_A_SERVER)
        return result, client.stage, client.minor, without_leftover(client)

    cuts = material.cuts(len(stream))
    server, stepwise = material.pick([S.public, S.public, *LOW_ORDER]), material.pick([False, True])
    terms = material.pick([None, Terms([Suite(2), Suite(1)], 64), Terms([Suite(1)])])
    if terms is not None and refusal is None:
        answer = material.damaged(bytes([1, material.number(255), *material.pick([[2], [1]])]), 1)
        said = material.damaged(said + zmtp.metadata({material.pick([OFFER, OFFER.lower()]): answer}), 1)
        damaged[2] = zmtp.frame(curve.ready(said, S1, C1.public), COMMAND)
        stream = b"".join(damaged)
        cuts = [*(min(cut, len(stream)) for cut in cuts[:-1]), len(stream)]
    ours = zmtp.greeting(version=(3, 0))
    whole = feed([len(stream)])
    assert feed(cuts) == whole
    result, stage, _, found = whole
    if result is None:
        return
    if stepwise and stage is not Stage.GREETING:
        assert result[0].startswith(ours[11:])
        result = result[0].removeprefix(ours[11:]), result[1]
    answers = zmtp.read_frames(result[0])
    assert len(answers) == list(Stage).index(stage) - (stage is Stage.DONE)
    if answers:
        curve.read_hello(answers[0].body, S)
    if stage is Stage.DONE:
        assert found is not None
        initiate = curve.read_initiate(answers[1].body, C1.public, S1)
        assert initiate.client == C.public
        _, last = zmtp.read_frames(stream[64 : len(stream) - len(result[1])])
        check_agreed(found, initiate.metadata, curve.read_ready(last.body, S1.public, C1)[1], terms)


def check_agreed(found: Negotiated, initiate: bytes, ready: bytes, terms: Terms | None) -> None:
    """What a client must have agreed on behind READY. initiate, ready: metadata as it stood in those boxes."""
    offer, shared = lawful_properties(initiate), curve.shared_key(S1.public, C1.secret)
    assert offer is not None
    assert offer.get(OFFER) == (None if terms is None else terms.offer)
    said = {name.lower(): value for name, value in (lawful_properties(ready) or {}).items()}
    answer = said.get(OFFER.lower())
    if terms is None or answer is None:
        assert isinstance(found.security, Curve)
        assert found.security.key == shared
        return
    assert (len(answer), answer[0], answer[2] in terms.suites) == (3, 1, True)
    root = records.root(shared, initiate, ready, C.public, S.public, answer[2])
    ours, theirs = (records.derived(root, text) for text in (b"client to server", b"server to client"))
    assert found.security == Records(answer[2], ours, theirs, bool(answer[1] & 1), terms.pad_to)


@target(
    "wire.initiator.Initiator.receive_untrusted",
    "wire.curve.asking.CertificateQuestion._advance_untrusted",
    "wire.curve.asking.CertificateQuestion._greeting_untrusted",
    "wire.curve.asking.read_answer_untrusted",
)
def question(material: Material) -> None:
    """Our question for certificates, whatever is answered and however it is cut."""
    texts = [material.octets(40) for _ in range(1 + material.number(2))]
    more = material.filled(material.pick([0, 1, 8140, 8192]))
    mechanism = material.pick([b"CURVE-CERTIFICATE", b"CURVE", b"NULL"])
    pieces = [
        zmtp.greeting(mechanism, as_server=1 - material.number(1), version=(3, material.number(255))),
        material.damaged(answer(*texts))[64:],
        more,
    ]
    stream = material.damaged(b"".join(pieces))

    def feed(ends: list[int]) -> tuple[tuple[bytes, bytes] | None, list[bytes], bool, Negotiated | None]:
        asking = CertificateQuestion()
        assert asking.start() == zmtp.greeting(b"CURVE-CERTIFICATE")
        result = fed(asking, stream, ends, faults.OF_A_QUESTION)
        return result, asking.texts, asking.is_curve, without_leftover(asking)

    whole = feed([len(stream)])
    cut = feed(material.cuts(len(stream)))
    assert cut[0] == whole[0]
    result, found, _, negotiated = whole
    if result is None or negotiated is None:
        return
    assert cut == whole
    sent, behind = result
    assert sent == b""
    [said] = zmtp.read_frames(stream[64 : len(stream) - len(behind)])
    assert (said.flags, len(said.body) <= 8192) == (COMMAND, True)
    assert said.body == zmtp.read_frames(answer(*found)[64:])[0].body


@target(
    "wire.zmtp.negotiation.PlainInitiator._advance_untrusted",
    "wire.zmtp.negotiation.PlainInitiator._choose_untrusted",
    "wire.zmtp.negotiation.read_dialect_untrusted",
    "wire.zmtp.null.NullInitiator._advance_untrusted",
    "wire.zmtp.v1.V1Initiator._advance_untrusted",
    "wire.zmtp.v2.V2Initiator._advance_untrusted",
)
def plain_peer(material: Material) -> None:
    """A service's handshake in any version, whatever it says and however it is cut."""
    said, pacing = some_metadata(material), material.pick(list(Pacing))
    body = zmtp.error(b"400") if material.number(3) == 3 else zmtp.null_ready(said)
    identity = material.octets(300)
    pieces = material.pick(
        [
            [zmtp.greeting(b"NULL", version=(3, material.number(255))), zmtp.frame(body, COMMAND)],
            [zmtp.greeting(b"NULL", version=(3, material.number(255))), zmtp.frame(body, COMMAND, long=True)],
            [bytes([min(len(identity), 253) + 1, material.pick([0x00, 0x7E])]), identity[:253]],
            [b"\xff" + (len(identity) + 1).to_bytes(8, "big") + b"\x00", identity],
            [SIGNATURE, bytes([1, material.number(12)]), zmtp.frame(identity[:255])],
        ]
    )
    ours = material.pick([b"", b"me"])
    stream = b"".join(material.damaged(piece, 1) for piece in [*pieces, material.octets(20)])

    def feed(ends: list[int]) -> tuple[Negotiated | None, tuple[bytes, bytes] | None]:
        peer = PlainInitiator({"Socket-Type": b"ROUTER", "Identity": b"us"}, pacing, identity=ours)
        started = peer.start()
        result = fed(peer, stream, ends, faults.OF_A_SERVICE)
        return without_leftover(peer), result and (started + result[0], result[1])

    found, result = feed([len(stream)])
    assert feed(material.cuts(len(stream))) == (found, result)
    if found is not None and result is not None:
        check_plain(found, stream[: len(stream) - len(result[1])], result[0], ours)


def check_plain(negotiated: Negotiated, come: bytes, answer: bytes, ours: bytes) -> None:
    """What another reader makes of a handshake that came to its end."""
    (dialect, minor), found = negotiated.version, negotiated.metadata
    assert negotiated.security == Plain()
    if dialect == Dialect.V3:
        [ready] = zmtp.read_frames(come[64:])
        assert ready.flags == COMMAND
        assert found == lawful_properties(zmtp.part(ready.body, b"READY", 6)) is not None
        assert minor == come[11]
        assert [frame.flags for frame in zmtp.read_frames(answer[64:])] == [COMMAND]
    elif dialect == Dialect.V2:
        [identity] = zmtp.read_frames(come[12:])
        kinds = ["PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"]
        told = {"Socket-Type": kinds[come[11]].encode(), "Identity": identity.body}
        assert (found, minor) == ({name: value for name, value in told.items() if value}, 0)
        assert answer[9:] == b"\x7f\x03\x06\x00\x02us"
    else:
        header = 10 if come[0] == 0xFF else 2
        size = int.from_bytes(come[1:9], "big") if header == 10 else come[0]
        assert size == len(come) - header + 1 <= 256
        assert (found, minor) == ({"Identity": come[header:]} if come[header:] else {}, 0)
        assert answer == b"\xff" + (len(ours) + 1).to_bytes(8, "big") + b"\x7f" + ours

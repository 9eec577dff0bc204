"""Certificates: a CURVE key with a name, a time and what it may, signed by an authority. The text is the document.

    #   comments, only as whole lines
    metadata
    curve
        public-key = "Z85"
    certificate
        version = "1"
        ...
        authority = "Z85"
        signature = "Z85"

The form is ZPL (RFC 4), more strictly: lines end in LF, a field has four spaces before it and its value in quotes, and
each comes once. So CZMQ and ``zmq.auth`` read the key, and nobody can read the text in two ways.

    signed    = "curveproxy certificate 1" 00 *property     the fields but the signature, as metadata of ZMTP (RFC 23)
                                                            encodes them, sorted by name
    signature = Ed25519(the authority's seed, signed)

A field that is not known refuses the certificate: what limits must not be passed over by an older reader. Those that
begin with ``note-`` are signed, and mean nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from attrs import evolve, field, frozen

from curveproxy.wire import sodium, spec, z85
from curveproxy.wire.errors import Fault, LocalError, PeerError
from curveproxy.wire.timestamp import read_time
from curveproxy.wire.zmtp import metadata

CLIENT, SERVER = "client", "server"
VERSION = "1"
CONTEXT = b"curveproxy certificate 1\0"
MOST = 2048  # octets of a text
FIELDS_MAX = 32
# A signer writes the begin so many seconds back, for clocks differ.
BACKDATED = 60

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SERIAL = re.compile(r"[0-9a-f]{16}")
ANY_TOPIC = "*"
SOCKET_TYPES, LIMITS = "socket-types", ("max-sessions", "messages-per-second", "bytes-per-second")

_SECTIONS = frozenset({"metadata", "curve", "certificate"})
_LINE = re.compile(r' {4}([a-z][a-z0-9-]{0,31}) = "([\x20\x21\x23-\x7e]{0,1024})"')
_VALUE = re.compile(r"[\x20\x21\x23-\x7e]{0,1024}")
_WORD = re.compile(r"(?:[^ %]|%[0-9A-Fa-f]{2})+")
_OCTET = re.compile(rb"%([0-9A-Fa-f]{2})")
_SOCKET_TYPE = re.compile(r"[A-Z]{1,16}")
_LIMIT = re.compile(r"[0-9]{1,18}")
_NOTE = "note-"
_KEY = "public-key"

_MUST = ("version", "kind", "serial", "name", "valid-from", "valid-until", "authority", "signature")
_MAY = ("renewable-until",)
_OF_A_CLIENT = ("services", SOCKET_TYPES, "identity", "topics", "publish-topics", *LIMITS)
_OF_A_SERVER = ("names",)
_KNOWN = frozenset((_KEY, *_MUST, *_MAY, *_OF_A_CLIENT, *_OF_A_SERVER))
# How a text is written; what is not named stands, sorted, before the last two.
_FIRST = ("version", "kind", "serial", "name", "names", "valid-from", "valid-until")
_LAST = ("authority", "signature")


@frozen
class Certificate:
    """What a text says, as its grammar has it. Whether it is true is for ``verifies`` and for ``policy.access``.

    key, authority: public keys of CURVE and of Ed25519, 32 octets each; signature: 64.
    kind: ``client`` or ``server``; names: what a server may be called, empty for a client.
    valid_from, valid_until, renewable_until: Unix seconds.
    services: the only ones that it is for, None for all; socket_types: its only ones, empty for all.
    identity: the only one that it may use, empty for any.
    topics, publish_topics: prefixes of what it may subscribe to and publish, None for anything.
    limits: its own values of ``policy.limits.ClientLimits``, by name.
    signed: the octets that the signature is of; text: the whole without comments, as it is presented.
    """

    key: bytes
    kind: str
    serial: str
    name: str
    valid_from: int
    valid_until: int
    authority: bytes
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    text: bytes = field(repr=False)
    names: Sequence[str] = ()
    renewable_until: int | None = None
    services: frozenset[str] | None = None
    socket_types: frozenset[bytes] = frozenset()
    identity: bytes = b""
    topics: Sequence[bytes] | None = None
    publish_topics: Sequence[bytes] | None = None
    limits: Mapping[str, int] = field(factory=dict)

    def verifies(self) -> bool:
        """Whether the authority that it names has signed it."""
        return sodium.verifies(self.signature, self.signed, self.authority)

    def without_text(self) -> Self:
        """The same for one who only wants to know what it says."""
        return evolve(self, text=b"", signed=b"", signature=b"") if self.text else self


def read_untrusted(text: bytes) -> Certificate:
    """Read a certificate.

    Raises PeerError: certificate_too_large, certificate_malformed, certificate_field for one that is not known,
    certificate_version, certificate_kind. The detail tells the line or the field, and nothing of its content.
    """
    if len(text) > MOST:
        raise PeerError(Fault.CERTIFICATE_TOO_LARGE, f"it has more than {MOST} octets")
    fields, kept = _fields(text)
    _check_fields(fields)
    values = {
        name.replace("-", "_"): _value(name, fields[name], read) for name, read in _READERS.items() if name in fields
    }
    if values["valid_until"] <= values["valid_from"]:
        raise _malformed("it ends before it begins")
    limits = {name.replace("-", "_"): _value(name, fields[name], _limit) for name in LIMITS if name in fields}
    key = _value(_KEY, fields[_KEY], _octets(spec.KEY_SIZE))
    del fields["signature"]
    signed = signed_octets(fields)
    return Certificate(key=key, kind=fields["kind"], limits=limits, signed=signed, text=kept, **values)


def signed_octets(fields: Mapping[str, str]) -> bytes:
    """What a signature is of. fields: all but the signature, as they are written."""
    return CONTEXT + metadata.encode({name: fields[name].encode() for name in sorted(fields)})


def write(fields: Mapping[str, str], seed: bytes, comments: Sequence[str] = ()) -> str:
    """Sign, and write the text.

    fields: those of the document, as they are written; version, authority and signature are put in here.
    seed: of the authority, 32 octets; comments: one line each. Raises LocalError for what can not be read again.
    """
    for name, value in fields.items():
        if _VALUE.fullmatch(value) is None:
            raise LocalError(f"its {name} has letters beyond ASCII, quotes, or more than 1,024: in words %XX is any")
    public, secret = sodium.signing_pair(seed)
    whole = {**fields, "version": VERSION, "authority": z85.encode(public)}
    whole["signature"] = z85.encode(sodium.sign(signed_octets(whole), secret))
    lines = [f"#   {comment}" for comment in comments] + [""] * bool(comments)
    lines += ["metadata", "curve", _written(_KEY, whole), "certificate"]
    others = sorted(whole.keys() - {_KEY, *_FIRST, *_LAST})
    lines += [_written(name, whole) for name in (*_FIRST, *others, *_LAST) if name in whole]
    text = "\n".join(lines) + "\n"
    try:
        read_untrusted(text.encode())
    except PeerError as error:
        raise LocalError(error.detail) from None
    return text


def _written(name: str, fields: Mapping[str, str]) -> str:
    return f'    {name} = "{fields[name]}"'


def _malformed(detail: str) -> PeerError:
    return PeerError(Fault.CERTIFICATE_MALFORMED, detail)


def _fields(text: bytes) -> tuple[dict[str, str], bytes]:
    """The fields by their names, and the text without its comments."""
    if not text.isascii():
        raise _malformed("it has letters beyond ASCII")
    fields: dict[str, str] = {}
    kept, sections, section = [], set(), ""
    *lines, rest = text.decode().split("\n")
    for number, line in enumerate(lines, 1):
        if not line or (line[0] == "#" and line.isprintable()):
            continue
        kept.append(line)
        if line in _SECTIONS:
            if line in sections:
                raise _malformed(f"line {number}: a section comes twice")
            sections.add(section := line)
            continue
        name, value = _field(line, number, section)
        if name in fields:
            raise _malformed(f"line {number}: a field comes twice")
        fields[name] = value
    if rest:
        raise _malformed("its last line has no end")
    if len(fields) > FIELDS_MAX:
        raise _malformed(f"it has more than {FIELDS_MAX} fields")
    return fields, "\n".join([*kept, ""]).encode()


def _field(line: str, number: int, section: str) -> tuple[str, str]:
    """A line's name and value. section: in which it stands."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise _malformed(f"line {number} is none of a certificate's")
    name, value = found.groups()
    if name not in _KNOWN and not name.startswith(_NOTE):
        raise PeerError(Fault.CERTIFICATE_FIELD, f"line {number}: a field that is not known")
    if section != ("curve" if name == _KEY else "certificate"):
        raise _malformed(f"line {number}: a field that stands in another section than its own")
    return name, value


def _check_fields(fields: Mapping[str, str]) -> None:
    """Which fields there are, by version and kind."""
    for name in (_KEY, *_MUST):
        if name not in fields:
            raise _malformed(f"it has no {name}")
    if fields["version"] != VERSION:
        raise PeerError(Fault.CERTIFICATE_VERSION, f"it is of another version than {VERSION}")
    kind = fields["kind"]
    if kind not in (CLIENT, SERVER):
        raise PeerError(Fault.CERTIFICATE_KIND, "it is neither a client's nor a server's")
    others = _OF_A_SERVER if kind == CLIENT else _OF_A_CLIENT
    for name in others:
        if name in fields:
            raise PeerError(Fault.CERTIFICATE_FIELD, f"{name} is no field of a {kind}'s")
    for name in _OF_A_SERVER if kind == SERVER else ():
        if name not in fields:
            raise _malformed(f"it has no {name}")


def _value(name: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise _malformed(f"its {name}: {error}") from None


def _octets(size: int) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        octets = z85.decode(text)
        if len(octets) != size:
            raise ValueError(f"it has {len(octets)} octets instead of {size}")
        return octets

    return read


def _like(form: re.Pattern[str], what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if form.fullmatch(text) is None:
            raise ValueError(what)
        return text

    return read


def _words(text: str) -> list[bytes]:
    """Words with one space between them, %XX an octet."""
    words = text.split(" ")
    if not all(map(_WORD.fullmatch, words)):
        raise ValueError("it is not made of words with one space between them, in which %XX is an octet")
    return [_OCTET.sub(lambda found: bytes([int(found[1], 16)]), word.encode()) for word in words]


def _texts(text: str) -> tuple[str, ...]:
    try:
        return tuple(word.decode() for word in _words(text))
    except UnicodeDecodeError:
        raise ValueError("a word that is not UTF-8") from None


def read_topics(text: str) -> tuple[bytes, ...] | None:
    """Prefixes of topics, from words with one space between them; None for any. Raises ValueError."""
    if text == ANY_TOPIC:
        return None
    if ANY_TOPIC in text.split(" "):
        raise ValueError("* stands for anything, and not beside others: the topic of that name is %2A")
    return tuple(_words(text))


def _identity(text: str) -> bytes:
    words = _words(text)
    if len(words) > 1:
        raise ValueError("it is one word: a space is %20")
    if len(words[0]) > spec.IDENTITY_MAX or words[0][0] == 0:
        raise ValueError(f"it has more than {spec.IDENTITY_MAX} octets, or begins with a zero")
    return words[0]


def _socket_types(text: str) -> frozenset[bytes]:
    words = text.split(" ")
    if not all(map(_SOCKET_TYPE.fullmatch, words)):
        raise ValueError("they are words in capital letters with one space between them")
    return frozenset(word.encode() for word in words)


def _limit(text: str) -> int:
    return int(_like(_LIMIT, "it is not a whole number of at most 18 digits")(text))


_READERS: Mapping[str, Callable[[str], Any]] = {
    "serial": _like(SERIAL, "it is not 16 hexadecimal digits in lower case"),
    "name": _like(NAME, "it is not 1 to 64 of the letters A-Z a-z 0-9 . _ -"),
    "names": _texts,
    "valid-from": read_time,
    "valid-until": read_time,
    "renewable-until": read_time,
    "services": lambda text: frozenset(_texts(text)),
    SOCKET_TYPES: _socket_types,
    "identity": _identity,
    "topics": read_topics,
    "publish-topics": read_topics,
    "authority": _octets(spec.KEY_SIZE),
    "signature": _octets(sodium.SIGNATURE_SIZE),
}

"""What leaves this package: events, told to an ``Observer``, and figures, as frozen values.

What is counted by the frame (messages, octets) is no event: it stands in the figures, which are made when somebody
asks.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from curveproxy.reasons import Closed, DialFailure, Invalid, Outcome


class SessionView(Protocol):
    """A session, read only. ``in`` is from client to service."""

    @property
    def number(self) -> int:
        """No other session of this process has it."""

    @property
    def service(self) -> str:
        """The name of its service."""

    @property
    def client(self) -> str:
        """The operator's name for the client, else its key in Z85; of an egress its user, or its address."""

    @property
    def peer(self) -> str:
        """The client's address."""

    @property
    def server_key(self) -> bytes:
        """The server's public key that the client uses."""

    @property
    def serial(self) -> str:
        """Of the client's certificate; empty where it has come in without."""

    @property
    def authority(self) -> str:
        """What the one who signed it is called here: its file; empty where there is none."""

    @property
    def until(self) -> int | None:
        """How long it is valid, in Unix seconds, as it says itself; None where there is none."""

    @property
    def socket_type(self) -> str:
        """The client's, ``unknown`` for one that is in no list."""

    @property
    def dialect(self) -> str:
        """The version of ZMTP that the plain side speaks: the backend, or the client of an egress."""

    @property
    def form(self) -> str:
        """How messages are sealed: the suite of records, as ``aegis-256``, or ``message``."""

    @property
    def is_probe(self) -> bool:
        """Whether it says that it is a probe, which sends no messages."""

    @property
    def seconds(self) -> float:
        """Its age."""

    @property
    def messages_in(self) -> int: ...
    @property
    def messages_out(self) -> int: ...
    @property
    def octets_in(self) -> int: ...
    @property
    def octets_out(self) -> int: ...


@frozen
class ServiceFigures:
    """One service at one moment. Limits are those in force; what was relayed counts from the start.

    endpoint: where it listens; addresses: each of the sockets of that.
    backend_up: how the last dial ended; None before the first.
    direction: ``ingress`` or ``egress``; of an egress, backend is all its remotes, and server_keys are theirs, or
        the authorities that tell them.
    client_keys: how many are on the list; None where any key will do.
    certificate_sessions: how many clients are in by a certificate, by what its authority is called here, with each that
        is listed.
    revocations: how many lines of the revocation list are in force.
    own_certificates: until when, in Unix seconds, each of our keys has a valid certificate, by kind: ``server`` for
        clients that ask, ``client`` for the remotes of an egress. A kind without certificates is missing.
    throttled_seconds: how long sessions were not read, for a limit, all added up.
    by_form: how many sessions there are, by how their messages are sealed.
    records_in, records_out: of sessions with records; record_octets_in, record_octets_out: as they are on the wire.
    """

    name: str
    endpoint: str
    addresses: Sequence[str]
    backend: str
    backend_up: bool | None
    half_open: int
    half_open_limit: int
    sessions: int
    sessions_limit: int
    client_keys: int | None
    server_keys: int
    messages_in: int
    messages_out: int
    octets_in: int
    octets_out: int
    throttled_seconds: float
    direction: str = "ingress"
    by_form: Mapping[str, int] = field(factory=dict)
    records_in: int = 0
    records_out: int = 0
    record_octets_in: int = 0
    record_octets_out: int = 0
    certificate_sessions: Mapping[str, int] = field(factory=dict)
    revocations: int = 0
    own_certificates: Mapping[str, float] = field(factory=dict)


@frozen
class ServerFigures:
    """All services of a process at one moment, and what they share.

    buffered: octets that sessions hold, with the limit, infinite for none, and how many wait for some of it.
    ended_for_memory: sessions that were ended so that others could go on.
    half_open_held_back: seconds in which half-open connections and whoever knocked waited, for sessions had work;
        part_held_back: of the last half minute or so.
    """

    descriptors: int = 0
    descriptors_limit: int = 0
    buffered: int = 0
    buffered_limit: float = 0
    buffered_waiting: int = 0
    ended_for_memory: int = 0
    half_open_held_back: float = 0.0
    part_held_back: float = 0.0
    services: Sequence[ServiceFigures] = ()


class Observer(Protocol):
    """Hears what happens to one service. None of its methods blocks or raises."""

    def accepted(self) -> None:
        """A connection came in. Exactly one ``refused`` or ``admitted`` follows."""

    def refused(self, outcome: Outcome, peer: str, detail: str = "", client: str = "") -> None:
        """A handshake ended otherwise than by READY.

        peer: the source's address; detail: our own text, never a peer's.
        client: of one that has proved its key, the operator's name for it, else the key in Z85; of an egress the user.
        """

    def certificate_judged(self, result: str) -> None:
        """A client's certificate was judged: ``valid``, ``cached``, or a word of ``CertificateFlaw``."""

    def admitted(self, session: SessionView, seconds: float) -> None:
        """READY has been written, ``seconds`` after accept."""

    def closed(self, session: SessionView, reason: Closed) -> None:
        """A session that was admitted has ended."""

    def invalid(self, session: SessionView, reason: Invalid, detail: str = "") -> None:
        """A frame after the handshake was invalid, or a command was dropped, or a message was left out."""

    def repeated(self, reason: Invalid, count: int) -> None:
        """So many more of a kind of which the same session was told before: they are counted, and that is all."""

    def backend_up(self, seconds: float) -> None:
        """A backend, or a remote of an egress, has been dialled and greeted within ``seconds``."""

    def backend_failed(self, reason: DialFailure, detail: str = "") -> None:
        """A backend, or one of the remotes of an egress, could not be dialled or greeted."""

    def rivals(self, session: SessionView) -> None:
        """Sessions of one key and identity replace each other again and again; this is the last that was replaced."""

    def unexpected(self, error: BaseException) -> None:
        """An error of ours ended one connection."""

    def notice(self, event: str, **facts: object) -> None:
        """Something that the operator should read, as a warning."""

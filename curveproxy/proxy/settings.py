"""The part of a service's configuration that the proxy needs, already checked."""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

from attrs import field, frozen

from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.judgement import last_ends
from curveproxy.policy.limits import (
    UNLIMITED,
    WHOLE,
    AdmissionLimits,
    ClientLimits,
    MessageLimits,
    OnInvalid,
    RecordsMode,
    WorkerShare,
)
from curveproxy.proxy.net.endpoint import Endpoint, Network
from curveproxy.wire.certificate import CLIENT, SERVER
from curveproxy.wire.codec.suites import suites_named
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.offer import Terms

# How a user is named whose process is a client of an egress, before the number.
UID = "uid "


class RefusalMode(StrEnum):
    """How a client is refused for good: ERROR makes libzmq give up, a connection that only closes lets it retry."""

    ERROR = "error"
    CLOSE = "close"


class ServiceKind(StrEnum):
    """Which side speaks CURVE: of an ingress the clients, of an egress what lies behind it."""

    INGRESS = "ingress"
    EGRESS = "egress"


@frozen
class EgressSettings:
    """What an egress has in place of a backend, server keys and a list of clients.

    remotes: CURVE servers, in the order in which they are tried, at least one.
    server_keys: their public keys, 32 octets each; any of them may have any.
    keys: who we are to them.
    trust: whose certificates tell those keys, in place of ``server_keys``; None where keys are pinned.
    server_name: what the servers must be called there; empty for the host of each endpoint.
    server_certificate: the text that is taken in place of the question for it; empty where they are asked.
    certificate: the text of ours, which they are presented; empty for none.
    client_socket_type: of local clients that can not tell theirs (ZMTP 1.0); empty where there are none.
    allow_uids: whose processes may connect to a Unix socket; empty for whoever its mode lets in.
    socket_mode: the permissions of that socket.
    """

    remotes: tuple[Endpoint, ...]
    server_keys: tuple[bytes, ...]
    keys: KeyPair
    trust: Trust | None = None
    server_name: str = ""
    server_certificate: bytes = b""
    certificate: bytes = b""
    client_socket_type: str = ""
    allow_uids: frozenset[int] = frozenset()
    socket_mode: int = 0o600

    @property
    def key_count(self) -> int:
        """How many keys of the servers are pinned, or how many authorities tell them."""
        return len(self.server_keys) if self.trust is None else len(self.trust.authorities)

    def allows(self, user: str) -> bool:
        """Whether the processes of a user, as ``uid 1000``, may be connected; of anybody who is known by no number."""
        return not self.allow_uids or not user.startswith(UID) or user.removeprefix(UID) in map(str, self.allow_uids)


@frozen
class ServiceSettings:
    """The settings of one service, or of one egress. A list of clients is not among them: it changes while it runs.

    server_keys: a client may use any of them; none for an egress, whose clients have no CURVE.
    certificates: the texts of those of our server keys, for whoever asks; empty where nobody is told.
    egress: what an egress has; None for a service. Its ``backend`` is the first of its remotes.
    proxy_protocol_from: load balancers whose PROXY header is believed.
    xpub_messages: an XPUB is sent messages too, and not only subscriptions.
    client_limits: of each client, unless its certificate says otherwise; share: the part that this process has.
    idle_seconds, heartbeat_seconds: 0 for never.
    """

    name: str
    listen: Endpoint
    backend: Endpoint
    server_keys: tuple[KeyPair, ...]
    refusal: RefusalMode = RefusalMode.ERROR
    forward_identity: bool = False
    allow_remote_backend: bool = False
    backend_socket_type: str = ""
    zmtp1_identities: bool = False
    xpub_messages: bool = False
    proxy_protocol_from: tuple[Network, ...] = ()
    certificates: tuple[bytes, ...] = ()
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)
    client_limits: ClientLimits = UNLIMITED
    share: WorkerShare = WHOLE
    idle_seconds: float = 0.0
    heartbeat_seconds: float = 0.0
    egress: EgressSettings | None = None

    @property
    def kind(self) -> ServiceKind:
        return ServiceKind.INGRESS if self.egress is None else ServiceKind.EGRESS

    @cached_property  # each handshake asks
    def record_terms(self) -> Terms | None:
        """On what terms records are agreed on with the side that speaks CURVE; None for not at all.

        Behind a record that does not open there is no next one to be found: who drops what is invalid does without.
        """
        messages = self.messages
        if messages.records == RecordsMode.OFF or messages.on_invalid == OnInvalid.DROP:
            return None
        suites = suites_named(messages.record_suites)
        return Terms(suites, messages.pad_to) if suites else None

    @cached_property  # each look at the figures asks
    def own_certificates(self) -> Mapping[str, float]:
        """Until when our keys have valid certificates, in Unix seconds, by kind; see ``ServiceFigures``."""
        texts = {SERVER: self.certificates, CLIENT: (self.egress.certificate,) if self.egress is not None else ()}
        return {kind: min(ends.values()) for kind, mine in texts.items() if (ends := last_ends(mine))}

    @property
    def requires_records(self) -> bool:
        """Whether that side must agree on records."""
        return self.messages.records == RecordsMode.REQUIRE

    @property
    def socket_mode(self) -> int | None:
        """The permissions of the Unix socket on which it listens; None for what the umask leaves."""
        return None if self.egress is None else self.egress.socket_mode

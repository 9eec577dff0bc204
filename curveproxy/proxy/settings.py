"""What the proxy room must know of a service: its small part of the configuration, already checked."""

from enum import StrEnum

from attrs import field, frozen

from curveproxy.policy.limits import UNLIMITED, WHOLE, AdmissionLimits, ClientLimits, MessageLimits, WorkerShare
from curveproxy.proxy.net.endpoint import Endpoint, Network
from curveproxy.wire.curve.keys import KeyPair


class RefusalMode(StrEnum):
    """How a client is refused for good: ERROR makes libzmq give up, a connection that only closes lets it retry."""

    ERROR = "error"
    CLOSE = "close"


@frozen
class ServiceSettings:
    """One service. The list of its clients is not here, for it changes while the service runs.

    server_keys: in the order of the configuration; all are accepted.
    proxy_protocol_from: the balancers that tell whose connections they forward.
    xpub_messages: an XPUB is sent messages too, and not only subscriptions.
    client_limits: of each client, unless its certificate says otherwise; share: what of them this process has.
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
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)
    client_limits: ClientLimits = UNLIMITED
    share: WorkerShare = WHOLE
    idle_seconds: float = 0.0
    heartbeat_seconds: float = 0.0

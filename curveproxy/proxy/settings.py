"""The part of a service's configuration that the proxy needs, already checked."""

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
    """The settings of one service. Its list of clients is not among them: it changes while the service runs.

    server_keys: a client may use any of them.
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
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)
    client_limits: ClientLimits = UNLIMITED
    share: WorkerShare = WHOLE
    idle_seconds: float = 0.0
    heartbeat_seconds: float = 0.0

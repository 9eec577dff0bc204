"""What is known of a session, and what it has relayed: what an observer may see (``proxy/observer.py``)."""

import trio
from attrs import evolve

from curveproxy.policy.access.terms import Bearer, Grant
from curveproxy.policy.socket_types import known
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv
from curveproxy.proxy.relay.outbox import Labels
from curveproxy.proxy.relay.peer import Peer
from curveproxy.reasons import Closed

UPWARDS = Labels(
    source_closed=Closed.CLIENT_CLOSED,
    source_reset=Closed.CLIENT_RESET,
    sink_reset=Closed.BACKEND_RESET,
    over_limit=Closed.INVALID_MESSAGE,
    detail="",
)
DOWNWARDS = Labels(
    source_closed=Closed.BACKEND_CLOSED,
    source_reset=Closed.BACKEND_RESET,
    sink_reset=Closed.CLIENT_RESET,
    over_limit=Closed.LIMIT,
    detail="from the service",
)
FROM_REMOTE = evolve(DOWNWARDS, detail="from the remote")  # of an egress


class SessionFacts:
    """who: the client; env: what it shares with the other sessions of its service."""

    __slots__ = (
        "_downstream",
        "_upstream",
        "env",
        "opened_at",
        "who",
    )

    def __init__(self, client: AdmittedClient, env: RelayEnv, downstream: Peer, upstream: Peer) -> None:
        self.who, self.env = client, env
        self._downstream, self._upstream = downstream, upstream
        self.opened_at = trio.current_time()

    @property
    def service(self) -> str:
        """The name of its service."""
        return self.env.service

    @property
    def client(self) -> str:
        """The operator's name for the client, else its key in Z85; of an egress its user, or its address."""
        return self.who.name

    @property
    def peer(self) -> str:
        """Where the client comes from."""
        return self.who.address

    @property
    def number(self) -> int:
        """No other session of this process has it."""
        return self.who.number

    @property
    def server_key(self) -> bytes:
        """The public key that the client was given."""
        return self.who.server_key

    @property
    def is_probe(self) -> bool:
        """Whether it came to see whether it would be let in."""
        return self.who.is_probe

    @property
    def key(self) -> bytes:
        """The client, of whose memory there is a share: its public key, else its user or address."""
        return self.who.key or self.who.name.encode()

    @property
    def claimed_type(self) -> bytes | None:
        """The socket type that the client says it is."""
        return self._downstream.socket_type

    @property
    def grant(self) -> Grant:
        """On what grounds its client is in."""
        return self.who.grant

    def use_grant(self, grant: Grant) -> None:
        """Its client is in on other grounds from now on."""
        if grant != self.who.grant:
            self.who = evolve(self.who, grant=grant)

    @property
    def bearer(self) -> Bearer:
        """The client, to the list of those who may come in."""
        return Bearer(self.who.key, self.service, self.claimed_type, self.who.identity)

    @property
    def serial(self) -> str:
        """Of the client's certificate; empty where it has come in without."""
        return self.grant.serial

    @property
    def authority(self) -> str:
        """What the one who signed it is called here; empty where there is none."""
        return self.grant.authority

    @property
    def until(self) -> int | None:
        """How long it is valid, in Unix seconds; None where there is none."""
        return self.grant.until

    @property
    def socket_type(self) -> str:
        """The client's, for the log."""
        return known(self.claimed_type)

    @property
    def seconds(self) -> float:
        """How long it is open."""
        return trio.current_time() - self.opened_at

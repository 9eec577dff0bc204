"""One end of a session: its socket, and what it can do."""

from curveproxy.policy.metadata import answers_ping
from curveproxy.policy.socket_types import SUBSCRIBERS, shared
from curveproxy.proxy.established import Established
from curveproxy.wire.security import Records
from curveproxy.wire.zmtp.frame import Dialect


class Capabilities:
    """What one side of a session is known to speak.

    dialect, minor: its version of ZMTP; that of a proxy, which announces 3.0 for another reason, is 3.1, and so is that
        of anybody with whom records were agreed.
    socket_type: of its handshake; None where the handshake does not say.
    knows_ping: it has sent a PING that was passed on, so it knows what a PONG is.
    answers_ping: it has answered a PING of ours.
    """

    __slots__ = ("answers_ping", "dialect", "knows_ping", "minor", "socket_type")

    def __init__(
        self, minor: int, socket_type: bytes | None, dialect: Dialect = Dialect.V3, *, knows_ping: bool = False
    ) -> None:
        self.minor, self.socket_type, self.dialect = minor, socket_type, dialect
        self.knows_ping, self.answers_ping = knows_ping, False

    @property
    def never_subscribes(self) -> bool:
        """A subscriber before ZMTP 2.0: it receives only from a publisher that sends unasked."""
        return self.dialect == Dialect.V1 and self.socket_type in SUBSCRIBERS

    def learn(self, *, knows_ping: bool, answers_ping: bool) -> None:
        """Add what a command of this side has shown."""
        self.knows_ping |= knows_ping
        self.answers_ping |= answers_ping


class Peer(Capabilities):
    """One end of a session."""

    __slots__ = ("socket",)

    def __init__(self, established: Established) -> None:
        version = established.version
        is_newer = answers_ping(established.metadata) or isinstance(established.security, Records)
        minor = max(version.minor, is_newer)
        super().__init__(minor, shared(established.socket_type), version.dialect)
        self.socket = established.socket

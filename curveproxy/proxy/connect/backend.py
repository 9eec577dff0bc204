"""The backend of a service, in plain ZMTP: which version it speaks, and in which pacing it is greeted."""

from collections.abc import Mapping, Sequence

from curveproxy.policy.socket_types import PAIR
from curveproxy.proxy.connect.address import Address, Target, is_allowed
from curveproxy.proxy.connect.approach import Approach, Judgement, Progress, Then, fault_of
from curveproxy.proxy.connect.attempt import AttemptError
from curveproxy.proxy.connect.failures import failure_of, nearest
from curveproxy.proxy.connect.service_type import ServiceType
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.metadata import find
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import Pacing

REMOTE = "is not loopback and allow_remote_backend is not set"


class Backend:
    """That of one service, and which version of ZMTP it spoke the last time; None where that is not known."""

    def __init__(self, settings: ServiceSettings, observer: Observer) -> None:
        self.type = ServiceType(settings, observer)
        self._settings = settings
        self._target = Target(settings.backend, allow_remote=settings.allow_remote_backend)
        self._dialect: Dialect | None = None

    def configure(self, settings: ServiceSettings) -> bool:
        """Use other settings from the next dial on. Returns whether it is another backend now."""
        is_other = settings.backend != self._settings.backend
        if is_other:
            self._dialect = None
        if is_other or settings.allow_remote_backend != self._settings.allow_remote_backend:
            self._target = Target(settings.backend, allow_remote=settings.allow_remote_backend)
        self.type.configure(settings)
        self._settings = settings
        return is_other

    def misfit(self, metadata: Mapping[str, bytes]) -> DialError | None:
        """Why a client must not even be dialled for: a PUSH of ZMTP 1.0 deals its messages to whoever greets it."""
        if self._dialect == Dialect.V1 and self._settings.backend_socket_type:
            judged = self.type.judge(metadata, Dialect.V1)
            if isinstance(judged, DialError):
                return judged
        return None

    def takes_one(self, metadata: Mapping[str, bytes]) -> bool | None:
        """libzmq 2.x aborts when its PAIR gets a second connection. An unknown backend may be one."""
        if PAIR in (find(metadata, "Socket-Type"), self._settings.backend_socket_type.encode()):
            return self._dialect in (None, Dialect.V1)
        return None

    def approaches(self, metadata: Mapping[str, bytes]) -> Sequence[Approach]:
        """The one that there is."""
        pacing = Pacing.PIPELINED if self._dialect == Dialect.V3 else Pacing.STEPWISE
        return [BackendApproach(self, self._target, self._settings, metadata, pacing)]

    def speaks(self, dialect: Dialect | None) -> None:
        """Remember what it has spoken; None when a dial has failed: another program may listen there the next time."""
        self._dialect = dialect


class BackendApproach(Approach):
    """How the backend is greeted for one client: step by step where it is not known, or in one piece.

    pacing: of the next attempt.
    """

    def __init__(
        self,
        backend: Backend,
        target: Target,
        settings: ServiceSettings,
        metadata: Mapping[str, bytes],
        pacing: Pacing,
    ) -> None:
        super().__init__(target)
        self.pacing = pacing
        self._backend, self._type, self._settings, self._metadata = backend, backend.type, settings, metadata
        self._initiator: PlainInitiator | None = None

    def objection_to(self, address: Address) -> DialError | None:
        # Asked for the addresses themselves, because a name may mean others tomorrow.
        if is_allowed(address, allow_remote=self._settings.allow_remote_backend):
            return None
        return DialError(BackendFailure.UNREACHABLE, REMOTE)

    def initiator(self) -> Initiator:
        identity = find(self._metadata, "Identity") if self._settings.zmtp1_identities else b""
        self._initiator = PlainInitiator(self._metadata, self.pacing, identity=identity or b"")
        return self._initiator

    def accept(self, negotiated: Negotiated) -> bytes | Judgement | None:
        if fault := fault_of(negotiated.metadata):
            return Judgement(DialError(BackendFailure.HANDSHAKE, fault), Then.END)
        said = find(negotiated.metadata, "Socket-Type")
        judged = self._type.judge(self._metadata, negotiated.version.dialect, said)
        return Judgement(judged, Then.END) if isinstance(judged, DialError) else judged

    def judge(self, error: AttemptError, progress: Progress) -> Judgement:
        found = failure_of(error)
        if isinstance(found, RefusedError):
            return Judgement(found, Then.END)
        failure = found.failure
        if progress == Progress.CONNECTING and failure != BackendFailure.CLOSED:
            return Judgement(found, Then.NEXT)
        if self.pacing == Pacing.PIPELINED and failure in (BackendFailure.GREETING, BackendFailure.CLOSED):
            self.pacing = Pacing.STEPWISE  # another program may listen there now
            return Judgement(found, Then.AGAIN)
        if self.pacing == Pacing.STEPWISE and failure == BackendFailure.CLOSED and self._knows_version:
            self.pacing = Pacing.PEER_FIRST  # libzmq closes so when the socket types do not fit
            return Judgement(found, Then.AGAIN)
        return Judgement(found, Then.END)

    @property
    def _knows_version(self) -> bool:
        return self._initiator is not None and self._initiator.dialect is not None

    def late(self, _progress: Progress) -> DialError:
        return DialError(BackendFailure.TIMEOUT)

    def conclude(self) -> DialError:
        if not self.failures:
            return DialError(BackendFailure.UNREACHABLE, f"{self.endpoint.host} does not resolve")
        return nearest(self.failures)

    def succeeded(self, peer: Established) -> None:
        self._target.answered(self.addresses[0])
        self._backend.speaks(peer.version.dialect)
        self._type.connected(peer.socket_type, peer.version)

    def failed(self) -> None:
        self._backend.speaks(None)

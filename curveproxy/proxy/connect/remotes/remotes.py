"""The remotes of an egress, which speak CURVE: which is tried when, with which of their keys, and what went wrong."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

import trio

from curveproxy.policy.metadata import CERTIFICATE
from curveproxy.proxy.connect.address import address_text
from curveproxy.proxy.connect.approach import Approach, Judgement, Progress, Then, fault_of
from curveproxy.proxy.connect.attempt import AttemptError
from curveproxy.proxy.connect.failures import CLOSED, UNWANTED, connect_failure, exhausted, furthest, handshake_failure
from curveproxy.proxy.connect.remotes.inquiry import Connector, Inquiry
from curveproxy.proxy.connect.remotes.remote import Remote
from curveproxy.proxy.connect.service_type import ServiceType
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire import sodium
from curveproxy.wire.curve.client import CurveInitiator, Stage
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.offer import has_room
from curveproxy.wire.security import Negotiated, Records
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.metadata import find

# The status of ZAP (RFC 27) with which a server refuses a client for good.
NOT_ALLOWED = "400"
NO_ROOM = "the identity and properties leave no room for the offer of records, which are required"
# What a server does that has another key than HELLO was sealed to: libzmq and curveproxy close, JeroMQ says ERROR, who
# claims a key that it has not sends a WELCOME that does not open. Silence is none of it: so is a proxy whose service
# is down, which leaves HELLO unread. There another key changes nothing, and takes a part of the time to wait.
_ANOTHER_KEY = (ClientFailure.WELCOME, ClientFailure.WELCOME_CLOSED)


class RemoteApproach(Approach):
    """How one remote is greeted for one client: with each of the server keys, the one that worked last first.

    Where keys are told by certificates there is one, and no HELLO before it is believed.
    """

    hurries = True

    def __init__(
        self, remote: Remote, settings: ServiceSettings, kind: ServiceType, metadata: Mapping[str, bytes]
    ) -> None:
        egress = settings.egress
        assert egress is not None
        super().__init__(remote.target)
        self._remote = remote
        self._keys, self._type, self._metadata = egress.keys, kind, metadata
        self._terms, self._needs_records = settings.record_terms, settings.requires_records
        self._presented = {CERTIFICATE: egress.certificate} if egress.certificate else {}
        self._egress, self._seconds = egress, settings.admission.backend_connect_seconds
        self._server_keys = self._known_keys()
        self._inquiry: Inquiry | None = None  # that it waits for
        self._refused: DialError | None = None  # its key was not taken, and it is asked whether it has another
        self._initiator: CurveInitiator | None = None
        self._started, self._began = inf, -inf
        self._tried = 0  # server keys that this address does not have
        self._unexplained: DialError | None = None  # it closed inside its greeting, and we look why

    def _known_keys(self) -> list[bytes]:
        """Those that are pinned, or the one that is certified, if there is one."""
        if self._egress.trust is None:
            return sorted(self._egress.server_keys, key=lambda each: each != self._remote.server_key)
        key = self._remote.certified_key(self._egress)
        return [key] if isinstance(key, bytes) else []

    @property
    def is_prepared(self) -> bool:
        return super().is_prepared and bool(self._server_keys)

    async def prepare(self) -> Judgement | None:
        """Find the remote's key: by the text that is at hand, or it is asked at its addresses."""
        self._start()
        if self._egress.server_certificate and not self._server_keys:
            return Judgement(self._unbelieved(), Then.LEAVE)
        if not self.addresses and (unresolved := await super().prepare()) is not None:
            return unresolved
        if self._server_keys and self._refused is None:
            return None
        inquiry = self._inquiry = self._remote.ask(self.addresses, self._egress, self._seconds)
        await inquiry.wait()
        self._inquiry = None
        return self._learned(inquiry)

    def _learned(self, inquiry: Inquiry) -> Judgement | None:
        """What follows when it was asked."""
        if inquiry.refusal is not None:
            return Judgement(inquiry.refusal, Then.END)
        refused, self._refused = self._refused, None
        if self._has_another_key():
            self.addresses.sort(key=lambda each: each != inquiry.address)
            return None
        if refused is not None:
            return Judgement(refused, Then.NEXT if self._known_keys() else Then.LEAVE)
        if inquiry.address is not None:
            return Judgement(self._unbelieved(), Then.LEAVE)
        self.failures += inquiry.failures
        return Judgement(self.conclude(), Then.LEAVE)

    def _has_another_key(self) -> bool:
        """Whether its certificate tells another key than the one that was tried, if any was."""
        keys = self._known_keys()
        if not keys or keys == self._server_keys:
            return False
        self._server_keys, self._unexplained = keys, None
        return True

    def _unbelieved(self) -> DialError:
        """Why no key is known."""
        found = self._remote.certified_key(self._egress)
        return found if isinstance(found, DialError) else DialError(ClientFailure.CERTIFICATE_NONE)

    def _start(self) -> None:
        self._started = min(self._started, trio.current_time())

    def leave_address(self, error: DialError) -> bool:
        self._tried, self._unexplained = 0, None
        return super().leave_address(error)

    def initiator(self) -> Initiator:
        """One with keys of its own, so that nobody can open it later."""
        self._start()
        self._began = trio.current_time()
        self._initiator = CurveInitiator(
            self._server_keys[self._tried],
            self._keys,
            KeyPair.generate(),
            sodium.randombytes(16),
            {**self._metadata, **self._presented},
            stepwise=self._unexplained is not None,
        )
        if self._terms is not None:
            self._initiator.offer_records(self._terms, is_no_old=bool(self._presented))
        return self._initiator

    def accept(self, negotiated: Negotiated) -> bytes | Judgement | None:
        if fault := fault_of(negotiated.metadata):
            return Judgement(DialError(ClientFailure.READY, fault), Then.NEXT)
        if self._needs_records and not isinstance(negotiated.security, Records):
            return Judgement(DialError(ClientFailure.RECORDS), Then.NEXT)
        said = find(negotiated.metadata, "Socket-Type")
        judged = self._type.judge(self._metadata, negotiated.version.dialect, said)
        return Judgement(judged, Then.END) if isinstance(judged, DialError) else judged

    def judge(self, error: AttemptError, progress: Progress) -> Judgement:
        if (refusal := exhausted(error)) is not None:
            return Judgement(refusal, Then.END)
        if progress == Progress.CONNECTING and isinstance(error, OSError) and error.errno not in CLOSED:
            found = connect_failure(error)
        else:
            found = handshake_failure(error, self._stage, trio.current_time() - self._began)
            if found.failure == ClientFailure.GREETING_CLOSED and self._unexplained is None:
                self._unexplained = found
                return Judgement(found, Then.AGAIN)
            if found.failure in _ANOTHER_KEY and self._tried + 1 < len(self._server_keys):
                self._tried, self._unexplained = self._tried + 1, None
                return Judgement(found, Then.AGAIN)
            if found.failure in _ANOTHER_KEY and self._tried:
                found = DialError(found.failure, f"none of {len(self._server_keys)} server keys")
            if found.failure in _ANOTHER_KEY and (then := self._after_refusal(found)) is not None:
                return Judgement(found, then)
            if found.failure in UNWANTED and (misfit := self._misfit()) is not None:
                return Judgement(misfit, Then.END)
        is_final = found.failure == ClientFailure.REFUSED and found.detail == NOT_ALLOWED
        return Judgement(found, Then.END if is_final else Then.NEXT)

    def _after_refusal(self, found: DialError) -> Then | None:
        """What follows when the key that its certificate tells was not taken: it may have another by now."""
        if self._egress.trust is None:
            return None
        if self._has_another_key():
            return Then.AGAIN
        if self._egress.server_certificate or not self._remote.may_be_asked:
            return None
        self._refused, self._unexplained = found, None
        return Then.AFRESH

    def _misfit(self) -> RefusedError | None:
        """Whether the client does not fit what the remote was the last time: then that is why it is not wanted."""
        known = self._remote.socket_type
        judged = self._type.judge(self._metadata, Dialect.V3, known) if known else None
        return RefusedError(Outcome.SOCKET_TYPE, judged.detail) if isinstance(judged, DialError) else None

    @property
    def _stage(self) -> Stage:
        return Stage.GREETING if self._initiator is None else self._initiator.stage

    def late(self, progress: Progress) -> DialError:
        if self._inquiry is not None:
            return self._inquiry.late()
        if progress == Progress.RESOLVING:
            return DialError(ClientFailure.RESOLVE_TIMEOUT)
        if progress == Progress.CONNECTING:
            return DialError(ClientFailure.CONNECT_TIMEOUT)
        if self._unexplained is not None and self._stage is Stage.GREETING:
            return self._unexplained
        return DialError(ClientFailure(f"{self._stage}_timeout"))

    def conclude(self) -> DialError:
        if not self.failures:
            return DialError(ClientFailure.RESOLVE, f"{self.endpoint.host} does not resolve")
        found = furthest([error for _, error in self.failures])
        if len(self.failures) == 1:
            return found
        detail = "; ".join(f"{address_text(address)}: {error}" for address, error in self.failures)
        return DialError(found.failure, detail)

    def succeeded(self, peer: Established) -> None:
        self._target.answered(self.addresses[0])
        self._remote.succeeded(self._server_keys[self._tried], peer.socket_type or b"")
        self._type.connected(peer.socket_type, peer.version)
        if self._egress.trust is not None:
            self._remote.ask_if_due(self.addresses[0], self._egress, self._seconds)

    def failed(self) -> None:
        now = trio.current_time()
        self._remote.failed(now, max(0.0, now - self._started))


class Remotes:
    """Those of one egress, in the order of its settings. wall_clock: Unix seconds."""

    def __init__(
        self, settings: ServiceSettings, observer: Observer, connector: Connector, wall_clock: Callable[[], float]
    ) -> None:
        assert settings.egress is not None
        self._type, self._settings = ServiceType(settings, observer), settings
        self._observer, self._connector, self._wall_clock = observer, connector, wall_clock
        self._remotes = [self._new_remote(endpoint) for endpoint in settings.egress.remotes]

    def _new_remote(self, endpoint: Endpoint) -> Remote:
        return Remote(endpoint, self._observer, self._connector, self._wall_clock)

    def configure(self, settings: ServiceSettings) -> bool:
        """Use other settings from the next dial on. Returns whether they may answer otherwise than before."""
        assert settings.egress is not None
        before, self._settings = self._settings, settings
        self._type.configure(settings)
        known = {each.target.endpoint: each for each in self._remotes}
        self._remotes = [known.get(endpoint) or self._new_remote(endpoint) for endpoint in settings.egress.remotes]
        if _asked(before) != _asked(settings):
            return True
        # Certificates and lists of them are written anew now and then: that is news for who has failed by them.
        return _certified(before) != _certified(settings) and any(each.has_failed for each in self._remotes)

    def misfit(self, metadata: Mapping[str, bytes]) -> RefusedError | None:
        """Nothing is known of them before they have answered, but what they must be offered has to have room."""
        terms, egress = self._settings.record_terms, self._settings.egress
        assert egress is not None
        if not self._settings.requires_records or terms is None or egress.certificate or has_room(metadata, terms):
            return None  # who is presented a certificate is no old server
        return RefusedError(Outcome.METADATA, NO_ROOM)

    def takes_one(self, _metadata: Mapping[str, bytes]) -> bool | None:
        """None: a library that knows CURVE bears a second connection."""
        return None

    def approaches(self, metadata: Mapping[str, bytes]) -> Sequence[Approach]:
        """One for each remote: in order, but those last that have just failed."""
        now = trio.current_time()
        remotes = sorted(self._remotes, key=lambda each: each.rests(now))
        remotes[0].begun(now + self._settings.admission.backend_connect_seconds)
        return [RemoteApproach(each, self._settings, self._type, metadata) for each in remotes]


def _asked(settings: ServiceSettings) -> tuple[object, ...]:
    """What decides how a dial ends."""
    egress, messages = settings.egress, settings.messages
    assert egress is not None
    return egress.remotes, egress.server_keys, egress.keys, messages.records, messages.record_suites


def _certified(settings: ServiceSettings) -> tuple[object, ...]:
    """What may decide how a dial ends."""
    egress = settings.egress
    assert egress is not None
    return egress.trust, egress.server_name, egress.server_certificate, egress.certificate

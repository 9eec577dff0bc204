"""A client between the proof of its key and its session: its identity is claimed, then its service is dialled.

PendingSession goes through CLAIMING, DIALLING and SETTLED, in this order.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Protocol

from attrs import evolve

from curveproxy.policy.access.terms import Grant
from curveproxy.policy.metadata import droppable, for_client
from curveproxy.proxy.applying import Applicant, Applying
from curveproxy.proxy.connect.dial_request import DialHandler, DialRequest
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.reactor import READ, WRITE, Reactor, Spawn
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.reasons import Outcome
from curveproxy.wire import spec
from curveproxy.wire.zmtp import metadata


class PendingOwner(Protocol):
    """A service, to its pending sessions."""

    async def claim(self, who: AdmittedClient) -> None:
        """Claim a client's identity. Raises RefusedError."""

    def dial(self, handler: DialHandler, who: AdmittedClient, metadata: Mapping[str, bytes]) -> DialRequest | None:
        """Have the dialer fetch the service for a client."""

    def review(self, applicant: Applicant, grant: Grant, upstream: Established) -> Grant | RefusedError:
        """On what grounds it may come in at the end, for much may have changed; or why it may not.

        upstream: the service, which has been greeted.
        """

    def settled(self, pending: "PendingSession") -> None:
        """It waits no longer, whatever becomes of it."""

    def begin_session(self, pending: "PendingSession", downstream: Established, upstream: Established) -> None: ...

    def give_back(self, upstream: Established) -> None:
        """The connection to the service is not needed."""


class _State(Enum):
    CLAIMING = auto()
    DIALLING = auto()
    SETTLED = auto()


class PendingSession:
    """An allowed client that waits. It ends in ``begin_session``, or in a refusal.

    who: the client.
    """

    def __init__(
        self,
        owner: PendingOwner,
        applying: Applying,
        who: AdmittedClient,
        reactor: Reactor,
        observer: Observer,
        spawn: Spawn,
    ) -> None:
        self.who, self._spawn = who, spawn
        self._owner, self._applying, self._reactor, self._observer = owner, applying, reactor, observer
        self._state = _State.CLAIMING
        self._dial: DialRequest | None = None

    @property
    def applicant(self) -> Applicant:
        return self._applying.applicant

    def begin(self, *, claims: bool) -> None:
        """claims: its identity must be claimed before its service is dialled."""
        if claims:
            self._spawn(self, self._claim)
        else:
            self._fetch_service()

    async def _claim(self) -> None:
        if self._state != _State.CLAIMING:
            return
        refusal = None
        try:
            await self._owner.claim(self.who)
        except RefusedError as error:
            refusal = error
        if self._state != _State.CLAIMING:
            return  # it was cancelled meanwhile
        if refusal is not None:
            self.refused(refusal)
        else:
            self._fetch_service()

    def _fetch_service(self) -> None:
        self._state = _State.DIALLING
        self._dial = self._owner.dial(self, self.who, self.applicant.metadata)

    def cancel(self, error: RefusedError) -> None:
        if self._dial is not None:
            self._dial.refuse(error)
        else:
            self.refused(error)

    # --- as who wants a service

    def connected(self, peer: Established) -> None:
        """The service has been greeted: answer READY and begin the session."""
        self._settle()
        grant, refusal, downstream = self._owner.review(self.applicant, self.who.grant, peer), None, None
        if isinstance(grant, RefusedError):
            refusal = grant
        else:
            if grant != self.who.grant:
                self.who = evolve(self.who, grant=grant)
            try:
                # Registered before READY, which admits the client. No event comes before this turn is over.
                self._reactor.register(self._applying.socket.fileno(), self, READ | WRITE)
                downstream = self._applying.welcome(_for_any_client(for_client(peer.metadata, self.applicant.metadata)))
            except RefusedError as error:
                refusal = error
            except OSError as error:
                number = error.errno or 0
                refusal = (
                    RefusedError(Outcome.SESSIONS_LIMIT, sockets.EXHAUSTED[number])
                    if number in sockets.EXHAUSTED
                    else RefusedError(Outcome.PEER_CLOSED)
                )
            except Exception as error:  # the boundary: its dial is over, and nobody else could end it
                self._observer.unexpected(error)
                refusal = RefusedError(Outcome.INTERNAL)
        if downstream is not None:
            self._owner.begin_session(self, downstream, peer)
            return
        assert refusal is not None
        self._reactor.unregister(self._applying.socket.fileno())
        self._owner.give_back(peer)
        self._refuse(refusal.outcome, refusal.detail)

    def refused(self, error: DialError | RefusedError) -> None:
        """The service can not be had."""
        if isinstance(error, RefusedError):
            self._refuse(error.outcome, error.detail)
        else:
            self._refuse(Outcome.BACKEND_UNAVAILABLE, str(error))

    def failed(self, error: Exception) -> None:
        self._observer.unexpected(error)
        if self._state != _State.SETTLED:
            self._refuse(Outcome.INTERNAL)

    def ready(self, _events: int) -> None:
        """Never called: the session takes the socket over within the same turn."""

    def _refuse(self, outcome: Outcome, detail: str = "") -> None:
        self._settle()
        self._observer.refused(outcome, self.who.address, detail, self.who.name)
        self._applying.refuse(outcome)

    def _settle(self) -> None:
        if self._state != _State.SETTLED:
            self._state, self._dial = _State.SETTLED, None
            self._owner.settled(self)


def _for_any_client(properties: dict[str, bytes]) -> dict[str, bytes]:
    """A service's metadata, short enough for any client's library."""
    if metadata.size_of(properties) > spec.READY_METADATA_MAX:
        for name in droppable(properties):
            del properties[name]
            if metadata.size_of(properties) <= spec.READY_METADATA_MAX:
                break
    return properties

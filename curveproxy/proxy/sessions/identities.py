"""Which client has which identity at one service: at most one session, and at most one client that is pending.

libzmq's ROUTER ignores a connection for good whose identity another connection has. At an egress its remote decides on
identities: here a client only waits until what it has said on its last connection has been delivered.
"""

from typing import Protocol

import trio

from curveproxy.policy.identities import Rivals
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.proxy.relay.session import Session
from curveproxy.reasons import Closed, Outcome

# How long a service has to read the last messages of a closed client before the client's next connection is made.
# libzmq takes the identity for used until its program has read them.
SETTLE_SECONDS = 0.1


class IdentityRegistry(Protocol):
    """Whose each identity is, in all processes that relay the same services."""

    async def claim(self, service: str, identity: bytes, key: bytes, number: int) -> bool:
        """Whether a client may have an identity. An older session of its key, wherever it was, has ended then.

        number: the client's, of which there is no other in this process.
        """

    def release(self, service: str, identity: bytes, key: bytes, number: int) -> None:
        """It has gone, or has never come in."""


class Pending(Protocol):
    """A client that is about to have a session."""

    @property
    def who(self) -> AdmittedClient: ...

    def cancel(self, error: RefusedError) -> None:
        """End it with this refusal."""


class IdentityTable:
    """The identities of one service. registry: of all processes that relay it, where there are several.

    may_share: several clients may have one identity, for somebody else decides.
    """

    def __init__(
        self, service: str, observer: Observer, registry: IdentityRegistry | None, *, may_share: bool = False
    ) -> None:
        self._service, self._observer, self._registry = service, observer, None if may_share else registry
        self._may_share = may_share
        self._sessions: dict[bytes, Session] = {}
        self._pending: dict[bytes, Pending] = {}
        self._freed: dict[bytes, trio.Event] = {}
        self._rivals = Rivals()

    def has_session(self, identity: bytes) -> bool:
        return identity in self._sessions

    def is_of_another(self, identity: bytes, key: bytes) -> bool:
        """Whether a client with another key has an identity."""
        session, pending = self._sessions.get(identity), self._pending.get(identity)
        return (session is not None and session.who.key != key) or (pending is not None and pending.who.key != key)

    def expect(self, pending: Pending) -> bool:
        """Replace whoever has the identity of a client that is pending now; whether it must ``claim`` that first."""
        identity = pending.who.identity
        if not identity:
            return False
        self.replace(identity)
        self._pending[identity] = pending
        return self._is_waited_for(identity) or self._registry is not None

    def settled(self, pending: Pending) -> None:
        """A client is pending no longer."""
        identity = pending.who.identity
        if self._pending.get(identity) is pending:
            del self._pending[identity]

    def begun(self, session: Session) -> None:
        identity = session.who.identity
        is_shared = self._may_share and identity in self._sessions  # then the first one counts
        if identity and not is_shared:
            self._sessions[identity] = session

    def ended(self, session: Session) -> None:
        identity = session.who.identity
        if self._sessions.get(identity) is session:
            del self._sessions[identity]
            if (freed := self._freed.pop(identity, None)) is not None:
                freed.set()
        self.release(session.who)

    def replace(self, identity: bytes) -> None:
        """The client has connected again: end the session or pending client that has this identity.

        A session whose client has closed delivers what it was sent before it ends; see ``_until_free``.
        """
        if (older := self._sessions.get(identity)) is not None:
            if older.is_finishing:
                older.hurry()
            elif not self._may_share:
                older.abort(Closed.REPLACED)
                if self._rivals.add(identity, trio.current_time()):
                    self._observer.rivals(older)
        if not self._may_share and (pending := self._pending.get(identity)) is not None:
            pending.cancel(RefusedError(Outcome.PEER_CLOSED, "it has come again"))

    async def claim(self, who: AdmittedClient) -> None:
        """Claim a client's identity in all processes. Raises RefusedError."""
        await self._until_free(who.identity)
        if self._registry is not None and not await self._registry.claim(
            self._service, who.identity, who.key, who.number
        ):
            raise RefusedError(Outcome.IDENTITY_IN_USE)

    async def _until_free(self, identity: bytes) -> None:
        """Wait until the session with this identity has ended and the service has noticed that."""
        if self._is_waited_for(identity):
            await self._freed.setdefault(identity, trio.Event()).wait()
            await trio.sleep(SETTLE_SECONDS)

    def _is_waited_for(self, identity: bytes) -> bool:
        """Whether a session with this identity has to end before another begins."""
        session = self._sessions.get(identity)
        return session is not None and (session.is_finishing or not self._may_share)

    def release(self, who: AdmittedClient) -> None:
        """Give back the identity of a client that has gone."""
        if who.identity and self._registry is not None:
            self._registry.release(self._service, who.identity, who.key, who.number)

    async def make_way(self, identity: bytes, number: int) -> None:
        """End the client with that number, because it has connected again to another process."""
        holder = self._sessions.get(identity) or self._pending.get(identity)
        if holder is not None and holder.who.number == number:
            self.replace(identity)
            await self._until_free(identity)

    def expire(self, now: float) -> None:
        """Forget rivals of long ago."""
        self._rivals.expire(now)

"""Who may connect: the public keys of a service's clients, the operator's names for them, and the terms of each."""

from collections.abc import Mapping
from functools import cached_property

from attrs import evolve, field, frozen

from curveproxy.policy.limits import ClientLimits
from curveproxy.reasons import Outcome


@frozen
class KeyTerms:
    """What a client's certificate says of its key beside the name.

    identity: the only one that this key may use, and the one it gets when it names none; empty for any.
    socket_types: the only ones that it may use; empty for all.
    limits: its own values of ``ClientLimits``, by name.
    """

    identity: bytes = b""
    socket_types: frozenset[bytes] = frozenset()
    limits: Mapping[str, int] = field(factory=dict)


NO_TERMS = KeyTerms()


@frozen
class AccessList:
    """``[service.clients]`` as it stands now; a change makes a new list.

    names: public key (32 octets) -> the operator's name for it (a certificate's file stem); ``None``
        for a key that was written without a name.
    allow_any: any key may connect, listed or not.
    terms: of those keys that have some.
    """

    names: Mapping[bytes, str | None] = field(factory=dict)
    allow_any: bool = False
    terms: Mapping[bytes, KeyTerms] = field(factory=dict)

    def name(self, key: bytes) -> str | None:
        return self.names.get(key)

    def allows(self, key: bytes) -> bool:
        return self.allow_any or key in self.names

    def check(self, key: bytes, socket_type: bytes | None, identity: bytes) -> tuple[Outcome, str] | None:
        """Why this key must not connect with this socket type and identity; None when it may."""
        if not self.allows(key):
            return Outcome.CLIENT_UNKNOWN, ""
        terms = self.terms.get(key, NO_TERMS)
        if terms.identity and identity not in (b"", terms.identity):
            return Outcome.METADATA, "the identity is not the one in its certificate"
        if not terms.identity and identity in self._bound_identities:
            return Outcome.METADATA, "the identity is bound to another client's key"
        if terms.socket_types and socket_type not in terms.socket_types:
            return Outcome.SOCKET_TYPE, "the socket type is not among those in its certificate"
        return None

    @cached_property
    def _bound_identities(self) -> frozenset[bytes]:
        return frozenset(terms.identity for terms in self.terms.values()) - {b""}

    def identity(self, key: bytes, claimed: bytes) -> bytes:
        """The identity that a service sees: the certificate's, else the one that the client claims."""
        return self.terms.get(key, NO_TERMS).identity or claimed

    def limits(self, key: bytes, of_all: ClientLimits) -> ClientLimits:
        """The limits of this key: its certificate's, else those of all clients."""
        own = self.terms.get(key, NO_TERMS).limits
        return evolve(of_all, **own) if own else of_all

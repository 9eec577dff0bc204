"""Who may connect: the public keys of a service's clients, the operator's names for them, and what each is bound to."""

from collections.abc import Mapping
from functools import cached_property

from attrs import evolve, field, frozen

from curveproxy.policy.limits import ClientLimits
from curveproxy.reasons import Outcome


@frozen
class KeyTerms:
    """What the operator wrote into a client's certificate.

    identity: the one that this key must use, and gets when it names none; empty for any.
    socket_types: those that it may use; empty for all.
    limits: those of ``ClientLimits`` that are its own, by name.
    """

    identity: bytes = b""
    socket_types: frozenset[bytes] = frozenset()
    limits: Mapping[str, int] = field(factory=dict)


UNBOUND = KeyTerms()


@frozen
class AccessList:
    """``[service.clients]`` as it stands now; a change makes a new list.

    names: public key (32 octets) -> the operator's name for it (a certificate's file stem); ``None``
        for a key that was written without a name.
    allow_any: everybody who can prove a key is let in, named or not.
    bindings: of those keys that are bound to something.
    """

    names: Mapping[bytes, str | None] = field(factory=dict)
    allow_any: bool = False
    bindings: Mapping[bytes, KeyTerms] = field(factory=dict)

    def name(self, key: bytes) -> str | None:
        return self.names.get(key)

    def allows(self, key: bytes) -> bool:
        return self.allow_any or key in self.names

    def check(self, key: bytes, socket_type: bytes | None, identity: bytes) -> tuple[Outcome, str] | None:
        """Why this key may not come in, or stay, as what it says that it is; None when it may."""
        if not self.allows(key):
            return Outcome.CLIENT_UNKNOWN, ""
        binding = self.bindings.get(key, UNBOUND)
        if binding.identity and identity not in (b"", binding.identity):
            return Outcome.METADATA, "the identity is not the one in its certificate"
        if not binding.identity and identity in self._bound_identities:
            return Outcome.METADATA, "the identity is bound to another client's key"
        if binding.socket_types and socket_type not in binding.socket_types:
            return Outcome.SOCKET_TYPE, "the socket type is not among those in its certificate"
        return None

    @cached_property
    def _bound_identities(self) -> frozenset[bytes]:
        return frozenset(binding.identity for binding in self.bindings.values()) - {b""}

    def identity(self, key: bytes, claimed: bytes) -> bytes:
        """Who a client is to its service: as its certificate says, else as it says."""
        return self.bindings.get(key, UNBOUND).identity or claimed

    def limits(self, key: bytes, of_all: ClientLimits) -> ClientLimits:
        """What this key may take: as its certificate says, else as everybody."""
        own = self.bindings.get(key, UNBOUND).limits
        return evolve(of_all, **own) if own else of_all

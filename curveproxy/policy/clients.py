"""Who may connect: the public keys of a service's clients and the operator's names for them."""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class ClientList:
    """``[service.clients]`` as it stands now; a change makes a new list.

    names: public key (32 octets) -> the operator's name for it (a certificate's file stem); ``None``
        for a key that was written without a name.
    allow_any: everybody who can prove a key is let in, named or not.
    """

    names: Mapping[bytes, str | None] = field(factory=dict)
    allow_any: bool = False

    def allows(self, key: bytes) -> bool:
        return self.allow_any or key in self.names

    def name(self, key: bytes) -> str | None:
        return self.names.get(key)

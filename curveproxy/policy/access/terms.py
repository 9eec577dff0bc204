"""What a client is let in for: the restrictions of its key, and on what grounds it is here."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from attrs import evolve, field, frozen

from curveproxy.policy.limits import ClientLimits
from curveproxy.wire.certificate import Certificate


@frozen
class KeyTerms:
    """What a client's key file, or its certificate, says of its key beside the name.

    identity: the only one that this key may use, and the one it gets when it names none; empty for any.
    socket_types: the only ones that it may use; empty for all.
    limits: its own values of ``ClientLimits``, by name.
    topics, publish_topics: prefixes of what it may subscribe to, and publish; None for anything.
    """

    identity: bytes = b""
    socket_types: frozenset[bytes] = frozenset()
    limits: Mapping[str, int] = field(factory=dict)
    topics: Sequence[bytes] | None = None
    publish_topics: Sequence[bytes] | None = None

    @property
    def has_topics(self) -> bool:
        """Whether there are topics that its key may not have."""
        return self.topics is not None or self.publish_topics is not None


NO_TERMS = KeyTerms()


class Bearer(NamedTuple):
    """Who asks to come in, or presents a certificate.

    key: the one that it has proved, 32 octets; service: which it has come to; socket_type: None when it said none.
    identity: the one that it claims, or has; may be empty.
    """

    key: bytes
    service: str
    socket_type: bytes | None
    identity: bytes = b""


@frozen
class Grant:
    """On what grounds a client is in: it is listed, or has a certificate, or anybody may come.

    name: the operator's, or the certificate's; None where there is none.
    certificate: without its text, for nobody needs that again; authority: what the one who signed it is called here.
    ends_at: Unix seconds, those included by which clocks may differ; infinite without a certificate.
    is_presented: the certificate came from the client, and does not lie among the keys.
    """

    name: str | None = None
    terms: KeyTerms = NO_TERMS
    certificate: Certificate | None = None
    authority: str = ""
    ends_at: float = inf
    is_presented: bool = False

    @property
    def serial(self) -> str:
        """Of the certificate; empty without one."""
        return "" if self.certificate is None else self.certificate.serial

    @property
    def until(self) -> int | None:
        """How long the certificate is valid, in Unix seconds; None without one."""
        return None if self.certificate is None else self.certificate.valid_until

    def identity(self, claimed: bytes) -> bytes:
        """The identity that a service sees: the one it is bound to, else the one that the client claims."""
        return self.terms.identity or claimed

    def limits(self, of_all: ClientLimits) -> ClientLimits:
        """Its limits: its own, else those of all clients."""
        return evolve(of_all, **self.terms.limits) if self.terms.limits else of_all

    def has_other_topics(self, other: "Grant") -> bool:
        """Whether a session that began by ``other`` would go on with filters that are not those of this one."""
        mine, its = self.terms, other.terms
        return (mine.topics, mine.publish_topics) != (its.topics, its.publish_topics)


# Of a client that nobody asks who it is.
ANYBODY = Grant()

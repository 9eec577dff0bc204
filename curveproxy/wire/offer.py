"""How two curveproxies agree on records, inside of the boxes of INITIATE and READY: an offer, and its answer.

Either is one property. A stock peer passes over a property that it does not know, and messages go on as ever.

    offer  = version[1] flags[1] suite[1] ... suite[1]     1 to 14 suites, the client's order of preference
    answer = version[1] flags[1] suite[1]                  one of those offered, by the server's preference
    flags  : bit 0 "the records that I send are padded"; the others are 0, and not looked at
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from curveproxy.wire import spec
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp import metadata

NAME = "X-Curveproxy-Records"

VERSION = 1
PADS = 1
_HEADER = 2
_ANSWER_SIZE = _HEADER + 1
_OFFER_MAX = _HEADER + 14


@frozen
class Terms:
    """On what terms one side agrees on records.

    suites: those that it can and may use, in its order of preference, at least one.
    pad_to: its records are padded to a multiple of so many octets; 0 for none.
    """

    suites: Sequence[Suite]
    pad_to: int = 0

    @property
    def offer(self) -> bytes:
        """What a client offers."""
        return _written(self.suites, self.pad_to)


@frozen
class Agreement:
    """What two sides have agreed on. pad_to: of our records; peer_pads: the peer's are padded too."""

    suite: Suite
    pad_to: int
    peer_pads: bool

    @property
    def answer(self) -> bytes:
        """What the server says of it."""
        return _written([self.suite], self.pad_to)


def _written(suites: Sequence[Suite], pad_to: int) -> bytes:
    return bytes([VERSION, PADS if pad_to else 0, *suites])


def with_offer(properties: Mapping[str, bytes], terms: Terms, *, is_no_old: bool = False) -> dict[str, bytes]:
    """A client's properties with the offer; without it where they leave too little room for an old server's buffer.

    is_no_old: the server is none of those, by what else it is told.
    """
    offer = {NAME: terms.offer} if is_no_old or has_room(properties, terms) else {}
    return {**properties, **offer}


def has_room(properties: Mapping[str, bytes], terms: Terms) -> bool:
    """Whether the offer has room beside a client's properties."""
    return len(metadata.encode({**properties, NAME: terms.offer})) <= spec.INITIATE_METADATA_MAX


def judge_offer(said: Mapping[str, bytes], terms: Terms) -> Agreement | None:
    """What a server agrees on with a client that says this. None: no offer, or none that fits, which is no fault."""
    offer = metadata.find(said, NAME)
    if offer is None or not _ANSWER_SIZE <= len(offer) <= _OFFER_MAX or offer[0] != VERSION:
        return None
    suite = next((each for each in terms.suites if each in offer[_HEADER:]), None)
    return None if suite is None else Agreement(suite, terms.pad_to, bool(offer[1] & PADS))


def read_answer_untrusted(said: Mapping[str, bytes], terms: Terms) -> Agreement | None:
    """What a client has agreed on that offered these terms. None: the server does not answer.

    Raises PeerError: ready, for an answer that does not belong to the offer.
    """
    answer = metadata.find(said, NAME)
    if answer is None:
        return None
    suite = next((each for each in terms.suites if answer[_HEADER:] == bytes([each])), None)
    if suite is None or answer[0] != VERSION:
        raise PeerError(Fault.READY, "its answer about records is none to our offer")
    return Agreement(suite, terms.pad_to, bool(answer[1] & PADS))

"""Which transform goes which way: by the side that speaks CURVE, and by what its plain side must not be sent."""

import pytest
from support import curve

from curveproxy.policy.access.terms import KeyTerms
from curveproxy.policy.limits import MessageLimits, OnInvalid
from curveproxy.proxy.relay.env import Traffic
from curveproxy.proxy.relay.filters.legacy_pubsub import PublisherFilter
from curveproxy.proxy.relay.opener import FilteringOpener, Opener
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.records import FilteringRecordOpener, RecordOpener
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.proxy.relay.transform import transforms
from curveproxy.wire.codec.suites import available_suites
from curveproxy.wire.errors import LocalError
from curveproxy.wire.security import Curve, Plain, Records
from curveproxy.wire.zmtp.frame import Dialect

BOXED = Curve(bytes(range(32)), curve.FROM_SERVER, 1, curve.FROM_CLIENT, 2)
SEALED = Records(next(iter(available_suites())), bytes(32), bytes(range(32)), False, 0)
CLIENT = Capabilities(1, b"DEALER")


def kinds(plain: Capabilities, on_invalid: OnInvalid = OnInvalid.DISCONNECT) -> tuple[type, type]:
    """Which class opens and which seals; the same, whichever side of the session is the plain one."""
    limits = MessageLimits(on_invalid=on_invalid)
    opens, seals = transforms((BOXED, CLIENT), (Plain(), plain), limits, Traffic(), xpub_messages=False)
    other_seals, other_opens = transforms((Plain(), plain), (BOXED, CLIENT), limits, Traffic(), xpub_messages=False)
    assert (type(opens), type(seals)) == (type(other_opens), type(other_seals))
    return type(opens), type(seals)


def test_boxes_are_opened_and_plain_frames_sealed() -> None:
    assert kinds(Capabilities(1, b"ROUTER")) == (Opener, Sealer)


def test_messages_are_left_out_where_invalid_ones_are_dropped() -> None:
    assert kinds(Capabilities(1, b"ROUTER"), OnInvalid.DROP) == (FilteringOpener, Sealer)


def test_messages_are_left_out_where_the_plain_side_must_not_be_sent_any() -> None:
    assert kinds(Capabilities(1, b"PUB")) == (FilteringOpener, Sealer)


def test_an_old_publisher_is_filtered_both_ways() -> None:
    assert kinds(Capabilities(0, b"PUB", Dialect.V1)) == (FilteringOpener, PublisherFilter)


@pytest.mark.parametrize("security", [BOXED, Plain()], ids=["both", "neither"])
def test_exactly_one_side_speaks_curve(security: Curve | Plain) -> None:
    with pytest.raises(LocalError):
        transforms((security, CLIENT), (security, CLIENT), MessageLimits(), Traffic(), xpub_messages=False)


@pytest.mark.parametrize("security", [BOXED, SEALED], ids=["messages", "records"])
def test_topics_of_a_key_are_for_the_way_from_its_client_to_the_service(security: Curve | Records) -> None:
    limits, terms = MessageLimits(), KeyTerms(publish_topics=(b"a",))
    plain = (Plain(), Capabilities(1, b"SUB"))
    opens, _ = transforms((security, CLIENT), plain, limits, Traffic(), xpub_messages=False, terms=terms)
    assert isinstance(opens, FilteringOpener | FilteringRecordOpener)
    _, opens = transforms(plain, (security, CLIENT), limits, Traffic(), xpub_messages=False, terms=terms)
    assert isinstance(opens, Opener | RecordOpener)
    assert not opens.filters

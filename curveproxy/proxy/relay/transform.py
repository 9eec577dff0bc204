"""Chooses what turns the frames of a session: by which side speaks CURVE, whichever of them connected."""

from curveproxy.policy.access.terms import NO_TERMS, KeyTerms
from curveproxy.policy.limits import MessageLimits, OnInvalid
from curveproxy.proxy.relay.env import RecordCount, Traffic
from curveproxy.proxy.relay.filters.backend_filter import filter_for
from curveproxy.proxy.relay.filters.legacy_pubsub import PublisherFilter, RecordPublisherFilter, SubscriptionSink
from curveproxy.proxy.relay.filters.message_filter import Filter
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.opener import FilteringOpener, Opener
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.records import FilteringRecordOpener, RecordOpener, RecordSealer
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.proxy.relay.transformed import Transform
from curveproxy.wire.codec.select import BATCH, BATCH_OF_STREAM, CodecState, RecordState
from curveproxy.wire.errors import LocalError
from curveproxy.wire.security import Curve, Plain, Records, Security

Side = tuple[Security, Capabilities]


def transforms(
    downstream: Side,
    upstream: Side,
    limits: MessageLimits,
    traffic: Traffic,
    *,
    xpub_messages: bool,
    terms: KeyTerms = NO_TERMS,
) -> tuple[Transform, Transform]:
    """What turns downstream's frames into upstream's, and the reverse. Raises LocalError.

    traffic: where records are counted. xpub_messages: an XPUB is sent messages too, and not only subscriptions.
    terms: of the client's key, which is downstream's.
    """
    (below, client), (above, service) = downstream, upstream

    def filtered(plain: Capabilities, *, drops: bool, terms: KeyTerms = NO_TERMS) -> Filter | None:
        return filter_for(plain, drops=drops, xpub_messages=xpub_messages, terms=terms)

    drops = limits.on_invalid == OnInvalid.DROP
    match below, above:
        case Curve() as curve, Plain():
            return _open_and_seal(curve, client, service, limits, filtered(service, drops=drops, terms=terms))
        case Plain(), Curve() as curve:
            opener, sealer = _open_and_seal(curve, service, client, limits, filtered(client, drops=drops))
            return sealer, opener
        case Records() as records, Plain():
            counts = traffic.records_in, traffic.records_out
            the_filter = filtered(service, drops=False, terms=terms)
            opener, sealer = _open_and_seal_records(records, client, service, counts, limits, the_filter)
            opener.allow_renewals()
            return opener, sealer
        case Plain(), Records() as records:
            counts = traffic.records_out, traffic.records_in
            the_filter = filtered(client, drops=False)
            opener, sealer = _open_and_seal_records(records, service, client, counts, limits, the_filter)
            return sealer, opener
    raise LocalError("one side of a session speaks CURVE, and one does not")


def _open_and_seal(
    curve: Curve, boxed: Capabilities, plain: Capabilities, limits: MessageLimits, the_filter: Filter | None
) -> tuple[Transform, Transform]:
    drops = limits.on_invalid == OnInvalid.DROP
    # What a SubscriptionSink keeps to itself need not be in the sink's dialect.
    dialect = the_filter.dialect if the_filter is not None else plain.dialect
    opening = CodecState(
        curve.key,
        curve.open_prefix,
        curve.open_nonce,
        limits.max_message_bytes,
        dialect,
        curve.little_endian,
        batch=BATCH,
    )
    sealing = CodecState(
        curve.key, curve.seal_prefix, curve.seal_nonce, limits.max_message_bytes, plain.dialect, batch=BATCH
    )
    return (
        _opener(opening, plain, limits, PartialMessages() if drops else None, the_filter),
        PublisherFilter(sealing, boxed, limits, the_filter.topics)
        if isinstance(the_filter, SubscriptionSink)
        else Sealer(sealing, boxed, limits),
    )


def _opener(
    state: CodecState,
    plain: Capabilities,
    limits: MessageLimits,
    partial: PartialMessages | None,
    the_filter: Filter | None,
) -> Opener:
    if partial is None and the_filter is None:
        return Opener(state, plain, limits)
    return FilteringOpener(state, plain, limits, partial, the_filter)


def _open_and_seal_records(
    records: Records,
    boxed: Capabilities,
    plain: Capabilities,
    counts: tuple[RecordCount, RecordCount],
    limits: MessageLimits,
    the_filter: Filter | None,
) -> tuple[RecordOpener, RecordSealer]:
    """The same with records, where an invalid message always ends the session. counts: of those opened, and sealed."""
    opened, sealed = counts
    dialect = the_filter.dialect if the_filter is not None else plain.dialect
    suite, limit, padded = records.suite, limits.max_message_bytes, int(records.peer_pads)
    opening = RecordState(records.open_chain, suite, limit, dialect, padded, BATCH_OF_STREAM)
    sealing = RecordState(records.seal_chain, suite, limit, plain.dialect, records.pad_to, BATCH_OF_STREAM)
    return (
        FilteringRecordOpener(opening, plain, limits, opened, the_filter)
        if the_filter is not None
        else RecordOpener(opening, plain, limits, opened),
        RecordPublisherFilter(sealing, boxed, limits, sealed, the_filter.topics)
        if isinstance(the_filter, SubscriptionSink)
        else RecordSealer(sealing, boxed, limits, sealed),
    )

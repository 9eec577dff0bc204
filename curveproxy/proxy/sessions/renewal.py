"""Another certificate for a session that has begun: presented by an egress, judged by a service."""

from collections.abc import Iterable
from math import inf

import trio

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.terms import Grant
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.relay.records import RENEWAL_SECONDS
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.settings import ServiceSettings

# A remote takes one in RENEWAL_SECONDS of a session, by when they come.
PRESENTED_SECONDS = 1.5 * RENEWAL_SECONDS
NOT_TAKEN = "a certificate by which a client wanted to stay was not taken"
KEPT = "it stays until its own certificate ends; the detail says what is wrong with the other"


def renewed(session: Session, certificate: bytes, clients: AccessList, observer: Observer, now: float) -> Grant | None:
    """On what grounds a client may stay by the certificate that it has presented; None when it gains nothing by it.

    certificate: its text; now: Unix seconds. Who has come in without one is not judged by one, as at its handshake.
    """
    if session.grant.certificate is None:
        return None
    decision = clients.renew(session.bearer, session.grant, certificate, now)
    observer.certificate_judged(decision.result)
    if decision.grant is None:
        observer.notice(NOT_TAKEN, client=session.client, peer=session.peer, detail=decision.detail, hint=KEPT)
    return decision.grant


class OurCertificate:
    """The one that an egress presents: the sessions that have begun with another are told it."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._text = _text_in(settings)
        self._is_said = True
        self._changed_at = self._said_at = -inf

    def configure(self, settings: ServiceSettings) -> None:
        """Present that of these settings from now on."""
        text = _text_in(settings)
        if text != self._text:
            self._text, self._is_said, self._changed_at = text, not text, trio.current_time()

    def tell(self, sessions: Iterable[Session]) -> None:
        """Present it to the remotes of these sessions, if it has changed and they may take another by now."""
        now = trio.current_time()
        if self._is_said or now < self._said_at + PRESENTED_SECONDS:
            return
        self._is_said, self._said_at = True, now
        for session in sessions:
            session.present(self._text)

    def begun(self, session: Session, accepted_at: float) -> None:
        """A session begins, whose handshake may have been made with another: that of a client accepted at this time."""
        if self._text and accepted_at <= self._changed_at:
            self._said_at = trio.current_time()
            session.present(self._text)


def _text_in(settings: ServiceSettings) -> bytes:
    return b"" if settings.egress is None else settings.egress.certificate

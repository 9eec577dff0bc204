"""Who may connect: the listed keys, the certificates beside them, and those that clients present.

The order of the grounds: a key that is listed is what the list says, whatever it presents. Then come the certificates
that lie among the keys, then the one that is presented, then ``allow_any``. A certificate that is presented must be
good, also where anybody may come: it may limit its bearer.
"""

from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from typing import NamedTuple, Self

from attrs import evolve, field, frozen

from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.judgement import DATES, Finding, VerifiedTexts, flaw_now, judge_client, terms_of, told
from curveproxy.policy.access.terms import ANYBODY, NO_TERMS, Bearer, Grant, KeyTerms
from curveproxy.reasons import CertificateFlaw, Outcome
from curveproxy.wire.certificate import read_untrusted

# What the judgement of a good certificate is called in the metrics; of others it is their flaw.
VALID, CACHED = "valid", "cached"
OTHER_NAME = "its name or its restrictions are not those with which the session began"


class Decision(NamedTuple):
    """Whether a client may come in.

    grant: None when it may not; outcome, detail: why then. The detail of a certificate's begins with its flaw.
    result: of the certificate that decided it, VALID, CACHED or a flaw; empty where none was looked at.
    """

    grant: Grant | None = None
    outcome: Outcome = Outcome.CLIENT_UNKNOWN
    detail: str = ""
    result: str = ""


@frozen
class AccessList:
    """``[service.clients]`` as it stands now; a change makes a new list.

    names: public key (32 octets) -> the operator's name for it (a key file's stem); ``None`` for a key that was
        written without a name.
    allow_any: any key may connect, listed or not.
    terms: of those listed keys that have some.
    certified: public key -> the texts of the certificates that lie among the keys, each by its grammar.
    trust: whose certificates are believed; without an authority none is looked at.
    verified: those found good of late; it is handed on from list to list.
    """

    names: Mapping[bytes, str | None] = field(factory=dict)
    allow_any: bool = False
    terms: Mapping[bytes, KeyTerms] = field(factory=dict)
    certified: Mapping[bytes, Sequence[bytes]] = field(factory=dict)
    trust: Trust = field(factory=Trust)
    verified: VerifiedTexts = field(factory=VerifiedTexts, eq=False, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nobody can come in."""
        return not (self.allow_any or self.names or self.trust.authorities)

    @property
    def count(self) -> int | None:
        """How many keys may come in without presenting anything; None where any may."""
        certified = self.certified.keys() if self.trust.authorities else set[bytes]()
        return None if self.allow_any else len(self.names.keys() | certified)

    def changed_keys(self, former: Self) -> Set[bytes] | None:
        """Whose clients are in on other grounds than by a former list, as far as that is not by time; None for any."""
        mine, its = (self.allow_any, self.trust), (former.allow_any, former.trust)
        if mine != its or self._bound_identities != former._bound_identities:
            return None
        pairs = (self.names, former.names), (self.terms, former.terms), (self.certified, former.certified)
        return {key for now, then in pairs for key in now.keys() | then.keys() if _differs(key, now, then)}

    def make_room(self) -> None:
        """Have all certificates among the keys remembered, beside those of others."""
        if self.trust.authorities:
            self.verified.make_room_for(sum(map(len, self.certified.values())))

    def name(self, key: bytes, text: bytes | None = None) -> str | None:
        """The operator's name for a key, else that of its certificate, once its signature has been found good.

        text: of the certificate that it presents.
        """
        if (listed := self.names.get(key)) is not None:
            return listed
        texts = [*self.certified.get(key, ()), *([] if text is None else [text])]
        found = [each for each in map(self.verified.find, texts) if each is not None and each.key == key]
        return next((each.name for each in found if self.trust.authority(each.authority) is not None), None)

    def admit(self, bearer: Bearer, text: bytes | None, now: float) -> Decision:
        """Judge a client that wants to come in. text: of the certificate that it presents; now: Unix seconds."""
        if bearer.key in self.names:
            return self._listed(bearer)
        found = self._found(bearer, now)
        if (found is None or found.flaw is not None) and text is not None and self.trust.authorities:
            return self._certified(bearer, self._finding(bearer, text, now), is_presented=True)
        if found is not None:
            return self._certified(bearer, found, is_presented=False)
        if self.allow_any:
            return self._bound(bearer, ANYBODY)
        return Decision()

    def review(self, bearer: Bearer, grant: Grant, now: float) -> Decision:
        """Judge one that has been admitted: by this list, which may be another, and at another time.

        One that has presented its certificate goes on by that, or by one of the keys' that lasts as long.
        """
        if grant.certificate is None or not grant.is_presented or bearer.key in self.names:
            return self.admit(bearer, None, now)
        flaw, ends_at = flaw_now(grant.certificate, self.trust, now), self._ends_at(grant.certificate.valid_until)
        found = self._found(bearer, now)
        better = self._prolonged(grant, found) if found is not None and found.flaw is None else None
        if better is not None and (flaw is not None or better.ends_at >= ends_at):
            return self._bound(bearer, better)
        if flaw is not None:
            return _refused(flaw, "")
        return self._bound(bearer, grant if grant.ends_at == ends_at else evolve(grant, ends_at=ends_at))

    def renew(self, bearer: Bearer, grant: Grant, text: bytes, now: float) -> Decision:
        """Judge another certificate that an admitted client presents. Without a grant the one it had stays."""
        found = self._finding(bearer, text, now)
        if found.flaw is not None:
            return _refused(found.flaw, found.detail)
        better = self._prolonged(grant, found)
        if better is None:
            return _refused(CertificateFlaw.SERVICE, OTHER_NAME)
        return Decision(evolve(better, is_presented=True), result=_result(found))

    # --- the grounds

    def _listed(self, bearer: Bearer) -> Decision:
        return self._bound(bearer, Grant(self.names[bearer.key], self.terms.get(bearer.key, NO_TERMS)))

    def _bound(self, bearer: Bearer, grant: Grant) -> Decision:
        """Hold the socket type and the identity against the terms."""
        terms, identity = grant.terms, bearer.identity
        if terms.identity and identity not in (b"", terms.identity):
            return Decision(outcome=Outcome.METADATA, detail="the identity is not the one in its certificate")
        if not terms.identity and identity in self._bound_identities:
            return Decision(outcome=Outcome.METADATA, detail="the identity is bound to another client's key")
        if terms.socket_types and bearer.socket_type not in terms.socket_types:
            detail = "the socket type is not among those in its certificate"
            return Decision(outcome=Outcome.SOCKET_TYPE, detail=detail)
        return Decision(grant)

    @cached_property
    def _bound_identities(self) -> frozenset[bytes]:
        certified = self.certified.values() if self.trust.authorities else ()
        # There may be thousands, of which few have one.
        lying = [read_untrusted(text).identity for texts in certified for text in texts if b"\n    identity =" in text]
        return frozenset([*(terms.identity for terms in self.terms.values()), *lying]) - {b""}

    def _certified(self, bearer: Bearer, found: Finding, *, is_presented: bool) -> Decision:
        if found.flaw is not None:
            return _refused(found.flaw, found.detail)
        grant = evolve(self._granted(found), is_presented=is_presented)
        return self._bound(bearer, grant)._replace(result=_result(found))

    def _granted(self, found: Finding) -> Grant:
        certificate, authority = found.certificate, found.authority
        assert certificate is not None
        assert authority is not None
        ends_at = self._ends_at(certificate.valid_until)
        return Grant(certificate.name, terms_of(certificate), certificate.without_text(), authority.file, ends_at)

    def _ends_at(self, valid_until: int) -> float:
        return valid_until + self.trust.skew

    def _prolonged(self, grant: Grant, found: Finding) -> Grant | None:
        """The grant by another certificate, where all but its limits and its dates are the same."""
        other = self._granted(found)
        same = (other.name, evolve(other.terms, limits={})) == (grant.name, evolve(grant.terms, limits={}))
        return other if same and grant.certificate is not None else None

    def _finding(self, bearer: Bearer, text: bytes, now: float) -> Finding:
        return judge_client(text, bearer, self.trust, now, self.verified)

    def _found(self, bearer: Bearer, now: float) -> Finding | None:
        """Of the certificates among the keys the good one that lasts longest, else what is wrong with the first."""
        texts = self.certified.get(bearer.key, ()) if self.trust.authorities else ()
        if not texts:
            return None
        findings = [self._finding(bearer, text, now) for text in texts]
        good = [each for each in findings if each.flaw is None]
        return max(good, key=_valid_until) if good else findings[0]


def _differs(key: bytes, now: Mapping[bytes, object], then: Mapping[bytes, object]) -> bool:
    return (key in now) != (key in then) or now.get(key) != then.get(key)


def _valid_until(found: Finding) -> int:
    assert found.certificate is not None
    return found.certificate.valid_until


def _result(found: Finding) -> str:
    return CACHED if found.cached else VALID


def _refused(flaw: CertificateFlaw, detail: str) -> Decision:
    outcome = Outcome.CERTIFICATE_EXPIRED if flaw in DATES else Outcome.CERTIFICATE
    return Decision(outcome=outcome, detail=told(flaw, detail), result=flaw)

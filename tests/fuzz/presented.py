"""Targets of certificates that clients present, at handshakes and in sessions: whom they let in is told beforehand."""

from collections.abc import Mapping
from math import inf
from unittest.mock import patch

import trio
from attrs import evolve, frozen
from support import zmtp
from support.certificates import CLIENT, OTHER_SEED, SEED, certificate
from support.ends import End
from support.fakes import RecordingObserver
from support.relaying import LargePool, Relay
from support.trust import NOW, TRUST
from zmq.utils import z85

from curveproxy.policy.access.access_list import CACHED, VALID, AccessList
from curveproxy.policy.access.revocations import Revocations
from curveproxy.policy.access.terms import Bearer
from curveproxy.policy.metadata import CERTIFICATE, Said
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.relay.records import RENEWAL_SECONDS
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.sessions.renewal import renewed
from curveproxy.reasons import CertificateFlaw, Invalid
from curveproxy.wire.errors import Fault
from curveproxy.wire.zmtp import metadata as properties_of
from fuzz.material import Material
from fuzz.targets import judged, refused, target

KEY, OTHER_KEY = bytes(32), bytes([1]) * 32
REVOKED, SKEW = "0123456789abcdef", 60
ENDS = {"2026-12-03T05:40:00Z": 1796276400, "2026-12-10T05:40:00Z": 1796881200, "2026-11-26T05:50:00Z": 1795672200}
BELIEVED = evolve(TRUST, revocations=Revocations(serials=frozenset({REVOKED})))
# Whoever leaves it out, or makes a comment of it, says the same.
EMPTY_SECTION = b"metadata\n"
# What a session can not change.
RESTRICTIONS = ("name", "identity", "socket-types", "topics")


@frozen
class Drawn:
    """A certificate. said: its fields; honest: its text; text: as it is presented, which may be damaged."""

    said: Mapping[str, str]
    seed: bytes
    honest: bytes
    text: bytes

    @classmethod
    def of(cls, material: Material) -> "Drawn":
        fields = {
            "public-key": z85.encode(material.pick([KEY, KEY, KEY, OTHER_KEY])).decode(),
            "serial": material.pick([f"{material.number(255):016x}", REVOKED]),
            "name": material.pick(["desk-7", "desk-7", "desk-8"]),
            "valid-until": material.pick(list(ENDS)),
            "services": material.pick(["", "", "s", "orders s", "orders"]),
            "socket-types": material.pick(["", "", "DEALER", "REQ DEALER", "REQ"]),
            "identity": material.pick(["", "", "me", "you"]),
            "topics": material.pick(["", "", "a", "b"]),
            "max-sessions": material.pick(["", "4"]),
        }
        said = {name: value for name, value in {**CLIENT, **fields}.items() if value}
        seed = material.pick([SEED, SEED, SEED, OTHER_SEED])
        honest = certificate(said, seed)
        return cls(said, seed, honest, material.damaged(honest, 2))

    @property
    def end(self) -> int:
        return ENDS[self.said["valid-until"]]

    def lets_in(self, bearer: Bearer, now: float) -> bool:
        """Whether it is good for whoever presents it there and then."""
        services, types = (self.said.get(name, "").split() for name in ("services", "socket-types"))
        return (
            without_comments(self.text) in (self.honest, self.honest.removeprefix(EMPTY_SECTION))
            and self.seed == SEED
            and self.said["public-key"] == z85.encode(bearer.key).decode()
            and self.said["serial"] != REVOKED
            and now <= self.end + SKEW
            and (not services or bearer.service in services)
            and (not types or (bearer.socket_type or b"").decode("latin-1") in types)
            and bearer.identity in (b"", self.said.get("identity", "").encode() or bearer.identity)
        )

    def may_follow(self, first: "Drawn") -> bool:
        """Whether a session that has begun with the first may go on by this one, if that is good."""
        return all(self.said.get(name) == first.said.get(name) for name in RESTRICTIONS)


def without_comments(text: bytes) -> bytes:
    """What is left of a text; nothing where a comment is none, or the last line has no end."""
    *lines, rest = text.split(b"\n")
    comments = [line for line in lines if line[:1] == b"#"]
    if rest or not all(line.isascii() and line.decode().isprintable() for line in comments):
        return b""
    return b"".join(line + b"\n" for line in lines if line and line not in comments)


@target()
def admission(material: Material) -> None:
    """A certificate in the metadata of INITIATE, which may be damaged too; it is presented twice."""
    drawn, now = Drawn.of(material), NOW + material.pick([0, 60 * 60, 30 * 86400])
    pairs = [("Socket-Type", b"DEALER"), ("Identity", material.pick([b"", b"me"])), (CERTIFICATE, drawn.text)]
    said = judged([Fault.METADATA], properties_of.read_untrusted, material.damaged(zmtp.metadata(pairs)))
    if refused(said):
        return
    clients, applicant = AccessList(trust=BELIEVED), Applicant("192.0.2.1:1", 0.0, KEY, OTHER_KEY, Said.of(said))
    bearer, text = applicant.bearer("s"), applicant.said.certificate
    decisions = [clients.admit(bearer, text, now) for _ in range(2)]
    if text is None:
        assert [(each.grant, each.result) for each in decisions] == [(None, "")] * 2
        return
    if evolve(drawn, text=text).lets_in(bearer, now):
        assert [each.result for each in decisions] == [VALID, CACHED]
        assert {each.grant and each.grant.ends_at for each in decisions} == {drawn.end + SKEW}
    else:
        assert decisions[0] == decisions[1]
        assert decisions[0].grant is None
        assert decisions[0].detail.startswith(CertificateFlaw(decisions[0].result))
        assert len(clients.verified) == 0


class Renewing(Relay):
    """A session of a client that is in by a certificate, and the service that judges others."""

    clients, now = AccessList(trust=BELIEVED), NOW

    def session_renews(self, session: Session, certificate: bytes) -> None:
        super().session_renews(session, certificate)
        grant = renewed(session, certificate, self.clients, RecordingObserver(), self.now)
        if grant is not None:
            session.use_grant(grant)


@target()
def renewal(material: Material) -> None:
    """Messages, and commands with other certificates, good ones and others; the first one is good."""
    kept = Drawn.of(Material(b""))
    clock, renewable_at, expected, invalid = 1000.0, -inf, list[list[bytes]](), 0
    with (
        patch.object(trio, "current_time", lambda: clock),
        patch.multiple(Relay, suite=material.pick([1, 2])),
        Renewing(pool=LargePool, max_message_bytes=10_000) as relay,
    ):
        client, service = End(relay, "downstream", "downstream"), End(relay, "upstream", "downstream")
        bearer = relay.session.bearer
        first, grant = kept, relay.clients.admit(bearer, kept.text, relay.now).grant
        assert grant is not None
        relay.session.use_grant(grant)
        for number in range(material.number(6)):
            what = material.pick(["certificate", "message", "part", "time"])
            if what == "time":
                clock += material.pick([RENEWAL_SECONDS, RENEWAL_SECONDS - 1, 1])
            elif what != "certificate":
                expected += [[b"%d" % number, b"end"] if what == "part" else [b"%d" % number]]
            drawn = Drawn.of(material) if what in ("certificate", "part") else kept
            if what == "part":
                client.send(client.frame(b"%d" % number, more=True))
            if what in ("certificate", "part"):
                client.send(client.frame(zmtp.command(b"CERTIFICATE", drawn.text), command=True))
                if not drawn.text or clock < renewable_at:
                    invalid += 1
                else:
                    renewable_at = clock + RENEWAL_SECONDS
                    kept = drawn if drawn.lets_in(bearer, relay.now) and drawn.may_follow(first) else kept
            if what in ("message", "part"):
                client.send(client.frame(expected[-1][-1]))
        assert service.messages() == expected
        assert relay.invalid == [Invalid.COMMAND] * invalid
        assert relay.session.grant.certificate is not None
        assert (relay.session.grant.certificate.serial, relay.session.grant.ends_at) == (
            kept.said["serial"],
            kept.end + SKEW,
        )

"""Clients that come by certificates: who presents one is let in until it ends, is revoked, or nobody believes it."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq
from support.certificates import OTHER_SEED, authority_key, issued, written
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Refused
from support.process import wait_until
from support.service import RawService, echo
from zmq.utils import z85

from curveproxy.reasons import CertificateFlaw as Flaws
from system.certified import PLANT_1, PLANT_2, PROPERTY, REVOKED, Certified, certified, short_lived, tables
from system.endings import ending
from system.test_reload import endpoint, reload

CERTIFICATES, SESSIONS = "curveproxy_certificates_total", "curveproxy_certificate_sessions"
DAY = 86400
KEYS, OTHER = Keys.new(), Keys.new()
# What no line of the log may repeat of a certificate that is not believed.
NAME, SERIAL = "desk-of-mallory", "dead0000beef0000"
FLAWED = {
    Flaws.TOO_LARGE: b"#" + NAME.encode() * 150,
    Flaws.MALFORMED: NAME.encode(),
    Flaws.UNKNOWN_FIELD: issued(KEYS.public, NAME, serial=SERIAL, colour="red"),
    Flaws.VERSION: issued(KEYS.public, NAME, serial=SERIAL, version="2"),
    Flaws.KIND: issued(KEYS.public, NAME, serial=SERIAL, kind="proxy"),
    Flaws.OTHER_KEY: issued(OTHER.public, NAME, serial=SERIAL),
    Flaws.AUTHORITY: issued(KEYS.public, NAME, OTHER_SEED, serial=SERIAL),
    Flaws.BOUNDS: issued(KEYS.public, NAME, serial=SERIAL, seconds=8 * DAY),
    Flaws.NOT_YET_VALID: issued(KEYS.public, NAME, serial=SERIAL, since=7200, seconds=DAY),
    Flaws.EXPIRED: issued(KEYS.public, NAME, serial=SERIAL, since=-DAY, seconds=-7200),
    Flaws.REVOKED: issued(KEYS.public, REVOKED, serial=SERIAL),
    Flaws.SERVICE: issued(KEYS.public, NAME, serial=SERIAL, services="prices"),
    Flaws.SIGNATURE: issued(KEYS.public, NAME, serial="f" * 16).replace(b"f" * 16, SERIAL.encode()),
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Certified]:
    with certified() as proxy:
        yield proxy


def refused(client: RawClient) -> bool:
    """Whether it is told that it is refused for good; else it is only closed upon, and comes again."""
    with client, pytest.raises((Refused, EOFError)) as caught:
        client.handshake()
    return caught.type is Refused


def last_detail(proxy: Certified, outcome: str) -> str:
    """Of the last refusal with this outcome."""
    [service] = json.loads(proxy.get("/api/status")[1])["services"]
    [detail] = [count["detail"] for count in service["counts"] if count["word"] == outcome]
    return str(detail)


# --- who comes in


def test_stock_pyzmq_presents_one_and_is_known_by_its_name(proxy: Certified, libzmq: Libzmq) -> None:
    keys = Keys.new()
    before, valid = proxy.metric(SESSIONS, authority="plant-1"), proxy.metric(CERTIFICATES, result="valid")
    dealer = libzmq.socket(zmq.DEALER)
    dealer.setsockopt(zmq.METADATA, PROPERTY.encode() + b":" + issued(keys.public, "desk-8"))
    dealer.curve_serverkey = proxy.server.public
    dealer.curve_publickey, dealer.curve_secretkey = keys.public, keys.secret
    dealer.connect(proxy.public)
    dealer.send(b"hello")
    assert dealer.recv() == b"hello"
    told = proxy.service.accepted[-1].theirs
    assert told["User-Id"] == b"desk-8"
    assert not [name for name in told if name.lower().startswith("x-curveproxy-")]
    assert proxy.metric(SESSIONS, authority="plant-1") == before + 1
    assert proxy.metric(CERTIFICATES, result="valid") == valid + 1
    wait_until(lambda: [line for line in proxy.told("session opened") if line["client"] == "desk-8"], "it is logged")


@pytest.mark.parametrize("flaw", Flaws, ids=str)
def test_each_flaw_is_a_refusal_that_is_counted_and_told_without_a_word_of_the_peer_s(
    proxy: Certified, flaw: Flaws
) -> None:
    is_dated = flaw in (Flaws.NOT_YET_VALID, Flaws.EXPIRED)
    outcome = "certificate_expired" if is_dated else "certificate"
    before = proxy.metric("curveproxy_handshakes_total", outcome=outcome), proxy.metric(CERTIFICATES, result=flaw)
    assert refused(proxy.bearer(FLAWED[flaw], KEYS)) is not is_dated
    after = proxy.metric("curveproxy_handshakes_total", outcome=outcome), proxy.metric(CERTIFICATES, result=flaw)
    assert after == (before[0] + 1, before[1] + 1)
    assert last_detail(proxy, outcome).partition(": ")[0] == flaw
    assert not [word for word in (NAME, REVOKED, SERIAL, "colour") if word in proxy.stderr]


def test_a_key_that_is_listed_is_what_the_list_says_whatever_it_presents(proxy: Certified) -> None:
    keys = proxy.new_client("alice")
    wait_until(lambda: proxy.told("client list changed"), "she is listed")
    judged = proxy.metric(CERTIFICATES)
    for text in (b"x", issued(keys.public, "desk-9")):
        with proxy.bearer(text, keys) as client:
            assert answers(client.handshake())
            assert proxy.service.accepted[-1].theirs["User-Id"] == b"alice"
    assert proxy.metric(CERTIFICATES) == judged


@pytest.mark.deep
def test_one_among_the_keys_lets_its_owner_in_who_presents_nothing_until_it_is_taken_away() -> None:
    keys = Keys.new()
    with certified() as proxy:
        file = proxy.put("any-name", issued(keys.public, "desk-9"))
        proxy.wait_listed(1)
        with proxy.bearer(None, keys) as client:
            assert answers(client.handshake())
            assert proxy.service.accepted[-1].theirs["User-Id"] == b"desk-9"
            with ending(proxy, {"revoked": 1}):
                file.unlink()
                assert client.recv_until_closed().octets == b""
        assert refused(proxy.bearer(None, keys))
        assert proxy.metric("curveproxy_handshakes_total", outcome="client_unknown") == 1
        with proxy.bearer(issued(keys.public, "desk-9"), keys) as client:
            assert answers(client.handshake()), "it may present one all the same"


# --- and until when


@pytest.mark.deep
def test_a_session_ends_with_its_certificate_and_its_client_comes_in_by_another() -> None:
    keys = Keys.new()
    with certified(clock_skew_seconds=0) as proxy, proxy.bearer(issued(OTHER.public), OTHER) as other:
        other.handshake()
        with ending(proxy, {"expired": 1}):
            client, text = short_lived(proxy, keys)
            with client:
                assert client.recv_until_closed().octets == b""
        assert answers(other)
        assert not refused(proxy.bearer(text, keys)), "it is not told never to come again"
        assert last_detail(proxy, "certificate_expired").startswith(Flaws.EXPIRED)
        with proxy.bearer(issued(keys.public), keys) as client:
            assert answers(client.handshake())


@pytest.mark.deep
def test_each_line_of_the_revocation_list_ends_whom_it_means_and_keeps_them_out() -> None:
    keys = [Keys.new() for _ in range(5)]
    texts = [
        issued(each.public, f"desk-{number}", serial=f"{number:016}", since=-2 * DAY if number == 3 else -60)
        for number, each in enumerate(keys)
    ]
    lines = [
        "serial 0000000000000000",
        f"key {z85.encode(keys[1].public).decode()}",
        "name desk-2",
        f"before {z85.encode(authority_key()).decode()} {written(time.time() - DAY)}",
    ]
    with certified() as proxy, ExitStack() as stack:
        inside = [stack.enter_context(proxy.bearer(*each)) for each in zip(texts, keys, strict=True)]
        for client in inside:
            client.handshake()
        with ending(proxy, {"revoked": 4}):
            proxy.revoke(*lines)
            for client in inside[:4]:
                assert client.recv_until_closed().octets == b""
        assert answers(inside[4])
        for text, its in zip(texts[:4], keys[:4], strict=True):
            assert refused(proxy.bearer(text, its))
            assert last_detail(proxy, "certificate") == Flaws.REVOKED
        assert proxy.metric(CERTIFICATES, result="revoked") == 4
        assert proxy.metric(SESSIONS, authority="plant-1") == 1
        proxy.revoke("name desk-4", "nonsense")
        wait_until(lambda: proxy.told("an authority or a revocation list can not be read"), "it is told")
        assert refused(proxy.bearer(texts[0], keys[0])), "the list of before is in force"
        with proxy.bearer(texts[4], keys[4]) as client:
            assert answers(client.handshake())
        assert answers(inside[4])


@pytest.mark.deep
def test_an_authority_comes_and_goes_under_the_sessions_of_its_clients_and_of_others() -> None:
    ours, theirs, listen = issued(KEYS.public), issued(OTHER.public, "anybody", OTHER_SEED), endpoint()
    with RawService(echo) as service:
        one, two = tables(service.endpoint, PLANT_1, listen=listen), tables(service.endpoint, PLANT_2, listen=listen)
        both = tables(service.endpoint, PLANT_1, PLANT_2, listen=listen)
        with Certified(one, service) as proxy, proxy.bearer(ours, KEYS) as old:
            old.handshake()
            assert refused(proxy.bearer(theirs, OTHER))
            reload(proxy, both)
            with proxy.bearer(theirs, OTHER) as new:
                assert answers(new.handshake())
                assert answers(old)
                assert [proxy.metric(SESSIONS, authority=f"plant-{number}") for number in (1, 2)] == [1, 1]
                with ending(proxy, {"revoked": 1}):
                    reload(proxy, two)
                    assert old.recv_until_closed().octets == b""
                assert answers(new)
            assert refused(proxy.bearer(ours, KEYS))
            assert last_detail(proxy, "certificate") == Flaws.AUTHORITY


@pytest.mark.deep
def test_every_worker_lets_them_in_and_ends_them() -> None:
    with certified(workers=2) as proxy, ExitStack() as stack:
        texts = [(issued(each.public), each) for each in (Keys.new() for _ in range(24))]
        inside = [stack.enter_context(proxy.bearer(*each)) for each in texts]
        assert all(answers(client.handshake()) for client in inside)
        wait_until(lambda: len(proxy.told("session opened")) == 24, "they are logged")
        assert {line["worker"] for line in proxy.told("session opened")} == {0, 1}
        assert proxy.metric(SESSIONS, authority="plant-1") == 24
        with ending(proxy, {"revoked": 24}):
            proxy.revoke("name desk-7")
            for client in inside:
                assert client.recv_until_closed().octets == b""
        assert proxy.metric(SESSIONS, authority="plant-1") == 0
        assert all(refused(proxy.bearer(*each)) for each in texts)

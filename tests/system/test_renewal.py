"""Sessions that go on by another certificate, without a reconnect: told by an egress, or lying among the keys."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.certificates import authority_text, issued
from support.client import RawClient, answers
from support.curve import Keys
from support.egress import Egress, client_of
from support.peer import Peer
from support.process import Sidecar, free_port, wait_until
from support.record_peers import RecordClient
from support.service import RawService, echo

from curveproxy.wire.codec.suites import available_suites

CERTIFICATES, REVOCATIONS = "curveproxy_certificates_total", "curveproxy_revocations"
ENDED, INVALID, OPEN = "curveproxy_sessions_closed_total", "curveproxy_invalid_messages_total", "curveproxy_sessions"
TRUSTING = {"authorities": [{"file": "plant-1.authority"}], "revoked": "revoked"}
PROPERTY = "X-Curveproxy-Certificate"
SUITES = [int(suite) for suite in available_suites()]


def replace(file: Path, content: bytes) -> None:
    """Give a file another content at once, as a careful operator does."""
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.rename(file)


def serial_of(text: bytes) -> str:
    return text.decode().split('serial = "')[1][:16]


def trusting(backend: str, **tables: object) -> Sidecar:
    """An ingress that lists nobody, and believes ``plant-1``."""
    proxy = Sidecar(backend=backend, clients=TRUSTING, **tables)  # type: ignore[arg-type]
    (proxy.directory / "plant-1.authority").write_text(authority_text("plant-1"))
    (proxy.directory / "revoked").touch()
    return proxy


def revoke(proxy: Sidecar, text: bytes) -> None:
    """Add a certificate to the list of revocations, and wait until it is in force."""
    file = proxy.directory / "revoked"
    lines = [*file.read_text().splitlines(), f"serial {serial_of(text)}"]
    replace(file, "".join(f"{line}\n" for line in lines).encode())
    proxy.wait_metric(REVOCATIONS, len(lines))


@contextmanager
def presenting(text_of: str = "alice") -> Iterator[tuple[Egress, Sidecar, bytes]]:
    """An egress that presents a certificate to an ingress, and the text of that."""
    front = f"tcp://127.0.0.1:{free_port()}"
    with RawService(echo) as behind:
        ingress = trusting(behind.endpoint, listen=front)
        egress = Egress(front, egress={"certificate": "alice.cert"})
        text = issued(egress.keys.public, text_of)
        (egress.directory / "alice.cert").write_bytes(text)
        shutil.copy(ingress.directory / "server.key", egress.directory)
        with ingress, egress:
            yield egress, ingress, text


@pytest.mark.deep
def test_an_egress_tells_of_its_next_certificate_and_no_client_notices() -> None:
    with presenting() as (egress, ingress, first), client_of(egress) as client:
        client.handshake()
        assert answers(client)
        second = issued(egress.keys.public, "alice", seconds=7200)
        replace(egress.directory / "alice.cert", second)
        ingress.wait_metric(CERTIFICATES, 2, result="valid")
        revoke(ingress, first)
        assert answers(client), "it is in by the second one"
        with client_of(egress) as newcomer:
            newcomer.handshake()
            assert answers(newcomer)
        assert ingress.metric(CERTIFICATES, result="cached") == 1, "which newcomers present"
        revoke(ingress, second)
        client.recv_until_closed()
        ingress.wait_metric(ENDED, 1, reason="revoked")
        assert ingress.metric(INVALID) == 0


@pytest.mark.deep
def test_one_by_another_name_is_not_taken_and_the_session_goes_on() -> None:
    with presenting() as (egress, ingress, _), client_of(egress) as client:
        client.handshake()
        replace(egress.directory / "alice.cert", issued(egress.keys.public, "bob"))
        ingress.wait_metric(CERTIFICATES, 1, result="service")
        assert answers(client)
        [told] = [line for line in ingress.log if line["event"].startswith("a certificate by which a client")]
        assert told["client"] == "alice"
        assert told["detail"].startswith("service: ")
        assert not [line for line in ingress.log if "bob" in str(line)]


def presents(proxy: Sidecar, keys: Keys, text: bytes) -> RecordClient:
    """A client with records that is inside by a certificate."""
    client = RecordClient(proxy.public, proxy.server.public, keys=keys, suites=SUITES)
    client.properties[PROPERTY] = text
    client.handshake()
    assert client.sends is not None
    return client


@pytest.mark.deep
def test_a_client_is_judged_by_what_it_presents_once_in_ten_seconds() -> None:
    keys, other = Keys.new(), Keys.new()
    with RawService(echo) as behind, trusting(behind.endpoint) as proxy:
        with presents(proxy, keys, issued(keys.public)) as client:
            client.send_command(b"CERTIFICATE", issued(other.public, "Mallory"))
            client.send_command(b"CERTIFICATE", issued(keys.public, seconds=7200))
            assert answers(client)
            assert proxy.metric(CERTIFICATES, result="other_key") == 1
            assert proxy.metric(CERTIFICATES, result="valid") == 1, "which was at its handshake"
            assert proxy.metric(INVALID, reason="command") == 1
        assert not [line for line in proxy.log if "Mallory" in str(line)]


@pytest.mark.deep
@pytest.mark.parametrize("by", ["a stock client", "the service"])
def test_from_others_the_command_is_left_out_and_the_session_goes_on(by: str) -> None:
    keys = Keys.new()

    def says_it(peer: Peer) -> None:
        peer.handshake()
        peer.send_command(b"CERTIFICATE", issued(keys.public, seconds=7200))
        while True:
            peer.send(peer.recv())

    with RawService(says_it if by == "the service" else echo) as behind, trusting(behind.endpoint) as proxy:
        client = RawClient(proxy.public, proxy.server.public, keys=keys)
        client.properties[PROPERTY] = issued(keys.public)
        with client:
            client.handshake()
            if by == "a stock client":
                client.send_command(b"CERTIFICATE", issued(keys.public, seconds=7200))
            assert answers(client)
            assert proxy.metric(INVALID, reason="command") == 1
            assert proxy.metric(CERTIFICATES, result="valid") == 1


@pytest.mark.deep
def test_a_newer_certificate_among_the_keys_prolongs_sessions() -> None:
    keys = Keys.new()
    first, second = issued(keys.public), issued(keys.public, seconds=7200)
    with RawService(echo) as behind:
        proxy = trusting(behind.endpoint)
        (proxy.clients / "desk-7.cert").write_bytes(first)
        with proxy, RawClient(proxy.public, proxy.server.public, keys=keys) as client:
            client.handshake()
            replace(proxy.clients / "desk-7.cert", second)
            wait_until(lambda: serial_of(second) in proxy.get("/api/status")[1], "it is in by the second one")
            revoke(proxy, first)
            assert answers(client)
            revoke(proxy, second)
            client.recv_until_closed()
            proxy.wait_metric(ENDED, 1, reason="revoked")

"""A key that is taken from the list ends its live sessions, and nobody else's."""

import time

import pytest
from support import zmtp
from support.baseline import baseline
from support.client import RawClient, answers
from support.process import Sidecar
from support.service import RawService, echo, sends_endlessly, sink

from system.endings import ending


def test_a_removed_key_ends_its_sessions_and_no_others() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint) as proxy:
        alice, bob = proxy.new_client("alice"), proxy.new_client("bob")
        proxy.wait_listed(2)
        with (
            RawClient(proxy.public, proxy.server.public, bob) as other,
            RawClient(proxy.public, proxy.server.public, alice) as first,
            RawClient(proxy.public, proxy.server.public, alice) as second,
        ):
            for client in (other, first, second):
                client.handshake()
            with ending(proxy, {"revoked": 2}):
                (proxy.clients / "broken.key").write_text("not a certificate")
                (proxy.clients / "alice.key").unlink()
                for client in (first, second):
                    assert client.recv_until_closed().octets == b""
            assert answers(other)
        proxy.wait_listed(1)
        assert [line["hint"] for line in proxy.log if line["event"] == "client key can not be read"] == [
            "the file is passed over"
        ]
        assert proxy.metric("curveproxy_reloads_total", result="failure") >= 1
        assert proxy.metric("curveproxy_reload_success_timestamp_seconds") > time.time() - 60


def test_what_a_revoked_client_has_said_is_delivered_whole() -> None:
    with RawService() as service, Sidecar(backend=service.endpoint) as proxy:
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        with RawClient(proxy.public, proxy.server.public, keys) as client:
            client.begin()
            with service.accept() as behind:
                behind.handshake()
                client.ready()
                client.send([b"first", b"second"])
                client.send_raw(client.seal(b"begun", more=True))
                assert behind.recv() == [b"first", b"second"]
                with ending(proxy, {"revoked": 1}):
                    (proxy.clients / "alice.key").unlink()
                    assert client.recv_until_closed().octets == b"", "she is no longer listed"
                    client.send_raw(client.seal(b"ended"))
                    assert behind.recv() == [b"begun", b"ended"]
                    assert behind.recv_until_closed().octets == b""


@pytest.mark.parametrize("behaviour", [sink, sends_endlessly], ids=lambda behaviour: behaviour.__name__)
def test_a_client_in_the_middle_of_a_message_without_end_goes_all_the_same(behaviour: object) -> None:
    with RawService(behaviour) as service, Sidecar(backend=service.endpoint) as proxy:  # type: ignore[arg-type]
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        with baseline(proxy), RawClient(proxy.public, proxy.server.public, keys) as client:
            client.handshake()
            client.send_raw(client.seal(b"begun", more=True))
            with ending(proxy, {"revoked": 1}):
                (proxy.clients / "alice.key").unlink()


def test_a_key_that_goes_while_its_backend_is_dialled_is_refused() -> None:
    with RawService() as service, Sidecar(backend=service.endpoint) as proxy:
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        with RawClient(proxy.public, proxy.server.public, keys) as client:
            client.begin()
            with service.accept() as behind:
                (proxy.clients / "alice.key").unlink()
                proxy.wait_listed(0)
                behind.handshake()
                assert client.recv_frame().body == zmtp.error(b"400")
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="client_unknown")

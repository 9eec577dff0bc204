"""A running proxy tells its certificates to whoever asks, and ``curveproxy probe`` learns its key by them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import OTHER_SEED, answer, authority_text, issued
from support.client import RawClient
from support.peer import Ending, Peer
from support.process import Sidecar, certificate, curveproxy, free_port, wait_until
from support.service import RawService, echo
from support.zmtp import greeting

ASKS = greeting(b"CURVE-CERTIFICATE")
FREELY = {"handshakes_per_second_per_source": 1_000_000, "max_half_open_per_source": 10_000}
ENOUGH = 20  # askers that come to every process, most of the time
WARM, CROWD, MOST = 1000, 10_000, 8 << 20  # askers before the first look, those behind it, octets that may be kept


class Door:
    """A proxy whose server key has a certificate, and which lists an authority beside its directory of keys."""

    def __init__(self, proxy: Sidecar) -> None:
        self.proxy, self.authority = proxy, str(proxy.directory / "plant-1.authority")
        Path(self.authority).write_text(authority_text("plant-1"))
        (proxy.directory / "revoked").touch()
        self.text = self.certify("orders.cert")

    def certify(self, name: str) -> bytes:
        """Have a certificate of the server's key in a file, put there at a moment."""
        text = issued(self.proxy.server.public, "orders", kind="server", names="orders.example orders")
        (beside := self.proxy.directory / f".{name}").write_bytes(b"#   a comment\n\n" + text)
        beside.rename(self.proxy.directory / name)
        return text

    def ask(self, size: int = 1 << 20) -> Ending:
        """Ask for the certificates in pieces of a size; all that is told."""
        with Peer.to(self.proxy.public) as peer:
            for at in range(0, len(ASKS), size):
                peer.send_raw(ASKS[at : at + size])
            return peer.recv_until_closed()

    def asked(self) -> float:
        return self.proxy.metric("curveproxy_handshakes_total", outcome="certificate_asked")

    def client(self, name: str, **changes: Any) -> list[str]:
        """Options of a client that has a certificate, and is on no list."""
        keys = certificate(self.proxy.directory, name)
        file = self.proxy.directory / f"{name}.cert"
        file.write_bytes(issued(keys.public, name, **changes))
        return ["--secret-key", str(file.with_suffix(".key_secret")), "--certificate", str(file)]

    def probe(self, *options: str, name: str = "orders") -> dict[str, Any]:
        """What a probe finds out that knows nothing but the authority."""
        server = ["--authority", self.authority, "--server-name", name]
        done = curveproxy("probe", self.proxy.public, *server, "--json", *options)
        found: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode, done.stderr) == (0 if found["ok"] else 1, "")
        return found


@contextmanager
def opened(workers: int = 1, **log: object) -> Iterator[Door]:
    clients = {"authorities": [{"file": "plant-1.authority"}], "revoked": "revoked"}
    own = {"certificates": ["orders.cert"]}
    with RawService(echo) as service:
        proxy = Sidecar(
            backend=service.endpoint,
            listen=f"tcp://127.0.0.1:{free_port()}",
            service=own,
            clients=clients,
            admission=FREELY,
            log=log,
            process={"workers": workers},
        )
        door = Door(proxy)
        with proxy:
            yield door


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened() as door:
        yield door


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["octet by octet", "in one piece"])
def test_whoever_asks_is_told_and_closed_and_nothing_has_failed(door: Door, size: int) -> None:
    asked = door.asked()
    assert door.ask(size) == Ending(answer(door.text), reset=False)
    assert door.asked() == asked + 1
    wait_until(lambda: [line for line in door.proxy.log if line.get("outcome") == "certificate_asked"])
    assert {line["level"] for line in door.proxy.log if line.get("outcome") == "certificate_asked"} == {"debug"}


@pytest.mark.deep
@pytest.mark.parametrize("workers", [1, 2])
def test_a_newer_file_is_told_by_all_processes_without_a_reload(workers: int) -> None:
    with opened(workers) as door:
        assert {door.ask().octets for _ in range(ENOUGH)} == {answer(door.text)}
        text = door.certify("orders.cert")
        wait_until(lambda: {door.ask().octets for _ in range(ENOUGH)} == {answer(text)}, "the newer one is told")
        wait_until(lambda: door.asked() >= 2 * ENOUGH, "all questions are counted")


def test_without_certificates_nobody_is_told() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint) as proxy:
        with Peer.to(proxy.public) as peer:
            peer.send_raw(ASKS)
            assert peer.recv_until_closed().octets in (b"", greeting()[:11]), "as to any other mechanism"
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="mechanism")
        [line] = [line for line in proxy.log if line.get("outcome") == "mechanism"]
        assert line["detail"] == "it asks for certificates, and none are set here"


@pytest.mark.deep
def test_ten_thousand_askers_leave_nothing() -> None:
    with opened(level="info") as door:
        told = answer(door.text)

        def ask(times: int) -> None:
            for _ in range(times):
                with Peer.to(door.proxy.public) as peer:
                    peer.send_raw(ASKS)
                    assert peer.recv_exactly(len(told)) == told

        descriptors = door.proxy.fds()
        ask(WARM)
        before = door.proxy.rss()
        ask(CROWD)
        assert door.proxy.rss() - before < MOST
        wait_until(lambda: door.proxy.fds() <= descriptors, "all of them are closed")
        assert door.asked() == WARM + CROWD
        with RawClient(door.proxy.public, door.proxy.server.public, door.proxy.new_client("alice")) as client:
            door.proxy.wait_listed(1)
            client.handshake()


# --- the probe


def test_a_probe_that_knows_an_authority_needs_no_key_of_the_server(door: Door) -> None:
    found = door.probe(*door.client("desk-1"))
    assert found["ok"], found
    steps = {step["step"]: step["detail"] for step in found["steps"]}
    assert list(steps) == ["resolve", "connect", "certificate", "greeting", "welcome", "ready"]
    until = door.text.decode().partition('valid-until = "')[2][:10]
    assert steps["certificate"] == f"orders, until {until}, signed by plant-1"
    assert found["properties"]["Socket-Type"] == "ROUTER"
    wait_until(lambda: not door.proxy.metric("curveproxy_sessions"), "it has left")
    lines = [line for line in door.proxy.log if line["event"] == "session opened"]
    assert ("desk-1", "plant-1") in [(line["client"], line.get("authority")) for line in lines]


def test_of_a_server_of_another_name_no_key_is_taken(door: Door) -> None:
    failure = door.probe(name="prices")["failure"]
    assert (failure["step"], failure["reason"]) == ("certificate", "certificate_name")


@pytest.mark.deep
def test_who_is_refused_for_its_certificate_is_told_so_and_the_flaw_stands_in_the_log(door: Door) -> None:
    revoked = door.client("gone")
    with (door.proxy.directory / "revoked").open("a") as file:
        file.write("name gone\n")
    wait_until(lambda: door.proxy.metric("curveproxy_revocations") == 1, "the list has been read again")
    for options, outcome, flaw in (
        (revoked, "certificate", "revoked"),
        (door.client("late", since=-90_000, seconds=-86_000), "certificate_expired", "expired"),
        (door.client("stranger", seed=OTHER_SEED), "certificate", "authority"),
    ):
        found = door.probe(*options)
        assert not found["ok"]
        assert (found["failure"]["step"], found["failure"]["reason"]) == ("ready", outcome)
        lines = [line for line in door.proxy.log if line.get("outcome") == outcome]
        assert lines[-1]["detail"].partition(":")[0] == flaw


def test_who_presents_none_hears_no_more_than_others(door: Door) -> None:
    failure = door.probe()["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == ("ready", "refused", "400")


def test_options_that_do_not_go_together_are_told() -> None:
    done = curveproxy("probe", "tcp://127.0.0.1:1", "--authority", "x", "--server-key", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--server-key and --authority: use one or the other" in done.stderr

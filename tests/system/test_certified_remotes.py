"""An egress that knows no key of its remote, but an authority; and the service of a curveproxy behind it."""

import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq
from support.authority import SignsHere, authority
from support.client import answers
from support.curve import Keys
from support.egress import Egress, client_of
from support.libzmq import Libzmq, Socket
from support.process import Sidecar, certificate, free_port, toml, wait_until
from support.service import RawService, echo

from curveproxy.proxy.connect.remotes.remote import ASK_SECONDS

HANDSHAKES = "curveproxy_handshakes_total"
NAME = "orders"


def egress_of(front: str, **given: object) -> str:
    """The table of an egress that pins the authority alone."""
    own = {"listen": "tcp://127.0.0.1:0", "secret_key": "alice.key_secret", "server_name": NAME}
    text = toml("[[egress]]", {"name": "default", "remote": [front], **own, **given})
    return text + toml("[[egress.authorities]]", {"file": "plant-1.authority"})


class Certified:
    """Two proxies that face each other. ingress: has ``server.cert``, unless it is taken away."""

    def __init__(self, backend: str, *, certificates: bool = True, **given: object) -> None:
        front = f"tcp://127.0.0.1:{free_port()}"
        told = {"certificates": ["server.cert"]} if certificates else {}
        self.ingress = Sidecar(backend=backend, listen=front, service=told)
        self.signs = authority(self.ingress.directory)
        self.sign("server", self.ingress.server, since=-120)
        self.egress = Egress(config=egress_of(front, **given))
        shutil.copy(self.egress.directory / "alice.key", self.ingress.clients)
        self.pin(self.signs)

    def sign(self, name: str, keys: Keys, *, since: float = -60, names: str = NAME) -> None:
        """A certificate for a key of the ingress."""
        self.signs.sign(keys.public, self.ingress.directory / f"{name}.cert", since=since, names=names)

    def pin(self, signs: SignsHere) -> None:
        """The authority that the egress believes."""
        shutil.copy(signs.file, self.egress.directory / "plant-1.authority")

    def configure(self, **lists: list[str]) -> None:
        """Give the ingress other keys and certificates, and wait until they are in force."""
        text, before = self.ingress.config.read_text(), self.reloads
        for name, files in lists.items():
            value = ", ".join(f'"{file}"' for file in files)
            text = re.sub(rf"(?m)^{name} = .*$", f"{name} = [{value}]", text)
        self.ingress.config.write_text(text)
        self.ingress.signal(signal.SIGHUP)
        wait_until(lambda: self.reloads > before, "the file was read again")

    @property
    def reloads(self) -> float:
        return self.ingress.metric("curveproxy_reloads_total", result="success")

    @property
    def asked(self) -> float:
        """How often the ingress was asked for its certificates."""
        return self.ingress.metric(HANDSHAKES, outcome="certificate_asked")

    def served(self) -> bool:
        """Whether a new client has an answer."""
        with client_of(self.egress) as client:
            try:
                client.handshake()
                return answers(client)
            except (EOFError, ConnectionError):
                return False


@contextmanager
def certified(**given: object) -> Iterator[Certified]:
    with RawService(echo) as service:
        pair = Certified(service.endpoint, **given)  # type: ignore[arg-type]
        with pair.ingress, pair.egress:
            yield pair


@pytest.mark.deep
def test_whoever_pins_an_authority_finds_the_key_of_its_remote() -> None:
    with certified() as pair:
        assert pair.served()
        assert pair.served()
        assert (pair.asked, pair.egress.failures()) == (1, {})
        assert pair.ingress.metric(HANDSHAKES, outcome="admitted") == 2


@pytest.mark.deep
def test_a_server_key_is_rotated_and_no_client_notices() -> None:
    with certified() as pair, Libzmq() as zeromq:
        since = time.monotonic()
        clients = [connected(pair, zeromq)]
        new = certificate(pair.ingress.directory, "next")
        pair.sign("next", new)
        pair.configure(secret_keys=["server.key_secret", "next.key_secret"], certificates=["server.cert", "next.cert"])
        clients.append(connected(pair, zeromq))
        wait_until(lambda: time.monotonic() > since + ASK_SECONDS, "it may be asked again")
        assert pair.asked == 1
        pair.configure(secret_keys=["next.key_secret"], certificates=["next.cert"])
        clients.append(connected(pair, zeromq))
        assert all(answered(client) for client in clients), "those of before too"
        assert (pair.asked, pair.egress.failures()) == (2, {})
        assert pair.ingress.metric(HANDSHAKES, outcome="hello_box") == 1
        assert pair.ingress.metric("curveproxy_server_key_handshakes_total", key="next") == 1
        assert pair.egress.metric("curveproxy_sessions") == 3
        assert pair.egress.metric(HANDSHAKES) == 3, "none of them had to come again"
        assert not [line for line in pair.egress.log if line["level"] in ("warning", "error")]


def connected(pair: Certified, zeromq: Libzmq) -> Socket:
    """A client that has had an answer."""
    client = zeromq.connect(zmq.DEALER, pair.egress.public)
    assert answered(client)
    return client


def answered(client: Socket) -> bool:
    client.send(b"hello")
    return bool(client.recv() == b"hello")


@pytest.mark.deep
def test_an_egress_that_has_asked_late_knows_the_next_key_already() -> None:
    with certified() as pair:
        new = certificate(pair.ingress.directory, "next")
        pair.sign("next", new)
        pair.configure(secret_keys=["server.key_secret", "next.key_secret"], certificates=["server.cert", "next.cert"])
        assert pair.served()
        pair.configure(secret_keys=["next.key_secret"], certificates=["next.cert"])
        assert pair.served()
        assert (pair.asked, pair.egress.failures()) == (1, {})


@pytest.mark.deep
def test_what_is_not_believed_is_told_and_what_is_put_right_is_found() -> None:
    with certified() as pair:
        other = authority(pair.egress.directory, "other")
        pair.pin(other)
        wait_until(lambda: _fails(pair, "certificate"), "another authority is believed")
        [line, *_] = [line for line in pair.egress.log if line["event"] == "backend failed"]
        assert (line["reason"], line["detail"]) == ("certificate", "authority")
        assert not pair.served()
        pair.pin(pair.signs)
        wait_until(pair.served, "it is believed again")
        pair.sign("server", pair.ingress.server, names="prices")
        assert pair.served(), "what is believed is not asked for again"
        pair.pin(other)
        wait_until(lambda: _fails(pair, "certificate_name"), "it has another name by now")


def _fails(pair: Certified, reason: str) -> bool:
    """Whether a client is refused for that, or has been."""
    pair.served()
    return reason in pair.egress.failures()


@pytest.mark.deep
def test_a_service_without_certificates_can_not_be_asked_but_its_text_may_be_at_hand() -> None:
    with certified(certificates=False) as pair:
        wait_until(lambda: _fails(pair, "certificate_none"), "it has no answer")
        assert pair.ingress.metric(HANDSHAKES, outcome="mechanism") >= 1
        assert pair.ingress.metric(HANDSHAKES, outcome="certificate_asked") == 0
    with RawService(echo) as service:
        pair = Certified(service.endpoint, certificates=False, server_certificate="server.cert")
        shutil.copy(pair.ingress.directory / "server.cert", pair.egress.directory)
        with pair.ingress, pair.egress:
            assert pair.served()
            assert pair.ingress.metric(HANDSHAKES, outcome="mechanism") == 0

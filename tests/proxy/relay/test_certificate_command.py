"""The command CERTIFICATE: it goes out between two frames and is not lost, and is taken from who may present one."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from support import zmtp
from support.clock import Clock
from support.ends import FORMS, End, ends
from support.relaying import LargePool, Relay

from curveproxy.proxy.net.reactor import WRITE
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.pump import Pump
from curveproxy.proxy.relay.records import RENEWAL_SECONDS
from curveproxy.reasons import Closed, Invalid

TEXT = b"certificate\n" * 100
COMMAND = zmtp.command(b"CERTIFICATE", TEXT)
PONG = zmtp.command(b"PONG", b"x")
SEALED = {word: suite for word, suite in FORMS.items() if suite}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.set(monkeypatch)


@pytest.fixture(params=SEALED)
def suite(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of records."""
    number = SEALED[request.param]
    monkeypatch.setattr(Relay, "suite", number)
    return number


@pytest.fixture
def outward(suite: int) -> Iterator[tuple[Relay, End, End]]:
    """Of an egress: a local client, and a remote with records."""
    with Relay(boxed="upstream") as relay:
        yield relay, *ends(relay, "upstream")


@pytest.fixture
def inward(suite: int) -> Iterator[tuple[Relay, End, End]]:
    """Of a service: a client with records, and a plain service."""
    with Relay(pool=LargePool) as relay:
        yield relay, *ends(relay, "downstream")


def to_remote(relay: Relay) -> Pump:
    return relay.far.writer


def test_it_goes_to_the_remote_between_two_frames(outward: tuple[Relay, End, End]) -> None:
    relay, client, remote = outward
    frame = zmtp.frame(bytes(1000))
    client.send(frame[:500])
    relay.session.present(TEXT)
    relay.go_on()
    client.send(frame[500:])
    client.send_messages([[b"behind"]])
    assert list(remote.hear()) == [
        zmtp.Frame(0, bytes(1000)),
        zmtp.Frame(zmtp.COMMAND, COMMAND),
        zmtp.Frame(0, b"behind"),
    ]


def test_it_follows_a_frame_behind_which_nothing_comes(outward: tuple[Relay, End, End]) -> None:
    relay, client, remote = outward
    frame = zmtp.frame(bytes(1000))
    client.send(frame[:500])
    relay.session.present(TEXT)
    relay.go_on()
    client.send(frame[500:])
    assert list(remote.hear()) == [zmtp.Frame(0, bytes(1000)), zmtp.Frame(zmtp.COMMAND, COMMAND)]


def test_no_other_command_takes_its_place(outward: tuple[Relay, End, End]) -> None:
    relay, client, remote = outward
    client.send(zmtp.frame(bytes(1000))[:500])
    pump = to_remote(relay)
    for command in (OUR_PING, PONG):
        pump.send_command(command)
    relay.session.present(b"one that is not said yet")
    pump.send_command(PONG)
    relay.session.present(TEXT)
    pump.send_command(OUR_PING)
    client.send(zmtp.frame(bytes(1000))[500:])
    assert list(remote.hear()) == [
        zmtp.Frame(0, bytes(1000)),
        *(zmtp.Frame(zmtp.COMMAND, each) for each in (PONG, COMMAND, OUR_PING)),
    ]


def test_it_waits_until_the_remote_takes_something(outward: tuple[Relay, End, End]) -> None:
    relay, client, _ = outward
    pump, stream, rest = to_remote(relay), b"", b""
    while not pump.is_blocked_on_sink:
        client.send_messages([[bytes(1900)]])
    relay.session.present(TEXT)
    relay.go_on()
    pump.send_command(PONG)
    while pump.is_blocked_on_sink:
        opened, rest = relay.hears.open(rest + relay.service.recv(1 << 20))
        stream += opened
        relay.far.ready(WRITE)
        relay.go_on()
    with suppress(BlockingIOError):
        while True:
            opened, rest = relay.hears.open(rest + relay.service.recv(1 << 20))
            stream += opened
    assert [each.body for each in zmtp.read_frames(stream) if each.flags] == [COMMAND, PONG]


@pytest.mark.parametrize("form", FORMS)
def test_only_a_remote_with_records_is_presented_another(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relay, "suite", FORMS[form])
    for boxed in ("upstream", "downstream"):
        with Relay(pool=LargePool, boxed=boxed, on_invalid="disconnect") as relay:
            _, upstream = ends(relay, boxed)
            relay.session.present(TEXT)
            relay.go_on()
            told = [zmtp.Frame(zmtp.COMMAND, COMMAND)] if FORMS[form] and boxed == "upstream" else []
            assert list(upstream.hear()) == told


def test_a_client_with_records_presents_one_in_so_many_seconds(inward: tuple[Relay, End, End], clock: Clock) -> None:
    relay, client, service = inward
    presents = client.frame(COMMAND, command=True)
    client.send(presents)
    clock.now += RENEWAL_SECONDS - 0.001
    client.send(client.frame(zmtp.command(b"CERTIFICATE", b"too soon"), command=True))
    assert (relay.presented, relay.invalid) == ([TEXT], [Invalid.COMMAND])
    clock.now += 0.001
    client.send(client.frame(b"part", more=True))
    client.send(client.frame(zmtp.command(b"CERTIFICATE", b"other"), command=True))
    client.send(client.frame(b"end"))
    assert (relay.presented, relay.invalid) == ([TEXT, b"other"], [Invalid.COMMAND])
    assert service.messages() == [[b"part", b"end"]]
    assert relay.session.reason is None


def test_those_that_come_too_soon_spend_what_a_session_may_send_of_invalid_ones(suite: int) -> None:
    with Relay(pool=LargePool, max_invalid_per_minute=3) as relay:
        client, _ = ends(relay, "downstream")
        for _ in range(4):
            client.send(client.frame(COMMAND, command=True))
        assert relay.session.reason is None
        client.send(client.frame(COMMAND, command=True))
        assert relay.session.reason == Closed.INVALID_MESSAGE
        assert relay.presented == [TEXT]


@pytest.mark.parametrize("command", [b"\x0bCERTIFICATE", b"\x0aCERTIFICATE", b"\x0cCERTIFICATE?", b"\x0bcertificate?"])
def test_what_only_looks_like_it_is_a_command_that_nobody_knows(inward: tuple[Relay, End, End], command: bytes) -> None:
    relay, client, service = inward
    client.send(client.frame(command, command=True))
    client.send_messages([[b"behind"]])
    assert (relay.presented, relay.invalid, relay.session.reason) == ([], [Invalid.COMMAND], None)
    assert service.messages() == [[b"behind"]]


@pytest.mark.parametrize("filtered", [False, True], ids=["a ROUTER", "an XPUB, which is not sent everything"])
def test_it_is_taken_whatever_the_service_is_sent(suite: int, filtered: bool) -> None:
    with Relay(pool=LargePool, kinds=(b"XSUB", b"XPUB") if filtered else (b"DEALER", b"ROUTER")) as relay:
        client, service = ends(relay, "downstream")
        client.send_messages([[b"\1topic"]])
        client.send(client.frame(COMMAND, command=True))
        client.send_messages([[b"\1other"]])
        assert (relay.presented, relay.invalid) == ([TEXT], [])
        assert service.messages() == [[b"\1topic"], [b"\1other"]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("boxed", ["downstream", "upstream"])
def test_from_anybody_else_it_is_a_command_that_nobody_knows(
    form: str, boxed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Relay, "suite", FORMS[form])
    for sender in ("downstream", "upstream"):
        with Relay(pool=LargePool, boxed=boxed, on_invalid="disconnect") as relay:
            both = dict(zip(("downstream", "upstream"), ends(relay, boxed), strict=True))
            if FORMS[form] and sender == boxed == "downstream":
                continue
            source, sink = both[sender], both["upstream" if sender == "downstream" else "downstream"]
            source.send(source.frame(COMMAND, command=True))
            source.send_messages([[b"behind"]])
            assert (relay.presented, relay.invalid, relay.session.reason) == ([], [Invalid.COMMAND], None)
            assert sink.messages() == [[b"behind"]]

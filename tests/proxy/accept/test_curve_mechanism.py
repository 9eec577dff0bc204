"""CURVE's units: what each is measured by, and what follows it; the client is one that was written from the RFC."""

import pytest
import trio
from support import curve, zmtp
from support.accepting import Accepting, RecordingGate, accepting
from support.client import RawClient
from support.peer import Refused
from support.waiting import until

from curveproxy.policy.limits import AdmissionLimits
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import OPENING, CurveMechanism
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire import spec
from curveproxy.wire.errors import PeerError

HELLO = zmtp.frame(curve.hello(curve.Keys.new(), bytes(range(32))), zmtp.COMMAND)


def mechanism(*gates: RecordingGate) -> CurveMechanism:
    made = CurveMechanism(CookieKeys(), TransientKeys())
    made.configure(gates or (RecordingGate(),))
    return made


def test_three_units_and_only_hello_waits_for_a_service() -> None:
    greeting, hello, initiate = mechanism(RecordingGate(max_initiate_bytes=1000)).units
    assert [each.waits_for_service for each in (greeting, hello, initiate)] == [False, True, False]
    assert [each.opening for each in (greeting, hello, initiate)] == [OPENING, b"", b""]
    assert (greeting.most, initiate.most) == (64, 1000 + spec.LONG_HEADER)


def test_a_greeting_is_measured_to_its_end_or_judged_before() -> None:
    unit = mechanism().units[0]
    whole = zmtp.greeting(b"CURVE")
    assert unit.measure(whole)[0] <= len(whole) == unit.measure(whole)[2]
    for end in range(len(whole)):
        assert unit.measure(whole[:end])[0] > end
    with pytest.raises(PeerError):
        unit.measure(b"GET / HTTP/1.1\r\n")


def test_more_than_hello_is_refused_before_anything_is_promised() -> None:
    unit = mechanism().units[1]
    mark, begin, end = unit.measure(HELLO)
    assert (mark, end, HELLO[begin:end]) == (len(HELLO), len(HELLO), curve_body(HELLO))
    with pytest.raises(RefusedError) as caught:
        unit.measure(HELLO + b"x")
    assert (caught.value.outcome, caught.value.detail) == (
        Outcome.COMMAND,
        "more than HELLO has come, before WELCOME",
    )


def curve_body(frame: bytes) -> bytes:
    return zmtp.read_frames(frame)[0].body


def test_an_initiate_over_the_limit_is_refused_by_its_header() -> None:
    unit = mechanism(RecordingGate(max_initiate_bytes=300)).units[2]
    fits, too_large = (zmtp.frame(b"\x08INITIATE" + bytes(size), zmtp.COMMAND) for size in (291, 292))
    assert unit.measure(fits[:20])[0] == len(fits)
    with pytest.raises(PeerError):
        unit.measure(too_large[:20])


async def asked(at_work: Accepting, client: RawClient) -> None:
    await at_work.applies(client)
    await until(lambda: any(gate.applied for gate in at_work.gates))


async def test_the_end_is_what_the_client_has_proved_and_a_key_of_both() -> None:
    async with accepting() as at_work:
        [gate] = at_work.gates
        with at_work.client(minor=1, identity=b"me") as client:
            await asked(at_work, client)
            established = gate.applied[0].welcome({"Socket-Type": b"ROUTER", "X-A": b"1"})
            assert await trio.to_thread.run_sync(client.ready) == {"Socket-Type": b"ROUTER", "X-A": b"1"}
            assert established.version.minor == 1
            assert established.metadata["Identity"] == b"me"
            assert established.security.key == client.shared  # type: ignore[union-attr]


async def test_a_client_that_greets_slowly_gets_what_it_was_not_sent_at_once() -> None:
    async with accepting() as at_work:
        with at_work.client() as client:
            first = await trio.to_thread.run_sync(client.sock.recv, 100)
            assert first == OPENING
            client.send_raw(zmtp.greeting(b"CURVE"))
            rest = await trio.to_thread.run_sync(client.sock.recv, 100)
            assert first + rest == zmtp.greeting(b"CURVE", as_server=1)


async def test_a_key_of_no_service_opens_nothing() -> None:
    async with accepting(RecordingGate()) as at_work:
        with at_work.client(RecordingGate()) as client:
            await trio.to_thread.run_sync(client.greeting)
            client.hello()
            with pytest.raises((EOFError, ConnectionError, Refused)):
                await trio.to_thread.run_sync(client.welcome)
        assert at_work.gates[0].observer.events[-1][1] == Outcome.HELLO_BOX


async def test_other_settings_hold_for_the_next_unit() -> None:
    gate = RecordingGate()
    made = mechanism(gate)
    before = made.units
    gate.settings = RecordingGate(max_initiate_bytes=257).settings
    assert gate.settings.admission == AdmissionLimits(max_initiate_bytes=257)
    made.configure([gate])
    assert made.units[2].most == 257 + spec.LONG_HEADER != before[2].most

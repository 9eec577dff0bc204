"""What is known of a session."""

import pytest
import trio
from attrs import evolve
from support.certificates import CLIENT, UNTIL_SECONDS, certificate
from support.relaying import Relay

from curveproxy.policy.access.terms import Grant
from curveproxy.wire.certificate import read_untrusted
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect


async def test_it_knows_its_client_and_the_version_of_its_service() -> None:
    with Relay(versions=(Version(Dialect.V3, 1), Version(Dialect.V2, 0)), kinds=(b"REQ", b"REP")) as relay:
        session = relay.session
        assert (session.client, session.peer, session.number, session.is_probe) == ("a", "b", 1, False)
        assert (session.socket_type, session.claimed_type, session.dialect) == ("REQ", b"REQ", "2.0")
        assert 0 <= session.seconds <= trio.current_time()


@pytest.mark.parametrize(("key", "share"), [(b"k" * 32, b"k" * 32), (b"", b"uid 1000")])
async def test_memory_is_shared_by_keys_and_of_clients_without_one_by_their_names(key: bytes, share: bytes) -> None:
    with Relay() as relay:
        relay.session.who = evolve(relay.session.who, given_name="uid 1000", key=key)
        assert relay.session.key == share


async def test_what_it_tells_of_a_certificate_is_that_of_the_moment() -> None:
    first, second = (read_untrusted(certificate({**CLIENT, "serial": serial})) for serial in ("a" * 16, "b" * 16))
    with Relay() as relay:
        session = relay.session
        assert (session.grant, session.serial, session.authority, session.until) == (Grant(), "", "", None)
        session.use_grant(Grant("desk-7", certificate=first, authority="plant-1"))
        assert (session.serial, session.authority, session.until) == ("a" * 16, "plant-1", UNTIL_SECONDS)
        session.use_grant(Grant("desk-7", certificate=second, authority="plant-2"))
        assert (session.serial, session.authority) == ("b" * 16, "plant-2")
        assert session.client == "a", "whoever it is called now: its service was told so"

"""The vouch: a client's own box for one connection and one server."""

import pytest

from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve.keys import KeyPair

CLIENT, SERVER, TRANSIENT, SERVER_TRANSIENT, OTHER = (KeyPair.generate() for _ in range(5))


def vouch() -> bytes:
    return box.seal_vouch(CLIENT, TRANSIENT.public, SERVER.public, SERVER_TRANSIENT.public, bytes(16))


def test_a_vouch_is_good_for_its_client_its_connection_and_its_server() -> None:
    assert len(vouch()) == layout.VOUCH.size
    assert box.vouches(vouch(), CLIENT.public, TRANSIENT.public, SERVER.public, SERVER_TRANSIENT.secret)


@pytest.mark.parametrize(
    ("client", "transient", "server", "server_transient"),
    [
        (OTHER.public, TRANSIENT.public, SERVER.public, SERVER_TRANSIENT.secret),
        (CLIENT.public, OTHER.public, SERVER.public, SERVER_TRANSIENT.secret),
        (CLIENT.public, TRANSIENT.public, OTHER.public, SERVER_TRANSIENT.secret),
        (CLIENT.public, TRANSIENT.public, SERVER.public, OTHER.secret),
        (bytes(32), TRANSIENT.public, SERVER.public, SERVER_TRANSIENT.secret),
    ],
    ids=["client", "connection", "server", "server's transient key", "a key of low order"],
)
def test_a_vouch_is_good_for_nothing_else(
    client: bytes, transient: bytes, server: bytes, server_transient: bytes
) -> None:
    assert not box.vouches(vouch(), client, transient, server, server_transient)


def test_one_wrong_octet_anywhere_in_a_vouch_spoils_it() -> None:
    good = vouch()
    for at in range(len(good)):
        spoiled = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        assert not box.vouches(spoiled, CLIENT.public, TRANSIENT.public, SERVER.public, SERVER_TRANSIENT.secret)


def test_every_prefix_of_a_nonce_has_the_size_that_its_counter_or_random_part_leaves() -> None:
    counted = (box.HELLO, box.INITIATE, box.READY, box.MESSAGE_FROM_CLIENT, box.MESSAGE_FROM_SERVER)
    assert {len(prefix) for prefix in counted} == {16}
    assert {len(prefix) for prefix in (box.WELCOME, box.COOKIE, box.VOUCH)} == {8}

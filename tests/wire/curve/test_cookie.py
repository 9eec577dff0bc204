"""The cookie of one connection."""

from support import zmtp
from support.handshake import KEY

from curveproxy.wire import spec
from curveproxy.wire.curve import layout
from curveproxy.wire.curve.cookie import cookie_key, open_cookie, seal_cookie


def test_a_cookie_holds_what_was_put_into_it() -> None:
    cookie = seal_cookie(b"c" * 32, b"s" * 32, bytes(16), KEY)
    assert len(cookie) == layout.COOKIE.size
    assert open_cookie(cookie, KEY) == (b"c" * 32, b"s" * 32)
    assert open_cookie(zmtp.damaged(cookie), KEY) is None


def test_the_key_of_a_cookie_hangs_on_the_connection_and_on_the_rotating_key() -> None:
    keys = {cookie_key(rotating, binding) for rotating in (bytes(32), bytes(31) + b"x") for binding in (b"1", b"2")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {spec.KEY_SIZE}

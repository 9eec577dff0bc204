"""The keys of cookies."""

from curveproxy.proxy.accept.cookies import CookieKeys


def test_two_generations_are_good_and_a_third_is_wiped() -> None:
    keys = CookieKeys()
    first = keys.current(b"socket")
    raw = keys._keys[0]
    keys.rotate()
    assert first in keys.good(b"socket")
    assert keys.current(b"socket") != first
    assert keys.current(b"other") != keys.current(b"socket")
    keys.rotate()
    assert first not in keys.good(b"socket")
    assert raw == bytes(32)

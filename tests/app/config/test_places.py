"""Endpoints are judged by what is written."""

import pytest

from curveproxy.app.config.places import is_elsewhere, is_here, is_reached_at, is_same, objection
from curveproxy.proxy.net.endpoint import Endpoint


@pytest.mark.parametrize(
    ("text", "here", "elsewhere"),
    [
        ("tcp://127.0.0.2:1", 1, 0),
        ("tcp://[::1]:1", 1, 0),
        ("tcp://localhost:1", 1, 0),
        ("ipc:///a", 1, 0),
        ("tcp://10.0.0.1:1", 0, 1),
        ("tcp://a.host:1", 0, 0),
        ("tcp://*:1", 0, 0),
    ],
)
def test_a_name_may_be_anywhere(text: str, here: bool, elsewhere: bool) -> None:
    endpoint = Endpoint.parse(text)
    assert (is_here(endpoint), is_elsewhere(endpoint)) == (here, elsewhere)


def test_everywhere_is_here_too() -> None:
    everywhere, here = Endpoint.parse("tcp://*:1"), Endpoint.parse("tcp://127.0.0.1:1")
    assert is_same(everywhere, here)
    assert is_same(here, everywhere)
    assert not is_same(Endpoint.parse("tcp://*:0"), Endpoint.parse("tcp://*:0"))
    assert is_reached_at(here, everywhere)
    assert not is_reached_at(Endpoint.parse("tcp://10.0.0.1:1"), everywhere)
    assert not is_reached_at(everywhere, here)


def test_what_nobody_can_connect_to_has_a_sentence() -> None:
    assert [
        objection(Endpoint.parse(text)) is None for text in ("tcp://a:1", "ipc:///a", "tcp://a:0", "tcp://[::]:1")
    ] == [
        True,
        True,
        False,
        False,
    ]

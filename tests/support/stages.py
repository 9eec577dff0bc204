"""How far a client of CURVE has come when something happens to it."""

from collections.abc import Callable
from unittest.mock import patch

from support import zmtp
from support.client import RawClient

Stage = Callable[[RawClient], object]


def half(client: RawClient, step: Callable[[], object]) -> None:
    """Do a step, of which only the first half of the octets is sent."""
    whole = client.send_raw
    with patch.object(client, "send_raw", lambda octets: whole(octets[: len(octets) // 2])):
        step()


def walk(client: RawClient, *steps: str) -> RawClient:
    """Take steps of the handshake by their names."""
    for step in steps:
        getattr(client, step)()
    return client


def half_hello(client: RawClient) -> None:
    half(walk(client, "greeting"), client.hello)


def half_initiate(client: RawClient) -> None:
    half(walk(client, "greeting", "hello", "welcome"), client.initiate)


def to(*steps: str) -> Stage:
    """The stage behind these steps."""
    return lambda client: walk(client, *steps)


# Before the proxy knows who it is. At the first it has sent nothing.
STRANGERS: dict[str, Stage] = {
    "connected": lambda client: None,
    "half a greeting": lambda client: client.send_raw(zmtp.greeting()[:32]),
    "greeted": to("greeting"),
    "half of HELLO": half_hello,
    "HELLO": to("greeting", "hello"),
    "WELCOME": to("greeting", "hello", "welcome"),
    "half of INITIATE": half_initiate,
}

# While its backend is dialled.
INITIATE: Stage = to("greeting", "hello", "welcome", "initiate")

"""The remotes of an egress: real CURVE servers, and those that are none."""

from typing import Any

import zmq
from support.curve import Keys
from support.dialling import DEALER, dialling
from support.libzmq import Libzmq

from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import EgressSettings
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.security import Curve

SERVER, OTHER, OURS = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
CURVE = Keys(SERVER.public, SERVER.secret)


def egress(*remotes: str, keys: tuple[KeyPair, ...] = (SERVER,), **more: Any) -> EgressSettings:
    return EgressSettings(tuple(map(Endpoint.parse, remotes)), tuple(each.public for each in keys), OURS, **more)


async def test_a_curve_server_is_reached_and_told_of_the_client() -> None:
    with Libzmq() as zeromq:
        _, endpoint = zeromq.bind(zmq.ROUTER, server=CURVE)
        async with dialling(endpoint, egress=egress(endpoint)) as at_work:
            peer = await at_work.end({**DEALER, "Identity": b"me", "X-A": b"1"})
            assert isinstance(peer, Established)
            assert peer.socket_type == b"ROUTER"
            assert isinstance(peer.security, Curve)
            assert at_work.observer.events == [("backend_up",)]
            at_work.dialer.take_back(peer.socket)

"""What a connection costs in memory: the octets of its objects, counted as Python does.

A slot is 8 octets, an object 48 and more. What the kernel and the allocator keep for a connection is measured by the
benchmarks ``idle`` and ``strangers``; this finds the object too many without any load.
"""

import gc
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import pytest
import trio
import trio.testing
from support.client import RawClient, answers
from support.curve import Keys
from support.egress import Remote
from support.peer import Peer
from support.plain_steps import signature
from support.process import free_port
from support.service import RawService, echo

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.limits import MessageLimits, RecordsMode
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.server import Server
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.wire.codec.select import CODEC
from curveproxy.wire.curve.keys import KeyPair

# Raise one only with the reason, and with the benchmarks beside it. Of a session two pumps and two states of the codec
# are the most, 608. In Python there are objects for what C has inside of its states and flows.
SESSION = 1429 + (CODEC == "python") * 189
HALF_OPEN = 248

# What records cost one end more than MESSAGEs, with the C codec and with that in Python.
# When the next certificate of the client may come is 8 of that. In C it is 32 more since MESSAGEs take so much less.
RECORDS = {"c": 250, "python": 355}[CODEC]

PLAIN, OUTWARD, ENDS = "half-open, at an egress", "session of an egress", "session at both ends"
FEW = 8
KINDS = (bool, int, float, str, bytes, bytearray, memoryview, tuple, list, dict, set, deque, partial, socket.SocketType)
CALLABLES = (MethodType, FunctionType, CellType)


class Silent:
    """An observer that keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def is_ours(each: object) -> bool:
    return str(type(each).__module__).startswith("curveproxy.")


def fresh(before: list[Any]) -> list[Any]:
    """Objects of ours that were not there before, and the containers and methods that only they hold.

    Without the pairs of keys of which there is a stock for all connections.
    """
    known = {id(each) for each in before}
    found = [
        each for each in gc.get_objects() if is_ours(each) and id(each) not in known and not isinstance(each, KeyPair)
    ]
    known |= {id(each) for each in found}
    for each in found:  # it grows on the way
        for held in gc.get_referents(each):
            if id(held) not in known and held != () and (is_ours(held) or isinstance(held, KINDS + CALLABLES)):
                known.add(id(held))
                found.append(held)
    return found


async def cost(kind: str, records: RecordsMode = RecordsMode.OFF) -> tuple[int, Counter[tuple[str, int]]]:
    """What one more connection of a kind costs, and of which objects. records: of sessions at both ends."""
    keys = Keys.new()
    with Remote(keys, echo) if kind == OUTWARD else RawService(echo) as backend:
        server = Server(descriptors=4096)
        pair = KeyPair(keys.public, keys.secret)
        limits, everybody = MessageLimits(records=records), AccessList(allow_any=True)
        listen, behind = Endpoint.parse("tcp://127.0.0.1:0"), Endpoint.parse(backend.endpoint)
        opened: dict[Service, ServiceSettings] = {}
        if kind == ENDS:
            front = Endpoint("tcp", "127.0.0.1", free_port())
            settings = ServiceSettings("ingress", front, behind, server_keys=(pair,), messages=limits)
            opened[server.new_service(settings, everybody, Silent())] = settings
            behind = front
        egress = EgressSettings((behind,), (keys.public,), pair) if kind in (PLAIN, OUTWARD, ENDS) else None
        settings = ServiceSettings("test", listen, behind, server_keys=(pair,), egress=egress, messages=limits)
        service = server.new_service(settings, everybody, Silent())
        server.open({**opened, service: settings})

        def comes() -> Any:
            address = server.listener_of(service).bound
            if kind in (OUTWARD, ENDS):
                return Peer.to(str(address)).handshake()
            if kind != "session":
                sock = socket.create_connection((address.host, address.port))
                if kind == PLAIN:
                    sock.sendall(signature())
                    assert sock.recv(1)
                return sock
            client = RawClient(str(address), keys.public)
            assert answers(client.handshake())
            return client

        async def some() -> list[Any]:
            found = [await trio.to_thread.run_sync(comes) for _ in range(FEW)]
            with trio.fail_after(20):
                while (figures := server.figures_of(service)).half_open + figures.sessions < FEW * (len(connected) + 1):
                    await trio.sleep(0.01)
            return found

        connected: list[list[Any]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            await trio.testing.wait_all_tasks_blocked()
            connected.append(await some())
            gc.collect()
            before = gc.get_objects()
            connected.append(await some())
            gc.collect()
            new = fresh(before)
            kinds = Counter((type(each).__name__, sys.getsizeof(each)) for each in new)
            del new, before
            for client in connected[0] + connected[1]:
                client.close()
            server.drain(0)
        each = Counter({kind: number // FEW for kind, number in kinds.items()})  # without what all of them share
        return sum(octets * number for (_, octets), number in each.items()), each


@pytest.mark.parametrize(
    ("kind", "budget"),
    [("session", SESSION), (OUTWARD, SESSION), ("half-open", HALF_OPEN), (PLAIN, HALF_OPEN)],
)
async def test_a_connection_costs_no_more_memory_than_it_did(kind: str, budget: int) -> None:
    octets, kinds = await cost(kind)
    assert octets <= budget, f"{octets} octets a {kind}, of {budget}: {kinds}"


async def test_records_cost_a_session_no_more_memory_than_they_did() -> None:
    without, _ = await cost(ENDS)
    octets, kinds = await cost(ENDS, RecordsMode.REQUIRE)
    assert octets <= without + 2 * RECORDS, f"{octets} octets at both ends, {without} without: {kinds}"

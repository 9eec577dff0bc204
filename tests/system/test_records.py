"""Two proxies that face each other, with records between them: what passes, and what they hold of it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.egress import Egress, client_of
from support.peer import Peer
from support.process import Sidecar
from support.service import RawService, echo

MIB = 1 << 20
ROOM = {"max_message_bytes": 65 * MIB}


def peak(proxy: Sidecar) -> int:
    """The most memory that a process has had so far, in octets."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{proxy.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def facing(
    messages: Mapping[str, object] = ROOM, patience: float = 60.0, **tables: Any
) -> Iterator[tuple[Egress, Sidecar, Peer]]:
    """An egress, the ingress that is its remote, with an echo behind it, and a plain client with a session."""
    with (
        RawService(echo, timeout=patience) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, messages=messages) as ingress,
        Egress(ingress.public, egress={"server_keys": [ingress.server_key]}, messages=messages, **tables) as egress,
    ):
        client = client_of(egress, timeout=patience)
        client.handshake()
        yield egress, ingress, client
        client.close()


def test_messages_go_there_and_back() -> None:
    with facing() as (_, _, client):
        for parts in ([b""], [b"one"], [b"a", b"", bytes(70_000), b"z"], [bytes(3 * MIB)]):
            client.send(parts)
            assert client.recv() == parts


def test_messages_of_64_mib_take_no_memory_of_either_proxy() -> None:
    with facing() as (egress, ingress, client):
        client.send([bytes(MIB)])
        client.recv()
        before = [peak(proxy) for proxy in (egress, ingress)]
        for _ in range(2):
            client.send([bytes(64 * MIB)])
            assert len(client.recv()[0]) == 64 * MIB
        grown = [peak(proxy) - was for proxy, was in zip((egress, ingress), before, strict=True)]
        assert max(grown) < 2 * MIB

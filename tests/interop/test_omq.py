"""OMQ (omq.rs, by its binding pyomq): an implementation of CURVE that is not libzmq, as client and as plain service.

It repeats MORE in the flags of the outer frame.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyomq
import pytest
from interop.test_patterns import PUBLICATIONS, TALKS, Pair, converse, publish
from support.curve import Keys
from support.lane import Lane
from support.libzmq import Libzmq
from zmq.utils import z85


class Omq(Libzmq):
    """The same, of OMQ."""

    def __init__(self) -> None:
        super().__init__()
        self.context.destroy()
        self.context = pyomq.Context()  # type: ignore[assignment]

    def connect(
        self, kind: int, endpoint: str, *, server: bytes | None = None, keys: Keys | None = None, **options: Any
    ) -> Any:
        """As of ``Libzmq``; OMQ takes keys in Z85 only."""
        assert server is not None
        assert keys is not None
        mine: dict[str, Any] = {
            "curve_serverkey": server,
            "curve_publickey": keys.public,
            "curve_secretkey": keys.secret,
        }
        return super().connect(kind, endpoint, **{name: z85.encode(key) for name, key in mine.items()} | options)


@pytest.fixture
def omq() -> Iterator[Omq]:
    with Omq() as omq:
        yield omq
        for sock in reversed(omq.sockets):
            sock.close(linger=0)


# Its REP takes the last empty part for the delimiter, with no proxy too, and so loses what is before that.
CASES = [
    (first, second, omq_is, first_is_client)
    for first, second in TALKS + PUBLICATIONS
    for omq_is in ("client", "service")
    for first_is_client in (True, False)
    if (first if (omq_is == "client") == first_is_client else second) != "REP"
]


@pytest.mark.parametrize(("first", "second", "omq_is", "first_is_client"), CASES)
def test_a_pattern(
    tcp: Lane, libzmq: Libzmq, omq: Omq, first: str, second: str, omq_is: str, *, first_is_client: bool
) -> None:
    sides: dict[str, Any] = {"client": libzmq, "service": libzmq, omq_is: omq}
    ends: Any = SimpleNamespace(bind=sides["service"].bind, connect=sides["client"].connect)
    pair = Pair(tcp, ends, first, second, first_is_client=first_is_client)
    (publish if (first, second) in PUBLICATIONS else converse)(pair)


@pytest.mark.parametrize("size", [1, 300, 100_000])
def test_a_message_of_many_parts(tcp: Lane, libzmq: Libzmq, omq: Omq, size: int) -> None:
    service, client = tcp.bind(libzmq, pyomq.PAIR), tcp.connect(omq, pyomq.PAIR)
    parts = [bytes([number]) * size for number in range(10)]
    for _ in range(3):
        client.send_multipart(parts)
        assert service.recv_multipart() == parts
        service.send_multipart(parts)
        assert client.recv_multipart() == parts

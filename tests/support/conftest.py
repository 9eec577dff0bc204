"""Fixtures of the tests of the tests' tools."""

from collections.abc import Iterator

import pytest

from support.libzmq import Libzmq


@pytest.fixture
def libzmq() -> Iterator[Libzmq]:
    with Libzmq() as libzmq:
        yield libzmq

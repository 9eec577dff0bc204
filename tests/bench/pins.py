"""Which processors run what: a proxy that is measured has its own, as far as there are enough."""

import os
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple, TypeVar

AVAILABLE = tuple(sorted(os.sched_getaffinity(0)))  # those that we may use, before anything is pinned
Entered = TypeVar("Entered")


class Plan(NamedTuple):
    """proxy: for the one that is measured; others: for its load and its service."""

    proxy: Set[int]
    others: Set[int]


def plan(cores: int = 1, available: Sequence[int] = AVAILABLE) -> Plan:
    """So many for the proxy, or as many as there are; the rest for the others, or all where none is left."""
    return Plan(set(available[:cores]), set(available[cores:] or available))


@contextmanager
def pinned(processors: Set[int]) -> Iterator[None]:
    """This thread, and what it starts in the block, runs on these."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def measured(process: AbstractContextManager[Entered], cores: int = 1) -> Iterator[Entered]:
    """The process is started where a proxy that is measured runs. The block is not: it is the load's."""
    with ExitStack() as stack:
        with pinned(plan(cores).proxy):
            entered = stack.enter_context(process)
        yield entered

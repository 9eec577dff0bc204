"""The choice between pumps by themselves and pumps with an engine before them: that of the codec (``codec/select.py``).

An engine is a queue of ready descriptors (``net/ready.py``) who makes the ordinary turns of pumps itself, many of them
in one call. It is in C, and so is then the ``Flow`` by which it knows a pump.
"""

import select
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from os import environ
from types import ModuleType

from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.ready import Ready, ReadyQueue
from curveproxy.proxy.relay.flow import Flow
from curveproxy.wire.codec.select import CODEC, VARIABLE
from curveproxy.wire.errors import CodecError

_MEMBERS = Flow.__slots__


def _choose() -> ModuleType | None:
    """The module with the engine, where the codec is in C as well. Raises CodecError."""
    if CODEC != "c":
        return None
    try:
        native = import_module("curveproxy.proxy.relay._engine")
        native.setup(import_module("curveproxy.wire.codec._codec").api)
        attrgetter(*_MEMBERS)(native.Flow)  # each member, or an AttributeError
    except (ImportError, AttributeError, ValueError) as error:
        if environ.get(VARIABLE):
            raise CodecError(f"{VARIABLE} demands C, and the engine is not the one of this version") from error
        return None
    return native


_NATIVE = _choose()
if _NATIVE is not None:
    Flow = _NATIVE.Flow  # type: ignore[misc]


def is_built() -> bool:
    """Whether there is an engine."""
    return _NATIVE is not None


def ready_queue(pool: BufferPool, memory: MemoryBudget) -> Callable[[select.epoll, int], Ready]:
    """What makes a reactor's queue, where the reactor is that of the pumps which share ``pool`` and ``memory``."""
    if _NATIVE is None:
        return ReadyQueue
    new, source, target = _NATIVE.Engine, pool.source.data, pool.target.data
    reach, keeps = pool.read_size, pool.large_kept
    return lambda epoll, turn: new(epoll.fileno(), turn, source, target, reach, keeps, memory)


__all__ = ["Flow", "is_built", "ready_queue"]

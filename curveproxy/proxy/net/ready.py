"""Descriptors that are ready and have not been served, in the order in which they were fetched."""

import select
from typing import Protocol


class Scheduled(Protocol):
    """Somebody who goes on in a later turn. Does not block; what it raises is told to its ``failed``."""

    def resume(self) -> None: ...
    def failed(self, error: Exception) -> None: ...


class Ready(Protocol):
    """The queue, to a reactor. An engine (``relay/engine.py``) is one that makes ordinary turns itself, on the way."""

    def __len__(self) -> int:
        """How many have been fetched and not served."""

    def fetch(self) -> bool:
        """When all have been served, fetch what is ready, but no more than may be served in a turn. Whether any is."""

    def take(self, until: float) -> tuple[int, int] | Scheduled | None:
        """Who is served next: a descriptor with its events, or who reads from it. None: nobody, or not now.

        An engine serves those before it whose turns are ordinary, one at least and no further one behind ``until``.
        """

    def enter(self, descriptor: int, flow: object, /) -> None:
        """Let an engine make the ordinary turns of the flow that reads from a descriptor.

        Who writes to it is the flow that reads from where this one writes to.
        """

    def leave(self, descriptor: int) -> None:
        """Forget a descriptor, with what was fetched for it."""


class ReadyQueue:
    """One that leaves all to the handlers."""

    __slots__ = ("_epoll", "_events", "_turn")

    def __init__(self, epoll: select.epoll, turn: int) -> None:
        """turn: how many are fetched at most."""
        self._epoll, self._turn = epoll, turn
        self._events: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._events)

    def fetch(self) -> bool:
        if not self._events:
            self._events.update(self._epoll.poll(0, self._turn))
        return bool(self._events)

    def take(self, until: float) -> tuple[int, int] | None:  # noqa: ARG002
        for descriptor in self._events:
            return descriptor, self._events.pop(descriptor)
        return None

    def enter(self, descriptor: int, flow: object, /) -> None:
        """None of their turns is made here."""

    def leave(self, descriptor: int) -> None:
        self._events.pop(descriptor, None)

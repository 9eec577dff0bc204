"""Runs of several by turns, so that whatever drifts on the machine drifts for all of them."""

from collections.abc import Callable, Mapping
from typing import TypeVar

Of = TypeVar("Of")
Taken = TypeVar("Taken")


def by_turns(
    among: Mapping[str, Of], a_run: Callable[[Of], Taken], runs: int, *, warm: bool = True
) -> dict[str, list[Taken]]:
    """So many runs of each: the n-th of all were taken one after another, each second time in the reverse order.

    warm: one run more goes first, and does not count.
    """
    taken: dict[str, list[Taken]] = {name: [] for name in among}
    for number in range(warm + runs):
        for name in list(among)[:: -1 if number % 2 else 1]:
            taken[name].append(a_run(among[name]))
    return {name: found[warm:] for name, found in taken.items()}

"""What a fault must leave as it was: the proxy's descriptors, threads, gauges and memory, and its books in balance.

with baseline(proxy):
    ...  # the fault, after which all that it opened is gone
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from support.peer import SECONDS
from support.process import Sidecar, wait_until

# An allocator gives back whole arenas only (CPython's are 1 MiB, and a scrape fills one), and the buffers that all
# sessions share, 2 MiB, count from the first time on that they are filled. A leak shows as soon as a fault is repeated.
KEPT = 4 * 1024 * 1024

GAUGES = ("curveproxy_half_open_connections", "curveproxy_sessions")


class Standing(NamedTuple):
    """What a process holds at one moment.

    descriptors: kind, as ``socket`` or a file's path, -> how many are open; watched: how many stand in its epolls;
    threads: those at work, for trio keeps idle ones at hand for a while.
    """

    descriptors: Counter[str]
    watched: int
    threads: int


def standing(proxy: Sidecar) -> Standing:
    """What it holds now."""
    process = Path(f"/proc/{proxy.process.pid}")
    kinds: Counter[str] = Counter()
    watched = threads = 0
    for descriptor in os.listdir(process / "fd"):
        with suppress(FileNotFoundError):  # closed while we look
            kind = os.readlink(process / "fd" / descriptor)
            kinds[re.sub(r":\[\d+\]$", "", kind)] += 1
            if kind == "anon_inode:[eventpoll]":
                watched += (process / "fdinfo" / descriptor).read_text().count("tfd:")
    for thread in os.listdir(process / "task"):
        with suppress(FileNotFoundError, ProcessLookupError):
            threads += not (process / "task" / thread / "comm").read_text().startswith("Trio thread")
    return Standing(kinds, watched, threads)


def settled(proxy: Sidecar) -> Standing:
    """What it holds once the last scrape and the last look at the list of clients are over."""
    seen = [standing(proxy)]

    def same() -> bool:
        seen.append(standing(proxy))
        return len(seen) > 5 and all(each == seen[-1] for each in seen[-5:])

    wait_until(same, "it holds the same for a while")
    return seen[-1]


def gauges(proxy: Sidecar) -> dict[str, float]:
    """How many are inside, of each kind."""
    return {name: proxy.metric(name) for name in GAUGES}


def in_balance(proxy: Sidecar) -> bool:
    """Whether every accepted connection has its one outcome, or none yet."""
    sums: Counter[str] = Counter()
    for (name, _), value in proxy.metrics().items():
        sums[name] += int(value)
    inside = sums["curveproxy_half_open_connections"]
    return sums["curveproxy_connections_accepted_total"] == sums["curveproxy_handshakes_total"] + inside


@contextmanager
def baseline(proxy: Sidecar, *, memory: int = 0, timeout: float = SECONDS) -> Iterator[None]:
    """Demand that what is done inside leaves nothing behind, and that nothing of it was unexpected.

    The proxy should be warm, for what a first session costs once would be taken for the fault's, and whoever is to
    leave of those before should have left.
    memory: octets that the fault may cost beyond what an allocator keeps; say why where it is given.
    timeout: seconds that the proxy has to come back.
    """
    held, inside, resident = settled(proxy), gauges(proxy), proxy.rss()
    yield
    deadline = time.monotonic() + timeout

    def back(what: str, now: object, then: object) -> None:
        assert now == then or time.monotonic() < deadline, f"{what}: {now}, and {then} before"

    while (now := gauges(proxy)) != inside:
        back("gauges", now, inside)
        time.sleep(0.02)
    while (holds := standing(proxy)) != held:
        back("it holds", holds, held)
        time.sleep(0.02)
    bound = resident + KEPT + memory
    while (resides := proxy.rss()) > bound:  # large buffers stay for a moment
        assert time.monotonic() < deadline, f"{resides} octets resident, {resident} before, {bound} at the most"
        time.sleep(0.02)
    assert in_balance(proxy), "accepted = outcomes + half-open"
    assert proxy.metric("curveproxy_unexpected_errors_total") == 0, proxy.stderr
    assert "Traceback" not in proxy.stderr, proxy.stderr

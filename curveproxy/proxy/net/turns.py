"""Whose turn it is: sessions come first, and the half-open have what these leave of the time."""

import select
from math import inf
from time import perf_counter

import trio

from curveproxy.proxy.net.reactor import Reactor
from curveproxy.proxy.net.sleep import Sleep

# How long to serve without yielding to trio, whose round costs as much as a handler does.
SECONDS = 0.001
# How long to doze behind what was done: what follows soon is served without a round of trio's. So long a reactor counts
# as being at work, too.
DOZE_SECONDS = 0.001
# How long sessions are served while the half-open wait, and have time left: a handshake takes a tenth of that or more.
SHORT_SECONDS = 0.00025

# What the half-open have of each second at least, while sessions are at work: nobody starves. So much stays free behind
# what sessions have used, where that is less than all: sessions that are about to use more do not have to wait for it.
PART = 0.1
# How long it is measured what sessions use. So often, and by a tenth each time, the half-open give way to more.
LOOK_SECONDS = 0.02
# How much may be saved: a few dozen handshakes, so that some who come now and then never wait.
MOST = 0.01
# How much may be owed: what a pause of the whole process has cost is nobody's debt.
LEAST = -0.01
# Over how long "lately" reaches: so many seconds, up to twice as many. Of less nothing is said.
LATELY = 30.0


class Share:
    """The time of the half-open while sessions have work: what these leave of it, by an account of seconds.

    By time and not by count, for nobody knows what the next kind of flood costs.

    waited: how many seconds were waited for it, from the start.
    """

    def __init__(self) -> None:
        self._left, self._at, self._part = MOST, 0.0, PART
        self._looked = 0.0, 0.0  # when, and how long sessions had worked by then
        self.waited = 0.0
        self._marks = ((0.0, 0.0), (0.0, 0.0))  # times, with what had been waited by then; the older one first

    def is_used_up(self, now: float, worked: float) -> bool:
        """Whether nothing is left.

        now: seconds of any clock, always the same; worked: so many of them those have worked who come first.
        """
        looked_at, before = self._looked
        if now - looked_at >= LOOK_SECONDS:
            self._part = max(PART, 1 - PART - (worked - before) / (now - looked_at))
            self._looked = now, worked
        self._left, self._at = min(MOST, self._left + self._part * (now - self._at)), now
        return self._left <= 0

    def spend(self, seconds: float) -> None:
        """Take so much, also more than there is."""
        self._left = max(LEAST, self._left - seconds)

    def wait(self, begin: float, end: float) -> None:
        """From begin to end it was waited for."""
        _, newer = self._marks
        if begin - newer[0] >= LATELY:
            now = begin, self.waited
            self._marks = (newer if begin - newer[0] < 2 * LATELY else now), now
        self.waited += end - begin

    def lately(self, now: float) -> float:
        """Which part of the last half minute, or of a minute, was waited."""
        (begin, waited), _ = self._marks
        return (self.waited - waited) / (now - begin) if now - begin >= LATELY else 0.0


class Turns:
    """The one task that serves two reactors: ``first`` that of the sessions, ``behind`` that of the half-open.

    Between two handlers of ``behind`` the first has its turn, if it has anything to do.
    """

    def __init__(self, sleep: Sleep, first: Reactor, behind: Reactor) -> None:
        """sleep: where both wait."""
        self._sleep, self._first, self._behind, self._share = sleep, first, behind, Share()
        self._worked, self._worked_at = 0.0, -inf  # how many seconds the first has worked, and when it did last
        self._first_alone = select.poll()
        self._first_alone.register(first.descriptor, select.POLLIN)

    @property
    def seconds_held_back(self) -> float:
        """How long the half-open had to wait because they had no time left, from the start."""
        return self._share.waited

    @property
    def part_held_back(self) -> float:
        """Of the last half minute or so."""
        return self._share.lately(perf_counter())

    async def run(self) -> None:
        """Serve both."""
        while True:
            while self._serve(perf_counter() + SECONDS):
                await trio.lowlevel.checkpoint()
            await self._sleep.sleep()

    def _serve(self, until: float) -> bool:
        """Serve both until trio is to have its round. False when nobody has had anything to do for a moment."""
        first, behind, sleep = self._first, self._behind, self._sleep
        while True:
            is_first, is_behind = first.is_busy, behind.is_busy
            ready = sleep.doze(0 if is_first or is_behind else DOZE_SECONDS)
            is_first, is_behind = is_first or first.descriptor in ready, is_behind or behind.descriptor in ready
            if not is_first and not is_behind:
                return False
            now = perf_counter()
            has_time = is_behind and self._has_time(now)
            if is_first:
                first.serve(min(until, now + SHORT_SECONDS) if has_time else until)
                self._worked_at = perf_counter()
                self._worked += self._worked_at - now
            if has_time:
                self._serve_behind()
            elif is_behind:
                if not is_first:
                    self._first_alone.poll(1000 * DOZE_SECONDS)
                self._share.wait(now, perf_counter())
            if perf_counter() >= until:
                return True

    def _has_time(self, now: float) -> bool:
        """Whether the half-open may be served."""
        return not self._is_at_work(now) or not self._share.is_used_up(now, self._worked)

    def _is_at_work(self, now: float) -> bool:
        """Whether sessions have had something to do a moment ago, and may have more."""
        return now - self._worked_at < DOZE_SECONDS

    def _serve_behind(self) -> None:
        """One of those whose descriptors are ready, and one of those who are scheduled."""
        begin = perf_counter()
        self._behind.serve(-inf)
        if self._is_at_work(begin):
            self._share.spend(perf_counter() - begin)

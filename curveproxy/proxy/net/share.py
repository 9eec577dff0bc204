"""The time of the half-open while sessions have work: what these leave of it, by an account of seconds.

By time and not by count, for nobody knows what the next kind of flood costs.
"""

# What they have of each second at least: nobody starves. So much stays free behind what sessions have used, where that
# is less than all: sessions that are about to use more do not have to wait for it.
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
    """How many seconds there are to be spent. waited: how many were waited for it, from the start."""

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

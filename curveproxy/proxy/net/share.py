"""The time of the half-open while sessions have work: a part of it, by an account of seconds.

By time and not by count, for nobody knows what the next kind of flood costs.
"""

# What they have of each second in which sessions have work. It is never less: nobody starves.
PART = 0.1
# How much may be saved: a few dozen handshakes, so that some who come now and then never wait.
MOST = 0.01
# How much may be owed: what a pause of the whole process has cost is nobody's debt.
LEAST = -0.01
# Over how long "lately" reaches: so many seconds, up to twice as many. Of less nothing is said.
LATELY = 30.0


class Share:
    """How many seconds there are to be spent. waited: how many were waited for it, from the start."""

    def __init__(self) -> None:
        self._left, self._at = MOST, 0.0
        self.waited = 0.0
        self._marks = ((0.0, 0.0), (0.0, 0.0))  # times, with what had been waited by then; the older one first

    def is_used_up(self, now: float) -> bool:
        """Whether nothing is left. now: seconds of any clock, always the same."""
        self._left, self._at = min(MOST, self._left + PART * (now - self._at)), now
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

"""A wall clock that is set is noticed, one that runs is not."""

from curveproxy.app.observe.clock import WallClock


class Clocks:
    """Both, as a test sets them."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0
        self.clock = WallClock(lambda: self.wall, lambda: self.steady)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_clock_that_runs_has_not_jumped() -> None:
    clocks = Clocks()
    clocks.run(90 * 86400)
    assert clocks.clock.jump(60) == 0


def test_a_jump_is_told_once_and_with_its_sign() -> None:
    clocks = Clocks()
    for seconds in (61, -3600):
        clocks.run(5)
        clocks.wall += seconds
        assert clocks.clock.jump(60) == seconds
        clocks.run(5)
        assert clocks.clock.jump(60) == 0


def test_what_clocks_may_differ_is_no_jump_but_many_such_steps_are() -> None:
    clocks = Clocks()
    told = []
    for _ in range(4):
        clocks.wall -= 40
        told.append(clocks.clock.jump(60))
    assert told == [0, -80, 0, -80]


def test_the_clocks_of_this_machine_are_read() -> None:
    assert WallClock().jump(3600) == 0

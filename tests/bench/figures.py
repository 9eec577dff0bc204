"""What a benchmark finds, as lines of a table and as JSON."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import zmq
from attrs import asdict, frozen

OURS, THEIRS, PYTHON = "curveproxy", "libzmq", "python codec"  # names of columns


class Ratio(NamedTuple):
    """Of one column to another: of each pair of runs that were taken together, and over these the middle half.

    low, high: the quartiles, between which half of the pairs are; pairs: how many there are.
    """

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f}" + (f" ({self.spread})" if self.pairs > 1 else "")

    @property
    def spread(self) -> str:
        """The quartiles; empty where there is one pair."""
        return f"{self.low:.2f} - {self.high:.2f}" if self.pairs > 1 else ""


@frozen
class Target:
    """What is to be had. of: the column; ratio: of its value to that of ``to``; least: the bound is below."""

    bound: float
    of: str = OURS
    ratio: bool = False
    least: bool = False
    to: str = THEIRS

    def words(self, figure: "Figure") -> str:
        """The target, and whether it is met; empty where the column is not there."""
        ratio, value = figure.ratio(self.of, self.to), figure.values.get(self.of)
        if self.ratio:
            value = ratio and ratio.median
        if value is None:
            return ""
        met = value >= self.bound if self.least else value <= self.bound
        bound = f"ratio {self.bound:g}" if self.ratio else f"{self.bound:,g} {figure.unit}"
        bound += f" to {self.to}" if self.ratio and self.to != THEIRS else ""
        who = "" if self.of == OURS else f"{self.of} "
        return f"{who}{bound}: {'met' if met else f'missed by {abs(value / self.bound - 1):.0%}'}"


@frozen
class Figure:
    """One thing, measured of several.

    what: short, with the conditions; unit: of the values; runs: by the name of the column, what each run found: those
    with one number were taken together. series, x: for the plot, which line it is a point of, and where on it.
    """

    what: str
    unit: str
    runs: Mapping[str, Sequence[float]]
    targets: Sequence[Target] = ()
    series: str = ""
    x: int | None = None

    @property
    def values(self) -> dict[str, float]:
        """The median of each column's runs."""
        return {column: median(runs) for column, runs in self.runs.items()}

    def ratio(self, of: str = OURS, to: str = THEIRS) -> Ratio | None:
        """Of one column to another; None where one was not measured, or the other is nothing."""
        if of not in self.runs or not all(self.runs.get(to, [0])):
            return None
        pairs = [ours / theirs for ours, theirs in zip(self.runs[of], self.runs[to], strict=True)]
        low, middle, high = quantiles(pairs, n=4, method="inclusive") if len(pairs) > 1 else pairs * 3
        return Ratio(middle, low, high, len(pairs))

    @property
    def target(self) -> str:
        """The targets in words, and whether they are met; empty where there is none."""
        return "; ".join(filter(None, (target.words(self) for target in self.targets)))

    def line(self, columns: Sequence[str]) -> str:
        """One line of the table, below its header."""
        values = " ".join(f"{number(self.values.get(column)):>12}" for column in columns)
        ratio = self.ratio()
        found = (f"{ratio.median:.2f}", ratio.spread, ratio.pairs) if ratio else ("", "", "")
        of = "{:>6} {:>13} {:>4}".format(*found)
        return f"{self.what:46} {values} {self.unit:9} {of}   {self.target}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """All of it, with medians, each column's ratio to libzmq, and the verdict."""
        ratios = {of: ratio._asdict() for of in self.runs if of != THEIRS and (ratio := self.ratio(of))}
        return asdict(self) | {"values": self.values, "ratios": ratios, "target": self.target}


def header(columns: Sequence[str]) -> str:
    """The first line of the table. The ratio is that of curveproxy to libzmq."""
    names = " ".join(f"{column:>12}" for column in columns)
    return f"{'':46} {names} {'':9} {'ratio':>6} {'half of them':>13} {'runs':>4}   target"


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    models = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{os.cpu_count()} x {models[0].strip() if models else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
        "pynacl": version("PyNaCl"),
        "load": f"{os.getloadavg()[0]:.1f}",  # of others, before we begin
    }


def number(value: float | None) -> str:
    """As the tables write it; empty for what was not measured."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"

"""What a benchmark finds, as lines of a table and as JSON."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zmq
from attrs import asdict, frozen

OURS, THEIRS, PYTHON = "curveproxy", "libzmq", "python codec"  # names of columns


@frozen
class Target:
    """What is to be had. of: the column; ratio: of its value to that of ``to``; least: the bound is below."""

    bound: float
    of: str = OURS
    ratio: bool = False
    least: bool = False
    to: str = THEIRS

    def words(self, values: dict[str, float], unit: str) -> str:
        """The target, and whether it is met; empty where the column is not there."""
        if self.of not in values or (self.ratio and not values.get(self.to)):
            return ""
        value = values[self.of] / values[self.to] if self.ratio else values[self.of]
        met = value >= self.bound if self.least else value <= self.bound
        bound = f"ratio {self.bound:g}" if self.ratio else f"{self.bound:,g} {unit}"
        bound += f" to {self.to}" if self.ratio and self.to != THEIRS else ""
        who = "" if self.of == OURS else f"{self.of} "
        return f"{who}{bound}: {'met' if met else f'missed by {abs(value / self.bound - 1):.0%}'}"


@frozen
class Figure:
    """One thing, measured of several.

    what: short, with the conditions; unit: of the values; values: by the name of the column.
    series, x: for the plot, which line it is a point of, and where on it.
    """

    what: str
    unit: str
    values: dict[str, float]
    targets: Sequence[Target] = ()
    series: str = ""
    x: int | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to libzmq's; None where libzmq's is nothing, or it has none of this."""
        return self.values[OURS] / self.values[THEIRS] if self.values.get(THEIRS) else None

    @property
    def target(self) -> str:
        """The targets in words, and whether they are met; empty where there is none."""
        return "; ".join(filter(None, (target.words(self.values, self.unit) for target in self.targets)))

    def line(self, columns: Sequence[str]) -> str:
        """One line of the table, below its header."""
        values = " ".join(f"{number(self.values.get(column)):>12}" for column in columns)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"{self.what:46} {values} {self.unit:9} {ratio:>6}   {self.target}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """All of it, the ratio and the verdict included."""
        return asdict(self) | {"ratio": self.ratio, "target": self.target}


def header(columns: Sequence[str]) -> str:
    """The first line of the table. The ratio is that of curveproxy to libzmq."""
    names = " ".join(f"{column:>12}" for column in columns)
    return f"{'':46} {names} {'':9} {'ratio':>6}   target"


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

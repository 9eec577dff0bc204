"""What a benchmark finds, as lines of a table and as JSON."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zmq
from attrs import asdict, frozen

HEADER = f"{'':46} {'curveproxy':>12} {'libzmq':>12} {'':8} {'ratio':>7}   target"


@frozen
class Figure:
    """One thing, measured of both.

    what: short, with the conditions; unit: of the two values.
    at_most: the target of our own value; ratio_at_most: that of ours to libzmq's.
    """

    what: str
    unit: str
    curveproxy: float
    libzmq: float
    at_most: float | None = None
    ratio_at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to libzmq's; None where libzmq's is nothing."""
        return self.curveproxy / self.libzmq if self.libzmq else None

    @property
    def target(self) -> str:
        """The target in words, and whether it is met; empty where there is none."""
        if self.at_most is not None:
            return f"{self.at_most:,g} {self.unit}: {_verdict(self.curveproxy <= self.at_most)}"
        if self.ratio_at_most is not None and self.ratio is not None:
            return f"ratio {self.ratio_at_most:g}: {_verdict(self.ratio <= self.ratio_at_most)}"
        return ""

    def line(self) -> str:
        """One line of the table, below HEADER."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        values = f"{_number(self.curveproxy):>12} {_number(self.libzmq):>12} {self.unit:8}"
        return f"{self.what:46} {values} {ratio:>7}   {self.target}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """All of it, the ratio included."""
        return asdict(self) | {"ratio": self.ratio}


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
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _verdict(met: bool) -> str:
    return "met" if met else "missed"

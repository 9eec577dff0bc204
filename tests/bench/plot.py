"""The figures as a picture, for who has matplotlib; nothing else here needs it."""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.figures import OURS, PYTHON, THEIRS

INCHES, DOTS = (9.6, 7.4), 180  # of the whole, and to an inch: letters of a README's size, and twice as sharp
INK, FAINT = "#24292f", "#d0d7de"
COLOURS = {OURS: "#0969da", PYTHON: "#85b9f0", THEIRS: "#8c959f", "stunnel": "#d4a72c", "haproxy": "#bc4c00"}
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 24,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
# A legend between the title and the panel.
ABOVE: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (-0.01, 0.995),
    "borderaxespad": 0.2,
    "columnspacing": 1.1,
    "handlelength": 1.3,
    "handletextpad": 0.6,
}

Found = Sequence[dict[str, Any]]  # figures as JSON, each with its benchmark


def possible() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def draw(found: Found, about: str, path: Path) -> bool:
    """Write a PNG of those panels that were measured; False where none was. about: where, in a line. Raises OSError."""
    of = {panel: [each for each in found if belongs(each)] for panel, belongs in PANELS.items()}
    names = [panel.__name__ for panel in of if of[panel]]
    if not names:
        return False
    matplotlib, pyplot = import_module("matplotlib"), import_module("matplotlib.pyplot")
    matplotlib.use("Agg")
    with matplotlib.rc_context(STYLE):
        figure = pyplot.figure(figsize=INCHES, layout="constrained")
        axes = figure.subplot_mosaic([names[:1] * 2, names[1:]] if len(names) == len(PANELS) else [names])
        for panel, figures in of.items():
            if figures:
                panel(axes[panel.__name__], figures)
        figure.get_layout_engine().set(wspace=0.05, hspace=0.06, rect=(0.005, 0.03, 0.99, 0.965))
        figure.text(0.99, 0.01, about, ha="right", fontsize=8, color=COLOURS[THEIRS])
        figure.savefig(path, dpi=DOTS, format="png")
        pyplot.close(figure)
    return True


def messages(axis: Any, of: Found) -> None:
    """Processor time of a message to libzmq's: a group of bars for each size, a bar for each codec and direction.

    A line on a bar is from quartile to quartile of its pairs of runs.
    """
    sizes = sorted({each["x"] for each in of})
    bars = [(column, way) for column in (OURS, PYTHON) for way in dict.fromkeys(each["series"] for each in of)]
    bars = [bar for bar in bars if bar[0] in of[0]["values"]]
    width = 0.84 / len(bars)
    for place, (column, way) in enumerate(bars):
        ratios = [each["ratios"][column] for each in _in_order(of, way)]
        heights = [ratio["median"] for ratio in ratios]
        spread = [
            [ratio["median"] - ratio["low"] for ratio in ratios],
            [ratio["high"] - ratio["median"] for ratio in ratios],
        ]
        offset = (place - (len(bars) - 1) / 2) * width
        back = way != bars[0][1]
        drawn = axis.bar(
            [at + offset for at in range(len(sizes))],
            heights,
            width * 0.92,
            yerr=spread,
            ecolor=INK,
            error_kw={"elinewidth": 1.2},
            color="white" if back else COLOURS[column],
            edgecolor=COLOURS[column],
            label=f"{column}, {way}",
        )
        axis.bar_label(
            drawn, fmt="%.2f", padding=2, fontsize=8.5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3}
        )
    axis.margins(y=0.1)
    axis.axhline(1, color=INK, linewidth=1, linestyle="--")
    axis.annotate("libzmq", (0, 1), (3, 3), xycoords=("axes fraction", "data"), textcoords="offset points")
    axis.set_title("CPU a message, relative to libzmq: medians, and where half of the runs are")
    axis.set_xticks(range(len(sizes)), [_octets(size) for size in sizes])
    axis.grid(axis="y")
    axis.legend(ncols=len(bars), **ABOVE).set_in_layout(False)


def memory(axis: Any, of: Found) -> None:
    """Octets of a connection, by how far it came; the largest on top."""
    stages = [each["series"] for each in of]
    for place, column in enumerate((THEIRS, OURS)):
        values = [each["values"][column] for each in of]
        drawn = axis.barh(
            [at + (place - 0.5) * 0.38 for at in range(len(of))], values, 0.34, color=COLOURS[column], label=column
        )
        axis.bar_label(drawn, [_octets(value) for value in values], padding=3, fontsize=9)
    axis.set_title("memory a connection")
    axis.set_xscale("log")
    axis.set_xlim(100, 200_000)
    axis.set_xticks([100, 1_000, 10_000, 100_000], ["100 B", "1 kB", "10 kB", "100 kB"])
    axis.minorticks_off()
    axis.set_yticks(range(len(of)), [stage.replace(" after ", "\nafter ") for stage in stages])
    axis.grid(axis="x")
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles[::-1], labels[::-1], ncols=2, **ABOVE).set_in_layout(False)


def growth(axis: Any, of: Found) -> None:
    """Processor time of a message by the number of sessions, busy and idle."""
    for series, line, words in (("busy", "-", "all busy"), ("idle", ":", "all but one idle")):
        for column in (OURS, THEIRS):
            points = [(each["x"], each["values"][column]) for each in _in_order(of, series)]
            if points:
                axis.plot(
                    *zip(*points, strict=True),
                    line,
                    marker="o",
                    ms=4,
                    color=COLOURS[column],
                    label=f"{column}, {words}",
                )
    axis.set_title("CPU a message, by sessions")
    axis.set_xscale("log")
    axis.set_xticks([1, 10, 100, 1_000, 10_000], ["1", "10", "100", "1,000", "10,000"])
    axis.minorticks_off()
    axis.set_xlabel("sessions, the load is the same")
    axis.set_ylabel("us, 64 B")
    axis.set_ylim(0, axis.get_ylim()[1] * 1.4)
    axis.grid(axis="y")
    axis.legend(loc="upper left").set_in_layout(False)


# Each panel, and which figures are its.
PANELS: dict[Callable[[Any, Found], None], Callable[[dict[str, Any]], bool]] = {
    messages: lambda each: each["benchmark"] == "throughput" and each["series"],
    memory: lambda each: each["benchmark"] in ("strangers", "sessions") and each["series"],
    growth: lambda each: each["benchmark"] == "growth",
}


def _in_order(of: Found, series: str) -> list[dict[str, Any]]:
    return sorted((each for each in of if each["series"] == series), key=lambda each: int(each["x"]))


def _octets(number: float) -> str:
    """As people write it: 64 B, 18.6 kB, 64 KiB where it is a power of two."""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size and number % size == 0:
            return f"{number / size:,.0f} {unit}"
    return f"{number / 1000:.1f} kB" if number >= 1000 else f"{number:.0f} B"

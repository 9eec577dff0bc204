"""The figures as the project shows them: a table in the README, all of them and the picture in ``docs/``."""

from collections.abc import Mapping, Sequence

from support.process import ROOT

from bench import plot
from bench.figures import OURS, PYTHON, THEIRS, number
from bench.plot import Found

README, PAGE, PICTURE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.png"
BEGIN, END = "<!-- figures: python -m tests.bench --publish -->", "<!-- end of the figures -->"

# What the README shows, in its words: benchmark, what -> words.
SHOWN = {
    ("throughput", "64 B to the service"): "CPU a message, 64 B",
    ("throughput", "1 KiB to the service"): "CPU a message, 1 KiB",
    ("throughput", "64 KiB to the service"): "CPU a message, 64 KiB",
    ("throughput", "1 MiB to the service"): "CPU a message, 1 MiB",
    ("roundtrips", "64 B there and back"): "a round trip, 64 B",
    ("connection", "accept, handshake, dial, READY, close"): "CPU a connection",
    ("cores", "1 KiB to 16 clients, two cores"): "on two cores, 1 KiB to 16 clients",
    ("storm", "5,000 clients at once, two cores"): "on two cores, 5,000 clients at once",
    ("strangers", "after HELLO, many addresses"): "memory of a stranger after HELLO",
    ("sessions", "an idle session"): "memory of an idle session",
    ("egress", "egress, 64 B to the service"): "egress: CPU a message, 64 B",
    ("egress", "egress, 1 KiB to the service"): "egress: CPU a message, 1 KiB",
    ("egress", "egress, 64 KiB to the service"): "egress: CPU a message, 64 KiB",
    ("egress", "egress, accept, dial, handshake, READY, close"): "egress: CPU a connection (libzmq: without CURVE)",
    ("egress", "egress, an idle session"): "egress: memory of an idle session",
    ("flood", "throughput left"): "throughput left under a flood of HELLOs",
}


def publish(about: Mapping[str, str], found: Found) -> None:
    """Write all three. Raises OSError, ValueError where the README has no place for them."""
    text = README.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(f"{text[:begin]}\n{_table(_shown(found), [OURS, THEIRS])}\n\n{_where(about)}\n{text[end:]}")
    columns = list(dict.fromkeys(column for each in found for column in each["values"]))
    columns.sort(key=[OURS, PYTHON, THEIRS, *columns].index)
    picture = plot.possible() and plot.draw(found, _where(about), PICTURE)
    image = f"![The main figures as bars and lines]({PICTURE.name})\n\n" if picture else ""
    PAGE.write_text(
        "# Benchmarks\n\n`python -m tests.bench --publish` measures all of this in one run, each proxy by turns, and "
        f"writes this page.\n\n{_where(about)}\n\n{image}{_table(found, columns)}\n"
    )


def _shown(found: Found) -> Found:
    of = {(each["benchmark"], each["what"]): each for each in found}
    return [dict(of[key], what=words) for key, words in SHOWN.items() if key in of]


def _table(found: Found, columns: Sequence[str]) -> str:
    lines = ["| | " + " | ".join(columns) + " | unit | ratio |", "|---|" + "---:|" * len(columns) + "---|---:|"]
    for each in found:
        values = " | ".join(number(each["values"].get(column)) for column in columns)
        ratio = "" if each["ratio"] is None else f"{each['ratio']:.2f}"
        lines.append(f"| {each['what'].strip()} | {values} | {each['unit']} | {ratio} |")
    return "\n".join(lines)


def _where(about: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {about[name]}" for name in ("date", "processor", "kernel", "python", "libzmq", "codec"))

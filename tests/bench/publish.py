"""The figures as the project shows them: a table in the README, all of them and the picture in ``docs/``."""

from collections.abc import Mapping, Sequence
from typing import Any

from support.process import ROOT

from bench import plot
from bench.figures import OURS, PYTHON, THEIRS, Ratio, number
from bench.plot import Found

README, PAGE, PICTURE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.png"
BEGIN, END = "<!-- figures: python -m tests.bench --publish -->", "<!-- end of the figures -->"

# What the README shows, in its words: benchmark, what -> words.
SHOWN = {
    ("throughput", "64 B to the service"): "CPU a message, 64 B",
    ("throughput", "1 KiB to the service"): "CPU a message, 1 KiB",
    ("throughput", "64 KiB to the service"): "CPU a message, 64 KiB",
    ("throughput", "1 MiB to the service"): "CPU a message, 1 MiB",
    ("growth", "dealt out to 1,000"): "CPU a message, 64 B, 1,000 busy sessions",
    ("pubsub", "64 B to 100 subscribers, a copy"): "CPU a copy, 64 B to 100 subscribers",
    ("roundtrips", "64 B there and back"): "a round trip, 64 B",
    ("connection", "accept, handshake, dial, READY, close"): "CPU a connection",
    ("cores", "1 KiB to 16 clients, one core"): "one core, 1 KiB to 16 clients",
    ("cores", "1 KiB to 16 clients, two cores"): "two cores, 1 KiB to 16 clients",
    ("storm", "5,000 clients at once, two cores"): "two cores, 5,000 clients at once",
    ("strangers", "after HELLO, many addresses"): "memory of a stranger after HELLO",
    ("sessions", "an idle session"): "memory of an idle session",
    ("egress", "egress, 64 B to the service"): "egress: CPU a message, 64 B",
    ("egress", "egress, 1 KiB to the service"): "egress: CPU a message, 1 KiB",
    ("egress", "egress, 64 KiB to the service"): "egress: CPU a message, 64 KiB",
    ("egress", "egress, accept, dial, handshake, READY, close"): "egress: CPU a connection (libzmq: without CURVE)",
    ("egress", "egress, an idle session"): "egress: memory of an idle session",
    ("flood", "throughput left"): "throughput left under a flood of HELLOs",
}

INTRODUCTION = """# Benchmarks

`python -m tests.bench --publish` measures all of this in one run, and writes this page. That took {taken}; before it
the machine's load average was {load}. It needs Debian's `stunnel4` and `haproxy`; `python -m tests.bench NAME` is one
benchmark of `tests/bench`.

{where}

{image}## How to read it

* **Proxies.** *curveproxy* is `curveproxy run` with its codec in C, *python codec* the same without a compiler.
  *libzmq* is `zmq_proxy()` in C between a CURVE server socket and a plain one. *stunnel* and *haproxy* do TLS before
  the same service: another protocol, measured on the service's side.
* **Load and service** are the same for all. They are libzmq's, so that messages come as they do from real clients, but
  where speed is the figure: there both are raw sockets that do less than any proxy (`tests/bench/dealing.py`), for
  else it would be theirs.
* **us CPU** is user and system time of the proxy, all of its threads and workers, for one message, copy or connection.
  What load and service take is not in it; *us* and *a second* are by the clock.
* **Pinned.** Where speed is the figure, and in a flood, the proxy runs on one core, both threads of libzmq's too, and
  load and service have the others. Where it says *two cores* the proxy has two, with two workers, or two I/O threads of
  libzmq; on a machine with no others load and service share them, and take a part of them that is not the proxy's. In
  all else nobody is pinned: held on one core, libzmq's two threads would cost twice as much, and flatter us.
* **By turns.** Each run of curveproxy has one of libzmq beside it, then the order changes, so that drift hits both; a
  first run of each warms them and does not count. A value is the median of the runs of its column. The **ratio** is
  that of curveproxy to libzmq: one for each pair of runs, and the median of those. **Half of them** are within the two
  numbers, its quartiles; **runs** is how many pairs there were.
* **Target** is what we want, and whether it is met: of the value, or of the ratio.

"""

CONCLUSION = """
## Where the time goes

Of what is behind its target, so that nobody has to guess:

* **A connection.** Of its processor time about half is the interpreter's, in a thousand small calls from accept to
  close of which none is a twentieth of it; a quarter is the kernel's, for two connections, where libzmq's proxy has one
  to the service for all. The rest is libsodium's: three multiplications on the curve and a pair of keys, of which
  libzmq makes more. Handshakes of strangers end before most of that: see *throughput left*.
* **A thousand busy sessions and more.** Where each has one message at a time, half of the time is the kernel's, for a
  recv and a send a message, and three quarters at 8,000; nearly all the rest is libsodium's. libzmq's proxy reads from
  as many clients, but writes to the service by one connection.
* **A copy of 64 B to a subscriber.** Three quarters of it are libsodium's, for a box, of which the least costs as much
  as one of 400 octets: it computes its key stream by so many.
* **64 KiB and more.** This is the cipher's time: see *the cipher alone*. PyNaCl's wheels bring libsodium 1.0.20, and
  pyzmq's 1.0.22, which is faster, by nearly a half where the processor has AVX-512. Without their ciphers curveproxy
  needs less than half of what libzmq does for 64 KiB. [operations.md](operations.md) tells how it takes a newer
  libsodium; [records](records.md) have AES, and need none.
* **A process that does nothing** is a Python interpreter with what it has imported.
"""

# What the README says of them.
RATIOS = "A ratio is the median of pairs of runs, and half of them are within what stands in brackets."


def publish(about: Mapping[str, str], found: Found) -> None:
    """Write all three. Raises OSError, ValueError where the README has no place for them."""
    text = README.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(f"{text[:begin]}\n{_short(found)}\n\n{RATIOS}\n\n{_where(about)}\n{text[end:]}")
    picture = plot.possible() and plot.draw(found, _where(about), PICTURE)
    image = f"![The main figures as bars and lines]({PICTURE.name})\n\n" if picture else ""
    head = INTRODUCTION.format(taken=about["taken"], load=about["load"], where=_where(about), image=image)
    PAGE.write_text(f"{head}{_whole(found)}\n{CONCLUSION}")


def _short(found: Found) -> str:
    """What the README shows. Its ratios have their spread in brackets."""
    of = {(each["benchmark"], each["what"]): each for each in found}
    rows = []
    for words, each in ((words, of[key]) for key, words in SHOWN.items() if key in of):
        ratio = _ratio(each)
        rows.append([words, *_values(each, [OURS, THEIRS]), each["unit"], str(ratio or "")])
    return _table(["", OURS, THEIRS, "unit", "ratio"], rows, left={0, 3})


def _whole(found: Found) -> str:
    """All figures."""
    columns = list(dict.fromkeys(column for each in found for column in each["values"]))
    columns.sort(key=[OURS, PYTHON, THEIRS, *columns].index)
    rows = []
    for each in found:
        ratio = _ratio(each)
        found_ratio = [f"{ratio.median:.2f}", ratio.spread, str(ratio.pairs)] if ratio else ["", "", ""]
        rows.append([each["what"].strip(), *_values(each, columns), each["unit"], *found_ratio, each["target"]])
    unit = 1 + len(columns)
    names = ["", *columns, "unit", "ratio", "half of them", "runs", "target"]
    return _table(names, rows, left={0, unit, unit + 4})


def _ratio(each: Mapping[str, Any]) -> Ratio | None:
    return Ratio(**each["ratios"][OURS]) if OURS in each["ratios"] else None


def _values(each: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [number(each["values"].get(column)) for column in columns]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> str:
    """left: the numbers of the columns that hold words."""
    ruler = "|".join("---" if at in left else "---:" for at in range(len(names)))
    return "\n".join([f"| {' | '.join(names)} |", f"|{ruler}|", *(f"| {' | '.join(row)} |" for row in rows)])


def _where(about: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {about[name]}" for name in ("date", "processor", "kernel", "python", "libzmq", "codec"))

"""``python -m tests.bench [NAME...] [OPTION...]``, from the checkout: all benchmarks, or those that are named."""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.process import raise_descriptors

from bench import (
    certificates,
    columns,
    connection,
    cores,
    egress,
    flood,
    growth,
    idle,
    newcomer,
    plot,
    publish,
    pubsub,
    records,
    roundtrips,
    sessions,
    storm,
    strangers,
    throughput,
    tls,
)
from bench.figures import header, machine

BENCHMARKS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        throughput,
        roundtrips,
        pubsub,
        growth,
        cores,
        connection,
        certificates,
        newcomer,
        storm,
        flood,
        idle,
        strangers,
        sessions,
        egress,
        records,
    )
}


def main() -> None:
    """Measure, and print each figure when it is there. A peer that fails ends the run by its exception."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="curveproxy beside libzmq, in one run")
    parser.add_argument("name", nargs="*", help=f"{', '.join(BENCHMARKS)}; all when none is named")
    parser.add_argument("--short", action="store_true", help="only see that all of it works: the figures mean little")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there, as PNG: this needs matplotlib")
    parser.add_argument("--publish", action="store_true", help="write the README's table, and docs/benchmarks.*")
    options = parser.parse_args()
    if unknown := set(options.name) - set(BENCHMARKS):
        parser.error(f"no benchmark is named {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}")
    if (options.plot or options.publish) and not plot.possible():
        parser.error("--plot and --publish need matplotlib: pip install '.[test,bench]'")
    if options.publish and (options.name or options.short):
        parser.error("--publish is of all benchmarks, in one run that is not short")
    missing = tls.missing()
    if options.publish and missing:
        parser.error(f"--publish needs {', '.join(missing)} too: apt install {' '.join(missing.values())}")
    raise_descriptors()
    about, names = machine() | {"codec": columns.codec()}, list(columns.everybody())
    print("  ".join(f"{name} {value}" for name, value in about.items()) + "\n\n" + header(names))
    if missing:
        print(f"not installed, and so without a column: {', '.join(missing)}\n")
    found, begin = [], time.monotonic()
    for name in options.name or BENCHMARKS:
        module, began = BENCHMARKS[name], time.monotonic()
        print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        for figure in module.measure(options.short):
            print(f"  {figure.line(names)}", flush=True)
            found.append({"benchmark": name, **figure.as_json()})
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    about["taken"] = f"{time.monotonic() - begin:.0f} s"
    print(f"in all {about['taken']}")
    if options.json:
        options.json.write_text(json.dumps({**about, "short": options.short, "figures": found}, indent=1) + "\n")
    if options.publish:
        publish.publish(about, found)
    if options.plot:
        where = ", ".join(f"{name} {about[name]}" for name in ("processor", "kernel", "libzmq", "codec"))
        if not plot.draw(found, where, options.plot):
            print("nothing to draw: the picture is of throughput, growth, strangers and sessions", file=sys.stderr)


if __name__ == "__main__":
    main()

"""The columns of the table: which proxies a benchmark measures, in this order."""

import re
from contextlib import AbstractContextManager
from functools import cache, partial

from support.process import curveproxy as command

from bench import pairs, peers, tls
from bench.figures import OURS, PYTHON, THEIRS, Target
from bench.peers import BenchError, Proxy, Service, Starter
from bench.pins import measured

NO_RECORDS = "without records"  # no column of the table, but measured beside the others
CORES = {"one core": 1, "two cores": 2}


def both() -> dict[str, Starter]:
    """curveproxy as it is installed, and libzmq."""
    return {OURS: peers.curveproxy, THEIRS: peers.libzmq}


def egress() -> dict[str, Starter]:
    """Both, for clients that have no CURVE, before a service that has."""
    return {OURS: peers.curveproxy_egress, THEIRS: peers.libzmq_egress}


def two_ends(python: bool = True) -> dict[str, Starter]:
    """All that are installed, at both ends; of curveproxy without records too, as ``NO_RECORDS``.

    python: the pure Python codec too, where the C codec was built.
    """
    found: dict[str, Starter] = {OURS: pairs.curveproxy, NO_RECORDS: partial(pairs.curveproxy, records="off")}
    if python and codec() != "python":
        found[PYTHON] = partial(pairs.curveproxy, codec="python")
    return found | {THEIRS: pairs.libzmq} | tls.installed()


def codecs() -> dict[str, Starter]:
    """The pure Python codec too, where the C codec was built."""
    python = {PYTHON: partial(peers.curveproxy, codec="python")}
    return {OURS: peers.curveproxy, **({} if codec() == "python" else python), THEIRS: peers.libzmq}


def everybody() -> dict[str, Starter]:
    """All that are installed: TLS too."""
    return codecs() | tls.installed()


def on(cores: int) -> dict[str, Starter]:
    """curveproxy with so many workers, and libzmq with so many I/O threads, each on as many cores."""

    def pinned(start: Starter, service: Service) -> AbstractContextManager[Proxy]:
        return measured(start(service), cores)

    return {
        OURS: partial(pinned, partial(peers.curveproxy, workers=cores)),
        THEIRS: partial(pinned, partial(peers.libzmq, threads=cores)),
    }


def ratio(of_c: float | None = None, of_python: float | None = None) -> list[Target]:
    """Targets of either codec's ratio to libzmq, as far as it runs here."""
    bounds = {OURS: of_python} if codec() == "python" else {OURS: of_c, PYTHON: of_python}
    return [Target(bound, of=column, ratio=True) for column, bound in bounds.items() if bound is not None]


@cache
def codec() -> str:
    """Which codec ``curveproxy run`` takes of itself."""
    found = re.search(r"(\w+) codec", command("--version").stdout)
    if not found:
        raise BenchError("curveproxy --version names no codec")
    return found[1]

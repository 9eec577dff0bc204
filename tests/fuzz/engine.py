"""How a target is searched: by atheris, or by chance. ``python -m fuzz.engine`` is the process that does it."""

import hashlib
import random
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from attrs import frozen

from fuzz.material import DAMAGES, Material
from fuzz.targets import PACKAGE, Target, all_targets

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 2048  # octets of an input
INPUT_SECONDS = 10  # what an input may take; then it is a failure


def corpus(name: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted((CORPUS / name).glob("*"))


def file_name(octets: bytes) -> str:
    """An input's file is named by what is in it."""
    return hashlib.sha256(octets).hexdigest()[:12]


@frozen
class Run:
    """One run over one target. found: where inputs are left that reach something new."""

    name: str
    seconds: float
    seed: int
    failures: Path
    found: Path

    def arguments(self) -> list[str]:
        """As the command line of the process that does it."""
        return [self.name, str(self.seconds), str(self.seed), str(self.failures.resolve()), str(self.found)]

    @classmethod
    def of(cls, name: str, seconds: str, seed: str, failures: str, found: str) -> "Run":
        return cls(name, float(seconds), int(seed), Path(failures), Path(found))

    @property
    def directory(self) -> Path:
        """Where failures of this target go."""
        directory = self.failures / self.name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def newest_failure(self) -> Path | None:
        return max(self.directory.iterdir(), key=lambda path: path.stat().st_mtime, default=None)


def by_atheris(run: Run) -> None:
    """Coverage of the package guides it. Does not return."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["curveproxy"]):
        target = all_targets()[run.name]
    known = CORPUS / run.name
    options = [
        f"-max_total_time={max(1, round(run.seconds))}",
        f"-seed={run.seed or 1}",
        f"-max_len={LONGEST}",
        f"-timeout={INPUT_SECONDS}",
        f"-artifact_prefix={run.directory}/",
        "-print_final_stats=1",
        "-verbosity=0",
        str(run.found),
    ]
    atheris.Setup(["fuzz", *options, *([str(known)] if known.is_dir() else [])], target)
    atheris.Fuzz()


def by_chance(run: Run) -> None:
    """Kept inputs are changed, and new ones made. The one that runs is in a file already, should all be lost by it."""
    target, chance = all_targets()[run.name], random.Random(run.seed)
    kept = [path.read_bytes() for path in corpus(run.name)]
    running, until, count = run.directory / f"running-{run.seed}", time.monotonic() + run.seconds, 0
    while time.monotonic() < until:
        octets = sparse(chance)
        if kept and chance.random() < 0.8:
            for _ in range(chance.choice([1, 1, 2, 5])):
                octets = chance.choice(DAMAGES)(Material(sparse(chance)), chance.choice([octets, chance.choice(kept)]))
        running.write_bytes(octets[:LONGEST])
        target(octets[:LONGEST])
        count += 1
    running.unlink()
    print(f"{run.name}: {count} inputs", flush=True)


def sparse(chance: random.Random) -> bytes:
    """A new input: mostly honest, or not at all."""
    share, size = chance.choice([1.0, 0.3, 0.1]), chance.choice([8, 32, 128, 512])
    return bytes(chance.randrange(256) * (chance.random() < share) for _ in range(chance.randrange(size)))


Step = tuple[CodeType, int, int]


def reached(target: Target, octets: bytes) -> set[Step]:
    """Which steps, from line to line within the package, an input makes."""
    package, steps = str(PACKAGE), set[Step]()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(package):
            return None
        before = frame.f_lineno

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            steps.add((frame.f_code, before, -1 if event == "exception" else frame.f_lineno))
            before = frame.f_lineno
            return line

        return line

    previous = sys.gettrace()
    sys.settrace(enter)
    try:
        target(octets)
    finally:
        sys.settrace(previous)
    return steps


def keep(name: str, found: Path) -> int:
    """Make a target's corpus anew, of what it was and what was found: the smallest inputs that reach everything."""
    target, all_steps, directory = all_targets()[name], set[Step](), CORPUS / name
    candidates = {path.read_bytes() for path in [*corpus(name), *found.glob("*")]} | {b""}
    chosen = []
    for octets in sorted(candidates, key=lambda octets: (len(octets), octets)):
        if new := reached(target, octets) - all_steps:
            all_steps |= new
            chosen.append(octets)
    directory.mkdir(parents=True, exist_ok=True)
    for path in corpus(name):
        path.unlink()
    for octets in _needed(target, chosen):
        (directory / file_name(octets)).write_bytes(octets)
    return len(corpus(name))


def _needed(target: Target, chosen: Iterable[bytes]) -> list[bytes]:
    """Those without which something would not be reached, seen from the largest."""
    steps = {octets: reached(target, octets) for octets in chosen}
    for octets in sorted(steps, key=len):
        others = set[Step]().union(*(reach for other, reach in steps.items() if other != octets))
        if steps[octets] <= others:
            del steps[octets]
    return list(steps)


if __name__ == "__main__":
    engine, *arguments = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        {"atheris": by_atheris, "chance": by_chance}[engine](Run.of(*arguments))

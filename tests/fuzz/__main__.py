"""``python -m tests.fuzz [TARGET...] [--seconds N]``, from the checkout: the long run; all targets, or those named.

Targets share the time. With atheris (``pip install '.[fuzz]'``) they are searched by coverage, else by chance. Each
runs in a process of its own, so a crash of native code is found as well. What fails is written to a file, which
``--replay FILE`` runs again.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fuzz import engine, sessions  # noqa: E402  the path comes first
from fuzz.targets import all_targets  # noqa: E402

SESSIONS = "sessions"  # the fuzzer of the running process, beside the targets
CHILD_GRACE = 60.0


def fuzz(name: str, options: argparse.Namespace) -> bool:
    """One target in a process of its own; whether nothing failed."""
    with tempfile.TemporaryDirectory(prefix="curveproxy-fuzz-") as directory:
        run = engine.Run(name, options.seconds, options.seed, options.failures, Path(directory))
        print(f"{name}: {options.seconds:g} s by {options.engine}, seed {options.seed}", flush=True)
        command = [sys.executable, "-m", "fuzz.engine", options.engine, *run.arguments()]
        child = subprocess.Popen(command, cwd=HERE.parent)
        try:
            status = child.wait(options.seconds + CHILD_GRACE)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            child.kill()
            child.wait()
        if options.keep and not status:
            kept = engine.keep(name, Path(directory))
            print(f"{name}: {kept} inputs kept in {engine.CORPUS / name}")
    if status:
        found = run.newest_failure()
        again = f"python -m tests.fuzz --replay {found}" if found else f"seed {options.seed}, and no input was written"
        print(f"{name}: FAILED; {again}")
    return not status


def replay(path: Path) -> None:
    """Run one input again: that of a failure, or one of the corpus. The directory has its target's name."""
    name = path.resolve().parent.name
    if name == SESSIONS:
        sessions.replay(path.read_text())
    else:
        all_targets()[name](path.read_bytes())
    print(f"{name}: {path} passes")


def main() -> None:
    """Exits with 1 when something failed."""
    engines = ["atheris"] * bool(find_spec("atheris")) + ["chance"]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="fuzz curveproxy")
    names = [*all_targets(), SESSIONS]
    parser.add_argument("target", nargs="*", help=f"{', '.join(names)}; all when none is named")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all targets together (600)")
    seed = random.SystemRandom().randrange(1 << 31)
    parser.add_argument("--seed", type=int, default=seed, help="instead of a new one")
    parser.add_argument("--engine", choices=engines, default=engines[0])
    parser.add_argument("--mode", choices=sessions.MODES, action="append", help=f"on_invalid of {SESSIONS}; both")
    parser.add_argument("--keep", action="store_true", help="keep in the corpus what reaches new lines")
    parser.add_argument("--failures", type=Path, default=Path(tempfile.gettempdir()) / "curveproxy-failures")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run this one input again, and nothing else")
    options = parser.parse_args()
    if options.replay:
        replay(options.replay)
        return
    chosen = options.target or names
    if unknown := set(chosen) - set(names):
        parser.error(f"no target is named {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    options.seconds /= len(chosen)
    good = True
    for name in chosen:
        if name == SESSIONS:
            modes = options.mode or sessions.MODES
            for mode in modes:
                good &= sessions.fuzz(mode, options.seed, options.seconds / len(modes), options.failures)
        else:
            good &= fuzz(name, options)
    sys.exit(not good)


if __name__ == "__main__":
    main()

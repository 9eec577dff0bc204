"""Who may import whom. The table is the architecture: app -> proxy -> {wire, policy}."""

import ast
from pathlib import Path

import pytest

from curveproxy.reasons import BackendFailure, ClientFailure, Invalid, Outcome

ROOT = Path(__file__).parent.parent / "curveproxy"

# A room -> the modules of ours that it may import. ``reasons`` is the vocabulary of all but ``wire``.
ROOMS = {
    "wire": {"wire"},
    "policy": {"policy", "reasons"},
    "proxy": {"proxy", "wire", "policy", "reasons"},
    "app": {"app", "proxy", "wire", "policy", "reasons", "__version__"},
}
PURE = ("wire", "policy")
IMPURE = {
    "socket",
    "select",
    "trio",
    "time",
    "random",
    "secrets",
    "logging",
    "os",
    "threading",
    "datetime",
    "structlog",
}

FILES = sorted((room, path) for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrows"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(("room", "path"), FILES, ids=[f"{room}/{path.name}" for room, path in FILES])
def test_arrows_point_one_way(room: str, path: Path) -> None:
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("curveproxy.")}
    assert ours <= ROOMS[room]


@pytest.mark.parametrize(("room", "path"), [(room, path) for room, path in FILES if room in PURE])
def test_pure_rooms_know_no_clock_no_chance_and_no_socket(room: str, path: Path) -> None:
    lawful = {"os.environ"} if path.name == "select.py" else set()  # which twin is wanted
    assert not {name.split(".")[0] for name in imports(path) - lawful} & IMPURE


def test_only_one_file_touches_the_private_part_of_pynacl() -> None:
    touching = {path.name for path in ROOT.rglob("*.py") if any("_sodium" in name for name in imports(path))}
    assert touching == {"sodium.py"}


def test_the_vocabulary_imports_nothing_of_ours() -> None:
    assert not [name for name in imports(ROOT / "reasons.py") if name.startswith("curveproxy")]


def test_every_reason_that_is_told_has_a_hint_of_its_own() -> None:
    """Words come twice (a client's time-out, a backend's), hints must not."""
    refusals = [*BackendFailure, *ClientFailure, *(outcome for outcome in Outcome if outcome != Outcome.ADMITTED)]
    assert all(reason.cause and reason.remedy for reason in refusals)
    told = [*refusals, *Invalid]
    assert all(reason.hint for reason in told)
    assert len({reason.hint for reason in told}) == len(told)

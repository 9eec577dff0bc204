"""The code of ``curveproxy/`` as data, and the comparison with what a fence excepts."""

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "curveproxy"


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}  # dotted name -> file


@cache
def tree(module: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(MODULES[module].read_text())


def short(module: str) -> str:
    """A module's name as fences list it: ``proxy.relay.pump``."""
    return module.removeprefix("curveproxy.")


def below(*folders: str) -> list[str]:
    """The modules of folders or files, which are named as ``short`` does."""
    return [module for module in MODULES if fits(short(module), folders)]


def fits(name: str, prefixes: Collection[str]) -> bool:
    """Whether one of some dotted names is this one or begins it."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@cache
def imports(module: str) -> frozenset[str]:
    """Dotted names that a module imports, wherever in it: of modules where they are ours, else of what is imported."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the arrows"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in MODULES or node.module not in MODULES else str(node.module))
    return frozenset(found)


def ours(module: str) -> frozenset[str]:
    """The modules of ours that a module imports."""
    return imports(module) & MODULES.keys() - {module}


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions and methods in a tree with their qualified names; those inside of functions belong to them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")
        else:
            yield from functions(child, prefix)


def chain(node: ast.expr) -> list[str]:
    """``a.b.c`` as its names; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [*names, node.id][::-1] if isinstance(node, ast.Name) else []


def hold(found: Collection[str], kept: Mapping[str, str], rule: str) -> None:
    """A rule holds but for what is excepted, and each exception is still needed.

    kept: what is excepted, with the reason; it may only become less.
    """
    new, gone = sorted(set(found) - kept.keys()), sorted(kept.keys() - set(found))
    assert not new, f"{rule}:\n  " + "\n  ".join(new)
    assert not gone, "an exception that is needed no longer; strike it out:\n  " + "\n  ".join(gone)

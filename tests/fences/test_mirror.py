"""Tests stand where the code does: each module with logic has a test file of its own."""

import ast

from fences.code import MODULES, PACKAGE, ROOT, hold, short, tree

# Tested elsewhere: where, and why.
ELSEWHERE = {
    "app.admin.routes": "app/admin/test_server.py: together with what serves them",
    "app.commands.demo": "app/test_cli.py: as a command",
    "app.commands.top": "app/test_cli.py: as a command",
    "app.process.memory": "system/test_process.py: a process, seen from outside",
    "app.process.worker": "system/test_workers.py: several processes, seen from outside",
}


def has_logic(module: str) -> bool:
    """Whether a module has a function that does more than a Protocol's, an error's, or one that names a field."""
    nodes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)]
    plain = [node for node in nodes if any("Protocol" in ast.unparse(base) for base in node.bases)]
    plain += [node for node in nodes if node.name.endswith("Error")]
    inside = {inner for node in plain for inner in ast.walk(node)}
    functions = [node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(node not in inside and not _is_property(node) for node in functions)


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """One that only gives a name to an expression."""
    return any(ast.unparse(each) == "property" for each in node.decorator_list) and len(node.body) <= 2


def test_each_module_with_logic_has_its_test_file() -> None:
    found = set()
    for module, path in MODULES.items():
        mirror = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.name}"
        if has_logic(module) and not mirror.exists():
            found.add(short(module))
    hold(found, ELSEWHERE, "these have no test file of their own")


def test_what_is_tested_elsewhere_is() -> None:
    assert not [place for place in ELSEWHERE.values() if not (ROOT / "tests" / place.split(":")[0]).exists()]

"""No module is above and below another, and no type of ours is imported for a type checker alone."""

import ast

from fences.code import MODULES, hold, ours, short, tree


def test_no_module_is_above_and_below_another() -> None:
    graph = {module: set(ours(module)) for module in MODULES}
    reached = {module: set(found) for module, found in graph.items()}
    for middle in graph:  # Warshall: what is reached through each module
        for found in reached.values():
            if middle in found:
                found |= reached[middle]
    circle = {short(module) for module, found in reached.items() if module in found}
    hold(circle, {}, "these import each other in a circle")


def test_no_type_of_ours_is_imported_for_a_checker_alone() -> None:
    found = set()
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                inner = [each for part in node.body for each in ast.walk(part) if isinstance(each, ast.ImportFrom)]
                found |= {short(module) for each in inner if (each.module or "").startswith("curveproxy")}
    hold(found, {}, "a type from above is a Protocol that stands beside its user")

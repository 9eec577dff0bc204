"""Offsets of the wire are written once, as a layout with names."""

import ast

from fences.code import below, hold, short, tree

OCTETS = {"body", "plain", "seen", "octets", "command", "vouch"}


def test_no_offset_is_written_in_digits() -> None:
    found = {
        f"{short(module)}: {ast.unparse(node)}"
        for module in below("wire")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        if getattr(node.value, "id", getattr(node.value, "attr", "")) in OCTETS
        for bound in (node.slice.lower, node.slice.upper)
        if isinstance(bound, ast.Constant) and bound.value
    }
    hold(found, {}, "name the offset in the layout")

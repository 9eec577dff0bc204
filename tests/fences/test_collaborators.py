"""Objects use those that they are handed, and do not reach through them: no chains, no writing of another's state."""

import ast
from collections.abc import Iterator

from fences.code import MODULES, below, chain, functions, hold, short, tree

# What may stand in the middle of a chain: frozen data of ours, and what is not ours.
DATA = {
    "_env": "a RelayEnv, a frozen record",
    "env": "a RelayEnv, a frozen record",
    "_settings": "frozen settings",
    "settings": "frozen settings",
    "_limits": "frozen settings",
    "limits": "frozen settings",
    "admission": "AdmissionLimits in the settings",
    "messages": "MessageLimits in the settings",
    "socket": "of the standard library",
    "_socket": "of the standard library",
    "process": "of the standard library",
    "_nursery": "of trio",
}
# What only reads a value of the language itself.
READS = {"decode", "encode", "endswith", "get", "items", "keys", "startswith", "values"}
CHAINS: dict[str, str] = {}
WRITES: dict[str, str] = {
    "app.admin.page: element: made[-1].tail": "of the standard library",
    "app.admin.server: application: app.router.redirect_slashes": "Starlette's own switch",
    "app.terminal: unbuffer_stderr: sys.stderr": "of the standard library",
    "proxy.net.deadlines: DeadlineQueue.__init__: self._ends.newer": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.__init__: self._ends.older": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.append: last.newer": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.append: member.newer": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.append: member.older": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.append: self._ends.older": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.remove: member.newer.older": "a linked list: its queue owns the links",
    "proxy.net.deadlines: DeadlineQueue.remove: member.older.newer": "a linked list: its queue owns the links",
}


def chains(module: str) -> Iterator[str]:
    """``self.a.b.c`` in the functions of a module, and ``x.a.b.c`` of their arguments, which are longer by no name."""
    for name, function in functions(tree(module)):
        inner = {node.value for node in ast.walk(function) if isinstance(node, ast.Attribute)}
        for node in ast.walk(function):
            names = chain(node) if isinstance(node, ast.Attribute) and node not in inner else []
            if (
                len(names) >= 4
                and names[0] == "self"
                and names[-1] not in READS
                and not {names[1], names[2]} & DATA.keys()
            ):
                yield f"{short(module)}: {name}: {'.'.join(names)}"


def test_nobody_reaches_through_two_others() -> None:
    found = {line for module in MODULES for line in chains(module)}
    hold(found, CHAINS, "these reach through two objects: hand over what is needed, or ask the nearer one")


def writes(module: str) -> Iterator[str]:
    """Attributes that a function writes of an object that is not its own, and that it has not just made.

    The codec's state is excepted: it is laid out for the twin in C, and nobody but a direction holds it.
    """
    for name, function in functions(tree(module)):
        made = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            for target in node.targets
            if isinstance(target, ast.Name) and _is_class((chain(node.value.func) or [""])[-1])
        }
        for node in ast.walk(function):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AugAssign | ast.AnnAssign):
                targets = [node.target]
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                        names = chain(part)
                        if len(names) != 2 or names[0] not in {"self", "cls", "state", *made}:
                            yield f"{short(module)}: {name}: {ast.unparse(part)}"


def _is_class(name: str) -> bool:
    return name == "cls" or name.lstrip("_")[:1].isupper()


def test_nobody_writes_the_attributes_of_another() -> None:
    found = {line for module in below("proxy", "policy", "app") for line in writes(module)}
    hold(found, WRITES, "only a class writes its attributes: call a method, or return a value")

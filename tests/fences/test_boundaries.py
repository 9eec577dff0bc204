"""Sockets are read and written in few places, tasks are started in one, and nobody is called inside a ``try``."""

import ast
from collections.abc import Iterator

from fences.code import below, chain, functions, hold, short, tree

SOCKET_CALLS = {"recv", "recv_into", "recvmsg", "recvfrom", "send", "sendall", "sendmsg", "sendto"}
SOCKET_PLACES = (
    "proxy.net",
    "proxy.accept.half_open",
    "proxy.accept.application",
    "proxy.connect.attempt",
    "proxy.connect.connections",
    "proxy.relay.intake",
    "proxy.relay.outbox",
)

TASK_PLACES = ("proxy.server",)

# Names of what stands above a stage: calls of it must be outside of the stage's own ``try``.
UPWARDS = ("handler", "gate", "gates", "owner", "applying")


def calls(module: str) -> Iterator[tuple[str, list[str]]]:
    """Each call in a function or method: where, and what is called."""
    for name, function in functions(tree(module)):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and (names := chain(node.func)):
                yield name, names


def test_sockets_are_read_and_written_in_few_places() -> None:
    found = {
        f"{short(module)}: {where}: {'.'.join(names)}"
        for module in below("proxy", "policy", "wire")
        if short(module) not in below_names(SOCKET_PLACES)
        for where, names in calls(module)
        if names[-1] in SOCKET_CALLS and len(names) > 1
    }
    hold(found, {}, "these read or write a socket")


def below_names(places: tuple[str, ...]) -> set[str]:
    return {short(module) for module in below(*places)}


def test_every_task_is_started_where_its_errors_end() -> None:
    found = {
        f"{short(module)}: {where}"
        for module in below("proxy")
        if short(module) not in below_names(TASK_PLACES)
        for where, names in calls(module)
        if names[-1] in {"start_soon", "start"} and len(names) > 1 and "nursery" in names[-2]
    }
    hold(found, {}, "these start a task whose error has no boundary")


def callbacks(module: str) -> Iterator[str]:
    """Calls of what stands above, in the body of a ``try``: directly, or through a method of the same class."""
    methods = dict(functions(tree(module)))
    climbing: set[str] = set()
    while True:
        more = {
            name
            for name, function in methods.items()
            if any(_climbs(node, name, climbing) for node in ast.walk(function))
        }
        if more <= climbing:
            break
        climbing |= more
    for name, function in methods.items():
        for node in ast.walk(function):
            for part in (
                (each for statement in node.body for each in ast.walk(statement)) if isinstance(node, ast.Try) else ()
            ):
                if isinstance(part, ast.Call) and _climbs(part, name, climbing):
                    yield f"{short(module)}: {name}: {ast.unparse(part.func)}"


def _climbs(node: ast.AST, where: str, climbing: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    names = chain(node.func)
    if len(names) == 2 and names[0] == "self" and f"{where.rpartition('.')[0]}.{names[1]}" in climbing:
        return True
    return any(name.strip("_").split("_")[-1] in UPWARDS for name in names[:-1]) or names[-1:] in (
        ["on_end"],
        ["_on_end"],
    )


def test_nobody_above_is_called_inside_a_try() -> None:
    found = {line for module in below("proxy.accept", "proxy.connect") for line in callbacks(module)}
    hold(found, {}, "end your own work first, then call: another's error is not yours")

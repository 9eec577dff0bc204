"""What operators rely on, generated from the running code: settings, metrics, reasons, log, commands, key files.

``tests/promises.txt`` is the list that was promised; ``tests/test_promises.py`` compares. A change of it is a change
for those who run the proxy, and needs a line in CHANGELOG.md. To write the list anew::

    .venv/bin/python -m tests.promises > tests/promises.txt
"""

import ast
import enum
import stat
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import attrs
import click
from prometheus_client import Metric

import curveproxy
from curveproxy import reasons
from curveproxy.app import cli
from curveproxy.app.config import authorities, certificates
from curveproxy.app.config.schema import TABLES
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.watch.clients import ASIDE, KNOWN, SUFFIXES
from curveproxy.wire.curve.keys import KeyPair

PACKAGE = Path(curveproxy.__file__).parent


def promises() -> str:
    """The whole list, one promise a line."""
    parts = {
        "settings: table, name, type, bounds, default": settings(),
        "metrics: name, type, labels, help, buckets": metrics(),
        "reasons: list, word, cause; remedy": words(),
        "log: events": events("event"),
        "log: hints beside events": events("hint"),
        "commands: command, parameters, help": commands(cli.main, "curveproxy"),
        "key files: name, mode, content": key_files(),
    }
    return "\n".join(f"# {title}\n" + "".join(f"{line}\n" for line in lines) for title, lines in parts.items())


# -- settings


def settings() -> Iterator[str]:
    """Each setting of each table."""
    for table, kind in TABLES.items():
        for attribute in attrs.fields(attrs.resolve_types(kind)):
            if attrs.has(attribute.type) and not _is_written_as_text(attribute.type):
                continue  # a table of its own
            facts = [_type_of(attribute.type), *_bounds(attribute.validator, attribute.type), _default(attribute)]
            yield f"{table} {attribute.name}: {', '.join(facts)}"


def _is_written_as_text(kind: Any) -> bool:
    return hasattr(kind, "parse") or hasattr(kind, "read")


def _type_of(kind: Any) -> str:
    """What TOML calls it; the name of a class that is written as text."""
    if arguments := [each for each in get_args(kind) if each is not type(None)]:
        inner = " or ".join(map(_type_of, arguments))
        return f"list of {inner}" if getattr(kind, "__origin__", None) is list else inner
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "str"
    return str(kind.__name__)


def _bounds(validator: Any, kind: Any) -> Iterator[str]:
    """The limits of a value, as its validators or its enum state them."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        yield f"one of {[str(member.value) for member in kind]}"
    for each in getattr(validator, "_validators", [validator]):
        if hasattr(each, "bound"):
            yield f"{each.compare_op} {each.bound}"
        elif hasattr(each, "options"):
            yield f"one of {[str(getattr(option, 'value', option)) for option in each.options]}"


def _default(attribute: Any) -> str:
    value = attribute.default
    if value is attrs.NOTHING:
        return "required"
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        value = value.factory()
    return f"default {str(value.value) if isinstance(value, enum.Enum) else value!r}"


# -- metrics


def metrics() -> Iterator[str]:
    """Each metric of ours."""
    registry: Any = Metrics().registry
    lines = []
    for collector in registry._collector_to_names:  # no other place tells the labels of what is empty
        family: Metric
        for family in collector.collect():
            if family.name.startswith("curveproxy_"):
                labels: tuple[str, ...] = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
                facts = [family.name, family.type, f"{{{','.join(labels)}}}", family.documentation]
                buckets = getattr(collector, "_kwargs", {}).get("buckets")
                lines.append(" | ".join([*facts, *([str(list(buckets))] if buckets else ())]))
    yield from sorted(lines)


# -- reasons


def words() -> Iterator[str]:
    """Each word of each closed list with its hint."""
    backends = (reasons.BackendFailure, reasons.ClientFailure)
    for kind in (
        reasons.Outcome,
        reasons.EgressOutcome,
        reasons.Closed,
        reasons.Invalid,
        *backends,
        reasons.CertificateFlaw,
        reasons.ClockJump,
    ):
        for member in kind:
            yield f"{kind.__name__} {member}: {'; '.join(filter(None, (member.cause, member.remedy)))}".rstrip(" :")


# -- log

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
TELLING = {"notice", "warn", "_warn"}  # callables that are handed an event first
Scope = list[ast.AST]


class Module:
    """A file of ours with the constants in it."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text())
        self.constants = dict(_assignments(self.tree.body))
        self.imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }


def _assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Names and the expressions that they are given, tuples taken apart."""
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
                yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))


class LogCalls:
    """Every place where the code tells an event to the log, directly or through a function of its own."""

    def __init__(self) -> None:
        self.modules = {
            ".".join(("curveproxy", *path.relative_to(PACKAGE).with_suffix("").parts)): Module(path)
            for path in sorted(PACKAGE.rglob("*.py"))
        }
        self.forwarders: dict[str, int] = dict.fromkeys(TELLING, 0)  # function -> which argument is the event
        self.events: set[str] = set()
        self.hints: set[str] = set()
        while True:  # until no function is found to forward an event any more
            before = dict(self.forwarders)
            for module in self.modules.values():
                self._visit(module, module.tree, [])
            if self.forwarders == before:
                break

    def _visit(self, module: Module, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scope = [*scope, node]
        if isinstance(node, ast.Call):
            self._call(module, node, scope)
        for child in ast.iter_child_nodes(node):
            self._visit(module, child, scope)

    def _call(self, module: Module, call: ast.Call, scope: Scope) -> None:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        told: list[ast.expr] = []
        if _is_log(call.func) or self._is_alias(name, call.func, scope):
            told = call.args[:1]
        elif name in self.forwarders:
            told = [*call.args[self.forwarders[name] :][:1], *(k.value for k in call.keywords if k.arg == "event")]
        elif any(_is_log(argument) for argument in call.args):
            told = [argument for argument in call.args if not _is_log(argument)]
        for expression in told:
            self.events |= self._texts(module, expression, scope, forwards=not any(_is_log(a) for a in call.args))
        if told:
            for keyword in call.keywords:
                if keyword.arg == "hint":
                    self.hints |= self._texts(module, keyword.value, scope)

    def _is_alias(self, name: str, func: ast.expr, scope: Scope) -> bool:
        return isinstance(func, ast.Name) and any(
            _is_log(part) for value in _local(name, scope) for part in ast.walk(value)
        )

    def _texts(self, module: Module, node: ast.expr, scope: Scope, *, forwards: bool = False) -> set[str]:
        """What an expression may be, as far as it is written down. forwards: a parameter makes its function tell."""
        match node:
            case ast.Constant(value=str() as text):
                return {text}
            case ast.JoinedStr(values=values):
                return {"".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values)}
            case ast.IfExp(body=body, orelse=other):
                return self._texts(module, body, scope) | self._texts(module, other, scope)
            case ast.Name(id=name):
                if values := _local(name, scope):
                    return set().union(*(self._texts(module, value, scope) for value in values))
                if forwards and scope and (place := _parameter(name, scope[-1])) is not None:
                    self.forwarders.setdefault(scope[-1].name, place)  # type: ignore[attr-defined]
                    return set()
                if (constant := module.constants.get(name)) is not None:
                    return self._texts(module, constant, [])
                origin, original = module.imported.get(name, ("", ""))
                if origin in self.modules:
                    return self._texts(self.modules[origin], ast.Name(id=original), [])
        return set()


def _is_log(node: ast.AST) -> bool:
    """Whether this is ``<something>log.<level>``, or ``getattr(<something>log, level)``."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
        owner: ast.AST = node.args[0]
    elif isinstance(node, ast.Attribute) and node.attr in LEVELS:
        owner = node.value
    else:
        return False
    return (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")).endswith("log")


def _local(name: str, scope: Scope) -> list[ast.expr]:
    """What a name is given in the function that surrounds it."""
    if not scope or isinstance(scope[-1], ast.ClassDef):
        return []
    statements = [node for node in ast.walk(scope[-1]) if isinstance(node, ast.stmt)]
    return [value for target, value in _assignments(statements) if target == name]


def _parameter(name: str, function: ast.AST) -> int | None:
    """Which argument of a call a parameter is."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    return names.index(name) if name in names else None


@cache
def _log_calls() -> LogCalls:
    return LogCalls()


def events(which: str) -> Iterator[str]:
    """Each event that the log may hold, or each hint beside one; {} stands for what differs."""
    calls = _log_calls()
    yield from sorted(calls.events if which == "event" else calls.hints)


# -- commands


def commands(command: click.Command, name: str) -> Iterator[str]:
    """A command with its parameters and help, and those below it."""
    summary = " ".join((command.help or "").split())
    yield f"{name}{' (hidden)' if command.hidden else ''}: {summary}"
    for parameter in command.params:
        facts = [
            " ".join(parameter.opts),
            parameter.human_readable_name if parameter.param_type_name == "argument" else "",
        ]
        facts += [str(parameter.metavar or ""), "required" if parameter.required else ""]
        facts.append("flag" if getattr(parameter, "is_flag", False) else parameter.type.name)
        if isinstance(parameter.type, click.Choice):
            facts.append(f"one of {[str(choice) for choice in parameter.type.choices]}")
        facts.append(getattr(parameter, "help", None) or "")
        yield f"{name} | {' | '.join(filter(None, facts))}"
    if isinstance(command, click.Group):
        for below, part in sorted(command.commands.items()):
            yield from commands(part, f"{name} {below}")


# -- key files


def key_files() -> Iterator[str]:
    """The two files of a key pair, and of an authority; what a client's may say, and which files count as one."""
    pair = KeyPair.generate()
    with tempfile.TemporaryDirectory() as directory:
        certificates.write_key_pair(Path(directory) / f"NAME{certificates.SECRET_SUFFIX}", pair)
        authorities.write_authority(Path(directory), authorities.AuthorityFile.generate("NAME"))
        for path in sorted(Path(directory).iterdir()):
            mode = stat.S_IMODE(path.stat().st_mode)
            yield f"{path.name} {mode:o}:"
            for line in path.read_text().splitlines():
                field, equals, value = line.partition(" = ")
                shown = "Z85" if value and value != '"NAME"' else value
                yield f"    {field.partition(',')[0]}{equals}{shown}".rstrip()
    yield f"metadata of a client's certificate: {' '.join(KNOWN)}"
    yield f"ends of a client's certificate: {' '.join(SUFFIXES)}"
    yield f"ends of what is set aside: {' '.join(ASIDE)}"


if __name__ == "__main__":
    print(promises(), end="")

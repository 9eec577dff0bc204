"""From TOML's types to ours without coercion, and from errors of cattrs to sentences with a place.

cattrs collects all errors of a tree. Nothing here knows the meaning of a setting.
"""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import attrs
import cattrs
from cattrs import AttributeValidationNote, ForbiddenExtraKeysError, IterableValidationNote
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from curveproxy.app.observe.text import suggestion

# A place, and a sentence that says what is wrong there.
Complaint = tuple[str, str]

T = TypeVar("T")

# How much alike, as difflib counts, a name and a setting are of which one is the other with a letter more or less.
NEARLY = 0.9

KINDS = {
    bool: "a truth value",
    int: "a whole number",
    float: "a number with a point or an exponent",
    str: "a string",
    list: "a list",
    dict: "a table",
}


def converter(
    directory: Path, texts: Mapping[type, Callable[[str], Any]], optional: Collection[type] = ()
) -> cattrs.Converter:
    """A converter that accepts a value of the very type only, except that a whole number is a number too.

    directory: what relative paths are relative to.
    texts: for types that are written as strings, their readers, which raise ValueError with a sentence; optional: those
    of which "" is none, where there may be none.
    """
    result = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for exact, wanted in ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a string")):
        result.register_structure_hook(exact, _exactly(exact, wanted))
    result.register_structure_hook_factory(attrs.has, lambda cls: _table(cls, result))
    result.register_structure_hook_factory(is_sequence, lambda kind: _list(kind, result))
    result.register_structure_hook(StrEnum, _choice)
    for kind, read in {**texts, Path: directory.joinpath}.items():
        result.register_structure_hook(kind, _text(read))
        result.register_structure_hook(kind | None, _text(partial(_unless_empty, read) if kind in optional else read))
    return result


def _described(value: object) -> str:
    return KINDS.get(type(value), "a date or time")


def _exactly(kind: Any, wanted: str) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: object) -> Any:
        # bool is an int in Python, and must not be one here.
        if type(value) is kind or (kind is float and type(value) is int):
            return kind(value)
        hint = (
            f": write {value:.0f}"
            if kind is int and type(value) is float and abs(value) < 2**53 and value.is_integer()
            else ""
        )
        raise TypeError(f"{wanted} is wanted, not {_described(value)}{hint}")

    return hook


def _text(read: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: object) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"a string is wanted, not {_described(value)}")
        return read(value)

    return hook


def _unless_empty(read: Callable[[str], T], text: str) -> T | None:
    return read(text) if text else None


def _choice(value: Any, kind: type[StrEnum]) -> StrEnum:
    """One of the values of an enum."""
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {_described(value)}")
    if value not in set(kind):
        raise ValueError(f"must be in {[choice.value for choice in kind]!r} (got {value!r})")
    return kind(value)


def _list(kind: Any, within: cattrs.Converter) -> Callable[[Any, Any], Any]:
    inner = list_structure_factory(kind, within)

    def hook(value: Any, _: object) -> Any:
        if not isinstance(value, list):
            tables = isinstance(value, dict) and any(map(attrs.has, get_args(kind)))
            hint = ": there may be several, each in a table of its own with double brackets" if tables else ""
            hint = ": write it in brackets, for there may be several" if isinstance(value, str) else hint
            raise TypeError(f"a list is wanted, not {_described(value)}{hint}")
        return inner(value, kind)

    return hook


def _table(cls: Any, within: cattrs.Converter) -> Callable[[Any, Any], Any]:
    checked: dict[str, Any] = {
        attribute.name: override(struct_hook=_checked(attribute, within))
        for attribute in attrs.fields(cls)
        if attribute.validator is not None
    }
    inner = make_dict_structure_fn(cls, within, **checked)

    def hook(value: Any, _: object) -> Any:
        if not isinstance(value, dict):
            hint = ": write it once, in single brackets" if isinstance(value, list) else ""
            required = [attribute.name for attribute in attrs.fields(cls) if attribute.default is attrs.NOTHING]
            if isinstance(value, str) and len(required) == 1:
                hint = f': write {{ {required[0]} = "..." }}'
            raise TypeError(f"a table is wanted, not {_described(value)}{hint}")
        return inner(value, cls)

    return hook


def _checked(attribute: "attrs.Attribute[Any]", within: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Check a value's bounds at its own place, so that one mistake does not hide another."""

    def hook(value: Any, kind: Any) -> Any:
        result = within.structure(value, kind)
        assert attribute.validator is not None
        try:
            attribute.validator(None, attribute, result)
        except ValueError as error:
            # The text begins with the attribute's name, which is in the place already.
            raise ValueError(str(error.args[0]).removeprefix(f"'{attribute.name}' ")) from None
        return result

    return hook


def readable(value: object, cls: type[T], within: cattrs.Converter, **instead: Any) -> T | None:
    """An object of the settings of a table that can be read. None when a required one can not.

    instead: values for settings that may be missing.
    """
    kept = instead
    for attribute in attrs.fields(cls):  # type: ignore[arg-type]
        if isinstance(value, dict) and attribute.name in value:
            with suppress(Exception):
                kept[attribute.name] = within.structure(value[attribute.name], attribute.type)
    try:
        return cls(**kept)
    except (TypeError, ValueError):
        return None


def complaints(error: cattrs.BaseValidationError, tree: dict[str, Any], tables: Mapping[str, type]) -> list[Complaint]:
    """All that is wrong with a tree, each with its place. tables: the class of each table, by its header."""
    return [
        complaint for path, leaf in _leaves(error, "") for complaint in _sentences(_named(path, tree), leaf, tables)
    ]


def _leaves(error: BaseException, path: str) -> Iterator[tuple[str, BaseException]]:
    for note in getattr(error, "__notes__", []):
        if isinstance(note, AttributeValidationNote):
            path = f"{path}.{note.name}" if path else note.name
        elif isinstance(note, IterableValidationNote):
            path = f"{path}[{note.index}]"
    if isinstance(error, cattrs.BaseValidationError):
        for inner in error.exceptions:
            yield from _leaves(inner, path)
    else:
        yield path, error


def _sentences(place: str, error: BaseException, tables: Mapping[str, type]) -> Iterator[Complaint]:
    if isinstance(error, ForbiddenExtraKeysError):
        known = [attribute.name for attribute in attrs.fields(error.cl)]
        prefix = f"{place}: " if place.endswith('"') else f"{place}." if place else ""
        for name in sorted(error.extra_fields):
            yield (
                prefix + (name if name.isprintable() else repr(name)),
                f"no such setting: {_hint(name, known, place, tables)}",
            )
    elif isinstance(error, KeyError):
        yield place, "it is missing"
    else:
        yield place, str(error)


def _hint(name: str, known: Sequence[str], place: str, tables: Mapping[str, type]) -> str:
    """What may be meant by a name that a table does not have: one that is nearly the same, or a table that has it."""
    if near := difflib.get_close_matches(name, known, 1, NEARLY):
        return f"did you mean {near[0]}"
    # A service's settings are no advice for an egress, nor the reverse, but where there is no other.
    other = "egress" if place.startswith("service") else "service" if place.startswith("egress") else None
    homes = [header for header, cls in tables.items() if hasattr(attrs.fields(cls), name)]
    homes = [header for header in homes if header.strip("[]").partition(".")[0] != other] or homes
    return f"it belongs into {' or '.join(homes)}" if homes else suggestion(name, known)


def _named(path: str, tree: dict[str, Any]) -> str:
    """``service[0].listen`` as ``service "orders": listen``, when the service has a name; of an egress too."""
    header, bracket, rest = path.partition("[")
    number, _, inside = rest.partition("]")
    rows = tree.get(header)
    if bracket and isinstance(rows, list) and number.isdigit():
        row = rows[int(number)]
        name = row.get("name") if isinstance(row, dict) else None
        if isinstance(name, str) and name:
            setting = inside.removeprefix(".")
            return f'{header} "{name}": {setting}' if setting else f'{header} "{name}"'
    return path

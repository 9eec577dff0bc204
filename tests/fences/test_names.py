"""Names are the field's words: those of a glossary, none that were given up, none of a side where both are served."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from fences.code import MODULES, ROOT, below, hold, short, tree

GLOSSARY = ROOT / "docs" / "contributing.md"

# Words of before the rearrangement, as they stand in names and in prose. Strings are not looked at: what operators
# read is promised.
RETIRED = {
    "Door", "Stranger", "Newcomer", "Rounds", "WaitingRoom", "Guest", "Farewell", "Heeding", "Choosing", "Strainer",
    "Tolerance", "Trial", "Dial", "Dialler", "Direction", "Verdict", "Flaw", "Manner", "Sums",
}  # fmt: skip
PRIVATE = re.compile(
    r"\b(doors?|strangers?|newcomers?|farewells?|waiting rooms?|guests?|heeding|strainers?|tolerances?|diallers?)\b",
    re.I,
)

BOTH_WAYS = ("pump", "intake", "outbox", "opener", "sealer", "records", "engine")
SIDE = re.compile(r"client|server|curve", re.I)


def names(module: str) -> Iterator[str]:
    """Every name that a module's code uses."""
    for node in ast.walk(tree(module)):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def prose(module: str) -> Iterator[str]:
    """A module's comments and docstrings."""
    text = MODULES[module].read_text()
    yield from (
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    )
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def classes(module: str) -> set[str]:
    return {node.name for node in tree(module).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


def terms() -> set[str]:
    """The classes that the glossary names."""
    return set(re.findall(r"`([A-Z]\w+[a-z]\w*)`", GLOSSARY.read_text().partition("## Glossary")[2]))


def test_every_class_that_others_use_is_in_the_glossary() -> None:
    found = {f"{short(module)}: {name}" for module in below("proxy", "policy") for name in classes(module) - terms()}
    hold(found, {}, "these are not in the glossary of docs/contributing.md")


def test_the_glossary_names_nothing_that_is_not_there() -> None:
    assert terms() - {name for module in below("proxy", "policy") for name in classes(module)} == set()


def test_no_word_that_was_given_up_is_in_use() -> None:
    found = set()
    for module in MODULES:
        for name in set(names(module)):
            if name in RETIRED or PRIVATE.search(name.replace("_", " ")):
                found.add(f"{short(module)}: {name}")
        text = "\n".join(prose(module))
        found |= {f"{short(module)}: # {word.lower()}" for word in PRIVATE.findall(text)}
        found |= {f"{short(module)}: # {word}" for word in RETIRED if f"``{word}``" in text}
    hold(found, {}, "these words were given up")


def test_what_relays_both_ways_names_no_side() -> None:
    modules = below(*(f"proxy.relay.{name}" for name in BOTH_WAYS))
    found = {f"{short(module)}: {name}" for module in modules for name in names(module) if SIDE.search(name)}
    hold(found, {}, "downstream and upstream, source and sink: which of them speaks CURVE is data")

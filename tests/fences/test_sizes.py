"""What can be read at one sitting: files, classes and packages have a size."""

import ast

from fences.code import MODULES, PACKAGE, hold, short, tree

FILE, CLASS, PACKAGE_SIZE = 350, 200, 12
FILES: dict[str, str] = {
    "reasons": "a table of words with their hints, and no logic: it is looked up, not read",
}
CLASSES: dict[str, str] = {}
PACKAGES = {
    "curveproxy/proxy/relay": "a pump's three layers, three files of transforms, and a session with what is around it",
}


def test_files_are_short() -> None:
    long = {short(module) for module, path in MODULES.items() if len(path.read_text().splitlines()) > FILE}
    hold(long, FILES, f"these have more than {FILE} lines")


def test_classes_are_short() -> None:
    long = {
        f"{short(module)}: {node.name}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= CLASS
    }
    hold(long, CLASSES, f"these have more than {CLASS} lines")


def test_packages_are_small() -> None:
    folders = {path.parent for path in MODULES.values()}
    large = {
        str(folder.relative_to(PACKAGE.parent))
        for folder in folders
        if len([path for path in folder.glob("*.py") if not path.name.startswith("__")]) > PACKAGE_SIZE
    }
    hold(large, PACKAGES, f"these have more than {PACKAGE_SIZE} modules")

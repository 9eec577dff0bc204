"""Cases of a test that are for the deep suite, which tries again in more ways what the others try."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def deep(*values: Any) -> Any:
    """One case, for the deep suite."""
    return pytest.param(*values, marks=pytest.mark.deep)


def some_deep(names: Iterable[str], quick: Container[str]) -> list[Any]:
    """Names of cases as parameters of a test, all but these few for the deep suite."""
    return [pytest.param(name) if name in quick else deep(name) for name in names]

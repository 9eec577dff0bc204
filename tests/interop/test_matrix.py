"""Every old library in every pattern, behind the proxy and before it."""

from collections.abc import Iterator

import pytest
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.patterns import PATTERNS, Pattern
from support.lane import Lane

LIBRARIES = ["2.1.11", "2.2.0", "3.2.2", "4.0.3", "4.1.6", "4.2.5", "4.3.2", "4.3.5", matrix.JEROMQ]
ROWS = [
    pytest.param(name, role, id=f"{name} {role}", marks=pytest.mark.java if name == matrix.JEROMQ else pytest.mark.old)
    for name in LIBRARIES
    for role in matrix.roles(name)
]


@pytest.fixture(scope="module")
def lanes(name: str, role: str) -> Iterator[dict[str, Lane]]:
    try:
        matrix.command(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    with matrix.lanes(role) as lanes:
        yield lanes


@pytest.mark.parametrize(("name", "role"), ROWS, scope="module")
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_library_in_a_pattern(lanes: dict[str, Lane], name: str, role: str, pattern: Pattern) -> None:
    matrix.check(name, role, pattern, lanes[pattern.service.name])

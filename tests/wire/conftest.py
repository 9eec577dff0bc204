"""The codec's twins: every test of the codec runs on each."""

from types import ModuleType

import pytest
from support.cases import deep
from support.twins import TWINS, twin_named


@pytest.fixture(params=[*TWINS[:2], *map(deep, TWINS[2:])], scope="session")
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """A module with the states and functions of the codec."""
    module = twin_named(request.param)
    if module is None:
        pytest.skip("the C codec was not built: there was no compiler")
    return module

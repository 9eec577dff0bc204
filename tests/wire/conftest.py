"""The codec's twins: every test of the codec runs on each."""

from importlib import import_module
from types import ModuleType

import pytest

TWINS = {"py": "curveproxy.wire.codec.python", "c": "curveproxy.wire.codec.native"}


@pytest.fixture(params=TWINS, scope="session")
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """A module with ``open_frames`` and ``seal_frames``."""
    try:
        return import_module(TWINS[request.param])
    except ImportError:
        pytest.skip("the C codec was not built: there was no compiler")

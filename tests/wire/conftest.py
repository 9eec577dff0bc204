"""The codec's twins: every test of the codec runs on each."""

from types import ModuleType

import pytest

from curveproxy.wire import codec


@pytest.fixture(params=[codec], ids=["py"], scope="session")
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """A module with ``open_frames`` and ``seal_frames``."""
    module: ModuleType = request.param
    return module

"""A fence that finds nothing may be broken: what is planted is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fences import code
from fences.test_boundaries import callbacks, calls
from fences.test_collaborators import chains, writes
from fences.test_mirror import has_logic

PLANTED = """
class Dial:
    def __init__(self, handler):
        self.handler = handler
        self.state = State()

    def wake(self):
        try:
            self._listen()
        except OSError:
            self.failed = True

    def _listen(self):
        self._succeeded()

    def _succeeded(self):
        self.handler.connected(self)

    def reach(self):
        self.session.service.pool.borrow(self._settings.admission.limit)
        self.back.is_gone = True
        made = State()
        made.is_new = True
        self.sock.recv(1)
"""


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    monkeypatch.setitem(code.MODULES, "planted", file)
    code.tree.cache_clear()
    yield
    code.tree.cache_clear()


def test_a_chain_is_found_and_settings_are_none() -> None:
    assert list(chains("planted")) == ["planted: Dial.reach: self.session.service.pool.borrow"]


def test_a_write_is_found_but_not_of_what_was_just_made() -> None:
    assert list(writes("planted")) == ["planted: Dial.reach: self.back.is_gone"]


def test_a_callback_in_a_try_is_found_through_the_methods_of_its_class() -> None:
    assert list(callbacks("planted")) == ["planted: Dial.wake: self._listen"]


def test_a_call_is_found_with_its_place() -> None:
    assert ("Dial.reach", ["self", "sock", "recv"]) in list(calls("planted"))


def test_logic_is_found() -> None:
    assert has_logic("planted")
    assert not has_logic("curveproxy.wire.spec")

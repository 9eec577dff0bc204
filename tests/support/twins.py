"""The codec's twins, and what a state of either holds, so that one can be held against the other."""

from importlib import import_module
from types import ModuleType
from typing import Any

from attrs import fields

from curveproxy.wire.codec.state import CodecState

TWINS = {"py": "curveproxy.wire.codec.python", "c": "curveproxy.wire.codec.native"}
MEMBERS = [member.name for member in fields(CodecState)]


def twin_named(name: str) -> ModuleType | None:
    """A module with ``CodecState``, ``open_frames`` and ``seal_frames``; None when it was not built."""
    try:
        return import_module(TWINS[name])
    except ImportError:
        return None


def members_of(state: CodecState) -> dict[str, Any]:
    """All that a state holds, by name."""
    return {name: getattr(state, name) for name in MEMBERS}


def copied(twin: ModuleType, state: CodecState) -> CodecState:
    """The same state, of the twin's own type."""
    copy: CodecState = twin.CodecState(**members_of(state))
    return copy

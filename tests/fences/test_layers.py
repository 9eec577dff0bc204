"""Who may import whom: imports go down. The table is the architecture.

A room is a folder or a file of ``curveproxy/``, and the first that fits a module counts. Type-only imports are imports:
a type from above is a Protocol that stands beside its user.
"""

import pytest

from fences.code import MODULES, below, fits, hold, imports, ours, short

COMMON = {"policy", "reasons", "wire"}
STAGE = (
    COMMON
    | {"proxy.net", "proxy.observer", "proxy.settings", "proxy.capacity"}
    | {
        "proxy.errors",
        "proxy.established",
    }
)

LAYERS: dict[str, set[str]] = {
    # octets and their meaning; pure
    "wire.spec": set(),
    "wire.errors": set(),
    "wire.sodium": {"wire.spec"},
    "wire.z85": set(),
    "wire.proxy_protocol": {"wire.errors", "wire.spec"},
    "wire.zmtp.frame": {"wire.zmtp.command", "wire.errors", "wire.spec"},
    "wire.timestamp": set(),
    "wire.certificate": {
        "wire.errors",
        "wire.sodium",
        "wire.spec",
        "wire.timestamp",
        "wire.z85",
        "wire.zmtp.metadata",  # by which the signed octets are encoded
    },
    "wire.security": {"wire.zmtp.frame", "wire.spec"},
    "wire.initiator": {"wire.security", "wire.errors"},
    "wire.zmtp": {"wire.zmtp", "wire.errors", "wire.initiator", "wire.security", "wire.spec"},
    "wire.offer": {"wire.codec.suites", "wire.zmtp.metadata", "wire.errors", "wire.spec"},
    "wire.curve": {
        "wire.curve",
        "wire.codec.suites",
        "wire.offer",
        "wire.zmtp",
        "wire.errors",
        "wire.initiator",
        "wire.security",
        "wire.sodium",
        "wire.spec",
    },
    "wire.codec": {"wire"},
    "wire": set(),
    # may they?; pure
    # a certificate is judged as it is read: it is both octets, whose grammar is the wire's, and a right to come in
    "policy.access": {
        "policy",
        "reasons",
        "wire.certificate",
        "wire.errors",
        "wire.timestamp",
        "wire.z85",
    },
    "policy": {"policy", "reasons"},
    "reasons": set(),
    # sockets and deadlines: the stages of a connection, which do not know each other
    "proxy.net": {"proxy.net", "wire.codec.state", "wire.spec"},
    "proxy.errors": {"reasons"},
    "proxy.settings": {
        "policy",
        "proxy.net.endpoint",
        "wire.certificate",
        "wire.codec.suites",
        "wire.curve",
        "wire.offer",
    },
    "proxy.established": {"wire"},
    "proxy.observer": {"reasons"},
    "proxy.capacity": {"policy", "proxy.net"},
    "proxy.applying": {"proxy.errors", "proxy.established", "policy", "reasons", "wire.zmtp.metadata"},
    "proxy.accept": STAGE | {"proxy.accept", "proxy.applying"},
    "proxy.connect": STAGE | {"proxy.connect"},
    "proxy.relay": STAGE | {"proxy.relay"},
    "proxy.sessions.identities": STAGE | {"proxy.relay"},
    "proxy.sessions.table": STAGE | {"proxy.relay"},
    "proxy.drain": STAGE | {"proxy.relay"},
    "proxy.sessions.renewal": STAGE | {"proxy.relay"},
    "proxy.sessions.authorizer": STAGE
    | {
        "proxy.applying",
        "proxy.relay",
        "proxy.sessions.identities",
        "proxy.sessions.renewal",
        "proxy.sessions.table",
    },
    "proxy.sessions.pending": STAGE | {"proxy.applying", "proxy.connect", "proxy.relay"},
    "proxy.service": STAGE | {"proxy.applying", "proxy.connect", "proxy.relay", "proxy.sessions"},
    "proxy.server": STAGE
    | {
        "proxy.accept",
        "proxy.connect",
        "proxy.relay",
        "proxy.sessions.pending",
        "proxy.service",
        "proxy.sessions.identities",
        "proxy.drain",
    },
    "proxy": set(),
    # the process
    "app.observe": COMMON | {"app.observe", "proxy.observer", "curveproxy"},
    "app.config": COMMON | {"app.config", "app.observe.text", "proxy.net.endpoint", "proxy.settings"},
    "app.watch": COMMON | {"app.watch", "app.config", "app.observe"},
    "app.admin": COMMON | {"app.admin", "app.observe", "app.config", "proxy.net"},
    "app.process": COMMON
    | {"app.process", "app.admin", "app.watch", "app.observe", "app.config", "proxy", "curveproxy"},
    "app.commands": COMMON
    | {"app.commands", "app.process", "app.admin", "app.watch", "app.observe", "app.config", "app.terminal", "proxy"},
    "app.cli_certificates": COMMON | {"app.commands", "app.config", "app.observe.text", "app.terminal"},
    "app.cli": COMMON | {"app", "proxy", "curveproxy"},
    "app.terminal": {"app.observe.text"},
    "app": set(),
    "__main__": {"app.cli"},
    "curveproxy": set(),
}

KEPT: dict[str, str] = {}

PURE = ("wire", "policy", "reasons")
IMPURE = {
    "socket",
    "select",
    "trio",
    "time",
    "random",
    "secrets",
    "logging",
    "os",
    "threading",
    "datetime",
    "structlog",
}


def test_imports_go_down() -> None:
    found = set()
    for module in MODULES:
        allowed = next(below for room, below in LAYERS.items() if fits(short(module), [room]))
        found |= {f"{short(module)} -> {short(other)}" for other in ours(module) if not fits(short(other), allowed)}
    hold(found, KEPT, "these imports are not in the table of layers")


@pytest.mark.parametrize("module", below(*PURE), ids=short)
def test_pure_rooms_know_no_clock_no_chance_and_no_socket(module: str) -> None:
    lawful = {"os.environ"} if short(module) == "wire.codec.select" else set()  # which twin is wanted
    assert not {name.split(".")[0] for name in imports(module) - lawful} & IMPURE


def test_only_one_file_touches_the_private_part_of_pynacl() -> None:
    touching = {short(module) for module in MODULES if any("nacl._sodium" in name for name in imports(module))}
    assert touching == {"wire.sodium"}

"""Where an endpoint is, as far as that can be told without looking a name up."""

from curveproxy.app.config.schema import EVERYWHERE
from curveproxy.proxy.net.endpoint import Endpoint, is_local


def is_same(one: Endpoint, other: Endpoint) -> bool:
    """Whether two can not both be listened on. Port 0 is another port each time."""
    if one.transport == other.transport == "tcp":
        everywhere = one.host in EVERYWHERE or other.host in EVERYWHERE
        return one.port == other.port != 0 and (everywhere or one.host == other.host)
    return one == other


def is_reached_at(target: Endpoint, listen: Endpoint) -> bool:
    """Whether who connects to the one comes to who listens on the other."""
    everywhere = listen.transport == target.transport == "tcp" and listen.host in EVERYWHERE
    return listen == target or (everywhere and listen.port == target.port and is_here(target))


def is_here(endpoint: Endpoint) -> bool:
    """Whether it is on this machine alone: a Unix socket, or loopback."""
    try:
        return endpoint.transport == "ipc" or is_local(endpoint.host)
    except ValueError:
        return endpoint.host == "localhost"


def is_elsewhere(endpoint: Endpoint) -> bool:
    """Whether an address is known to be another machine's. A name is looked up only when it is dialled."""
    try:
        return endpoint.transport == "tcp" and not is_local(endpoint.host)
    except ValueError:
        return False


def objection(target: Endpoint) -> str | None:
    """Why nobody can connect to such an endpoint, and what to write; None when somebody may."""
    if target.transport == "tcp" and (target.host == "*" or not target.port):
        return f"{target} can not be dialled: name one host and one port"
    if target.transport == "tcp" and target.host in EVERYWHERE:
        return f"{target} is where a service listens, not where it is reached: write tcp://127.0.0.1:{target.port}"
    return None

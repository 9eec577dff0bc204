"""What is wrong with an egress although each of its values is right by itself."""

from collections import Counter
from collections.abc import Iterator

from curveproxy.app.config.places import is_here, is_reached_at, objection
from curveproxy.app.config.schema import Config, EgressConfig
from curveproxy.app.config.validate_trust import check_remotes_trust
from curveproxy.proxy.net.endpoint import Endpoint

OWN = "the remote's public key is wanted, as its operator has it"


def check_egress(egress: EgressConfig, config: Config, *, needs_keys: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with one, by the names of its settings. config: that has it."""
    if not egress.allow_remote_clients and not is_here(egress.listen):
        hint = "use ipc or loopback, or write allow_remote_clients = true"
        yield "listen", f"{egress.listen} may be other machines' way in, and what they say is not encrypted: {hint}"
    if not egress.remote:
        yield "remote", 'there is none: name the CURVE server, as remote = ["tcp://orders.example:5556"]'
    for number, remote in enumerate(egress.remote):
        if (sentence := _check_remote(remote, egress, config)) is not None:
            yield f"remote[{number}]", sentence
    yield from (
        ("remote", f"{remote} is there {count} times: once will do")
        for remote, count in Counter(egress.remote).items()
        if count > 1
    )
    yield from _check_keys(egress, needs_keys=needs_keys)
    yield from check_remotes_trust(egress)
    if egress.listen.transport == "tcp" and egress.allow_uids:
        yield "allow_uids", "it is for ipc alone: on tcp nobody tells whose process it is"
    if not egress.has_path and egress.socket_mode != "0600":
        yield "socket_mode", f"{egress.listen} is no file, and has no mode: listen on ipc:///path, or take it out"


def _check_remote(remote: Endpoint, egress: EgressConfig, config: Config) -> str | None:
    if (sentence := objection(remote)) is not None:
        return sentence
    if is_reached_at(remote, egress.listen):
        return "it is the endpoint on which this egress itself listens: name the CURVE server"
    for other in config.egress:
        if is_reached_at(remote, other.listen):
            return f'the egress "{other.name}" listens there, and speaks no CURVE: name the CURVE server behind it'
    for service in config.service:
        if is_reached_at(remote, service.listen) and is_reached_at(service.backend, egress.listen):
            return f'the service "{service.name}" there has this egress for its backend: a connection would go round'
    return None


def _check_keys(egress: EgressConfig, *, needs_keys: bool) -> Iterator[tuple[str, str]]:
    if needs_keys and egress.secret_key is None:
        yield "secret_key", 'there is none: make one by "curveproxy keygen NAME", and give the remote NAME.key'
    if not egress.server_keys and not egress.authorities:
        hint = "write the remote's public key, in Z85 or as the name of its .key file, or authorities that sign it"
        yield "server_keys", f"there is none: {hint}"
    own = egress.secret_key.pair if egress.secret_key is not None else None
    for number, key in enumerate(egress.server_keys):
        if own is not None and key.octets == own.public:
            yield f"server_keys[{number}]", f"it is our own key, the public half of secret_key: {OWN}"
        elif own is not None and key.octets == own.secret:
            yield f"server_keys[{number}]", f"it is our own secret key: {OWN}"

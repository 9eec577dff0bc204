"""What is wrong with a configuration although each value in it is right by itself."""

from collections import Counter
from collections.abc import Iterator

from curveproxy.app.config.convert import Complaint
from curveproxy.app.config.schema import EVERYWHERE, AllowMode, Config, ProcessConfig, ServiceConfig
from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.net.endpoint import Endpoint, is_local
from curveproxy.wire.curve.keys import KeyPair


def validate(config: Config, *, needs_services: bool, needs_keys: bool) -> Iterator[Complaint]:
    """All that is wrong. needs_services, needs_keys: whether there must be a service, and a key file for each."""
    if needs_services and not config.service:
        yield "service", "there is none: add a [[service]] table with name, listen, backend and secret_keys"
    names = Counter(service.name for service in config.service)
    yield from ((f'service "{name}"', f"there are {count} of that name") for name, count in names.items() if count > 1)
    yield from _check_addresses(config)
    yield from _check_shared(config.service)
    for service in config.service:
        for setting, sentence in _check_service(service, config.process, needs_keys=needs_keys):
            yield f'service "{service.name}": {setting}', sentence


def _check_addresses(config: Config) -> Iterator[Complaint]:
    """Two listeners need two addresses. Services may share an endpoint, which then is written in the same way."""
    in_use = [("the admin page", config.admin.address)]
    for service in config.service:
        for whose, other in in_use:
            shared = service.listen == other and other is not config.admin.address
            if other is not None and not shared and _is_same(service.listen, other):
                yield f'service "{service.name}": listen', f"{service.listen} is taken: {whose} listens on {other}"
                break
        in_use.append((f'service "{service.name}"', service.listen))


def _check_service(service: ServiceConfig, process: ProcessConfig, *, needs_keys: bool) -> Iterator[Complaint]:
    """What is wrong with one service, by the names of its settings."""
    if (sentence := _check_memory(process, service.messages)) is not None:
        yield "messages.max_message_bytes", sentence
    if process.relays > 1 and not service.listen.is_fixed:
        yield "listen", f"{service.listen} would be another port for each worker: name the port"
    if needs_keys and not service.secret_keys:
        yield "secret_keys", 'there is none: make one by "curveproxy keygen server"'
    yield from _check_balancers(service)
    clients = service.clients
    if clients.allow == AllowMode.LISTED and clients.directory is None and not clients.keys:
        hint = 'add directory = "clients", or keys = ["..."], or allow = "any"'
        yield "clients", f"nobody is listed: {hint}"
    yield from (("backend", sentence) for sentence in _check_backend(service))


def _check_balancers(service: ServiceConfig) -> Iterator[Complaint]:
    if service.proxy_protocol and not service.proxy_protocol_from:
        yield "proxy_protocol_from", "who may say whose connection it is? list the balancers' addresses"
    if service.proxy_protocol_from and not service.proxy_protocol:
        yield "proxy_protocol", "it is off, and proxy_protocol_from has no meaning: set it to true"
    if service.proxy_protocol and service.listen.transport == "ipc":
        yield "proxy_protocol", "it is for tcp alone: on a Unix socket nobody has an address"


def _check_memory(process: ProcessConfig, messages: MessageLimits) -> str | None:
    """One message must fit into the memory twice: as it was read, and sealed or opened."""
    most, ceiling, relays = messages.max_message_bytes, process.max_buffered_bytes, process.relays
    if not ceiling or 2 * most < ceiling // relays:
        return None
    there_is = f"max_buffered_bytes = {ceiling:_} is all there is"
    if relays > 1:
        there_is = f"max_buffered_bytes = {ceiling:_} leaves each of {relays} workers {ceiling // relays:_}"
    change = f"raise that above {2 * most * relays:_}, or lower this below {ceiling // relays // 2:_}"
    return f"one message of {most:_} octets takes a little more than twice as many, and {there_is}: {change}"


def _check_shared(services: list[ServiceConfig]) -> Iterator[Complaint]:
    """Services on one endpoint must differ in their server keys: a client is its service's by the key that it uses."""
    first: dict[tuple[Endpoint, KeyPair], str] = {}
    for service in services:
        for key in service.secret_keys if service.listen.is_fixed else ():
            other = first.setdefault((service.listen, key.pair), service.name)
            if other != service.name:
                yield (
                    f'service "{service.name}": secret_keys',
                    f'"{other}" on the same endpoint has that key too: each needs its own, to tell their clients apart',
                )


def _check_backend(service: ServiceConfig) -> Iterator[str]:
    listen, backend = service.listen, service.backend
    if backend.transport == "tcp" and (backend.host == "*" or not backend.port):
        yield f"{backend} can not be dialled: name one host and one port"
        return
    if backend.transport == "tcp" and backend.host in EVERYWHERE:
        yield f"{backend} is where a service listens, not where it is reached: write tcp://127.0.0.1:{backend.port}"
        return
    if not service.allow_remote_backend and _is_remote(backend):
        yield (
            f"{backend} is another machine, and what goes there is not encrypted: "
            "use loopback or ipc, or write allow_remote_backend = true"
        )
    everywhere = listen.transport == backend.transport == "tcp" and listen.host in EVERYWHERE
    if listen == backend or (everywhere and listen.port == backend.port and _is_here(backend)):
        yield "it is the endpoint on which the proxy itself listens"


def _is_same(one: Endpoint, other: Endpoint) -> bool:
    """Whether two can not both be listened on. Port 0 is another port each time."""
    if one.transport == other.transport == "tcp":
        everywhere = one.host in EVERYWHERE or other.host in EVERYWHERE
        return one.port == other.port != 0 and (everywhere or one.host == other.host)
    return one == other


def _is_remote(endpoint: Endpoint) -> bool:
    """Whether an address is known to be another machine's. A name is looked up only when it is dialled."""
    try:
        return endpoint.transport == "tcp" and not is_local(endpoint.host)
    except ValueError:
        return False


def _is_here(endpoint: Endpoint) -> bool:
    try:
        return is_local(endpoint.host)
    except ValueError:
        return endpoint.host == "localhost"

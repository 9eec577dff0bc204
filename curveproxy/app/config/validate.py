"""What is wrong with a configuration although each value in it is right by itself."""

from collections import Counter
from collections.abc import Iterator

from curveproxy.app.config.convert import Complaint
from curveproxy.app.config.places import is_elsewhere, is_reached_at, is_same, objection
from curveproxy.app.config.schema import Config, EgressConfig, ProcessConfig, ServiceConfig
from curveproxy.app.config.validate_egress import check_egress
from curveproxy.app.config.validate_trust import check_answers, check_certificates, check_clients
from curveproxy.policy.limits import MessageLimits, OnInvalid, RecordsMode
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire.codec.suites import Suite, suites_named
from curveproxy.wire.curve.keys import KeyPair


def validate(config: Config, *, needs_services: bool, needs_keys: bool) -> Iterator[Complaint]:
    """All that is wrong. needs_services, needs_keys: whether there must be a service, and a key file for each."""
    if needs_services and not config.both:
        what = "a [[service]] table with name, listen, backend and secret_keys"
        yield (
            "service",
            f"there is none: add {what}, or an [[egress]] with name, listen, remote, server_keys, secret_key",
        )
    names = Counter(config.names)
    for place, table in _by_place(config):
        if names[table.name] > 1:
            yield place, f"there are {names.pop(table.name)} of that name"
    yield from _check_addresses(config)
    yield from _check_shared(config.service)
    yield from check_answers(config.service)
    for place, table in _by_place(config):
        for setting, sentence in _check_table(table, config, needs_keys=needs_keys):
            yield f"{place}: {setting}", sentence


def _by_place(config: Config) -> Iterator[tuple[str, ServiceConfig | EgressConfig]]:
    """Each service and each egress, as sentences name it."""
    yield from ((f'service "{service.name}"', service) for service in config.service)
    yield from ((f'egress "{egress.name}"', egress) for egress in config.egress)


def _check_addresses(config: Config) -> Iterator[Complaint]:
    """Two listeners need two addresses. Services may share an endpoint, which then is written in the same way."""
    in_use: list[tuple[str, Endpoint | None, bool]] = [("the admin page", config.admin.address, False)]
    for place, table in _by_place(config):
        may_share = isinstance(table, ServiceConfig)
        for whose, other, other_may in in_use:
            shared = may_share and other_may and table.listen == other
            if other is not None and not shared and is_same(table.listen, other):
                yield f"{place}: listen", f"{table.listen} is taken: {whose} listens on {other}"
                break
        in_use.append((place, table.listen, may_share))


def _check_table(table: ServiceConfig | EgressConfig, config: Config, *, needs_keys: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with one service or egress, by the names of its settings."""
    process = config.process
    if (sentence := _check_memory(process, table.messages)) is not None:
        yield "messages.max_message_bytes", sentence
    yield from _check_records(table.messages)
    if process.relays > 1 and not table.listen.is_fixed:
        yield "listen", f"{table.listen} would be another port for each worker: name the port"
    if isinstance(table, EgressConfig):
        yield from check_egress(table, config, needs_keys=needs_keys)
    else:
        yield from _check_service(table, needs_keys=needs_keys)


def _check_service(service: ServiceConfig, *, needs_keys: bool) -> Iterator[tuple[str, str]]:
    if needs_keys and not service.secret_keys:
        yield "secret_keys", 'there is none: make one by "curveproxy keygen server"'
    yield from _check_balancers(service)
    yield from check_certificates(service)
    yield from check_clients(service)
    if service.clients.is_empty:
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
    """One message must fit into the memory; twice where its parts are kept until all have come, and then joined."""
    most, ceiling, relays = messages.max_message_bytes, process.max_buffered_bytes, process.relays
    copies, as_many = (2, "twice as many") if messages.on_invalid == OnInvalid.DROP else (1, "that")
    if not ceiling or copies * most < ceiling // relays:
        return None
    there_is = f"max_buffered_bytes = {ceiling:_} is all there is"
    if relays > 1:
        there_is = f"max_buffered_bytes = {ceiling:_} leaves each of {relays} workers {ceiling // relays:_}"
    change = f"raise that above {copies * most * relays:_}, or lower this below {ceiling // relays // copies:_}"
    return f"one message of {most:_} octets takes a little more than {as_many}, and {there_is}: {change}"


def _check_records(messages: MessageLimits) -> Iterator[Complaint]:
    """Whether nobody could get in who must agree on records."""
    if messages.records != RecordsMode.REQUIRE:
        return
    if messages.on_invalid == OnInvalid.DROP:
        hint = 'write on_invalid = "disconnect", or records = "auto"'
        yield "messages.records", f"who drops what is invalid does without records, and they are required: {hint}"
    if not suites_named(messages.record_suites):
        hint = f'this machine has none of them: add "{Suite.XSALSA20_POLY1305.word}", which is always there'
        yield "messages.record_suites", f"records are required, and {hint}"


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
    backend = service.backend
    if (sentence := objection(backend)) is not None:
        yield sentence
        return
    if not service.allow_remote_backend and is_elsewhere(backend):
        yield (
            f"{backend} is another machine, and what goes there is not encrypted: "
            "use loopback or ipc, or write allow_remote_backend = true"
        )
    if is_reached_at(backend, service.listen):
        yield "it is the endpoint on which the proxy itself listens"

"""What is wrong with authorities and certificates although each file can be read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from curveproxy.app.config.convert import Complaint
from curveproxy.app.config.schema import AuthorityConfig, EgressConfig, ServiceConfig
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire import spec
from curveproxy.wire.curve.asking import answer_size

NO_AUTHORITY = "there are no authorities, and it has no meaning"
NOT_LISTED = f"{NO_AUTHORITY}: a key that is listed is taken off the list"


def check_clients(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    """What is wrong with the authorities of a service, by the names of its settings."""
    clients = service.clients
    yield from ((f"clients.{setting}", sentence) for setting, sentence in _check_authorities(clients.authorities))
    if clients.revoked is not None and not clients.authorities:
        yield "clients.revoked", NOT_LISTED


def check_certificates(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    """What is wrong with the certificates of its own keys."""
    keys = {key.pair.public for key in service.secret_keys}
    for number, each in enumerate(service.certificates):
        if keys and each.certificate.key not in keys:  # without any, that is what is wrong
            yield f"certificates[{number}]", f"{each.file} is of no key among secret_keys: sign the .key of one of them"


def check_answers(services: Sequence[ServiceConfig]) -> Iterator[Complaint]:
    """Whoever asks at an endpoint is told the certificates of all services there, in one command."""
    told: dict[Endpoint, list[bytes]] = {}
    for service in services:
        own = [each.certificate.text for each in service.certificates]
        texts = [*told.get(service.listen, []), *own]
        if service.listen.is_fixed:
            told[service.listen] = texts
        if own and (size := answer_size(texts)) > spec.CERTIFICATES_MAX:
            what = f"with all of {service.listen} the answer to who asks has {size:_} octets"
            yield (
                f'service "{service.name}": certificates',
                f"{what}, and {spec.CERTIFICATES_MAX:_} is the most: name fewer, or sign shorter ones",
            )


def check_remotes_trust(egress: EgressConfig) -> Iterator[tuple[str, str]]:
    """What is wrong with how an egress knows its remotes, and what it presents to them."""
    yield from _check_authorities(egress.authorities)
    if egress.authorities and egress.server_keys:
        yield "authorities", "server_keys are there too: pin keys, or believe authorities"
    if not egress.authorities:
        settings = ("revoked", "server_name", "server_certificate")
        yield from ((setting, NO_AUTHORITY) for setting in settings if getattr(egress, setting))
    elif not egress.server_name:
        for number, remote in enumerate(egress.remote):
            if remote.transport == "ipc":
                hint = 'write server_name = "orders", as it is among the names of its certificate'
                yield f"remote[{number}]", f"{remote} has no host by which its certificate could be known: {hint}"
    yield from _check_own(egress)


def _check_own(egress: EgressConfig) -> Iterator[tuple[str, str]]:
    own = egress.secret_key.pair.public if egress.secret_key is not None else bytes(spec.KEY_SIZE)
    ours, its = egress.certificate, egress.server_certificate
    if ours is not None and egress.secret_key is not None and ours.certificate.key != own:
        yield "certificate", f"{ours.file} is not of our own key: sign the public half of secret_key"
    if its is not None and its.certificate.key == own:
        yield "server_certificate", f"{its.file} is of our own key, the public half of secret_key: name the remote's"


def _check_authorities(authorities: Sequence[AuthorityConfig]) -> Iterator[tuple[str, str]]:
    """Each once, and each by a name of its own: so one can be given up, and log and metrics tell when."""
    keys: dict[bytes, Path] = {}
    names: dict[str, Path] = {}
    for number, each in enumerate(authorities):
        place, octets, name, file = f"authorities[{number}].file", each.file.octets, each.file.name, each.file.file
        if octets in keys:
            yield place, f"{file} holds the key of {keys[octets]}: once will do"
        elif name in names:
            yield place, f"{file} has the same name as {names[name]}, and log and metrics have only that: rename one"
        keys.setdefault(octets, file)
        names.setdefault(name, file)

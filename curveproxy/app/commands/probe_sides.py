"""Whom a probe is to reach, and as whom it comes: its options, and the files that they name.

What is wrong with a file is a finding of the probe, and its sentence repeats nothing of what may be a secret.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from curveproxy.app.config.authorities import read_authority
from curveproxy.app.config.certificates import KeyFileError, parse_key, read_certificate, read_key_pair
from curveproxy.app.config.signed import read_signed_of
from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.known_server import Disbelief, KnownServer
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire.certificate import CLIENT, Certificate
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.timestamp import write_time


@frozen
class ProbeOptions:
    """The options of ``curveproxy probe``, as they were given.

    server_key: Z85 or a file; secret_key: the client's file, None for a fresh key; certificate: of that key.
    authority: whose certificate tells the server's key; server_name: what it must call it, None for the host.
    """

    endpoint: Endpoint
    socket_type: str = "DEALER"
    server_key: str | None = None
    authority: Sequence[Path] = ()
    server_name: str | None = None
    secret_key: Path | None = None
    certificate: Path | None = None

    @property
    def objection(self) -> str | None:
        """Why these do not go together, and what to write; None when they do."""
        if self.server_key is not None and self.authority:
            return "--server-key and --authority: use one or the other"
        if self.server_key is None and not self.authority:
            return "nothing tells the right server from a false one: add --server-key KEY, or --authority FILE"
        if self.server_name is not None and not self.authority:
            return "--server-name is for --authority: by that name its certificate must call the server"
        if self.authority and not self.name:
            return "an ipc endpoint has no host: add --server-name, which the server's certificate must have"
        if self.certificate is not None and self.secret_key is None:
            return "--certificate is of a key that the client has: add its --secret-key"
        return None

    @property
    def name(self) -> str:
        """What the server must be called by its certificate."""
        host = self.endpoint.host if self.endpoint.transport == "tcp" else ""
        return self.server_name or host.lower()


@frozen
class Learned:
    """A server's key, 32 octets, and what its certificate says, in words."""

    key: bytes
    words: Sequence[str]


@frozen
class Sides:
    """Both sides of a handshake.

    keys: the client's; certificate: the text that it presents, empty for none.
    server: the public key, 32 octets, None where a certificate tells it; trust: whose, and server_name: whose name.
    """

    keys: KeyPair
    certificate: bytes = field(default=b"", repr=False)
    server: bytes | None = None
    trust: Trust = field(factory=Trust)
    server_name: str = ""

    def learn(self, texts: Sequence[bytes], now: float) -> Learned | Disbelief:
        """The server's key by its certificates, whoever has shown them. now: Unix seconds."""
        server = KnownServer(self.server_name)
        if (disbelief := server.learn(texts, self.trust, now)) is not None:
            return disbelief
        found = server.certificate
        assert found is not None
        authority = self.trust.authority(found.authority)
        by = () if authority is None else (f"signed by {authority.file}",)
        return Learned(found.key, (found.name, f"until {write_time(found.valid_until)[:10]}", *by))


def read_sides(options: ProbeOptions) -> Sides:
    """Read the files of options to which there is no objection. Raises KeyFileError."""
    keys = KeyPair.generate() if options.secret_key is None else _client_keys(options.secret_key)
    certificate = b"" if options.certificate is None else _certificate(options.certificate, keys).text
    if options.server_key is not None:
        return Sides(keys, certificate, server=_server_key(options.server_key, keys))
    listed = map(read_authority, options.authority)
    trust = Trust([Authority(each.name, each.key) for each in listed])
    return Sides(keys, certificate, trust=trust, server_name=options.name)


def _server_key(text: str, keys: KeyPair) -> bytes:
    """The server's public key. A file of that name wins, because a path may be 40 letters of Z85, as a key is.

    Raises KeyFileError.
    """
    if os.path.lexists(text):
        key = read_certificate(Path(text)).public
    else:
        try:
            key = parse_key(text)
        except ValueError as error:
            raise KeyFileError(f"the server key is no file, and as a key it is {error}") from None
    if key == keys.public:
        raise KeyFileError("the server key is the client's own public key")
    if key == keys.secret:
        raise KeyFileError("the server key is the client's secret key")
    return key


def _client_keys(path: Path) -> KeyPair:
    """The client's key pair. Raises KeyFileError."""
    if not os.path.lexists(path):
        raise KeyFileError("there is no such file as --secret-key names")
    return read_key_pair(path)


def _certificate(path: Path, keys: KeyPair) -> Certificate:
    """The client's certificate, whose dates and authority are judged where it is presented. Raises KeyFileError."""
    found = read_signed_of(path, CLIENT)
    if found.key != keys.public:
        raise KeyFileError(f"{path} is the certificate of another key than --secret-key names")
    return found

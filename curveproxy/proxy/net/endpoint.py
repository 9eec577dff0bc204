"""Endpoints as ZeroMQ writes them: ``tcp://host:port``, ``ipc:///path``, ``ipc://@name``."""

import ipaddress
from typing import Self

from attrs import frozen


@frozen
class Endpoint:
    """One endpoint. For ``ipc`` host is the path (``@name``: Linux's abstract namespace) and port is 0."""

    transport: str
    host: str
    port: int = 0

    @property
    def is_fixed(self) -> bool:
        """Whether it names one place. Port 0 does not: the system chooses another port each time."""
        return self.transport == "ipc" or self.port != 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an endpoint; ``*`` as a TCP host means all addresses (IPv4 and IPv6), as a port any that is free.

        Raises ValueError with a sentence for the operator.
        """
        transport, separator, rest = text.partition("://")
        if not separator or transport not in ("tcp", "ipc"):
            raise ValueError(f"{text!r} is not an endpoint: write tcp://host:port or ipc:///path")
        if transport == "ipc":
            if not rest or rest == "@":
                raise ValueError(f"{text!r} names no path: write ipc:///path or ipc://@name")
            if len(rest.encode()) > 107:
                raise ValueError(f"{text!r} is too long: a Unix socket's path has at most 107 octets")
            return cls("ipc", rest)
        host, separator, port = rest.rpartition(":")
        if port == "*":
            port = "0"
        if not separator or not host:
            raise ValueError(f"{text!r} has no port: write tcp://host:port")
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError(f"{text!r} has no port between 0 and 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, tcp://[{host}]:{port}")
        return cls("tcp", host, int(port))

    def __str__(self) -> str:
        if self.transport == "ipc":
            return f"ipc://{self.host}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """The endpoint without its transport."""
        return str(self).partition("://")[2]

    @property
    def unix_address(self) -> str:
        """The address for AF_UNIX; a leading NUL names the abstract namespace."""
        return "\0" + self.host[1:] if self.host.startswith("@") else self.host


@frozen
class Network:
    """A network as ``10.1.0.0/16``, or a single address."""

    _network: ipaddress.IPv4Network | ipaddress.IPv6Network

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a network. Raises ValueError with a sentence for the operator."""
        try:
            return cls(ipaddress.ip_network(text))
        except ValueError:
            raise ValueError(f"{text!r} is no network: write 10.1.0.0/16, or one address") from None

    def __str__(self) -> str:
        return str(self._network)

    def __contains__(self, address: str) -> bool:
        return _numeric(address) in self._network


def _numeric(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A parsed address. An IPv4 address that a dual-stack socket has mapped to IPv6 is given as IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_local(address: str) -> bool:
    """Whether a numeric IP address is loopback, so that plaintext may be sent to it."""
    return _numeric(address).is_loopback

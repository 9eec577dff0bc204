"""TLS before a plain ZeroMQ service, by programs that Debian has: what the same octets cost without CURVE.

Of each program two processes run: one speaks TLS to the other, for libzmq does not. Only the one on the service's side
is measured; a time goes through both.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from support.process import free_port, wait_until

from bench.peers import BenchError, Proxy, Service, Starter

PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"  # not all of them are in a user's PATH

# {cert} holds certificate and key; each process takes TCP on port {accept} and carries it to port {to}.
STUNNEL = """
foreground = yes
pid =
debug = err
[tls]
accept = 127.0.0.1:{accept}
connect = 127.0.0.1:{to}
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
"""
HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen tls
    bind 127.0.0.1:{accept} {bind}
    server next 127.0.0.1:{to} {server}
"""


@contextmanager
def stunnel(service: Service) -> Iterator[Proxy]:
    """stunnel before a service, and another one for its clients."""
    forms = (STUNNEL + "cert = {cert}\n", STUNNEL + "client = yes\n")
    with _pair(service, [_program("stunnel")], *forms) as proxy:
        yield proxy


@contextmanager
def haproxy(service: Service) -> Iterator[Proxy]:
    """HAProxy with one thread before a service, and another one for its clients."""
    forms = (
        HAPROXY.replace("{bind}", "ssl crt {cert}").replace("{server}", ""),
        HAPROXY.replace("{bind}", "").replace("{server}", "ssl verify none"),
    )
    with _pair(service, [_program("haproxy"), "-db", "-f"], *forms) as proxy:
        yield proxy


PROGRAMS: dict[str, Starter] = {"stunnel": stunnel, "haproxy": haproxy}
PACKAGES = {"stunnel": "stunnel4", "haproxy": "haproxy", "openssl": "openssl"}  # of Debian, by program


def installed() -> dict[str, Starter]:
    """Those that are there, by the names of their columns."""
    return {} if "openssl" in missing() else {name: start for name, start in PROGRAMS.items() if name not in missing()}


def missing() -> dict[str, str]:
    """Programs that are not there, and what to install for each."""
    return {name: package for name, package in PACKAGES.items() if not _program(name)}


def _program(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path=PLACES) or ""


@contextmanager
def _pair(service: Service, command: list[str], server: str, client: str) -> Iterator[Proxy]:
    """The process whose configuration is ``server``, with the one whose configuration is ``client`` before it."""
    with TemporaryDirectory() as name:
        directory, inner, outer = Path(name), free_port(), free_port()
        cert = _certificate(directory)
        backend = int(service.endpoint.rpartition(":")[2])
        (directory / "server").write_text(server.format(cert=cert, accept=inner, to=backend))
        (directory / "client").write_text(client.format(cert=cert, accept=outer, to=inner))
        with (
            _running([*command, str(directory / "server")], inner) as near,
            _running([*command, str(directory / "client")], outer) as other,
        ):
            endpoint = f"tcp://127.0.0.1:{outer}"
            yield Proxy(near.pid, endpoint, b"", service.client, far=other.pid, inner=inner)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(port), command[0])
            yield process
            if process.poll() is not None:
                raise BenchError(f"{command[0]}: it died with {process.returncode}")
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _certificate(directory: Path) -> Path:
    """A key and a certificate that it has signed itself, in one file."""
    key, cert = directory / "key.pem", directory / "both.pem"
    command = [_program("openssl"), "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    cert.write_bytes(cert.read_bytes() + key.read_bytes())
    return cert

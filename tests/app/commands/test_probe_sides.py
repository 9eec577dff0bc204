"""Whom a probe is to reach, and as whom it comes: what does not go together, and what is wrong with each file."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import KEY, OTHER_KEY, OTHER_SEED, authority_text, issued
from support.curve import Keys
from support.process import certificate as key_files
from zmq.utils import z85

from curveproxy.app.commands.probe_sides import Learned, ProbeOptions, Sides, read_sides
from curveproxy.app.config.certificates import KeyFileError
from curveproxy.policy.access.known_server import Disbelief
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.reasons import ClientFailure

HERE = Endpoint.parse("tcp://Orders.Example:5556")
FILE = Path("a file")
ZEROS = "0" * 40


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing tells the right server from a false one"),
        ({"server_key": "x", "authority": [FILE]}, "--server-key and --authority: use one or the other"),
        ({"server_key": "x", "server_name": "orders"}, "--server-name is for --authority"),
        ({"server_key": "x", "certificate": FILE}, "add its --secret-key"),
        ({"endpoint": Endpoint("ipc", "/run/orders"), "authority": [FILE]}, "add --server-name"),
    ],
    ids=["nothing", "both", "a name for a key", "a fresh key's certificate", "no host"],
)
def test_what_does_not_go_together_is_told(options: dict[str, Any], words: str) -> None:
    objection = ProbeOptions(**{"endpoint": HERE} | options).objection
    assert objection is not None
    assert words in objection


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"authority": [FILE]}, "orders.example"),
        ({"authority": [FILE], "server_name": "Orders"}, "Orders"),
        ({"endpoint": Endpoint("ipc", "@orders"), "authority": [FILE], "server_name": "orders"}, "orders"),
    ],
    ids=["host", "named", "ipc"],
)
def test_a_server_is_called_as_its_host_unless_it_is_named(options: dict[str, Any], name: str) -> None:
    given = ProbeOptions(**{"endpoint": HERE} | options)
    assert (given.objection, given.name) == (None, name)


class Files:
    """A directory with the keys and the certificates of a client and of its server, and the authority of both."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keys, self.server = key_files(directory, "desk-7"), key_files(directory, "orders")
        self.secret, self.server_key = directory / "desk-7.key_secret", directory / "orders.key"
        self.authority = self.file("plant-1.authority", authority_text("plant-1").encode())
        self.certificate = self.file("desk-7.cert", b"#   a comment\n\n" + issued(self.keys.public))

    def file(self, name: str, octets: bytes) -> Path:
        (path := self.directory / name).write_bytes(octets)
        return path

    def sides(self, **options: Any) -> Sides:
        given = ProbeOptions(HERE, **{"secret_key": self.secret} | options)
        assert given.objection is None
        return read_sides(given)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_server_s_key_is_a_file_or_itself(files: Files) -> None:
    for key in (str(files.server_key), z85.encode(files.server.public).decode()):
        assert files.sides(server_key=key).server == files.server.public


def test_without_a_key_of_its_own_a_client_has_a_fresh_one(files: Files) -> None:
    fresh = [files.sides(server_key=str(files.server_key), secret_key=None).keys.public for _ in range(2)]
    assert len({*fresh, files.keys.public}) == 3
    assert files.sides(server_key=str(files.server_key)).keys.public == files.keys.public


def test_a_certificate_is_presented_without_its_comments(files: Files) -> None:
    sides = files.sides(server_key=str(files.server_key), certificate=files.certificate)
    assert sides.certificate.startswith(b"metadata\ncurve\n")
    assert files.certificate.read_bytes().endswith(sides.certificate)
    assert files.sides(server_key=str(files.server_key)).certificate == b""


WRONG: dict[str, tuple[Callable[[Files], dict[str, Any]], str]] = {
    "no key": (lambda files: {"server_key": "x" * 39}, "the server key is no file"),
    "our key": (lambda files: {"server_key": z85.encode(files.keys.public).decode()}, "the client's own public key"),
    "our secret": (lambda files: {"server_key": z85.encode(files.keys.secret).decode()}, "is the client's secret key"),
    "no secret": (lambda files: {"server_key": ZEROS, "secret_key": files.directory / "nobody"}, "no such file"),
    "half a pair": (lambda files: {"server_key": ZEROS, "secret_key": files.server_key}, "a public key only"),
    "no authority": (lambda files: {"authority": [files.secret]}, "is not a file of an authority"),
    "a missing one": (lambda files: {"authority": [files.directory / "x"]}, "can not be read"),
    "no certificate": (lambda files: {"server_key": ZEROS, "certificate": files.secret}, "no authority has signed"),
    "another key's": (
        lambda files: {"server_key": ZEROS, "certificate": files.file("x", issued(OTHER_KEY))},
        "of another key than --secret-key names",
    ),
    "a server's": (
        lambda files: {
            "server_key": ZEROS,
            "certificate": files.file("x", issued(files.keys.public, kind="server", names="orders")),
        },
        "a server's certificate",
    ),
    "a forged one": (
        lambda files: {
            "server_key": ZEROS,
            "certificate": files.file("x", files.certificate.read_bytes().replace(b"desk-7", b"desk-8")),
        },
        "signature",
    ),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_file_is_told_and_no_secret(
    files: Files, options: Callable[[Files], dict[str, Any]], words: str
) -> None:
    with pytest.raises(KeyFileError, match=words) as error:
        files.sides(**options(files))
    assert z85.encode(files.keys.secret).decode() not in str(error.value)


# --- what a server's certificates tell


def server(key: bytes = KEY, names: str = "orders.example", **changes: Any) -> bytes:
    return issued(key, "orders", kind="server", names=names, **changes)


def learned(files: Files, *texts: bytes) -> Learned | Disbelief:
    return files.sides(authority=[files.authority]).learn(texts, time.time())


def test_the_newest_certificate_of_the_server_s_name_tells_its_key(files: Files) -> None:
    older, newer = server(since=-3600), server(OTHER_KEY, since=-60, valid_until="2099-01-02T00:00:00Z")
    other = server(Keys.new().public, "prices.example", since=-1)
    found = learned(files, older, newer, other)
    assert found == Learned(OTHER_KEY, ("orders", "until 2099-01-02", "signed by plant-1"))


@pytest.mark.parametrize(
    ("text", "failure", "detail"),
    [
        (None, ClientFailure.CERTIFICATE_NONE, "it has none"),
        (server(names="prices.example"), ClientFailure.CERTIFICATE_NAME, "they are of other servers"),
        (server(seed=OTHER_SEED), ClientFailure.CERTIFICATE, "authority"),
        (server(since=-90_000, seconds=-86_400), ClientFailure.CERTIFICATE_EXPIRED, "expired"),
        (issued(KEY), ClientFailure.CERTIFICATE, "kind: it is a client's"),
        (b"garbage", ClientFailure.CERTIFICATE, "malformed: its last line has no end"),
    ],
    ids=["none", "another name", "another authority", "expired", "a client's", "garbage"],
)
def test_why_none_is_believed(files: Files, text: bytes | None, failure: ClientFailure, detail: str) -> None:
    found = learned(files, *([] if text is None else [text]))
    assert isinstance(found, Disbelief)
    assert (found.failure, found.detail) == (failure, detail)

"""The container image: what is in it, and that it runs where nothing is allowed to it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from support.libzmq import Libzmq
from support.process import ROOT, wait_until

from image.build import Image, built
from image.container import CONFIG, Container

pytestmark = pytest.mark.image

HARDENED = (ROOT / "config" / "hardened.toml").read_text()
INSTALLED = "opt/curveproxy/"
COMPILERS = re.compile(r"(.+-)?(cc|cc1|gcc|g\+\+|c\+\+|clang|tcc|as|ld|make)(-[0-9.]+)?")
MB = 1_000_000


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    if os.geteuid():
        pytest.skip("debootstrap and runc are for root")
    with built() as image:
        yield image


@pytest.fixture(scope="module")
def container(image: Image) -> Iterator[Container]:
    with Container(image, HARDENED) as container:
        yield container


def test_it_adds_the_installed_program_to_its_base_and_nothing_else(image: Image) -> None:
    """No pip, no cache, no wheel, no key, nothing of the build, though the build had a compiler."""
    added = image.files().keys() - image.base.keys()
    assert {path for path in added if not path.startswith(INSTALLED)} == set()
    assert f"{INSTALLED}bin/curveproxy" in added
    assert not [path for path in added if re.search(r"/pip|\.(whl|key_secret|[co])$|/tests/", path)]


def test_no_compiler_is_in_it(image: Image) -> None:
    programs = [path for path, stat in image.files().items() if stat.st_mode & 0o111]
    assert any(path.endswith("bin/curveproxy") for path in programs)
    assert [path for path in programs if COMPILERS.fullmatch(Path(path).name)] == []


def test_it_is_little_more_than_its_base(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    size = sum(stat.st_size for stat in image.files().values())
    base = sum(stat.st_size for stat in image.base.values())
    with capsys.disabled():
        print(f"\nimage: {size / MB:.0f} MB, {(size - base) / MB:.0f} MB of them not of its base")
    assert size - base < 64 * MB


def test_nobody_in_it_can_change_what_it_runs(image: Image) -> None:
    installed = [stat for path, stat in image.files().items() if path.startswith(INSTALLED)]
    assert {(stat.st_uid, stat.st_gid) for stat in installed} == {(0, 0)}
    assert image.config["User"].split(":")[0] != "0"
    assert image.config["User"].replace(":", "").isdigit()


def test_a_client_is_answered_by_a_service_on_a_socket(container: Container) -> None:
    alice = container.new_client("alice")
    wait_until(lambda: any(line["event"] == "client list changed" for line in container.log), "alice is listed")
    with Libzmq() as z:
        service, _ = z.bind(zmq.REP, f"ipc://{container.services}/orders.sock")
        (container.services / "orders.sock").chmod(0o666)
        client = z.connect(zmq.REQ, container.public, server=container.server.public, keys=alice)
        client.send(b"hello")
        service.send(b"answer to " + service.recv())
        assert client.recv() == b"answer to hello"


def test_it_has_the_codec_and_the_engine_in_c(container: Container) -> None:
    assert ", c codec," in container.run("curveproxy", "--version").stdout
    built = [path.rsplit("/", 1)[-1] for path in container.image.files() if path.endswith(".abi3.so")]
    assert {"_codec.abi3.so", "_engine.abi3.so"} <= set(built)


def test_it_has_no_rights(container: Container) -> None:
    status = container.status()
    assert status["Name"] == "curveproxy"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert status["NoNewPrivs"] == "1"


def test_there_is_nowhere_to_write(container: Container) -> None:
    assert "Read-only file system" in container.run("touch", "/tmp/file").stderr
    assert "Read-only file system" in container.run("touch", f"{CONFIG}/clients/mallory.key").stderr
    writable = container.run("find", "/", "-path", "/proc", "-prune", "-o", "-writable", "-type", "f,d", "-print")
    assert writable.stdout == ""


def test_its_health_check_follows_the_proxy(container: Container) -> None:
    kind, *command = container.image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    done = container.run(*command)
    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr


def test_its_stop_signal_ends_it_with_0(image: Image) -> None:
    with Container(image, HARDENED) as container:
        assert container.stop() == 0
        assert container.log[-1]["event"] == "stopped"

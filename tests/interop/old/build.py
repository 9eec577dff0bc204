"""Old versions of libzmq as shared objects, compiled from the sources that old packages of Python carry.

    g++ uuid-dev libsodium-dev     are what it needs of a Debian

4.3.5 is not compiled: it is what pyzmq carries today. A JeroMQ with CURVE comes ready-made in a package of Python too.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zmq
from support.cache import cached

SDISTS = {
    "2.0.10": "pyzmq-static==2.0.10",
    "2.1.4": "pyzmq-static==2.1.4",
    "2.1.7": "pyzmq-static==2.1.7.1",
    "2.1.11": "pyzmq-static==2.1.11.2",
    "2.2.0": "pyzmq==2.2.0.1",
    "3.2.2": "pyzmq==13.1.0",
    "4.0.3": "pyzmq==14.0.1",
    "4.1.2": "pyzmq==14.7.0",
    "4.1.6": "pyzmq==16.0.4",
    "4.2.5": "pyzmq==17.1.2",
    "4.3.1": "pyzmq==18.0.1",
    "4.3.2": "pyzmq==19.0.2",
    "4.3.3": "pyzmq==20.0.0",
    "4.3.4": "pyzmq==22.3.0",
}
OF_PYZMQ = "4.3.5"
JEROMQ_IN = "kotlin-jupyter-kernel==0.19.0.944"  # carries JeroMQ 0.6.0, and what its CURVE needs
VERSIONS = [*SDISTS, OF_PYZMQ]

# What the platform.hpp of some of them has not found out.
DEFINED = """
    HAVE_LIBSODIUM ZMQ_HAVE_CURVE ZMQ_USE_LIBSODIUM ZMQ_HAVE_IPC ZMQ_USE_EPOLL ZMQ_IOTHREAD_POLLER_USE_EPOLL
    ZMQ_POLL_BASED_ON_POLL ZMQ_USE_CV_IMPL_STL11 ZMQ_CACHELINE_SIZE=64
"""
COMPILER = ["g++", "-std=gnu++11", "-O1", "-w", "-fPIC", "-pthread", "-fstack-protector-strong"]
FORGOTTEN = ["-include", "pthread.h", "-include", "unistd.h"]  # what older compilers included of themselves
LIBRARIES = ["-Wl,--as-needed", "-lsodium", "-luuid", "-lrt"]
SECONDS = 600  # for each command


class UnavailableError(Exception):
    """The sources can not be had; the reason is what pip says."""


def library(version: str) -> Path:
    """The path of a version, compiled where that has not yet been done.

    Raises UnavailableError, and RuntimeError with what the compiler says.
    """
    if version == OF_PYZMQ:
        [path] = (Path(zmq.__file__).parent.parent / "pyzmq.libs").glob("libzmq-*")
        return path
    return cached(f"libzmq-{version}", lambda whole: build(version, whole)) / "libzmq.so"


def jeromq() -> Path:
    """The path of JeroMQ 0.6.0 as a jar. Raises UnavailableError."""
    return cached("jeromq-0.6.0", extract) / "jeromq.jar"


def extract(target: Path) -> None:
    """Take ``jeromq.jar`` out of the package that carries it."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", f"--dest={directory}", JEROMQ_IN]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        wheels = list(Path(directory).glob("*.whl"))
        if not wheels:
            raise UnavailableError(f"pip can not fetch {JEROMQ_IN}: {done.stderr[-1000:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            [name] = [name for name in wheel.namelist() if name.endswith("-all.jar")]
            with (
                wheel.open(name) as inside,
                zipfile.ZipFile(inside) as whole,
                zipfile.ZipFile(target / "jeromq.jar", "w", zipfile.ZIP_DEFLATED) as jar,
            ):
                for entry in whole.namelist():
                    if entry.startswith(("org/zeromq/", "zmq/", "com/neilalexander/")) and not entry.endswith("/"):
                        jar.writestr(entry, whole.read(entry))


def build(version: str, target: Path) -> None:
    """Compile a version into ``target/libzmq.so``."""
    with tempfile.TemporaryDirectory(prefix=f"libzmq-{version}-") as directory:
        sdist = fetch(SDISTS[version], Path(directory))
        bundled = sdist / "bundled" / "zeromq"
        tree = bundled if bundled.exists() else sdist
        headers = [*sdist.glob("**/include_linux"), tree / "include", tree / "src"]
        found = [*(f"-D{name}" for name in DEFINED.split()), *(f"-I{path}" for path in headers)]

        def compiled(source: Path) -> Path:
            run([*COMPILER, *FORGOTTEN, *found, "-c", source, "-o", source.with_suffix(".o")])
            return source.with_suffix(".o")

        sources = [path for path in (tree / "src").glob("*.cpp") if not path.name.startswith(("ws_", "wss_"))]
        with ThreadPoolExecutor(2) as pool:
            objects = list(pool.map(compiled, sources))
        run([*COMPILER, "-shared", *objects, "-o", target / "libzmq.so", *LIBRARIES])


def run(command: Sequence[str | Path]) -> None:
    """Run a command. Raises RuntimeError with what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}\n{done.stderr}")


def fetch(sdist: str, directory: Path) -> Path:
    """Where pip has unpacked an sdist. Raises UnavailableError.

    It wants to know the package's dependencies and asks its setup.py, which is too old to answer: that fails, and
    what is unpacked stays.
    """
    options = ["--no-clean", "--no-build-isolation", "--no-deps", "--no-binary=:all:", f"--dest={directory / 'dest'}"]
    command = [sys.executable, "-m", "pip", "download", *options, sdist]
    environment = {**os.environ, "TMPDIR": str(directory)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    unpacked = sorted(directory.glob("pip-download-*/pyzmq*/"))
    if not unpacked:
        raise UnavailableError(f"pip can not fetch {sdist}: {done.stderr[-1000:]}")
    return unpacked[0]

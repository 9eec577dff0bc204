"""The image of the project's Dockerfile, on a base of Debian packages, in a storage of its own that is thrown away.

What this machine is configured with reaches the build and not the image: apt's mirror, pip's index and certificates.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen
from support.process import ROOT

SECONDS = 600  # for a step that fetches packages
PYTHON = "python3,python3-venv"
COMPILER = "gcc libc6-dev python3-dev"
BASE, IMAGE = "localhost/base", "localhost/curveproxy"

Files = dict[str, os.stat_result]


@frozen
class Image:
    """A built image. config: as docker inspect shows it; root: its files, unpacked; base: those of its base."""

    config: dict[str, Any]
    root: Path
    base: Files = field(repr=False)

    def files(self) -> Files:
        """What is in it."""
        return files(self.root)


def files(root: Path) -> Files:
    """All that is no directory below a path: relative path -> what it is."""
    found = (Path(directory, name) for directory, _, names in os.walk(root) for name in names)
    return {str(path.relative_to(root)): path.lstat() for path in found}


def run(arguments: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises RuntimeError with the end of what it said."""
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout.strip()


@contextmanager
def built() -> Iterator[Image]:
    """Build it; afterwards it is gone."""
    directory = Path(tempfile.mkdtemp(prefix="curveproxy-image-"))
    try:
        yield build(directory)
    finally:
        run(["rm", "-rf", "--one-file-system", directory])


def build(directory: Path) -> Image:
    """Build it in an empty directory."""
    store = ["--storage-driver", "vfs", "--root", str(directory / "storage"), "--runroot", str(directory / "run")]

    def buildah(*arguments: str) -> str:
        return run(["buildah", *store, *arguments], env={**os.environ, "BUILDAH_ISOLATION": "chroot"})

    base = buildah("from", "scratch")
    tree = Path(buildah("mount", base))
    debootstrap(tree)
    base_files = files(tree)
    buildah("commit", "--quiet", "--rm", base, BASE)
    arguments = [f"--build-arg=PYTHON_IMAGE={BASE}", f"--build-arg=BUILD_PACKAGES={COMPILER}", *pip(directory)]
    buildah("build", "--format=docker", *arguments, f"--tag={IMAGE}", str(ROOT))
    config = json.loads(buildah("inspect", "--type=image", IMAGE))["Docker"]["config"]
    container = buildah("from", IMAGE)
    return Image(config, Path(buildah("mount", container)), base_files)


def debootstrap(tree: Path) -> None:
    """Debian with Python: this machine's release, from where its apt fetches."""
    release = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert release is not None
    wanted = [f"Codename: {release[1]}", "Component: main", "Created-By: Packages"]
    mirrors = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]).split()
    run(["debootstrap", "--variant=minbase", f"--include={PYTHON}", release[1], str(tree), *mirrors[:1]])
    for fetched in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(tree / fetched)


def pip(directory: Path) -> list[str]:
    """Arguments that give the build pip's configuration, and the certificates and packages that it names."""
    settings = RawConfigParser()
    paths = set()
    heard = {**os.environ, "PIP_QUIET": "0"}  # a quiet pip does not even print what it is asked for
    for line in run([sys.executable, "-m", "pip", "config", "list"], heard).splitlines():
        name, _, text = line.partition("=")
        section, _, key = name.replace(":env:", "global").partition(".")
        values = str(ast.literal_eval(text)).split()
        if not settings.has_section(section):
            settings.add_section(section)
        if not settings.has_option(section, key):  # what the environment says comes first, as with pip
            settings.set(section, key, "\n".join(values))
        for value in values:  # the pages of an index lead to the files beside it
            path = Path(value.removeprefix("file://"))
            paths.add(path.parent if value.startswith("file://") else path)
    secret = directory / "pip.conf"
    secret.touch(0o600)
    with secret.open("w") as file:
        settings.write(file)
    there = sorted(path for path in paths if path.is_absolute() and path.exists())
    return [f"--secret=id=pip.conf,src={secret}", *(f"--volume={path}:{path}:ro" for path in there)]

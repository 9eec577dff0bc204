"""The image as a container on this machine's loopback, without a single right that can be taken from it."""

import shutil
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

from support.process import START_SECONDS, Sidecar, free_port, wait_until

from image import bundle
from image.build import Image, run

CONFIG, SERVICES = "/etc/curveproxy", "/run/orders"


class Container(Sidecar):
    """The proxy of an image under runc, with config/hardened.toml on free ports.

    What runs, as whom and in which environment is the image's own word. ``directory`` is its /etc/curveproxy,
    ``services`` its /run/orders; it may write to neither. pid: of the proxy, as this machine counts.
    """

    def __init__(self, image: Image, config: str) -> None:
        admin = f"127.0.0.1:{free_port()}"
        super().__init__(config.replace("127.0.0.1:9464", admin).replace("tcp://*:5556", "tcp://127.0.0.1:0"))
        self.admin = f"http://{admin}"
        self.image, self.name = image, f"curveproxy-{uuid.uuid4().hex}"
        user, group = (int(number) for number in image.config["User"].split(":"))
        self.directory.chmod(0o755)  # else nobody but its owner gets through
        self.services, self.bundle = self.directory / "run", self.directory / "bundle"
        for path in (self.services, self.bundle, self.directory / "keys"):
            path.mkdir()
        key = Path(shutil.move(self.directory / "server.key_secret", self.directory / "keys"))
        key.chmod(0o400)
        shutil.chown(key, user, group)
        mounts = {CONFIG: self.directory, SERVICES: self.services}
        bundle.write(self.bundle, image, (user, group), mounts)

    def runc(self, *arguments: str) -> list[str]:
        """A command of runc, whose memory of containers goes with the directory."""
        return ["runc", f"--root={self.bundle / 'state'}", *arguments]

    def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError, with what it wrote, when it ends before."""
        self.streams = [(self.directory / name).open("wb") for name in ("stdout", "stderr")]
        self.process = subprocess.Popen(
            self.runc("run", f"--bundle={self.bundle}", f"--pid-file={self.bundle / 'pid'}", self.name),
            stdin=subprocess.DEVNULL,
            stdout=self.streams[0],
            stderr=self.streams[1],
        )
        wait_until(lambda: not self.running or self.ready(), "ready", START_SECONDS)
        if not self.running:
            raise RuntimeError(f"it ended with {self.process.returncode}\n{self.stderr}")
        self.public = next(line["endpoint"] for line in self.log if "service" in line and line["event"] == "listening")

    def stop(self) -> int:
        """Stop it as an engine does, by the signal that the image names."""
        with suppress(RuntimeError):  # it is gone already
            run(self.runc("kill", self.name, self.image.config["StopSignal"]))
        return self.wait()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the proxy, with the same rights."""
        command = self.runc("exec", self.name, *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    @property
    def pid(self) -> int:
        return int((self.bundle / "pid").read_text())

    def status(self) -> dict[str, str]:
        """What the kernel says of the proxy."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

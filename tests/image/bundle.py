"""What an engine tells a container runtime, for ``docker run`` with

--network=host --read-only --cap-drop=ALL --security-opt=no-new-privileges --mount=type=bind,readonly,...
"""

import json
from collections.abc import Mapping
from pathlib import Path

from image.build import Image

MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
]
NAMESPACES = ["pid", "ipc", "uts", "mount"]


def write(directory: Path, image: Image, user: tuple[int, int], mounts: Mapping[str, Path]) -> None:
    """Write a bundle. user: number and group; mounts: path in the container -> directory here, to be read only."""
    bound = [
        {
            "destination": there,
            "type": "bind",
            "source": str(here),
            "options": ["bind", "ro", "nosuid", "nodev", "noexec"],
        }
        for there, here in mounts.items()
    ]
    spec = {
        "ociVersion": "1.0.0",
        "root": {"path": str(image.root), "readonly": True},
        "mounts": MOUNTS + bound,
        "linux": {"namespaces": [{"type": name} for name in NAMESPACES]},
        "process": {
            "args": image.config["Entrypoint"] + image.config["Cmd"],
            "env": image.config["Env"],
            "cwd": image.config["WorkingDir"] or "/",
            "user": {"uid": user[0], "gid": user[1]},
            "capabilities": {},
            "noNewPrivileges": True,
        },
    }
    (directory / "config.json").write_text(json.dumps(spec))

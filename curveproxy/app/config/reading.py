"""Reading what an operator has named or laid down: never what a file's name may hide, as a terminal or a device.

To open a device may block for ever, and have effects of its own.
"""

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most: int = -1) -> bytes:
    """The first octets of a regular file, ``most`` of them; all by default. Raises OSError or ValueError."""
    _demand_regular(path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        _demand_regular(os.fstat(descriptor).st_mode)  # it may have been swapped
        return file.read(most) or b""  # some of /proc are regular files, and would block


def _demand_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")

"""Reading files that an operator has named: only regular ones, for opening a device may block or have effects."""

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most: int = -1) -> bytes:
    """The content of a regular file, or its first ``most`` octets. Raises OSError or ValueError."""
    _demand_regular(path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        _demand_regular(os.fstat(descriptor).st_mode)  # it may have been replaced meanwhile
        return file.read(most) or b""  # some files of /proc are regular, and would block


def _demand_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")

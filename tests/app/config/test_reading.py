"""Files that an operator names are read, and never what else a name may stand for."""

import os
from pathlib import Path

import pytest
from support.configuration import CLIENTS, SERVICE

from curveproxy.app.config.load import ConfigError, load


def test_what_is_no_regular_file_is_not_opened(place: Path) -> None:
    """A terminal or a pipe would hold up whoever reads it, for good and at each listing again."""
    os.mkfifo(place / "pipe")
    ours, theirs = os.openpty()
    for path in (str(place / "pipe"), os.ttyname(theirs), "/dev/zero"):
        with pytest.raises(ConfigError, match="can not be read: it is no regular file"):
            load(Path(path))
        (place / "c.toml").write_text(SERVICE.replace("keys/server.key_secret", path) + CLIENTS)
        with pytest.raises(ConfigError, match=r"secret_keys\[0\]: .* can not be read: "):
            load(place / "c.toml")
    for descriptor in (ours, theirs):
        os.close(descriptor)

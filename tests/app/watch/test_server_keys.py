"""A service's own keys by their files."""

from pathlib import Path

from support.logs import Lines, log_to

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.keys import SecretKey
from curveproxy.app.watch.server_keys import TEMPORARY, ServerKeys
from curveproxy.wire.curve.keys import KeyPair


def written(path: Path) -> SecretKey:
    pair = KeyPair.generate()
    write_key_pair(path, pair)
    return SecretKey(pair, path)


def test_keys_have_the_names_of_their_files_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    new, old = written(tmp_path / "new.key_secret"), written(tmp_path / "old.key_secret")
    lines: Lines = []
    found = ServerKeys([new, old], log_to(lines))
    assert list(found.names.items()) == [(new.pair, "new"), (old.pair, "old")]
    found.refresh()
    assert list(found.names.items()) == [(new.pair, "new"), (old.pair, "old")]
    assert lines == []


def test_a_key_without_a_file_stays(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    found = ServerKeys([SecretKey(pair)], log_to([]))
    found.refresh()
    assert found.names == {pair: TEMPORARY}


def test_a_key_whose_file_is_replaced_is_another_and_the_last_one_that_goes_is_an_error(tmp_path: Path) -> None:
    path, lines = tmp_path / "server.key_secret", Lines()
    found = ServerKeys([written(path)], log_to(lines))
    found.refresh()
    other = written(tmp_path / "other.key_secret")
    assert other.file is not None
    other.file.rename(path)
    assert found.refresh()
    assert found.names == {other.pair: "server"}
    path.write_text("not a key")
    found.refresh()
    assert found.names == {other.pair: "server"}, "it stays valid"
    path.unlink()
    found.refresh()
    found.refresh()
    assert found.names == {}
    assert lines == [("warning", "server key can not be read"), ("error", "no server key is left")]


def test_a_key_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    key, lines = written(tmp_path / "server.key_secret"), Lines()
    assert key.file is not None
    key.file.chmod(0o644)
    ServerKeys([key], log_to(lines))
    assert lines == [("warning", "a secret key can be read by others")]

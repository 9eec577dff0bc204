"""The keys of an egress by their files: who it is, and who its remotes are."""

from pathlib import Path

from support.logs import Lines, log_to

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.keys import RemoteKey, SecretKey
from curveproxy.app.watch.egress_keys import GONE, EgressKeys
from curveproxy.wire.curve.keys import KeyPair

INLINE = RemoteKey(KeyPair.generate().public)


def secret(path: Path) -> SecretKey:
    pair = KeyPair.generate()
    write_key_pair(path, pair)
    return SecretKey(pair, path)


def remote(path: Path) -> RemoteKey:
    pair, beside = KeyPair.generate(), path.with_suffix(".new_secret")
    write_key_pair(beside, pair).rename(path)
    beside.unlink()
    return RemoteKey(pair.public, path)


def test_they_are_in_the_order_of_the_configuration_and_each_once(tmp_path: Path) -> None:
    lines, own, one = Lines(), secret(tmp_path / "alice.key_secret"), remote(tmp_path / "orders.key")
    keys = EgressKeys(own, [INLINE, one, RemoteKey(one.octets)], log_to(lines))
    for _ in range(2):
        assert (keys.own, keys.server_keys[:2]) == (own.pair, (INLINE.octets, one.octets))
        keys.refresh()
    assert keys.server_keys == (INLINE.octets, one.octets)
    assert lines == []


def test_what_is_replaced_is_read_again(tmp_path: Path) -> None:
    lines, own, one = Lines(), secret(tmp_path / "alice.key_secret"), remote(tmp_path / "orders.key")
    keys = EgressKeys(own, [one], log_to(lines))
    keys.refresh()
    (tmp_path / "alice.key_secret").unlink()
    (tmp_path / "alice.key").unlink()
    later, other = secret(tmp_path / "alice.key_secret"), remote(tmp_path / "orders.key")
    assert keys.refresh()
    assert (keys.own, keys.server_keys) == (later.pair, (other.octets,))
    (tmp_path / "orders.key").write_text("not a key")
    (tmp_path / "alice.key_secret").write_text((tmp_path / "alice.key").read_text())
    keys.refresh()
    assert (keys.own, keys.server_keys) == (later.pair, (other.octets,)), "they stay valid"
    assert keys.files.failed
    assert lines == [("warning", "key of an egress can not be read")] * 2


def test_a_server_key_that_is_gone_is_given_up_and_the_last_one_stays(tmp_path: Path) -> None:
    lines, own = Lines(), secret(tmp_path / "alice.key_secret")
    old, new = remote(tmp_path / "old.key"), remote(tmp_path / "new.key")
    keys = EgressKeys(own, [old, new], log_to(lines))
    keys.refresh()

    def remove(name: str) -> None:
        (tmp_path / name).unlink()
        keys.refresh()
        assert keys.files.some_are_missing
        keys.refresh()

    remove("old.key")
    assert keys.server_keys == (new.octets,)
    remove("new.key")
    remove("alice.key_secret")
    assert (keys.own, keys.server_keys) == (own.pair, (new.octets,))
    assert set(lines) == {("warning", GONE)}


def test_keys_without_files_stay_and_a_secret_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    lines, pair = Lines(), KeyPair.generate()
    keys = EgressKeys(SecretKey(pair), [INLINE], log_to(lines))
    assert not keys.refresh()
    assert (keys.own, keys.server_keys, lines) == (pair, (INLINE.octets,), [])
    own = secret(tmp_path / "alice.key_secret")
    (tmp_path / "alice.key_secret").chmod(0o644)
    EgressKeys(own, [INLINE], log_to(lines))
    assert lines == [("warning", "a secret key can be read by others")]

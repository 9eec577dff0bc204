"""What is signed is a public key to those who know nothing of signatures; the files of an authority are none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import zmq.auth
from support.certificates import CLIENT, FULL, KEY, SEED, SERVER
from zmq.utils import z85

from curveproxy.app.config.authorities import AuthorityFile, write_authority
from curveproxy.app.config.certificates import KeyFileError, read_certificate
from curveproxy.wire.certificate import write

# The public key that CZMQ reads, whether it has a secret one, and how many entries of metadata; or that it reads none.
CZMQ = """
import ctypes, json, sys
czmq = ctypes.CDLL("libczmq.so.4")
for name, result in (("zcert_load", "c_void_p"), ("zcert_public_txt", "c_char_p"), ("zcert_meta_keys", "c_void_p")):
    getattr(czmq, name).restype = getattr(ctypes, result)
for name in ("zcert_public_txt", "zcert_meta_keys", "zlist_size"):
    getattr(czmq, name).argtypes = [ctypes.c_void_p]
czmq.zlist_size.restype = ctypes.c_size_t
found = czmq.zcert_load(sys.argv[1].encode())
print(json.dumps(found and [czmq.zcert_public_txt(found).decode(), czmq.zlist_size(czmq.zcert_meta_keys(found))]))
"""


@pytest.fixture(params=[CLIENT, FULL, SERVER], ids=["client", "full", "server"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A certificate as we write it."""
    text = write(request.param, SEED, ("a comment", 'with public-key = "x"'))
    (path := tmp_path / "desk-7.cert").write_text(text)
    return path


def test_pyzmq_reads_the_key(file: Path) -> None:
    public, secret = zmq.auth.load_certificate(file)
    assert (z85.decode(public), secret) == (KEY, None)


def test_pyzmq_takes_no_directory_of_them_for_a_list(file: Path) -> None:
    """Its authenticator knows neither dates nor signatures."""
    assert zmq.auth.load_certificates(file.parent) == {}


def test_our_own_reader_of_key_files_knows_it_from_a_key(file: Path) -> None:
    found = read_certificate(file)
    assert (found.public, found.secret, found.metadata, found.is_signed) == (KEY, None, {}, True)


@pytest.mark.czmq
def test_czmq_reads_the_key(file: Path) -> None:
    assert by_czmq(file) == [z85.encode(KEY).decode(), 0]


def by_czmq(path: Path) -> object:
    command = [sys.executable, "-c", CZMQ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_nobody_takes_an_authority_for_a_key(tmp_path: Path) -> None:
    for path in write_authority(tmp_path, AuthorityFile.generate("plant-1")):
        with pytest.raises(ValueError):
            zmq.auth.load_certificate(path)
        with pytest.raises(KeyFileError):
            read_certificate(path)


@pytest.mark.czmq
def test_czmq_neither(tmp_path: Path) -> None:
    for path in write_authority(tmp_path, AuthorityFile.generate("plant-1")):
        assert by_czmq(path) is None

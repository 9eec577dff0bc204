"""The cipher alone: what libsodium takes for one box, ours and libzmq's, which may be another release."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from bench.figures import OURS, THEIRS
from curveproxy.wire import sodium, spec

# crypto_box_easy_afternm(box, plain, size, nonce, key), addresses: 0 when it worked
Seal = Callable[[int, int, int, bytes, bytes], int]
_SEAL = "crypto_box_easy_afternm"
_PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulonglong, ctypes.c_char_p, ctypes.c_char_p
)


def ciphers() -> dict[str, Seal]:
    """By column. Without libzmq's where that has none of libsodium, or has it in itself."""
    found: dict[str, Seal] = {OURS: _PROTOTYPE(sodium.address_of(_SEAL))}
    if zmq.has("curve") and (path := _loaded("libsodium")):
        library = ctypes.CDLL(path)
        library.sodium_init()  # it may not have been asked yet what this processor can do
        found[THEIRS] = _PROTOTYPE((_SEAL, library))
    return found


def spent(seal: Seal, size: int, count: int) -> float:
    """Microseconds of the processor for each of so many boxes, of so many octets, where they lie."""
    room = ctypes.create_string_buffer(size + spec.MAC_SIZE)
    box = ctypes.addressof(room)
    nonce, key = bytes(spec.NONCE_SIZE), bytes(spec.KEY_SIZE)
    before = time.process_time()
    for _ in range(count):
        seal(box, box + spec.MAC_SIZE, size, nonce, key)
    return 1e6 * (time.process_time() - before) / count


def _loaded(name: str) -> str:
    """The file of a library that this process has loaded; empty without."""
    files = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    return next((file for file in sorted(files) if Path(file).name.startswith(name)), "")

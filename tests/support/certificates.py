"""Certificates written by an authority of our own, by the document alone: nothing of ``curveproxy`` is used."""

import hashlib
import math
import secrets
import struct
import time
from collections.abc import Mapping

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from zmq.utils import z85

from support import zmtp

SEED, OTHER_SEED = bytes(range(32)), bytes(range(32, 64))
KEY, OTHER_KEY = (hashlib.sha256(word).digest() for word in (b"key", b"other key"))
FROM, UNTIL = "2026-11-26T05:39:00Z", "2026-12-03T05:40:00Z"
FROM_SECONDS, UNTIL_SECONDS = 1795671540, 1796276400  # the same, by ``date +%s``

CLIENT: Mapping[str, str] = {
    "public-key": z85.encode(KEY).decode(),
    "version": "1",
    "kind": "client",
    "serial": "9f86d081884c7d65",
    "name": "desk-7",
    "valid-from": FROM,
    "valid-until": UNTIL,
}
SERVER: Mapping[str, str] = {**CLIENT, "kind": "server", "name": "orders", "names": "orders.example Orders"}
# All that a client's may say.
FULL: Mapping[str, str] = {
    **CLIENT,
    "renewable-until": "2027-12-03T05:40:00Z",
    "services": "orders prices%20of%20all",
    "socket-types": "DEALER REQ",
    "identity": "desk%007",
    "topics": "orders. %2A %ff",
    "publish-topics": "*",
    "max-sessions": "4",
    "messages-per-second": "100",
    "bytes-per-second": "0",
    "note-of-ours": "anything, at 100%",
}

# The vector of the document: whose text, signed octets and signature stand there.
VECTOR: Mapping[str, str] = {
    **CLIENT,
    "public-key": "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
    "services": "orders prices",
    "socket-types": "DEALER REQ",
    "identity": "desk-7",
    "max-sessions": "4",
}
VECTOR_COMMENTS = (
    "signed by the authority plant-1, 2026-11-26 05:40:00 UTC",
    "the certificate of a CURVE key: it is public",
)
VECTOR_TEXT = b"""\
#   signed by the authority plant-1, 2026-11-26 05:40:00 UTC
#   the certificate of a CURVE key: it is public

metadata
curve
    public-key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
certificate
    version = "1"
    kind = "client"
    serial = "9f86d081884c7d65"
    name = "desk-7"
    valid-from = "2026-11-26T05:39:00Z"
    valid-until = "2026-12-03T05:40:00Z"
    identity = "desk-7"
    max-sessions = "4"
    services = "orders prices"
    socket-types = "DEALER REQ"
    authority = "1eb$m]uE]Y9Do*K>s-QUxxmR$O23N39O=xW5(*V@"
    signature = "=L]<aD2+Hj90nYHkBdaI@XorQZ!nkEB6udEG[Jim[lF9*:S[jG!q30@0<pSH&nPq2h^XLB6ed{j3(%0Z"
"""
VECTOR_SIGNED_SIZE = 365
VECTOR_SIGNED_DIGEST = "0ec375e15acbe8ff139a18f551f9ff864e8b6dced8915e6b37488f1f86eabb3f"  # BLAKE2b, 32 octets
VECTOR_AUTHORITY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
VECTOR_SIGNATURE = (
    "cf1b54ca79722da41c03476f3f968878fe318b23c04b650c735aba4a85844e68"
    "f05d3b12c923b5dcd487381202aee53fe0e28112375f38ab132fd64f0c1d6801"
)


def authority_key(seed: bytes = SEED) -> bytes:
    """The public key of an authority."""
    public: bytes = crypto_sign_seed_keypair(seed)[0]
    return public


def signed_octets(fields: Mapping[str, str]) -> bytes:
    """What is signed of these fields."""
    octets = b"curveproxy certificate 1\0"
    for name in sorted(fields.keys() - {"signature"}):
        value = fields[name].encode()
        octets += bytes([len(name)]) + name.encode() + struct.pack(">I", len(value)) + value
    return octets


def signed(fields: Mapping[str, str], seed: bytes = SEED) -> dict[str, str]:
    """These fields with authority and signature."""
    public, secret = crypto_sign_seed_keypair(seed)
    whole = {**fields, "authority": z85.encode(public).decode()}
    return whole | {"signature": z85.encode(crypto_sign(signed_octets(whole), secret)[:64]).decode()}


def text_of(fields: Mapping[str, str]) -> bytes:
    """The text of fields that are signed already, or not."""
    written = {name: f'    {name} = "{value}"' for name, value in fields.items()}
    lines = ["metadata", "curve", *([written.pop("public-key")] if "public-key" in written else [])]
    lines += ["certificate", *written.values()]
    return "".join(f"{line}\n" for line in lines).encode()


def certificate(fields: Mapping[str, str] = CLIENT, seed: bytes = SEED, **changes: str) -> bytes:
    """The text of a certificate with some fields that are otherwise; _ stands for -, and nothing for left out."""
    altered = {**fields, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return text_of(signed({name: value for name, value in altered.items() if value}, seed))


def answer(*texts: bytes) -> bytes:
    """What a server says to whoever asks for its certificates."""
    data = b"".join(struct.pack(">H", len(text)) + text for text in texts)
    return zmtp.greeting(b"CURVE-CERTIFICATE", as_server=1) + zmtp.command_frame(b"CERTIFICATE", data)


def issued(
    key: bytes, name: str = "desk-7", seed: bytes = SEED, *, seconds: float = 3600, since: float = -60, **changes: str
) -> bytes:
    """A client's certificate of its own, valid by this machine's clock. since, seconds: from now on; changes: as above.

    It ends with a whole second, the next one if need be.
    """
    now = time.time()
    fields = {
        **CLIENT,
        "public-key": z85.encode(key).decode(),
        "serial": secrets.token_hex(8),
        "name": name,
        "valid-from": written(now + since),
        "valid-until": written(math.ceil(now + seconds)),
    }
    return certificate(fields, seed, **changes)


def written(seconds: float) -> str:
    """Unix seconds as certificates write a time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def authority_text(name: str, seed: bytes = SEED) -> str:
    """The public file of an authority."""
    return f'authority\n    name = "{name}"\n    authority-key = "{z85.encode(authority_key(seed)).decode()}"\n'

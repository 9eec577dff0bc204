"""The suites of records, and the keys of a session's two directions.

The root, a chain for each direction, and each step of a chain are outputs of BLAKE2b under the one before. So nobody
comes from a key to an older one, and keys of two directions, or of two sessions, have nothing to do with each other.
Offer and answer are in the root: two sides have the same keys only when they have seen the same metadata.

    root  = BLAKE2b-256(K; u32 size of mi, mi, u32 size of mr, mr, C, S, suite)   mi, mr: metadata of INITIATE, READY
    chain = BLAKE2b-256(root; "client to server") and BLAKE2b-256(root; "server to client")
    step  : BLAKE2b-512(chain; "step") is a key[32] and the next chain[32]
"""

import struct
from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b

from attrs import field, frozen

from curveproxy.wire import sodium, spec

PERSON = b"curveproxy-rec-1"
STEP = b"step"
_FROM_CLIENT, _FROM_SERVER = b"client to server", b"server to client"
_U32 = struct.Struct(">I")


class Suite(IntEnum):
    """What seals records, by its number in offers and answers."""

    XSALSA20_POLY1305 = 1
    AEGIS_256 = 2

    @property
    def word(self) -> str:
        """As it is configured and shown."""
        return self.name.lower().replace("_", "-")

    @property
    def tag_size(self) -> int:
        """By how much a box is longer than what is in it."""
        return spec.MAC_SIZE if self == Suite.XSALSA20_POLY1305 else spec.AEGIS_TAG_SIZE


# Where each frame has a box of its own, as the command is called (RFC 26); and all forms that messages may have.
MESSAGE = "message"
FORMS = (MESSAGE, *(suite.word for suite in Suite))


@frozen
class Chains:
    """Where the keys of each direction begin: 32 octets.

    They can be dropped and not overwritten, and all later keys come from them: nobody keeps them behind the handshake.
    """

    from_client: bytes = field(repr=False)
    from_server: bytes = field(repr=False)


def available_suites() -> tuple[Suite, ...]:
    """What this process may offer and take, in its order of preference.

    Without AES in the processor AEGIS is slow, and the time that it takes tells of the key.
    """
    if why_no_aegis():
        return (Suite.XSALSA20_POLY1305,)
    return Suite.AEGIS_256, Suite.XSALSA20_POLY1305


def why_no_aegis() -> str:
    """Why this process does without AEGIS, for the operator; empty where it does not."""
    if not sodium.has_aegis():
        return "this PyNaCl has none"
    return "" if sodium.has_fast_aes() else "this processor has no AES"


def suites_named(words: Iterable[str]) -> list[Suite]:
    """Of suites by their words, in their order, those that this process has."""
    here = {suite.word: suite for suite in available_suites()}
    return [here[word] for word in words if word in here]


def session_chains(shared: bytes, initiate: bytes, ready: bytes, client: bytes, server: bytes, suite: Suite) -> Chains:
    """The chains of a session.

    shared: K, the key that C' and S' share. initiate, ready: metadata as it stood in those boxes.
    client, server: the long-term public keys C and S.
    """
    told = b"".join((_sized(initiate), _sized(ready), client, server, bytes([suite])))
    root = _derived(shared, told)
    return Chains(_derived(root, _FROM_CLIENT), _derived(root, _FROM_SERVER))


def _sized(octets: bytes) -> bytes:
    return _U32.pack(len(octets)) + octets


def _derived(key: bytes, octets: bytes) -> bytes:
    return blake2b(octets, key=key, digest_size=spec.KEY_SIZE, person=PERSON).digest()

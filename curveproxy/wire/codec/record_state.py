"""One direction of a session with records: what both twins of the codec work on."""

from collections.abc import Callable

from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.state import Batch, Buffer
from curveproxy.wire.codec.suites import PERSON, STEP
from curveproxy.wire.zmtp.frame import Dialect

# How many frames a batch has at most. They are only looked at: in C one takes 5 ns, in Python 150, and 550 where its
# header is written anew.
STREAM_BATCH = 32768
STREAM_BATCH_IN_PYTHON = 5120
# A record of one octet, with a step of the key behind it, takes as long as so many frames.
RECORD_WEIGHT = 16

_SUITES = {1: spec.MAC_SIZE, 2: spec.AEGIS_TAG_SIZE}


class RecordState:
    """One direction of a session, owned by one pump. The C twin has a type of its own with the same members.

    chain: 32 octets, see ``suites.Chains``. The first step is made here.
    suite: the number of a ``Suite``.
    limit: the largest message in octets, all its parts and their plain headers together.
    dialect: how the plain side writes frames.
    pad_to: records are padded to a multiple of so many octets; 0 for none. Who opens is not told the multiple: 1.
    batch: how many frames a batch has at most.

    tag: by how much a box is longer than what is in it.
    counter: of the next record. since_step: how many records this key has had.
    held: octets of the message that has begun and not ended, as its headers announce them, on the plain side.
    body_left: octets of a frame of which the first have gone on. While it is not 0 nothing can be put in.
    more: whether that frame, or the last one, has more of its message behind it.
    command: where the body of a command stands: offset, size. A size of 0 is no command, or one that is too large.
    rest: opened, and not gone on: part of a header or of a command, or what is behind the end of a batch.

    Raises ValueError for a chain, a suite, a dialect or a padding that there is not.
    """

    __slots__ = (
        "batch", "body_left", "command", "counter", "dialect", "held", "key", "limit", "more", "pad_to", "rest",
        "secrets", "since_step", "suite", "tag",
    )  # fmt: skip

    def __init__(
        self,
        chain: bytes,
        suite: int,
        limit: int,
        dialect: Dialect = Dialect.V3,
        pad_to: int = 0,
        batch: int = STREAM_BATCH,
    ) -> None:
        if len(chain) != spec.KEY_SIZE or not 0 <= pad_to <= spec.PAD_TO_MAX:
            raise ValueError("a chain has 32 octets, and a record is padded to 32768 at most")
        if suite not in _SUITES or (suite != 1 and not sodium.has_aegis()):
            raise ValueError("a suite is 1, or 2 where libsodium has it")
        self.suite, self.limit, self.dialect, self.pad_to, self.batch = suite, limit, Dialect(dialect), pad_to, batch
        self.tag = _SUITES[suite]
        self.counter = self.since_step = self.held = self.body_left = 0
        self.more, self.command, self.rest = False, (0, 0), b""
        self.secrets = bytearray(spec.KEY_SIZE) + chain  # key[32] chain[32]
        self.key = sodium.address("unsigned char[]", self.secrets)
        self.step()

    def step(self) -> None:
        """Go to the next key, and write over this one."""
        following = bytearray(2 * spec.KEY_SIZE)
        place = sodium.address("unsigned char[]", following)
        sodium.blake2b_at(place, len(following), STEP, self.key + spec.KEY_SIZE, PERSON)
        self.secrets[:] = following
        following[:] = bytes(len(following))
        self.since_step = 0


RecordCall = Callable[[RecordState, Buffer, int, int, Buffer, int], Batch]

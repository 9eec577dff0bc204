"""A flow: what an engine has to know of one direction of a session, to make its ordinary turns. The base of a pump.

A turn is ordinary when the source has something, frames of that go on, and the sink takes them at once.
Nothing is judged in it, and nothing is kept behind it but the beginning of a small frame, which an engine has the flow
told of (``kept_changed``). An engine (``engine.py``) makes such turns without Python. To any other it makes a beginning
at most, with which the pump goes on (``Begun``).

This is the definition, and what a pump is made of where there is no engine. Its twin is in ``_engine.c``.
"""

from curveproxy.wire.codec.state import Batch, CodecState

# What a flow waits for, as far as an engine has to know: neither; its source, and it has nothing else to do; its sink.
# It makes turns only in the second case, and not while one of the flow's flags is set.
NEITHER, SOURCE, SINK = range(3)


# A turn that is not ordinary, as far as an engine has made it: ``end, frames, batch, sent``. What was read stands in
# ``pool.source.data[:end]``, and ``end`` is 0 when the source was not to be read any more. So many frames of it became
# the batch, in ``pool.target``, of whose octets so many have been sent.
Begun = tuple[int, int, Batch, int]


class Flow:
    """The state of a direction, of which an engine reads and changes some.

    messages, octets: whole messages and octets of data that have gone on.
    moved: octets that were read and written since the session began.
    is_silent: the source was asked whether it lives, and nothing has come since.

    _awaits: see above. _is_watched: its owner is told of each octet that is written.
    """

    __slots__ = (
        "_awaits",
        "_ending",
        "_finishing",
        "_has_whole",
        "_is_watched",
        "_kept",
        "_sink_gone",
        "_source_gone",
        "is_silent",
        "messages",
        "moved",
        "octets",
    )

    def __init__(self, source: int, sink: int, state: CodecState | None, opens: bool) -> None:  # noqa: ARG002
        """source, sink: descriptors; state: by which an engine may turn frames, None where it may not.

        opens: whether it opens frames, and does not seal them.
        """
        self._awaits = NEITHER
        self._sink_gone = self._source_gone = False  # what comes is thrown away; nothing comes behind what has come
        self._finishing = False  # ends behind the message that has begun
        self._ending = False  # ends once what is owed has been written
        self._kept = b""  # read and not turned
        self._has_whole = False  # there may be whole frames in what is kept
        self._is_watched = self.is_silent = False
        self.messages = self.octets = self.moved = 0

    def kept_changed(self) -> None:
        """An engine has kept more or less than was kept before: book that."""

    def _take_begun(self) -> Begun | None:
        """The turn that an engine has just begun for it."""
        return None

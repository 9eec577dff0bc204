"""The end of a server: its sessions are ended one after the other, not all at once."""

from collections.abc import Callable, Sequence
from math import ceil

import trio

from curveproxy.proxy.relay.session import Session
from curveproxy.reasons import Closed

# How often it is looked whether the last session has ended.
POLL_SECONDS = 0.05
# The last part of the time to drain: over it those sessions are ended that have not ended by themselves.
ENDING_SHARE = 1 / 3


async def end_sessions(inside: Callable[[], Sequence[Session]], places: Callable[[], int], seconds: float) -> None:
    """Wait for the sessions to end, within so many seconds; then abort those that are left.

    inside: the sessions that there are; places: those that are in use by them, and by clients that are about to come.
    """
    end = trio.current_time() + seconds
    # First behind a reply, while there is time for another; then whoever has not asked any more.
    first, second = (end - seconds * share for share in (ENDING_SHARE, ENDING_SHARE / 2))
    asked = set[Session]()
    while places() and (now := trio.current_time()) < end:
        staying = [session for session in inside() if session.reason is None]
        if now >= second:
            # The last one is told at half of that time, for they have to take what they are owed.
            for session in _due(staying, (second + end) / 2 - now):
                if not session.awaits_reply:
                    session.drain()
        elif now >= first:
            for session in _due([session for session in staying if session not in asked], second - now):
                session.drain_behind_reply()
                asked.add(session)
        await trio.sleep(POLL_SECONDS)
    for session in inside():
        session.abort(Closed.DRAINED)


def _due(sessions: Sequence[Session], seconds: float) -> Sequence[Session]:
    """Those of them whose turn it is in this poll, where all have theirs within so many seconds."""
    return sessions[: ceil(len(sessions) * POLL_SECONDS / max(seconds, POLL_SECONDS))]

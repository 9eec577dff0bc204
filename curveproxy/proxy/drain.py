"""Ends the sessions of a server one after the other, so that their clients do not all come again at once."""

from collections.abc import Callable, Sequence
from math import ceil

import trio

from curveproxy.proxy.relay.session import Session
from curveproxy.reasons import Closed

# How often to check whether the last session has ended.
POLL_SECONDS = 0.05
# The part of the drain time, at its end, over which the remaining sessions are ended.
ENDING_SHARE = 1 / 3


async def end_sessions(inside: Callable[[], Sequence[Session]], places: Callable[[], int], seconds: float) -> None:
    """Wait for the sessions to end, within so many seconds; then abort those that are left.

    inside: the sessions of this moment; places: how many places they and pending clients use.
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
    """The sessions to end in this poll so that all have ended within so many seconds."""
    return sessions[: ceil(len(sessions) * POLL_SECONDS / max(seconds, POLL_SECONDS))]

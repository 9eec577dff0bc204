"""Errors for what the proxy decides against a peer, each with a reason from a closed list."""

from curveproxy.reasons import DialFailure, Outcome


class RefusedError(Exception):
    """A client is not let in.

    outcome: the reason; detail: our own words for the log, never a peer's.
    """

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        super().__init__(f"{outcome}: {detail}" if detail else str(outcome))
        self.outcome, self.detail = outcome, detail


class DialError(Exception):
    """A backend or a remote can not be connected to, or is not what it should be.

    failure: the reason; detail: our own words for the log, never a peer's.
    """

    def __init__(self, failure: DialFailure, detail: str = "") -> None:
        super().__init__(f"{failure}: {detail}" if detail else str(failure))
        self.failure, self.detail = failure, detail

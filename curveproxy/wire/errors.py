"""Blame in the type, cause in a closed list."""

from curveproxy.reasons import BackendFailure, ClientFailure, Invalid, Outcome

Reason = Outcome | Invalid | BackendFailure | ClientFailure


class PeerError(Exception):
    """A peer broke the protocol. The only error that functions named ``..._untrusted`` raise.

    reason: the member of a closed list that a metric counts.
    detail: our own words for the log, never a peer's octets.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class LocalError(Exception):
    """We used the wire room in a way in which it can not be used: a mistake of ours, not a peer's."""


class CodecError(LocalError):
    """The codec that the environment demands can not be had; says why and what to do."""

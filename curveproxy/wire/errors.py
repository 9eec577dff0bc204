"""What can go wrong on the wire: a peer's fault, with its kind in a closed list, or a mistake of ours."""

from enum import StrEnum


class Fault(StrEnum):
    """What a peer can do wrong on the wire.

    Each side of the proxy has a map from here to its own list of reasons, which are metric labels and carry hints.
    """

    # the greeting, and what a load balancer sends before it
    NOT_ZMTP = "not_zmtp"
    ZMTP_VERSION = "zmtp_version"
    MECHANISM = "mechanism"
    ROLE = "role"  # two clients, or two servers, are connected to each other
    # the handshake: HELLO, WELCOME, INITIATE, READY stand for a command of a wrong size or with wrong contents
    COMMAND = "command"  # another command than is due, or after the handshake a malformed one
    HELLO = "hello"
    HELLO_VERSION = "hello_version"
    HELLO_BOX = "hello_box"
    WELCOME = "welcome"
    INITIATE = "initiate"
    INITIATE_TOO_LARGE = "initiate_too_large"
    INITIATE_BOX = "initiate_box"
    COOKIE = "cookie"
    VOUCH = "vouch"
    READY = "ready"
    METADATA = "metadata"
    REFUSED = "refused"  # ERROR came; the detail is what it says, see ``curve.client``
    # the handshakes of ZMTP 1.0 and 2.0
    OLD_HANDSHAKE = "old_handshake"  # a malformed identity or socket type
    SOCKET_TYPE = "socket_type"  # ZMTP 2.0 has no number for the socket type that we should announce
    # a certificate, as it was presented; whether it is true is no fault of the wire
    CERTIFICATE_TOO_LARGE = "certificate_too_large"
    CERTIFICATE_MALFORMED = "certificate_malformed"
    CERTIFICATE_FIELD = "certificate_field"  # one that is not known, or not for that kind
    CERTIFICATE_VERSION = "certificate_version"
    CERTIFICATE_KIND = "certificate_kind"
    # frames and records after the handshake; each but GAP has the name of a ``codec.state.Stop``
    FRAMING = "framing"
    OUTER_MORE = "outer_more"
    TOO_SHORT = "too_short"
    TOO_LARGE = "too_large"
    NOT_MESSAGE = "not_message"
    NONCE = "nonce"
    GAP = "gap"
    BOX = "box"
    RECORD = "record"  # one that does not open: damaged, forged, repeated, or another one was left out


class PeerError(Exception):
    """A peer broke the protocol. The only error that functions named ``..._untrusted`` of this package raise.

    detail: text for the log, in our own words.
    """

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(f"{fault}: {detail}" if detail else str(fault))
        self.fault = fault
        self.detail = detail


class LocalError(Exception):
    """This package was used in a way in which it can not be used: a mistake of ours, not a peer's."""


class CodecError(LocalError):
    """The codec that the environment demands is not available. The text says why and what to do."""

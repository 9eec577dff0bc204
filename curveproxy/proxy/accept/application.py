"""How a handshake ends: in a refusal, or in the application of an authenticated client to a service."""

import socket
from collections.abc import Callable, Mapping

from attrs import frozen

from curveproxy.policy.access.terms import Grant
from curveproxy.proxy.accept.half_open import Authenticated, Gate
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.linger import LingeringCloses
from curveproxy.proxy.settings import RefusalMode
from curveproxy.reasons import Outcome

# These do not change by waiting, so the client is told and libzmq gives up for good. After any other outcome the client
# comes again: the holder of its identity may leave, a limit or a shutdown passes.
FINAL = frozenset({Outcome.CLIENT_UNKNOWN, Outcome.CERTIFICATE, Outcome.METADATA, Outcome.SOCKET_TYPE, Outcome.RECORDS})
# The status code of ZAP (RFC 27) that libzmq understands as a refusal.
NOT_ALLOWED = "400"


@frozen
class Refuser:
    """Refuses the connections of one listener. error: makes the frame that tells a peer why."""

    _lingering: LingeringCloses
    _error: Callable[[str], bytes]

    def refuse(self, sock: socket.SocketType, gate: Gate, outcome: Outcome, applicant: Applicant | None) -> None:
        """Tell the peer, if it is to know, and close. applicant: who it is, if it has proved its key.

        A probe that has proved its key is told the outcome, unless its key is not on the list. Who has asked for
        certificates has been told them.
        """
        if applicant is not None and applicant.said.is_probe and outcome != Outcome.CLIENT_UNKNOWN:
            self._lingering.begin(sock, self._error(outcome), gate.observer.unexpected)
        elif outcome == Outcome.CERTIFICATE_ASKED:
            self._lingering.begin(sock, b"", gate.observer.unexpected)
        elif outcome in FINAL and gate.settings.refusal == RefusalMode.ERROR:
            self._lingering.begin(sock, self._error(NOT_ALLOWED), gate.observer.unexpected)
        else:
            sock.close()


@frozen
class Application:
    """An authenticated client of one connection; see ``applying.Applying``."""

    socket: socket.SocketType
    applicant: Applicant
    grant: Grant
    _authenticated: Authenticated
    _gate: Gate
    _refuser: Refuser

    def welcome(self, metadata: Mapping[str, bytes]) -> Established:
        sockets.prepare_session(self.socket)
        ready, security = self._authenticated.ready(metadata)
        if self.socket.send(ready) < len(ready):  # READY fits into a send buffer that is all but empty
            raise RefusedError(Outcome.PEER_CLOSED, "it takes no READY")
        found = self._authenticated
        return Established(self.socket, found.metadata, found.version, security, skip=found.skip)

    def refuse(self, outcome: Outcome) -> None:
        self._refuser.refuse(self.socket, self._gate, outcome, self.applicant)

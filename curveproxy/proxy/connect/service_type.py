"""The socket type of a service: what it says, what is configured, or what its clients most likely expect."""

from collections.abc import Mapping

from curveproxy.policy.limits import OnInvalid
from curveproxy.policy.socket_types import DROPPING_HINT, HARMED_BY_DROPPING, XPUB, ZMTP1_COUNTERPARTS, fits, known
from curveproxy.proxy.errors import DialError
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, ClientFailure
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.metadata import find

OLD_SERVICE_HINT = "libzmq 2.x aborts where later ones return an error: SECURITY.md tells what can not be kept from it"
XPUB_MESSAGES_HINT = "it may be libzmq 4.3.0 to 4.3.2, which dies of one: replace it, or take xpub_messages out"


class ServiceType:
    """Judges whether the types of one service and its clients fit, and notes each oddity once for the operator."""

    def __init__(self, settings: ServiceSettings, observer: Observer) -> None:
        self._observer = observer
        self._misfit = BackendFailure.SOCKET_TYPE if settings.egress is None else ClientFailure.SOCKET_TYPE
        self._noticed: set[str] = set()
        self.configure(settings)

    def configure(self, settings: ServiceSettings) -> None:
        """Use other settings from the next dial on."""
        self._settings, self._configured = settings, settings.backend_socket_type.encode()

    def judge(
        self, client: Mapping[str, bytes], dialect: Dialect, said: bytes | None = None
    ) -> bytes | DialError | None:
        """The service's socket type, None where it may be any; DialError, socket_type, when the client's does not fit.

        client: the client's metadata; said: the type that the service says it has.
        """
        downstream = find(client, "Socket-Type")
        if said and self._configured and said != self._configured:  # the wire wins
            self._notice("backend_socket_type is not what the service says", service_says=known(said))
        upstream = said or self._configured or None
        if upstream is None and dialect == Dialect.V1:
            upstream = ZMTP1_COUNTERPARTS.get(downstream or b"")
            if upstream is None:
                return DialError(self._misfit, f"client {known(downstream)}, service of ZMTP 1.0")
            event = "the service speaks ZMTP 1.0, which does not tell its socket type"
            self._notice(event, taken_for=known(upstream), hint="set backend_socket_type")
        if self._settings.messages.on_invalid == OnInvalid.DROP and upstream in HARMED_BY_DROPPING:
            self._notice("dropping does not suit the service", service_says=known(upstream), hint=DROPPING_HINT)
        if not fits(downstream, upstream):
            return DialError(self._misfit, f"client {known(downstream)}, service {known(upstream)}")
        return upstream

    def connected(self, socket_type: bytes | None, version: Version) -> None:
        """Note what the operator should know of a service with this type and version."""
        if version.dialect == Dialect.V1:
            self._notice("the service speaks ZMTP 1.0", hint=OLD_SERVICE_HINT)
        if self._settings.xpub_messages and socket_type == XPUB and version.minor < 1:
            self._notice("xpub_messages does not suit the service", service_says="XPUB", hint=XPUB_MESSAGES_HINT)

    def _notice(self, event: str, **facts: str) -> None:
        if event not in self._noticed:
            self._noticed.add(event)
            self._observer.notice(event, **facts)

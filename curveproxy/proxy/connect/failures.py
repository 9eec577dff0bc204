"""What a fault of a service in its handshake is called: in the metric of backend failures, the log and every hint."""

from collections.abc import Mapping

from curveproxy.reasons import BackendFailure
from curveproxy.wire.errors import Fault

FAILURES: Mapping[Fault, BackendFailure] = {
    Fault.NOT_ZMTP: BackendFailure.GREETING,
    Fault.ZMTP_VERSION: BackendFailure.GREETING,
    Fault.MECHANISM: BackendFailure.MECHANISM,
    Fault.COMMAND: BackendFailure.HANDSHAKE,
    Fault.READY: BackendFailure.HANDSHAKE,
    Fault.METADATA: BackendFailure.HANDSHAKE,
    Fault.OLD_HANDSHAKE: BackendFailure.HANDSHAKE,
    Fault.SOCKET_TYPE: BackendFailure.SOCKET_TYPE,
}

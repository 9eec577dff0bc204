"""What a fault of a client in its handshake is called: in the metric of outcomes, the log and every hint."""

from collections.abc import Mapping

from curveproxy.reasons import Outcome
from curveproxy.wire.errors import Fault

OUTCOMES: Mapping[Fault, Outcome] = {
    Fault.NOT_ZMTP: Outcome.NOT_ZMTP,
    Fault.ZMTP_VERSION: Outcome.ZMTP_VERSION,
    Fault.MECHANISM: Outcome.MECHANISM,
    Fault.ROLE: Outcome.ROLE,
    Fault.COMMAND: Outcome.COMMAND,
    Fault.HELLO: Outcome.HELLO_MALFORMED,
    Fault.HELLO_VERSION: Outcome.HELLO_VERSION,
    Fault.HELLO_BOX: Outcome.HELLO_BOX,
    Fault.INITIATE: Outcome.INITIATE_MALFORMED,
    Fault.INITIATE_TOO_LARGE: Outcome.INITIATE_TOO_LARGE,
    Fault.INITIATE_BOX: Outcome.INITIATE_BOX,
    Fault.COOKIE: Outcome.COOKIE,
    Fault.VOUCH: Outcome.VOUCH,
    Fault.METADATA: Outcome.METADATA,
    Fault.OLD_HANDSHAKE: Outcome.METADATA,  # of ZMTP 1.0 and 2.0, which have no more of it than type and identity
}

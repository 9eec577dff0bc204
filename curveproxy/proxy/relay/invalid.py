"""What a fault in a frame after the handshake is called: in the metric of invalid messages and the log."""

from collections.abc import Mapping

from curveproxy.reasons import Invalid
from curveproxy.wire.errors import Fault

INVALID: Mapping[Fault, Invalid] = {
    Fault.COMMAND: Invalid.COMMAND,
    Fault.FRAMING: Invalid.FRAMING,
    Fault.OUTER_MORE: Invalid.OUTER_MORE,
    Fault.TOO_SHORT: Invalid.TOO_SHORT,
    Fault.TOO_LARGE: Invalid.TOO_LARGE,
    Fault.NOT_MESSAGE: Invalid.NOT_MESSAGE,
    Fault.NONCE: Invalid.NONCE,
    Fault.GAP: Invalid.GAP,
    Fault.BOX: Invalid.BOX,
}

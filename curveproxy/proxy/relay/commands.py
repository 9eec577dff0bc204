"""What becomes of a command that one side of a session sends to the other (RFC 37; libzmq's habits).

The same rules hold in both directions: a side is never sent what it might take for data or crash on.
"""

from collections.abc import Mapping

from attrs import frozen

from curveproxy.policy.socket_types import PUBLISHERS, RADIO
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp import command

# What a fault in a frame after the handshake is called.
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
    Fault.RECORD: Invalid.RECORD,
}

# This context marks the PONG to a PING of our own, which is not passed on.
OUR_CONTEXT = b"curveproxy"
OUR_PING = command.ping(OUR_CONTEXT)


@frozen
class CommandAction:
    """What to do with a command.

    pass_on: body of a frame for the sink, with ``flags``; answer: body of a command for the source. Both may be empty.
    dropped: the sink must not be sent this command.
    invalid: it is malformed or over a limit; nothing else is set then.
    knows_ping, answers_ping: what the command shows of its sender (``Capabilities``).
    """

    pass_on: bytes = b""
    flags: int = spec.COMMAND
    answer: bytes = b""
    dropped: bool = False
    invalid: Invalid | None = None
    knows_ping: bool = False
    answers_ping: bool = False


def decide_untrusted(body: bytes, sink: Capabilities) -> CommandAction:
    """Decide on one command for this sink."""
    try:
        return _decide(body, sink)
    except PeerError as error:
        return CommandAction(invalid=INVALID[error.fault])


def _decide(body: bytes, sink: Capabilities) -> CommandAction:
    name, data = command.split_command_untrusted(body)
    if name == command.PING:
        data = command.check_ping_untrusted(data)
        if sink.minor < 1:  # it may be libzmq 4.1, which takes a PING for data
            return CommandAction(answer=command.pong_for(data))
        return CommandAction(command.body_of(name, data), knows_ping=True)
    if name == command.PONG and data == OUR_CONTEXT:
        return CommandAction(answers_ping=True)
    if name == command.PONG and sink.knows_ping:
        return CommandAction(command.body_of(name, command.check_pong_untrusted(data)))
    if name in (command.SUBSCRIBE, command.CANCEL) and sink.socket_type in PUBLISHERS:
        if len(data) >= spec.SUBSCRIPTION_MAX:
            return CommandAction(invalid=Invalid.TOO_LARGE)
        # We announce 3.0, to which a subscription is a message; every libzmq understands that form.
        return CommandAction((b"\1" if name == command.SUBSCRIBE else b"\0") + data, flags=0)
    if name in (command.JOIN, command.LEAVE) and sink.socket_type == RADIO:
        return CommandAction(body) if len(data) <= spec.GROUP_MAX else CommandAction(invalid=Invalid.TOO_LARGE)
    return CommandAction(dropped=True)

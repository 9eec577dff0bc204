"""What becomes of a command that one side of a session sends to the other (RFC 37; libzmq's habits).

The same law holds in both directions: a side is never sent what it might take for data or fall over.
"""

from attrs import define

from curveproxy.policy.socket_types import PUBLISHERS, SUBSCRIBERS
from curveproxy.proxy.errors import InvalidError
from curveproxy.proxy.relay.invalid import INVALID
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.errors import PeerError
from curveproxy.wire.zmtp import command
from curveproxy.wire.zmtp.frame import Dialect

# By this context a PONG to a PING of our own is told from one that the service waits for.
OUR_CONTEXT = b"curveproxy"
OUR_PING = command.ping(OUR_CONTEXT)


@define
class Side:
    """One side of a session.

    dialect, minor: the version of ZMTP that it speaks.
    pings: it has sent a PING that was passed on, so it knows what a PONG is.
    pongs: it has answered a PING of ours.
    """

    minor: int
    socket_type: bytes | None
    dialect: Dialect = Dialect.V3
    pings: bool = False
    pongs: bool = False

    @property
    def never_subscribes(self) -> bool:
        """It hears only who sends without being asked: a subscriber before ZMTP 2.0."""
        return self.dialect == Dialect.V1 and self.socket_type in SUBSCRIBERS


@define
class CommandAction:
    """pass_on: body and flags of a frame for the sink; answer: body of a command for the source; both may be empty.

    dropped: the command is one that the sink can not take.
    """

    pass_on: bytes = b""
    flags: int = spec.COMMAND
    answer: bytes = b""
    dropped: bool = False


def judge_untrusted(body: bytes, source: Side, sink: Side) -> CommandAction:
    """Judge one command. Raises InvalidError when it is malformed."""
    try:
        return _judge_untrusted(body, source, sink)
    except PeerError as error:
        raise InvalidError(INVALID[error.fault], error.detail) from None


def _judge_untrusted(body: bytes, source: Side, sink: Side) -> CommandAction:
    name, data = command.split_command_untrusted(body)
    if name == command.PING:
        data = command.check_ping_untrusted(data)
        if sink.minor < 1:  # it may be libzmq 4.1, which takes a PING for data
            return CommandAction(answer=command.pong_for(data))
        source.pings = True
        return CommandAction(command.body_of(name, data))
    if name == command.PONG and data == OUR_CONTEXT:
        source.pongs = True
        return CommandAction()
    if name == command.PONG and sink.pings:
        return CommandAction(command.body_of(name, command.check_pong_untrusted(data)))
    if name in (command.SUBSCRIBE, command.CANCEL) and sink.socket_type in PUBLISHERS:
        if len(data) >= spec.SUBSCRIPTION_MAX:
            raise InvalidError(Invalid.TOO_LARGE, "a subscription")
        # We announce 3.0, to which a subscription is a message; that form every libzmq understands.
        return CommandAction((b"\1" if name == command.SUBSCRIBE else b"\0") + data, flags=0)
    if name in (command.JOIN, command.LEAVE) and sink.socket_type == b"RADIO":
        if len(data) > spec.GROUP_MAX:
            raise InvalidError(Invalid.TOO_LARGE, "a group")
        return CommandAction(body)
    return CommandAction(dropped=True)

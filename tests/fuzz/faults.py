"""Which faults the functions of each side can raise: what the targets demand, and what each side's map must hold."""

from curveproxy.wire.errors import Fault

GREETING = frozenset({Fault.NOT_ZMTP, Fault.ZMTP_VERSION, Fault.MECHANISM})
HELLO = frozenset({Fault.HELLO_VERSION, Fault.HELLO, Fault.HELLO_BOX})
INITIATE = frozenset({Fault.COOKIE, Fault.INITIATE, Fault.INITIATE_BOX, Fault.VOUCH, Fault.METADATA})
MARKS = frozenset({Fault.COMMAND, Fault.HELLO, Fault.INITIATE, Fault.INITIATE_TOO_LARGE})
FRAMES = frozenset(
    {
        Fault.FRAMING,
        Fault.OUTER_MORE,
        Fault.TOO_SHORT,
        Fault.TOO_LARGE,
        Fault.NOT_MESSAGE,
        Fault.NONCE,
        Fault.GAP,
        Fault.BOX,
    }
)

RECORDS = frozenset({Fault.FRAMING, Fault.TOO_LARGE, Fault.COMMAND, Fault.RECORD})

OF_A_PLAIN_CLIENT = GREETING | {Fault.COMMAND, Fault.METADATA, Fault.OLD_HANDSHAKE}
OF_A_CLIENT = GREETING | {Fault.ROLE} | MARKS | HELLO | INITIATE | OF_A_PLAIN_CLIENT
OF_A_SERVICE = GREETING | {Fault.COMMAND, Fault.READY, Fault.METADATA, Fault.OLD_HANDSHAKE, Fault.SOCKET_TYPE}
OF_A_SERVER = GREETING | {Fault.ROLE, Fault.COMMAND, Fault.WELCOME, Fault.READY, Fault.METADATA, Fault.REFUSED}
OF_A_QUESTION = GREETING | {Fault.ROLE, Fault.COMMAND, Fault.CERTIFICATE_TOO_LARGE, Fault.CERTIFICATE_MALFORMED}
OF_A_SESSION = FRAMES | RECORDS
OF_A_CERTIFICATE = frozenset(
    {
        Fault.CERTIFICATE_TOO_LARGE,
        Fault.CERTIFICATE_MALFORMED,
        Fault.CERTIFICATE_FIELD,
        Fault.CERTIFICATE_VERSION,
        Fault.CERTIFICATE_KIND,
    }
)

"""What CurveZMQ puts into boxes (RFC 26). Names are spelled out; the RFC's letters:

    C, c    the client's long-term key, public and secret       S, s    the server's
    C', c'  the client's transient key, for one connection      S', s'  the server's

``Box [X](A->B)`` is X in a box that only the holders of A's or B's secret key can make or open.
"""

from curveproxy.wire import sodium
from curveproxy.wire.curve import layout
from curveproxy.wire.curve.keys import KeyPair

# Each nonce of 24 octets is a prefix that says what it is for, then a counter of 8 or a random string of 16 octets.
HELLO = b"CurveZMQHELLO---"
WELCOME = b"WELCOME-"
COOKIE = b"COOKIE--"
INITIATE = b"CurveZMQINITIATE"
VOUCH = b"VOUCH---"
READY = b"CurveZMQREADY---"
MESSAGE_FROM_CLIENT = b"CurveZMQMESSAGEC"
MESSAGE_FROM_SERVER = b"CurveZMQMESSAGES"


def seal_vouch(client: KeyPair, client_transient: bytes, server: bytes, server_transient: bytes, nonce: bytes) -> bytes:
    """The client's vouch: nonce, Box [C' + S](C->S'); 96 octets. nonce: 16 random octets."""
    key = sodium.shared_key(server_transient, client.secret)
    return layout.VOUCH.pack(nonce, sodium.seal(client_transient + server, VOUCH + nonce, key))


def vouches(vouch: bytes, client: bytes, client_transient: bytes, server: bytes, server_transient: bytes) -> bool:
    """Whether a vouch of 96 octets was made by C for this connection and this server; server_transient is s'.

    All 64 octets are compared. libzmq compares the first half only. That would let a server that the client really
    talks to pass its vouch on to another.
    """
    nonce, sealed = layout.VOUCH.unpack(vouch)
    try:
        plain = sodium.open_box(sealed, VOUCH + nonce, sodium.shared_key(client, server_transient))
    except sodium.BoxError:
        return False
    return sodium.equal(plain, client_transient + server)

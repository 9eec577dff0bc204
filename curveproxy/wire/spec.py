"""The numbers of the protocol: first what the RFCs say, then our own choices with their reasons.

RFC numbers: 13 = ZMTP 1.0, 15 = ZMTP 2.0, 23 = ZMTP 3.0, 25 = ZMTP-CURVE, 26 = CurveZMQ, 37 = ZMTP 3.1.
"""

from typing import Final

# Memory with octets of a peer.
Octets = bytes | bytearray | memoryview

# --- ZMTP 1.0 (RFC 13): no greeting, and a frame's size counts its octet of flags too ---

V1_LONG: Final = 0xFF  # where the size stands: 8 octets of it follow
V1_LONG_HEADER: Final = 10
V1_SHORT_BODY_MAX: Final = 253
IDENTITY_MAX: Final = 255  # of every version

# --- ZMTP 3 (RFC 23, RFC 37) ---

MAJOR: Final = 3
V2_MAJOR: Final = 1  # the number of ZMTP 2.0 in its greeting (RFC 15)
GREETING_SIZE: Final = 64
MECHANISM_SIZE: Final = 20
CURVE: Final = b"CURVE".ljust(MECHANISM_SIZE, b"\0")
NULL: Final = b"NULL".ljust(MECHANISM_SIZE, b"\0")
CURVE_CERTIFICATE: Final = b"CURVE-CERTIFICATE".ljust(MECHANISM_SIZE, b"\0")  # our own: see ``curve/asking.py``

# Flags of a frame: bit 0 MORE, bit 1 LONG, bit 2 COMMAND, the others are reserved.
MORE: Final = 0x01
LONG: Final = 0x02
COMMAND: Final = 0x04
SHORT_BODY_MAX: Final = 255
SHORT_HEADER: Final = 2  # of ZMTP 1.0 too
LONG_HEADER: Final = 9
FRAME_MAX: Final = 2**63 - 1  # the top bit of a long size must be zero

PROPERTY_VALUE_MAX: Final = 2**31 - 1
PING_TTL_SIZE: Final = 2
PING_CONTEXT_MAX: Final = 16
GROUP_MAX: Final = 255  # of JOIN and LEAVE (RFC 48); libzmq's RADIO aborts at a longer one

# --- CurveZMQ (RFC 26), as ZMTP 3 carries it (RFC 25) ---

KEY_SIZE: Final = 32
MAC_SIZE: Final = 16
NONCE_SIZE: Final = 24
SHORT_NONCE: Final = 8
LONG_NONCE: Final = 16
CURVE_VERSION: Final = b"\x01\x00"
HELLO_SIZE: Final = 200
WELCOME_SIZE: Final = 168
INITIATE_OVERHEAD: Final = 257
READY_OVERHEAD: Final = 30
MESSAGE_OVERHEAD: Final = 33

# A command's name has its length before it.
HELLO_NAME: Final = b"\x05HELLO"
WELCOME_NAME: Final = b"\x07WELCOME"
INITIATE_NAME: Final = b"\x08INITIATE"
READY_NAME: Final = b"\x05READY"
ERROR_NAME: Final = b"\x05ERROR"
MESSAGE_NAME: Final = b"\x07MESSAGE"
CERTIFICATE_NAME: Final = b"\x0bCERTIFICATE"  # our own

# Inside a MESSAGE box the first octet holds flags. RFC 26 knows MORE; libzmq >= 4.2 added COMMAND.
INNER_MORE: Final = 0x01
INNER_COMMAND: Final = 0x02

# --- our choices ---

# We announce 3.0, so that every peer sends subscriptions as messages, which are opaque to a proxy.
MINOR: Final = 0

# READY to a client: libzmq < 4.2.3 and JeroMQ copy its metadata into 256 octets of stack.
READY_METADATA_MAX: Final = 256

# INITIATE's metadata with an offer of records in it: libzmq < 4.3.2 opens INITIATE into a buffer for so much.
INITIATE_METADATA_MAX: Final = 256

# libzmq and NetMQ multiply a PING's TTL by 100 in 16 bits: 656 becomes 64 ms.
PING_TTL_MAX: Final = 655

# libzmq < 4.3.3 walks its subscription trie by recursion, one level an octet.
SUBSCRIPTION_MAX: Final = 4096

# The longest socket type has seven octets (SCATTER, CHANNEL). A much longer one would not fit into READY.
SOCKET_TYPE_MAX: Final = 16

# A SUBSCRIBE is the largest command. One that is a little too long is reported as such; what is larger is not read.
COMMAND_MAX: Final = 2 * SUBSCRIPTION_MAX

# The certificates of a server in one command: four of the longest.
CERTIFICATES_MAX: Final = 8192

# A backend's greeting and READY together: ample.
BACKEND_HANDSHAKE_MAX: Final = 65536

# --- records: the other form that two curveproxies may agree on for what follows the handshake ---

# A record's header, 16 bits: REKEY, then the size of what is in the box, less one.
RECORD_HEADER: Final = 2
REKEY: Final = 0x8000
RECORD_MAX: Final = 32768
AEGIS_TAG_SIZE: Final = 32  # the longer one of two, which only one key can have made

# A sender steps its key at the end of each batch, so behind 33 records at most. One that never does is at fault, long
# before any of the ciphers asks for it.
RECORDS_A_KEY: Final = 2**20

# Padding: zeros, and how much there is before them. A record is padded to a multiple of so many octets at most.
PAD_SIZE: Final = 2
PAD_TO_MAX: Final = RECORD_MAX

# A command in the plain stream is held until it is whole: a SUBSCRIBE with ample room around it.
STREAM_COMMAND_MAX: Final = 4096 + 256

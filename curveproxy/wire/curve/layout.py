"""Where the fields of CurveZMQ's commands stand (RFC 26, RFC 25). The only place with their offsets.

Letters are those of ``box``. A command's name has its length before it. What has no fixed size stands behind the
struct: ``body[INITIATE.size :]`` is INITIATE's box.
"""

import struct

# HELLO, 200 octets:
# * name[6]
# * version[2]: of CurveZMQ, 1.0
# * padding[72]: zeros, so that HELLO is no smaller than WELCOME, its answer
# * client_transient[32]: C'
# * nonce[8]
# * box[80]: Box [64 zeros](C'->S)
HELLO = struct.Struct("> 6s 2s 72s 32s 8s 80s")
HELLO_PADDING = bytes(72)
HELLO_PLAIN = bytes(64)

# WELCOME, 168 octets:
# * name[8]
# * nonce[16]
# * box[144]: Box [S' + cookie](S->C')
WELCOME = struct.Struct("> 8s 16s 144s")
# * server_transient[32]: S'
# * cookie[96]
WELCOME_PLAIN = struct.Struct("> 32s 96s")

# A cookie, 96 octets:
# * nonce[16]
# * box[80]: a secret box, which its maker alone can open
COOKIE = struct.Struct("> 16s 80s")
# * client_transient[32]: C'
# * server_transient_secret[32]: s'
COOKIE_PLAIN = struct.Struct("> 32s 32s")

# INITIATE, 257 + n octets:
# * name[9]
# * cookie[96]
# * nonce[8]
# * box[144 + n]: Box [C + vouch + metadata](C'->S')
INITIATE = struct.Struct("> 9s 96s 8s")
# * client[32]: C
# * vouch[96]
# * metadata[n]
INITIATE_PLAIN = struct.Struct("> 32s 96s")

# A vouch, 96 octets:
# * nonce[16]
# * box[80]: Box [C' + S](C->S')
VOUCH = struct.Struct("> 16s 80s")

# READY, 30 + n octets:
# * name[6]
# * nonce[8]
# * box[16 + n]: Box [metadata](S'->C')
READY = struct.Struct("> 6s 8s")

# MESSAGE, 33 + n octets:
# * name[8]
# * nonce[8]: a number here, for it is counted
# * box[17 + n]: Box [flags[1] + data[n]], of which flags are in spec.py
MESSAGE = struct.Struct("> 8s Q")

# ERROR, 7 + n octets:
# * name[6]
# * size[1]: of the reason
# * reason[n]: text
ERROR = struct.Struct("> 6s B")

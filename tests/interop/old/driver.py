"""Sockets of the libzmq whose path is given, driven by lines on stdin as ``peer.py`` describes them.

It runs by itself and knows nothing but ctypes. From version to version libzmq renamed its functions and resized what
they take; what is called here is what all of them have.
"""

import ctypes
import os
import sys
import time

NOBLOCK, SNDMORE, RCVMORE = 1, 2, 13
MESSAGE_SIZE = 64  # of zmq_msg_t: 40 octets at first, 64 today

zmq = ctypes.CDLL(sys.argv[1], use_errno=True)
for name in ("zmq_init", "zmq_socket", "zmq_msg_data"):
    getattr(zmq, name).restype = ctypes.c_void_p
zmq.zmq_msg_size.restype = ctypes.c_size_t

context = ctypes.c_void_p(zmq.zmq_init(1))
sockets: list[ctypes.c_void_p] = []


def call(function: str, *arguments: object) -> int:
    """Call a function that is -1 when it fails."""
    result: int = getattr(zmq, function)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


def transfer(direction: str, sock: ctypes.c_void_p, message: object, flags: int, deadline: float) -> None:
    """Send or receive one frame. Raises BlockingIOError when it can not be done until then."""
    while True:
        try:
            if hasattr(zmq, "zmq_msg_send"):  # since 3.2
                call(f"zmq_msg_{direction}", message, sock, flags | NOBLOCK)
            else:
                call(f"zmq_{direction}", sock, message, flags | NOBLOCK)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
        else:
            return


def send(sock: ctypes.c_void_p, deadline: float, parts: list[bytes]) -> None:
    for place, part in enumerate(parts, 1):
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        call("zmq_msg_init_size", message, ctypes.c_size_t(len(part)))
        ctypes.memmove(zmq.zmq_msg_data(message), part, len(part))
        transfer("send", sock, message, SNDMORE if place < len(parts) else 0, deadline)
        call("zmq_msg_close", message)


def receive(sock: ctypes.c_void_p, deadline: float) -> list[bytes]:
    parts = []
    more = ctypes.c_int64(1)  # 2.x writes 64 bits, the others 32
    while more.value:
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        call("zmq_msg_init", message)
        transfer("recv", sock, message, 0, deadline)
        parts.append(ctypes.string_at(zmq.zmq_msg_data(message), zmq.zmq_msg_size(message)))
        call("zmq_msg_close", message)
        size = ctypes.c_size_t(ctypes.sizeof(more))
        call("zmq_getsockopt", sock, RCVMORE, ctypes.byref(more), ctypes.byref(size))
    return parts


def answer(verb: str, *words: str) -> list[str]:
    if verb == "open":
        sockets.append(ctypes.c_void_p(zmq.zmq_socket(context, int(words[0]))))
        return [str(len(sockets) - 1)]
    sock, first, *rest = sockets[int(words[0])], *words[1:]
    if verb in ("bind", "connect"):
        call(f"zmq_{verb}", sock, first.encode())
    elif verb == "set":
        value = bytes.fromhex(rest[0][1:])
        call("zmq_setsockopt", sock, int(first), value, ctypes.c_size_t(len(value)))
    else:
        deadline = time.monotonic() + int(first) / 1000
        if verb == "receive":
            return [f"x{part.hex()}" for part in receive(sock, deadline)]
        send(sock, deadline, [bytes.fromhex(word[1:]) for word in rest])
    return []


for line in sys.stdin:
    try:
        said = ["ok", *answer(*line.split())]
    except BlockingIOError:
        said = ["again"]
    except OSError as error:
        said = ["error", str(error)]
    print(*said, flush=True)
os._exit(0)  # there is nothing that a socket still has to do

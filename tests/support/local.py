"""Clients of an egress: plain ZMTP of each version, as real libraries are on the wire.

``begin()`` is what a client says before the other side has finished the handshake, ``complete()`` is the rest of it.
Between the two an egress reaches its remote.
"""

from typing import Self

from support import zmtp
from support.old import SIGNATURE, TYPES, Peer1, Peer2
from support.peer import Peer


class Client(Peer):
    """As libzmq 4."""

    def say_first(self) -> None:
        """Say what is said to nobody in particular."""
        self.send_raw(SIGNATURE)

    def go_on(self) -> None:
        """Say the rest of what comes before the other side has finished."""
        rest = zmtp.greeting(b"NULL", version=(3, self.minor))[10:]
        self.recv_exactly(10)
        self.send_raw(rest[:1])
        assert self.recv_exactly(1) == b"\3"
        self.send_raw(rest[1:])
        self.recv_exactly(53)
        self.send_ready()

    def begin(self) -> None:
        self.say_first()
        self.go_on()

    def complete(self) -> Self:
        self.recv_ready()
        return self

    def handshake(self) -> Self:
        self.begin()
        return self.complete()


class Client1(Client, Peer1):
    """As libzmq 2.x: it says its identity at once, and then whatever its application sends."""

    def say_first(self) -> None:
        self.send_identity()

    def go_on(self) -> None:
        pass

    def complete(self) -> Self:
        self.recv_identity()
        return self


class Client2(Client, Peer2):
    """As libzmq 3.2: it answers a signature with version and type, and says its identity when it was told ours.

    Of one without an identity, which its signature tells, our type is held back too.
    """

    def say_first(self) -> None:
        length = len(self.properties["Identity"]) + 1
        self.send_raw(b"\xff" + length.to_bytes(8, "big") + b"\x7f")

    def go_on(self) -> None:
        assert self.recv_exactly(10)[::9] == b"\xff\x7f"
        self.send_raw(bytes([1, TYPES.index(self.properties["Socket-Type"].decode())]))
        assert self.recv_exactly(1) in (b"\1", b"\3")
        if self.properties["Identity"]:
            self.say_identity()

    def complete(self) -> Self:
        if not self.properties["Identity"]:
            self.say_identity()
        self.theirs["Identity"] = self.recv_frame().body
        return self

    def say_identity(self) -> None:
        """Once the other side's type is known."""
        self.theirs = {"Socket-Type": TYPES[self.recv_exactly(1)[0]].encode()}
        self.send_raw(zmtp.frame(self.properties["Identity"]))

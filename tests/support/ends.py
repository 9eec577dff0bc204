"""The two outer ends of a relay as peers, one that speaks CURVE and one that does not; and the forms of messages."""

from collections.abc import Iterator
from contextlib import suppress
from socket import SHUT_WR, socket

from curveproxy.proxy.net.reactor import GONE, READ
from curveproxy.wire.codec.suites import available_suites
from curveproxy.wire.zmtp.frame import Dialect
from support import curve, old, zmtp
from support.records import Direction
from support.relaying import CHAINS, FIRST_NONCE, KEY, Relay

FORMS = {"message": 0, **{suite.word: int(suite) for suite in available_suites()}}  # as ``Relay.suite``

Message = list[bytes]


class End:
    """One outer end of a relay, as a peer that speaks CURVE or not. dialect: of one that does not."""

    def __init__(self, relay: Relay, side: str, boxed: str, dialect: Dialect = Dialect.V3) -> None:
        self._relay, self._is_boxed, self._dialect = relay, side == boxed, dialect
        self.socket: socket = relay.client if side == "downstream" else relay.service
        self.side = relay.near if side == "downstream" else relay.far
        self._sends, self._hears = (
            (curve.FROM_CLIENT, curve.FROM_SERVER) if boxed == "downstream" else (curve.FROM_SERVER, curve.FROM_CLIENT)
        )
        self._nonce, self._came = FIRST_NONCE - 1, b""
        self._records = [Direction(chain, Relay.suite) for chain in CHAINS[:: 1 if side == "downstream" else -1]]

    def frame(self, body: bytes, *, more: bool = False, command: bool = False) -> bytes:
        if not self._is_boxed:
            frame = old.frame1 if self._dialect == Dialect.V1 else zmtp.frame
            return frame(body, zmtp.MORE * more + zmtp.COMMAND * command)
        if Relay.suite:
            octets = zmtp.frame(body, zmtp.MORE * more + zmtp.COMMAND * command)
            return b"".join(self._records[0].seal(octets[at : at + 60]) for at in range(0, len(octets), 60))
        self._nonce += 1
        flags = curve.INNER_MORE * more + curve.INNER_COMMAND * command
        return zmtp.frame(curve.message(KEY, self._sends, self._nonce, body, flags))

    def send(self, octets: bytes) -> None:
        for start in range(0, len(octets), 100):
            self.socket.send(octets[start : start + 100])
            self._relay.wake(self.side, READ)
            self._relay.go_on()

    def send_messages(self, messages: list[Message]) -> None:
        for message in messages:
            for place, body in enumerate(message, 1):
                self.send(self.frame(body, more=place < len(message)))

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows what has been heard."""
        try:
            return not self.socket.recv(1)
        except BlockingIOError:
            return False

    def hear(self) -> Iterator[zmtp.Frame]:
        """Frames that came, in the clear."""
        with suppress(BlockingIOError):
            while got := self.socket.recv(1 << 20):
                self._came += got
        is_old = self._dialect == Dialect.V1 and not self._is_boxed
        if self._is_boxed and Relay.suite:
            octets, self._came = self._records[1].open(self._came)
            yield from zmtp.read_frames(octets)
            return
        frames, self._came = (old.read_frames1 if is_old else zmtp.read_frames)(self._came), b""
        for frame in frames:
            if not self._is_boxed:
                yield frame
                continue
            _, flags, data = curve.read_message(frame.body, KEY, self._hears)
            inner = zmtp.COMMAND * bool(flags & curve.INNER_COMMAND) + zmtp.MORE * bool(flags & curve.INNER_MORE)
            yield zmtp.Frame(inner, data)

    def messages(self) -> list[Message]:
        found: list[Message] = [[]]
        for flags, body in self.hear():
            found[-1].append(body)
            if not flags & zmtp.MORE:
                found.append([])
        assert found.pop() == []
        return found

    def close(self) -> None:
        self.socket.shutdown(SHUT_WR)
        self._relay.wake(self.side, READ | GONE)
        self._relay.go_on()


def ends(relay: Relay, boxed: str, dialect: Dialect = Dialect.V3) -> tuple[End, End]:
    """Downstream's and upstream's. boxed: the side that speaks CURVE; dialect: of the other."""
    return End(relay, "downstream", boxed, dialect), End(relay, "upstream", boxed, dialect)

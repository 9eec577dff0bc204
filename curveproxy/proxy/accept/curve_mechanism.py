"""The units of CURVE (RFC 26): greeting, HELLO, INITIATE. The cookie keeps what must be remembered between two units.

Whoever asks for the server's certificates by its greeting is told them, and has no more to say.

The order of the checks is the defence: size and name before anything is read, one curve operation before WELCOME, and
the proof of the key before anything is dialled.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.half_open import Authenticated, Gate, HalfOpen, Unit
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire import spec
from curveproxy.wire.codec.select import answer_hello_untrusted, open_initiate_untrusted
from curveproxy.wire.curve import asking
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.security import Version
from curveproxy.wire.sodium import randombytes
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.greeting import MAJOR_END, MECHANISM_AT, MECHANISM_END, MINOR_AT, check_client_untrusted

# Sent at accept. Our mechanism follows only after the client's: libzmq closes without a word when it sees a mechanism
# that is not its own, and the log could not tell that the client has no CURVE. Two libzmq need as many round trips.
OPENING = curve_server.GREETING[:MAJOR_END]


class CurveMechanism:
    """The units of one listener."""

    def __init__(self, cookies: CookieKeys, transient_keys: TransientKeys) -> None:
        self._cookies, self._transient_keys = cookies, transient_keys
        self._gates: Mapping[KeyPair, Gate] = {}
        self._servers: tuple[KeyPair, ...] = ()
        self._told = b""  # what is said to whoever asks for certificates; empty where there are none
        self.units: Sequence[Unit] = ()

    def configure(self, gates: Sequence[Gate]) -> None:
        """The server key with which a client made its HELLO selects the service."""
        self._gates = {pair: gate for gate in gates for pair in gate.settings.server_keys}
        self._servers = tuple(self._gates)
        texts = [text for gate in gates for text in gate.settings.certificates]
        self._told = asking.answer(texts) if texts else b""
        most = gates[0].settings.admission.max_initiate_bytes
        self.units = (
            Unit(spec.GREETING_SIZE + 1, self._measure_greeting, self._take_greeting, opening=OPENING),
            Unit(spec.HELLO_SIZE + spec.LONG_HEADER + 1, _measure_hello, self._take_hello, waits_for_service=True),
            Unit(
                most + spec.LONG_HEADER, partial(curve_server.initiate_mark_untrusted, most=most), self._take_initiate
            ),
        )

    def error(self, reason: str) -> bytes:
        return curve_server.error(reason)

    def _measure_greeting(self, seen: Octets) -> tuple[int, int, int]:
        mark = check_client_untrusted(seen, spec.CURVE_CERTIFICATE)
        if not self._told and _asks_for_certificates(seen):
            raise RefusedError(Outcome.MECHANISM, "it asks for certificates, and none are set here")
        return mark, 0, spec.GREETING_SIZE

    def _take_greeting(self, half: HalfOpen, body: bytes) -> None:
        if _asks_for_certificates(body):
            half.answer(self._told[MAJOR_END:] if half.mark else self._told)
            raise RefusedError(Outcome.CERTIFICATE_ASKED)
        half.note(body[MINOR_AT])
        half.answer(curve_server.GREETING[MAJOR_END:] if half.mark else curve_server.GREETING)

    def _take_hello(self, half: HalfOpen, body: bytes) -> None:
        rotating, pair, chance = self._cookies.current, self._transient_keys.peek(), randombytes(2 * spec.LONG_NONCE)
        server, nonce, welcome = answer_hello_untrusted(
            body, self._servers, rotating, half.cookie_binding(), pair, chance
        )
        self._transient_keys.used()
        half.chose(self._gates[server], server, nonce)
        half.answer(welcome)

    def _take_initiate(self, half: HalfOpen, body: bytes) -> Authenticated:
        rotating, server = self._cookies.good, half.server.public
        opened = open_initiate_untrusted(body, server, rotating, half.cookie_binding(), half.hello_nonce)
        initiate = curve_server.Initiate.read_untrusted(*opened)
        agreed = initiate.agree(half.gate.settings.record_terms)
        return Authenticated(
            initiate.client,
            server,
            initiate.properties,
            Version(Dialect.V3, half.noted),
            partial(curve_server.conclude, initiate, server, agreed),
            has_records=agreed is not None,
        )


def _asks_for_certificates(greeting: Octets) -> bool:
    return bytes(greeting[MECHANISM_AT:MECHANISM_END]) == spec.CURVE_CERTIFICATE


def _measure_hello(seen: Octets) -> tuple[int, int, int]:
    mark, begin, end = curve_server.hello_mark_untrusted(seen)
    if len(seen) > end >= mark:  # nobody can say INITIATE yet: this one fills the kernel's memory
        raise RefusedError(Outcome.COMMAND, "more than HELLO has come, before WELCOME")
    return mark, begin, end

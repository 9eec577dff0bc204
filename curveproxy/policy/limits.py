"""The limits of one service as configured, and as they are in force with the descriptors of the process."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, le


def whole(default: int, *, least: int, most: int = 2**63 - 1) -> Any:
    """A whole number with its bounds."""
    return field(default=default, validator=[ge(least), le(most)])


def positive(default: float, most: float) -> Any:
    """A number of seconds above zero."""
    return field(default=default, validator=[gt(0), le(most)])


# A cookie is valid for so long, and no handshake may last longer than its cookie.
MAX_HANDSHAKE_SECONDS = 60

# Descriptors of neither half-open connections nor sessions: listeners, the admin page, log, epolls, threads, a list
# that is read, a check whether a service listens. Lingering closes are counted among the half-open connections.
RESERVED_DESCRIPTORS = 128


@frozen
class WorkerShare:
    """The part of a limit that one of several processes has. index: of the process, from 0; of: how many there are."""

    index: int = 0
    of: int = 1

    def part(self, whole: int, least: int = 1) -> int:
        """One process's part. All parts add up to the whole, unless that is less than ``least`` for each."""
        return max(least, whole // self.of + (self.index < whole % self.of))


WHOLE = WorkerShare()


@frozen
class AdmissionLimits:
    """``[service.admission]``: what clients may use before they have proved a key, and how many may connect."""

    handshake_seconds: float = positive(10.0, MAX_HANDSHAKE_SECONDS)
    max_half_open: int = whole(16384, least=1)
    max_half_open_per_source: int = whole(256, least=1)
    handshakes_per_second_per_source: int = whole(100, least=1)
    max_initiate_bytes: int = whole(4096, least=257, most=65536)
    max_sessions: int = whole(16384, least=1)
    backend_connect_seconds: float = positive(5.0, 3600)

    def divided(self, share: WorkerShare) -> "AdmissionLimits":
        """The limits of one process that accepts this share of the connections."""
        return evolve(self, **{name: share.part(getattr(self, name)) for name in DIVIDED})


# Limits of counts: each process counts its own connections only.
DIVIDED = ("max_half_open", "max_half_open_per_source", "handshakes_per_second_per_source", "max_sessions")


# Limits that apply before HELLO, when it is not known yet which of the services that share an endpoint is meant.
BEFORE_HELLO = (
    "handshake_seconds",
    "max_half_open",
    "max_half_open_per_source",
    "handshakes_per_second_per_source",
    "max_initiate_bytes",
)


class OnInvalid(StrEnum):
    """What happens at a message that is invalid: the session ends, or the message alone is lost."""

    DISCONNECT = "disconnect"
    DROP = "drop"


class RecordsMode(StrEnum):
    """Whether messages may go in records: where the other side is a curveproxy that can, never, or always."""

    AUTO = "auto"
    OFF = "off"
    REQUIRE = "require"


# What seals records, by the names that ``wire.codec.suites`` has for it.
RECORD_SUITES = ("aegis-256", "xsalsa20-poly1305")
PAD_LEAST, PAD_MOST = 64, 32768


def _check_padding(_: object, __: object, size: int) -> None:
    if size and (size.bit_count() != 1 or not PAD_LEAST <= size <= PAD_MOST):
        raise ValueError(f"{size} is not 0, nor a power of two from {PAD_LEAST} to {PAD_MOST}")


def _kept(suites: Sequence[str]) -> tuple[str, ...]:
    return tuple(suites)


def _check_suites(_: object, __: object, suites: Sequence[str]) -> None:
    if not suites:
        raise ValueError('it is empty: name a suite, or write records = "off"')
    if unknown := [suite for suite in suites if suite not in RECORD_SUITES]:
        raise ValueError(f"there is no {unknown[0]!r}: there are {', '.join(RECORD_SUITES)}")
    if len(set(suites)) < len(suites):
        raise ValueError("one of them is there twice")


@frozen
class MessageLimits:
    """``[service.messages]``: what authenticated clients may send, and in which form messages go.

    records: whether several go in one box, to another curveproxy; record_suites: what may seal that, the best first.
    pad_to: what we seal so is padded to a multiple of so many octets; 0 for not at all.
    """

    max_message_bytes: int = whole(67_108_864, least=1)
    on_invalid: OnInvalid = OnInvalid.DISCONNECT
    max_invalid_per_minute: int = whole(100, least=1)
    records: RecordsMode = RecordsMode.AUTO
    record_suites: Sequence[str] = field(default=RECORD_SUITES, converter=_kept, validator=_check_suites)
    pad_to: int = field(default=0, validator=_check_padding)


@frozen
class ClientLimits:
    """Limits of one client's key in a service, all its sessions together; 0 for no limit."""

    max_sessions: int = 0
    messages_per_second: int = 0
    bytes_per_second: int = 0


UNLIMITED = ClientLimits()


def sessions_in_force(configured: int, descriptors: int) -> int:
    """How many sessions of two descriptors each fit beside twice the reserve; at least one."""
    return max(1, min(configured, (descriptors - 2 * RESERVED_DESCRIPTORS) // 2))


def half_open_in_force(configured: int, descriptors: int, sessions: int) -> int:
    """How many half-open connections fit beside ``sessions``; at least one, so that eviction can still make room."""
    return max(1, min(configured, descriptors - 2 * sessions - RESERVED_DESCRIPTORS))

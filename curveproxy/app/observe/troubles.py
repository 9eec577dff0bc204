"""What an operator should look at: judged by the status of services."""

from collections.abc import Iterator, Sequence

from curveproxy.app.observe.history import JUMPED, NO_FAILURE, RIVALS
from curveproxy.app.observe.status import Count, Level, ServiceStatus, Trouble
from curveproxy.app.observe.text import duration
from curveproxy.reasons import ClientFailure, Closed, EgressOutcome, Outcome, Reasoned

NO_KEY, NO_KEY_HINT = "no server key is left", "nobody can connect: put a key file back"
NO_REMOTE_KEY, NO_REMOTE_KEY_HINT = "no key of the remotes is left", "none can be dialled: put a key file back"
NOBODY, NOBODY_HINT = "nobody can connect", "put the clients' .key files into the clients directory"
DESCRIPTORS_HINT = (
    "all services share them: raise the hard limit (LimitNOFILE, ulimit -n), or find out who holds so many connections"
)
HELD_BACK_HINT = (
    "they have what busy sessions leave of the time: give it another worker, or find out who comes so often"
)
# The part of the time from which on it is worth a word that clients which come in are held back.
HELD_BACK = 0.5
# A certificate of ours ends soon: as the alert has it.
SOON_SECONDS = 2 * 86400
OWN_HINT = "have the key signed again, and put the certificate in its place: it is read within a second"
# Events shown as trouble when recent.
TROUBLING = {"client refused", "invalid message", "unexpected error", JUMPED, RIVALS}
# Also what an operator does.
EXPECTED: set[Reasoned] = {*NO_FAILURE, Outcome.SHUTDOWN}


def all_troubles(
    services: Sequence[ServiceStatus], descriptors: Level, now: float, held_back: float = 0.0
) -> list[Trouble]:
    """All that is wrong, the worst first. now: Unix seconds; held_back: as of ``Status``."""
    troubles = [trouble for service in services for trouble in _troubles(service)]
    troubles += [trouble for service in services for trouble in _own_certificates(service, now)]
    if descriptors.limit and descriptors.is_near:
        what = f"{descriptors.value:,} of {descriptors.limit:,} descriptors are in use, of all services together"
        troubles.append(Trouble("curveproxy", False, what, "descriptors", DESCRIPTORS_HINT))
    if held_back >= HELD_BACK:
        what = (
            f"clients come in slowly: sessions have work, for which they waited {held_back:.0%} of the last half minute"
        )
        troubles.append(Trouble("curveproxy", False, what, "held back", HELD_BACK_HINT))
    return sorted(troubles, key=lambda trouble: not trouble.is_bad)


def _troubles(service: ServiceStatus) -> Iterator[Trouble]:
    """What is wrong with one service."""

    def trouble(what: str, word: str, hint: str, *, bad: bool = False) -> Trouble:
        return Trouble(service.name, bad, what, word, hint)

    if service.backend_up is False:
        failures = (count for count in service.counts if count.event == "backend failed")
        last = min(failures, key=lambda count: count.ago)
        down = "are down" if ", " in service.backend else "is down"
        yield trouble(f"{service.backend} {down}: {_sentence(last)}", last.word, last.hint, bad=True)
    if not service.server_keys and service.is_egress:
        yield trouble(NO_REMOTE_KEY, ClientFailure.KEYS, NO_REMOTE_KEY_HINT, bad=True)
    elif not service.server_keys:
        yield trouble(NO_KEY, Outcome.HELLO_BOX, NO_KEY_HINT, bad=True)
    if service.client_keys == 0 and not service.certificate_sessions:
        yield trouble(NOBODY, Outcome.CLIENT_UNKNOWN, NOBODY_HINT, bad=True)
    for level, of, word in (
        (service.sessions, "sessions", Outcome.SESSIONS_LIMIT),
        (service.half_open, "half-open connections", Outcome.EVICTED),
    ):
        if level.is_near:
            full = level.value >= level.limit
            what = f"{level.value:,} of {level.limit:,} {of}: {'full' if full else 'nearly full'}"
            yield trouble(what, word, EgressOutcome(word).hint if service.is_egress else word.hint, bad=full)
    for count in service.counts:
        is_troubling = count.event in TROUBLING or count.word == Closed.MEMORY
        if count.recent and is_troubling and count.word not in EXPECTED:
            is_bad = count.word == Outcome.INTERNAL
            yield Trouble(service.name, is_bad, _sentence(count), count.word, count.hint, is_down=False)


def _own_certificates(service: ServiceStatus, now: float) -> Iterator[Trouble]:
    """Those that end soon. Who knows the key itself still comes in, so that nobody need be turned away."""
    for kind, until in service.own_certificates.items():
        if until - now < SOON_SECONDS:
            how = f"ends in {duration(until - now)}" if until > now else f"has ended {duration(now - until)} ago"
            what, word = f"our certificate as {kind} {how}", ClientFailure.CERTIFICATE_EXPIRED
            yield Trouble(service.name, until <= now, what, word, OWN_HINT, is_down=False)


def _sentence(count: Count) -> str:
    """``client refused, 14 in two minutes, the last 3 s ago, 192.0.2.1:4242``."""
    facts = [count.event, f"{count.recent:,} in two minutes", f"the last {duration(count.ago)} ago"]
    return ", ".join([*facts, *filter(None, [count.peer, count.detail])])

"""How the sessions of a running proxy end, and what was wrong in them: counted in a metric, told in the log."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from support.process import Sidecar, wait_until

from curveproxy.reasons import Invalid

ENDED, FLAWS = "curveproxy_sessions_closed_total", "curveproxy_invalid_messages_total"


def counted(proxy: Sidecar) -> dict[str, Counter[str]]:
    """Reason -> how often, of endings and of flaws."""
    found: dict[str, Counter[str]] = {ENDED: Counter(), FLAWS: Counter()}
    for (name, labels), value in proxy.metrics().items():
        if name in found:
            found[name][dict(labels)["reason"]] += int(value)
    return found


@contextmanager
def ending(proxy: Sidecar, ended: Mapping[str, int], flaws: Mapping[str, int] | None = None) -> Iterator[None]:
    """Sessions end for these reasons, with these flaws in them, and nothing else ends or is wrong.

    Each reason must have been told once at least, for such lines are rate-limited, and each flaw with its hint.
    """
    before = counted(proxy)
    yield

    def come(name: str) -> dict[str, int]:
        return dict(counted(proxy)[name] - before[name])

    wait_until(lambda: sum(come(ENDED).values()) >= sum(ended.values()), f"endings {ended}")
    assert come(ENDED) == ended
    assert come(FLAWS) == (flaws or {})
    told = {line["reason"] for line in proxy.log if line["event"] == "session closed"}
    assert told >= set(ended)
    hints = {line["reason"]: line["hint"] for line in proxy.log if line["event"] == "invalid message"}
    for flaw in flaws or {}:
        assert hints[flaw] == Invalid(flaw).hint

"""The hint beside a reason: its own, or that of what the detail names."""

import re

from curveproxy.reasons import CertificateFlaw, Outcome, Reasoned

# Whose details begin with the word of a flaw, behind the address of a remote where there are several. The same words
# are those of a service's clients, and of an egress's remotes.
_BY_FLAW = {str(Outcome.CERTIFICATE), str(Outcome.CERTIFICATE_EXPIRED)}
_FLAWS = {str(flaw): flaw for flaw in CertificateFlaw}


def hint_of(reason: Reasoned, detail: str) -> str:
    """Cause and remedy. detail: in our own words."""
    if reason in _BY_FLAW:
        for word in re.split("[:;] ", detail):
            if word in _FLAWS:
                return _FLAWS[word].hint
    return reason.hint

"""The hint beside a reason: its own, or that of what the detail names."""

import re

from curveproxy.reasons import CertificateFlaw, Outcome, Reasoned

# Whose details begin with the word of a flaw, behind the address of a remote where there are several. The same words
# are those of a service's clients, and of an egress's remotes.
_BY_FLAW = {str(Outcome.CERTIFICATE), str(Outcome.CERTIFICATE_EXPIRED)}
_FLAWS = {str(flaw): flaw for flaw in CertificateFlaw}


def explained(reason: Reasoned, detail: str) -> Reasoned:
    """Whose cause and remedy are told: the reason itself, or the flaw of the certificate. detail: in our own words."""
    if reason in _BY_FLAW:
        for word in re.split("[:;] ", detail):
            if word in _FLAWS:
                return _FLAWS[word]
    return reason


def hint_of(reason: Reasoned, detail: str) -> str:
    """Both in one line, for the log."""
    return explained(reason, detail).hint

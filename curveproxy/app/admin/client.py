"""Requests to the admin server of a running proxy."""

import http.client

from curveproxy.proxy.net.endpoint import Endpoint

ANSWER_SECONDS = 5
ANSWER_MAX = 1 << 22
# Where a listener on all addresses can be reached.
LOOPBACK = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class NobodyAnswersError(Exception):
    """There was no answer, and why."""


def ask(address: Endpoint, path: str) -> tuple[int, str]:
    """Send a request. Returns status and text. Raises NobodyAnswersError."""
    host = LOOPBACK.get(address.host, address.host)
    connection = http.client.HTTPConnection(host, address.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_MAX).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        where = str(address).removeprefix("tcp://")
        raise NobodyAnswersError(f"nobody answers on {where}: {str(error).lower()}") from None
    finally:
        connection.close()

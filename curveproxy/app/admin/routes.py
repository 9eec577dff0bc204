"""The status page, its JSON, and what can be done on it; and who may: by default loopback alone, and nothing.

A browser on this machine is loopback too, whatever site it shows. So the Host must be a name of this machine (a name
that was rebound to it is not), and who acts must have the page's own token and come from the page itself.
"""

import re
import secrets
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from curveproxy.app.admin import page
from curveproxy.app.config.schema import EVERYWHERE, AdminConfig
from curveproxy.app.observe.log import LOST, LOST_HINT
from curveproxy.app.observe.status import Query, Status, Trouble
from curveproxy.proxy.net.endpoint import is_local

# A form with a token in it is shorter.
FORM_MAX = 1000
# A session's number has no more digits.
NUMBER = re.compile(r"[0-9]{1,18}")
# uri-host of RFC 9110, 7.2, in brackets where it is IPv6; no user name.
HOST_HEADER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::[0-9]{0,5})?")
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none a browser hides where a form comes from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REMOTE = "loopback only: go through an SSH tunnel or kubectl port-forward, or set public_page = true in [admin]"
HOST = "this is not a name of this machine: use 127.0.0.1 or localhost, or set public_page = true in [admin]"
NO_ACTIONS = "nothing can be done here: set allow_actions = true in [admin]"
FORGED = "this does not come from the page: load it again"
GONE = "that session has ended already"


def refusal(status: int, why: str) -> HTTPException:
    """A request that is not answered, as one line of text."""
    return HTTPException(status, f"{why}\n", HEADERS)


class Shown(Protocol):
    """What the pages are of (``relay.Relays``)."""

    async def look(self, query: Query) -> Status:
        """What is to be seen, now."""

    async def end(self, number: int) -> bool:
        """End the session of that number. False when it has ended already."""


class Routes:
    """What is shown, and to whom.

    not_ready: as for ``admin.application``; troubles: of the process itself; settings: as a reload has left them.
    """

    def __init__(
        self,
        shown: Shown,
        not_ready: Callable[[], str],
        troubles: Callable[[], list[Trouble]],
        settings: Callable[[], AdminConfig],
    ) -> None:
        self._shown, self._not_ready, self._troubles, self._settings = shown, not_ready, troubles, settings
        self._token = secrets.token_urlsafe()

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/", self._page),
            Route("/api/status", self._json),
            Route("/sessions/{number}/end", self._end, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        query = self._query(request)
        token = self._token if self._settings().allow_actions else ""
        html = page.render(await self._look(query), query, token)
        return HTMLResponse(html, headers=HEADERS | {"Content-Security-Policy": page.POLICY})

    async def _json(self, request: Request) -> Response:
        return JSONResponse(attrs.asdict(await self._look(self._query(request))), headers=HEADERS)

    async def _end(self, request: Request) -> Response:
        self._admit(request)
        if not self._settings().allow_actions:
            raise refusal(403, NO_ACTIONS)
        scheme, _, place = request.headers.get("origin", "").partition("://")
        if scheme not in ("http", "https") or place != request.headers.get("host"):
            raise refusal(403, FORGED)
        token = (await _form(request)).get("token", "")
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            raise refusal(403, FORGED)
        number = request.path_params["number"]
        if not NUMBER.fullmatch(number) or not await self._shown.end(int(number)):
            raise refusal(404, GONE)
        query = request.scope["query_string"].decode("latin-1")  # request.url would read the Host too
        return RedirectResponse(f"/?{query}", 303, headers=HEADERS)

    async def _look(self, query: Query) -> Status:
        status = await self._shown.look(query)
        troubles = [*status.troubles, *self._troubles()]
        if status.log_lines_lost:
            troubles.append(Trouble("curveproxy", False, f"{status.log_lines_lost:,} {LOST}", "log", LOST_HINT))
        return attrs.evolve(status, state=self._not_ready() or "ready", troubles=troubles)

    def _query(self, request: Request) -> Query:
        self._admit(request)
        try:
            return Query.parse(request.query_params)
        except ValueError as error:
            raise refusal(400, str(error.args[0])) from None

    def _admit(self, request: Request) -> None:
        """Raises HTTPException."""
        settings = self._settings()
        if settings.public_page:
            return
        if request.client is None or not is_local(request.client.host):
            raise refusal(403, REMOTE)
        own = settings.address.host if settings.address else ""
        if not _is_ours(request.headers.get("host", ""), own):
            raise refusal(403, HOST)


def _is_ours(host: str, own: str) -> bool:
    """Whether a Host is a name of this machine. own: where the configuration says to listen."""
    if (found := HOST_HEADER.fullmatch(host)) is None:
        return False
    name = (found[1] or found[2]).lower()
    if name == "localhost" or (name == own.lower() and own not in EVERYWHERE):
        return True
    try:
        return is_local(name)
    except ValueError:
        return False


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_MAX:
            raise refusal(413, "a form of ours is shorter")
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}

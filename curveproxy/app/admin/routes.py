"""The status page, its JSON and its actions, and who may use them: by default only loopback, and no actions.

A browser on this machine is loopback too, whatever site it shows. So the Host must be a name of this machine, against
names that were rebound to it, and an action needs the token of the page and must come from the page.
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

# More than a form with a token needs.
FORM_MAX = 1000
# The number of a session.
NUMBER = re.compile(r"[0-9]{1,18}")
# uri-host of RFC 9110, 7.2, in brackets where it is IPv6; no user name.
HOST_HEADER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::[0-9]{0,5})?")
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser hides where a form comes from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REMOTE = "loopback only: go through an SSH tunnel or kubectl port-forward, or set public_page = true in [admin]"
HOST = "this is not a name of this machine: use 127.0.0.1 or localhost, or set public_page = true in [admin]"
NO_ACTIONS = "nothing can be done here: set allow_actions = true in [admin]"
FORGED = "this does not come from the page: load it again"
GONE = "that session has ended already"


def refusal(status: int, why: str) -> HTTPException:
    """The answer to a request that is refused, as one line of text."""
    return HTTPException(status, f"{why}\n", HEADERS)


class Inspectable(Protocol):
    """A relay, to those who look at it."""

    async def look(self, query: Query) -> Status:
        """The status as it is now."""

    async def end(self, number: int) -> bool:
        """End the session of that number. False when it has ended already."""


class Routes:
    """The routes of the status page.

    not_ready: as for ``server.application``; troubles: of the process itself; settings: those in force.
    """

    def __init__(
        self,
        relay: Inspectable,
        not_ready: Callable[[], str],
        troubles: Callable[[], list[Trouble]],
        settings: Callable[[], AdminConfig],
    ) -> None:
        self._relay, self._not_ready, self._troubles, self._settings = relay, not_ready, troubles, settings
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
        if not NUMBER.fullmatch(number) or not await self._relay.end(int(number)):
            raise refusal(404, GONE)
        query = request.scope["query_string"].decode("latin-1")  # request.url would read the Host too
        return RedirectResponse(f"/?{query}", 303, headers=HEADERS)

    async def _look(self, query: Query) -> Status:
        status = await self._relay.look(query)
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
    """Whether a Host is a name of this machine. own: the host of the admin server's address."""
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

"""The status page as HTML: first what is wrong, then the services, the outcomes and reasons, and the sessions.

It is built of elements, whose text ElementTree escapes; no markup is built from strings.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, tostring

import attrs

from curveproxy.app.observe.status import SORTS, Count, Level, Query, ServiceStatus, SessionStatus, Status, Trouble
from curveproxy.app.observe.text import duration, short
from curveproxy.wire.timestamp import write_time

STYLE, SCRIPT = (files("curveproxy.app.admin").joinpath(name).read_text() for name in ("page.css", "page.js"))
# The page may load these two and nothing else. By their hashes, for a nonce would be another one at each refresh.
POLICY = "; ".join(
    [
        "default-src 'none'",
        *(
            f"{what} 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
            for what, text in (("style-src", STYLE), ("script-src", SCRIPT))
        ),
        "img-src data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
# The size of a sparkline, in its own units.
WIDTH, HEIGHT = 120, 24

Content = Element | str


def element(tag: str, *content: Content, **attributes: object) -> Element:
    """An element. An attribute without a value is left out; its name may end with an underscore."""
    given = {name.strip("_").replace("_", "-"): str(value) for name, value in attributes.items() if value is not None}
    made = Element(tag, given)
    for each in content:
        if isinstance(each, Element):
            made.append(each)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + each
        else:
            made.text = (made.text or "") + each
    return made


def render(status: Status, query: Query, token: str) -> str:
    """The whole page. token: what the buttons send; without one there are no buttons."""
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("link", rel="icon", href="data:,"),
            element("title", _title(status)),
            element("style", STYLE),
        ),
        element(
            "body",
            _header(status),
            element("p", "nobody answers: what stands here is old", id="stale", hidden=""),
            element(
                "main",
                _troubles(status.troubles),
                _services(status.services),
                _counts(status.services),
                _unknown_keys(status.services),
                element("section", element("h2", "Sessions"), _form(status, query), _sessions(status, query, token)),
            ),
            element("script", SCRIPT),
        ),
        lang="en",
    )
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html")


def _title(status: Status) -> str:
    wrong = f"({len(status.troubles)}) " if status.troubles else ""
    return f"{wrong}curveproxy on {status.host}"


def _header(status: Status) -> Element:
    return element(
        "header",
        element("h1", "curveproxy"),
        _pill(status.state, "good" if status.state == "ready" else "warn"),
        element("span", f"on {status.host}"),
        element("span", f"{status.version}, {status.codec} codec"),
        element("span", f"up {duration(status.seconds)}"),
        element("span", _level(status.descriptors), " descriptors", title="of all services together"),
        id="head",
    )


def _pill(text: str, kind: str) -> Element:
    return element("span", text, class_=f"pill {kind}")


def _troubles(troubles: Sequence[Trouble]) -> Element:
    rows = [
        element(
            "li",
            _pill(trouble.label, "bad" if trouble.is_bad else "warn"),
            element("b", trouble.service),
            element("span", trouble.what),
            element("span", trouble.hint, class_="hint"),
        )
        for trouble in troubles
    ]
    calm = element("p", "Nothing is wrong.", class_="calm")
    return element("section", element("ul", *rows) if rows else calm, id="troubles")


# --- tables, which a narrow screen shows as cards: each cell has a label


def _table(columns: Sequence[str], rows: Iterable[Sequence[Content | None]], **attributes: object) -> Element:
    """A table. A cell that is None is empty, and left out of a card."""
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    body = [
        element(
            "tr",
            *(
                element("td") if cell is None else element("td", cell, data_label=name or None)
                for name, cell in zip(columns, cells, strict=True)
            ),
        )
        for cells in rows
    ]
    return element("table", element("thead", head), element("tbody", *body), **attributes)


def _lines(*content: Content, class_: str | None = None) -> Element:
    """Several things below each other."""
    return element("div", *(element("div", each) for each in content), class_=class_)


def _services(services: Sequence[ServiceStatus]) -> Element:
    columns = ("service", "backend", "sessions", "half-open", "messages a second", "messages · bytes", "refused, 2 min")
    return element(
        "section",
        element("h2", "Services"),
        _table(columns, [_service(service) for service in services], class_="services"),
        id="services",
    )


def _service(service: ServiceStatus) -> list[Content]:
    up = {None: _pill("not dialled", ""), True: _pill("up", "good"), False: _pill("down", "bad")}[service.backend_up]
    history = service.history
    if service.is_egress:
        keys = "local clients, no key"
    else:
        keys = "any key" if service.client_keys is None else f"{service.client_keys:,} client keys"
    now = history.messages[-1] if history.messages else 0.0
    by_certificate = [f"{count:,} by {authority}" for authority, count in service.certificate_sessions.items()]
    return [
        _lines(
            element("a", service.name, href=f"/?{urlencode({'service': service.name})}"),
            service.direction,
            service.endpoint,
            keys,
            *_certificates(service),
        ),
        _lines(up, service.backend),
        _lines(
            _level(service.sessions),
            _meter(service.sessions),
            _spark(history.sessions, "sessions"),
            *by_certificate,
        ),
        _lines(_level(service.half_open), _meter(service.half_open), _spark(history.half_open, "half-open")),
        _lines(element("b", short(now)), _spark(history.messages, "messages a second")),
        _lines(
            f"in {short(service.messages_in)} · {short(service.octets_in, 'B')}",
            f"out {short(service.messages_out)} · {short(service.octets_out, 'B')}",
        ),
        _lines(
            element("span", element("b", f"{service.refused:,}"), f" beside {service.admitted:,} admitted"),
            _spark(history.refusals, "refused a second"),
        ),
    ]


def _certificates(service: ServiceStatus) -> list[str]:
    """What a service has to do with certificates."""
    told = []
    if service.certificate_sessions:
        told.append(f"authorities: {', '.join(service.certificate_sessions)}")
    if service.revocations:
        told.append(f"{service.revocations:,} revoked")
    return told + [f"own certificate until {write_time(int(until))}" for until in service.own_certificates.values()]


def _unknown_keys(services: Sequence[ServiceStatus]) -> Element:
    """Unknown keys, each with a command that puts it on the list."""
    rows: list[list[Content]] = [
        [
            service.name,
            element("code", each.key),
            f"{each.total:,}, the last {duration(each.ago)} ago, {each.peer}",
            element("code", paste_line(each.key), class_="paste"),
        ]
        for service in services
        for each in service.unknown_keys
    ]
    columns = ("service", "unknown key", "refused", "to let it in, give it a name in the clients directory")
    content = [element("h2", "Unknown keys"), _table(columns, rows)] if rows else []
    return element("section", *content, id="unknown")


def paste_line(key: str) -> str:
    """A shell command that makes a client's key file. Z85 has neither quotes nor backslashes."""
    return f"printf '%s\\n' curve '    public-key = \"{key}\"' > clients/NAME.key"


def _level(level: Level) -> Element:
    return element("span", element("b", f"{level.value:,}"), f" of {level.limit:,}")


def _meter(level: Level) -> Element:
    return element(
        "progress", value=level.value, max=level.limit, class_="near" if level.is_near else None, aria_hidden="true"
    )


def _spark(values: Sequence[float], of: str) -> Element:
    """The last two minutes as a line; the newest figure is at the right edge."""
    top = max([*values, 1])
    left, step = WIDTH - len(values) + 1, 1
    points = " ".join(
        f"{left + step * at},{HEIGHT - 1 - (HEIGHT - 2) * value / top:.1f}" for at, value in enumerate(values)
    )
    text = f"{of}, two minutes: at most {short(max([*values, 0]))}"
    return element(
        "svg",
        element("title", text),
        element("polyline", points=points, vector_effect="non-scaling-stroke"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
    )


def _counts(services: Sequence[ServiceStatus]) -> Element:
    """All that has happened to them, the latest first."""
    counts = [(service, count) for service in services for count in service.counts]
    counts.sort(key=lambda each: (-each[1].recent, -each[1].total))
    columns = ("service", "event", "why", "2 min", "total", "last", "hint")
    rows = [[service.name, *_count(count)] for service, count in counts]
    table = _table(columns, rows, class_="counts") if rows else element("p", "Nobody has come yet.", class_="calm")
    return element("section", element("h2", "Outcomes and reasons"), table, id="counts")


def _count(count: Count) -> list[Content | None]:
    last = " · ".join(filter(None, [f"{duration(count.ago)} ago", count.peer, count.detail]))
    figures = [element("b", f"{count.recent:,}") if count.recent else "0", f"{count.total:,}"]
    return [count.event, element("code", count.word), *figures, last, count.hint or None]


# --- sessions


def _form(status: Status, query: Query) -> Element:
    names = {"": "all services"} | {service.name: service.name for service in status.services}
    return element(
        "form",
        element("input", name="filter", value=query.filter, placeholder="client or address", aria_label="filter"),
        _select("service", names, query.service),
        _select("sort", {sort: f"by {sort}" for sort in SORTS}, query.sort),
        element("button", "show"),
        method="get",
        action="/",
    )


def _select(name: str, options: dict[str, str], chosen: str) -> Element:
    return element(
        "select",
        *(
            element("option", text, value=value, selected="" if value == chosen else None)
            for value, text in options.items()
        ),
        name=name,
        aria_label=name,
    )


def _sessions(status: Status, query: Query, token: str) -> Element:
    columns = ["client", "service", "address", "age", "until", "type", "form", "ZMTP"]
    columns += ["messages in", "out", "bytes in", "out", *([""] if token else [])]
    here = urlencode(attrs.asdict(query))
    rows = [[*_session(session), *([_end(session, here, token)] if token else [])] for session in status.sessions]
    shown = f"{len(rows):,} of {status.matching:,} shown"
    table = [_table(columns, rows, class_="sessions")] if rows else []
    return element("div", element("p", shown, class_="calm"), *table, id="sessions")


def _session(session: SessionStatus) -> list[Content | None]:
    return [
        element("b", session.client),
        session.service,
        session.peer,
        duration(session.seconds),
        session.end or None,
        session.socket_type,
        session.short_form,
        session.zmtp,
        f"{session.messages_in:,}",
        f"{session.messages_out:,}",
        short(session.octets_in, "B"),
        short(session.octets_out, "B"),
    ]


def _end(session: SessionStatus, query: str, token: str) -> Element:
    return element(
        "form",
        element("input", type="hidden", name="token", value=token),
        element("button", "end", title="after the message that has begun; its client may come again"),
        method="post",
        action=f"/sessions/{session.id}/end?{query}",
    )

"""The status page as text: what a peer could have written is escaped, and nothing can be done without a token."""

import re
from html.parser import HTMLParser

import attrs
import pytest
from support.overview import count, status

from curveproxy.app.admin.page import POLICY, element, paste_line, render
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Query, Status, UnknownKey
from curveproxy.reasons import Outcome


class Texts(HTMLParser):
    """The tags of a page, and what is written in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def whole(**changes: object) -> Status:
    found = merged([status(True, 2, count(Outcome.CLIENT_UNKNOWN, 5, 1, 40))], Query())
    return attrs.evolve(found, services=[attrs.evolve(found.services[0], **changes)])  # type: ignore[arg-type]


def test_services_reasons_and_sessions_are_shown() -> None:
    page = Texts(render(whole(), Query(), ""))
    for text in ("orders", "tcp://127.0.0.1:5555", str(Outcome.CLIENT_UNKNOWN), "alice", "2 of 2 shown"):
        assert text in page.texts
    assert page.tags.count("table") == 3
    assert "form" in page.tags


def test_an_egress_is_shown_with_its_direction_and_without_keys_of_clients() -> None:
    remotes = "tcp://a.example:1, tcp://b.example:2"
    page = Texts(render(whole(direction="egress", backend=remotes, client_keys=None), Query(), ""))
    assert {"egress", remotes, "local clients, no key"} <= set(page.texts)
    assert "any key" not in page.texts


def test_certificates_are_shown_where_there_are_some() -> None:
    found = whole(certificate_sessions={"plant-1": 3}, revocations=1200, own_certificates={"server": 1796276400.0})
    sessions = [attrs.evolve(found.sessions[0], until=1796276400), *found.sessions[1:]]
    page = Texts(render(attrs.evolve(found, sessions=sessions), Query(), ""))
    until = "2026-12-03T05:40:00Z"
    shown = {"authorities: plant-1", "1,200 revoked", f"own certificate until {until}", "3 by plant-1", until}
    assert shown <= set(page.texts)
    assert not shown & set(Texts(render(whole(), Query(), "")).texts)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><b>', "&lt;"])
def test_no_text_is_markup(text: str) -> None:
    page = Texts(render(whole(name=text, backend=text), Query(filter=text), ""))
    assert text in page.texts
    assert page.tags == Texts(render(whole(), Query(), "")).tags


def test_buttons_are_there_with_a_token_only() -> None:
    ends = re.compile(r'action="/sessions/[0-9]+/end\?')
    assert not ends.search(render(whole(), Query(), ""))
    html = render(whole(), Query(), "the token")
    assert len(ends.findall(html)) == 2
    assert html.count('value="the token"') == 2


def test_an_unknown_key_comes_with_the_command_that_lists_it() -> None:
    key = UnknownKey("a" * 40, 3, "192.0.2.1:1", 5)
    assert paste_line(key.key) in Texts(render(whole(unknown_keys=[key]), Query(), "")).texts


def test_elements_keep_the_order_of_their_content() -> None:
    made = element("p", "a", element("b", "c"), "d", "e", hidden=None, class_="x", aria_label=1)
    assert [made.text, made[0].text, made[0].tail] == ["a", "c", "de"]
    assert made.attrib == {"class": "x", "aria-label": "1"}


def test_the_policy_allows_our_own_style_and_script_alone() -> None:
    assert POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in POLICY

"""In which form two sides talk, and where that is told: two proxies, or one of them and a peer of another make."""

import pytest
from support.cases import deep
from support.client import RawClient, answers
from support.egress import Egress, Remote, client_of
from support.peer import Refused
from support.process import Sidecar, curveproxy, free_port, wait_until
from support.service import RawService, echo

from curveproxy.wire.codec.suites import FORMS, available_suites
from system.test_records import facing

BEST = available_suites()[0].word
IN_RECORDS = {"records": "require", "record_suites": ["xsalsa20-poly1305"]}
BY_FORM = "curveproxy_sessions_by_form"


def forms(proxy: Sidecar) -> dict[str, float]:
    """How many sessions it has of each form that there is."""
    return {form: proxy.metric(BY_FORM, form=form) for form in FORMS}


def opened(proxy: Sidecar) -> list[dict[str, object]]:
    return [line for line in proxy.log if line["event"] == "session opened"]


@pytest.mark.parametrize(
    ("messages", "suite"),
    [({}, BEST), deep({"pad_to": 1024}, BEST), (IN_RECORDS, "xsalsa20-poly1305")],
    ids=["auto", "padded", "required"],
)
def test_two_proxies_have_records_and_both_tell_which(messages: dict[str, object], suite: str) -> None:
    with facing(messages) as (egress, ingress, client):
        assert answers(client)
        for proxy in (egress, ingress):
            assert forms(proxy) == {form: float(form == suite) for form in FORMS}
            assert opened(proxy)[-1]["records"] == suite
            assert f'"form": "{suite}"' in proxy.get("/api/status")[1].replace('":"', '": "')
            assert proxy.metric("curveproxy_records_total", direction="in") >= 1
            octets = proxy.metric("curveproxy_record_bytes_total", direction="out")
            assert octets >= 1024 if messages.get("pad_to") else 0 < octets < 1024
        assert not [name for name in client.theirs if name.lower().startswith("x-curveproxy")]


@pytest.mark.parametrize("messages", [{"records": "off"}, {"on_invalid": "drop"}], ids=str)
def test_who_does_without_records_has_messages(messages: dict[str, object]) -> None:
    with facing(messages) as (egress, ingress, client):
        assert answers(client)
        for proxy in (egress, ingress):
            assert forms(proxy) == {form: float(form == "message") for form in FORMS}
            assert "records" not in opened(proxy)[-1]
            assert proxy.metric("curveproxy_records_total") == 0


def test_a_service_that_requires_records_refuses_clients_without() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, messages={"records": "require"}) as proxy,
    ):
        with RawClient(proxy.public, proxy.server.public) as client:
            client.begin()
            with pytest.raises(Refused, match="400"):
                client.ready()
        wait_until(lambda: proxy.metric("curveproxy_handshakes_total", outcome="records") == 1, "it is counted")
        found = curveproxy("probe", proxy.public, "--server-key", proxy.server_key)
        assert found.returncode == 0, "a probe is no client of another make"
        assert f"{'records':23}{BEST}\n" in found.stdout


def test_an_egress_that_requires_records_leaves_a_remote_without() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Egress(endpoint, messages={"records": "require"}) as proxy, Remote(proxy.server, endpoint=endpoint) as remote:
        client = client_of(proxy)
        client.greeting()
        client.send_ready()
        remote.accept().handshake()
        wait_until(lambda: proxy.failures().get("records") == 1, "it is told of")
        client.close()


def test_what_is_installed_says_whether_aegis_is_there() -> None:
    said = curveproxy("--version").stdout
    assert said.rstrip().endswith("aegis-256 here: " + ("yes" if BEST == "aegis-256" else "no"))

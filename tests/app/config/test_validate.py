"""What is wrong with a configuration although each value in it is right by itself."""

from pathlib import Path

import pytest
from support.configuration import CLIENTS, SERVICE, complaints

from curveproxy.app.config.load import load
from curveproxy.wire import sodium


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "service: there is none"),
        (SERVICE, 'service "orders": clients: nobody is listed: add directory'),
        (
            SERVICE.replace("tcp://*:5556", "tcp://*:0") + CLIENTS + "[process]\nworkers = 2",
            "listen: tcp://*:0 would be another port for each worker: name the port",
        ),
        (
            SERVICE + CLIENTS + "[process]\nmax_buffered_bytes = 67_108_864",
            "takes a little more than that, and max_buffered_bytes = 67_108_864 is all there is: raise",
        ),
        (
            SERVICE + CLIENTS + "[service.messages]\non_invalid = 'drop'\n[process]\nmax_buffered_bytes = 134_217_728",
            "takes a little more than twice as many, and max_buffered_bytes = 134_217_728 is all there is: raise",
        ),
        (
            SERVICE + CLIENTS + "[process]\nworkers = 16",
            "leaves each of 16 workers 67_108_864: raise that above 1_073_741_824, or lower this below 67_108_864",
        ),
        (SERVICE.replace("127.0.0.1:5555", "*:5555") + CLIENTS, "can not be dialled"),
        (SERVICE.replace("127.0.0.1:5555", "*:*") + CLIENTS, "can not be dialled"),
        (SERVICE.replace("127.0.0.1:5555", "0.0.0.0:5555") + CLIENTS, "not where it is reached: write tcp://127.0.0.1:5555"),
        (SERVICE.replace("127.0.0.1:5555", "[::]:5555") + CLIENTS, "not where it is reached: write tcp://127.0.0.1:5555"),
        (SERVICE.replace("127.0.0.1:5555", "10.0.0.1:5555") + CLIENTS, "allow_remote_backend = true"),
        (SERVICE.replace("*:5556", "127.0.0.1:5555") + CLIENTS, "backend: it is the endpoint on which the proxy"),
        (SERVICE.replace("127.0.0.1:5555", "[::1]:5556") + CLIENTS, "backend: it is the endpoint on which the proxy"),
        (SERVICE.replace("127.0.0.1:5555", "localhost:5556") + CLIENTS, "backend: it is the endpoint on which the"),
        (SERVICE.replace('["keys/server.key_secret"]', "[]") + CLIENTS, 'make one by "curveproxy keygen server"'),
        (SERVICE + CLIENTS + SERVICE.replace("5556", "1") + CLIENTS, 'service "orders": there are 2 of that name'),
        (SERVICE + CLIENTS + SERVICE.replace("orders", "b") + CLIENTS, '"b": secret_keys: "orders" on the same'),
        (SERVICE + CLIENTS + SERVICE.replace("orders", "b").replace("*", "127.0.0.1") + CLIENTS, '"b": listen: tcp://127.0'),
        (SERVICE.replace("5556", "9464") + CLIENTS, "listen: tcp://*:9464 is taken: the admin page listens on tcp://127"),
        (
            SERVICE + CLIENTS + "[service.messages]\nrecords = 'require'\non_invalid = 'drop'",
            'messages.records: who drops what is invalid does without records, and they are required: write on_inv',
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_found_with_its_place_and_a_hint(place: Path, text: str, complaint: str) -> None:
    found = complaints(place, text)
    assert len(found) == 1, found
    assert complaint in found[0]


@pytest.mark.parametrize("records", ["auto", "off"])
def test_who_drops_what_is_invalid_may_have_records_configured(place: Path, records: str) -> None:
    text = f"[service.messages]\nrecords = '{records}'\non_invalid = 'drop'\n"
    (place / "c.toml").write_text(SERVICE + CLIENTS + text)
    assert load(place / "c.toml").service[0].messages.records == records


def test_records_that_this_machine_can_not_make_are_not_required(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sodium, "has_fast_aes", lambda: False)
    text = "[service.messages]\nrecords = 'require'\nrecord_suites = ['aegis-256']"
    [found] = complaints(place, SERVICE + CLIENTS + text)
    assert 'this machine has none of them: add "xsalsa20-poly1305", which is always there' in found
    (place / "c.toml").write_text(SERVICE + CLIENTS + text.replace("require", "auto"))
    assert load(place / "c.toml").service[0].messages.record_suites == ("aegis-256",)


def test_a_backend_by_its_name_may_have_the_port_of_the_proxy(place: Path) -> None:
    """As in a network of containers; a name is judged when it is dialled."""
    (place / "c.toml").write_text(SERVICE.replace("127.0.0.1:5555", "orders:5556") + CLIENTS)
    assert load(place / "c.toml").service[0].backend.host == "orders"

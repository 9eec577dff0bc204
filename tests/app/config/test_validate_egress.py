"""What is wrong with an egress although each value in it is right by itself."""

from pathlib import Path

import pytest
from support.configuration import CLIENTS, EGRESS, SERVICE, complaints

from curveproxy.app.config.certificates import read_certificate
from curveproxy.app.config.load import load
from curveproxy.wire import z85

TCP = EGRESS.replace("ipc://far.sock", "tcp://127.0.0.1:5555")
REMOTE = "tcp://orders.example:5556"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (TCP.replace("127.0.0.1", "0.0.0.0"), 'egress "far": listen: tcp://0.0.0.0:5555 may be other machines\' way'),
        (TCP.replace("127.0.0.1", "*"), "use ipc or loopback, or write allow_remote_clients = true"),
        (TCP.replace("127.0.0.1", "some.host"), "use ipc or loopback, or write allow_remote_clients = true"),
        (EGRESS.replace(f'["{REMOTE}"]', "[]"), 'remote: there is none: name the CURVE server, as remote = ["tcp://'),
        (EGRESS.replace(f'remote = ["{REMOTE}"]', ""), "remote: there is none: name the CURVE server"),
        (EGRESS.replace("orders.example:5556", "*:5556"), "remote[0]: tcp://*:5556 can not be dialled: name one host"),
        (EGRESS.replace("orders.example:5556", "a:0"), "remote[0]: tcp://a:0 can not be dialled: name one host and o"),
        (EGRESS.replace("orders.example", "0.0.0.0"), "not where it is reached: write tcp://127.0.0.1:5556"),
        (EGRESS.replace(f'"{REMOTE}"', f'"{REMOTE}", "{REMOTE}"'), f"remote: {REMOTE} is there 2 times: once will do"),
        (EGRESS.replace(REMOTE, "ipc://far.sock"), "remote[0]: it is the endpoint on which this egress itself listens"),
        (TCP.replace("orders.example:5556", "127.0.0.1:5555"), "on which this egress itself listens: name the CURVE"),
        (
            EGRESS + TCP.replace('"far"', '"near"').replace(REMOTE, "ipc://far.sock"),
            'egress "near": remote[0]: the egress "far" listens there, and speaks no CURVE: name the CURVE server beh',
        ),
        (EGRESS.replace('secret_key = "keys/alice.key_secret"', ""), 'secret_key: there is none: make one by "curvep'),
        (EGRESS.replace('["keys/orders.key"]', "[]"), "server_keys: there is none: write the remote's public key, in"),
        (EGRESS.replace("keys/orders.key", "keys/alice.key"), "server_keys[0]: it is our own key, the public half of"),
        (TCP + "allow_uids = [1000]", "allow_uids: it is for ipc alone: on tcp nobody tells whose process it is"),
        (TCP + 'socket_mode = "0660"', "socket_mode: tcp://127.0.0.1:5555 is no file, and has no mode: listen on ipc"),
        (EGRESS.replace("far.sock", "@far") + 'socket_mode = "0660"', "socket_mode: ipc://@far is no file, and has no"),
        (EGRESS + EGRESS.replace("far.sock", "b"), 'egress "far": there are 2 of that name'),
        (EGRESS + SERVICE.replace("orders", "far") + CLIENTS, 'service "far": there are 2 of that name'),
        (EGRESS + EGRESS.replace('"far"', '"b"'), 'egress "b": listen: ipc://far.sock is taken: egress "far" listens'),
        (TCP + SERVICE.replace("*:5556", "127.0.0.1:5555").replace(":5555\"\ns", ":1\"\ns") + CLIENTS, "is taken: se"),
        (TCP.replace("5555", "9464"), "listen: tcp://127.0.0.1:9464 is taken: the admin page listens on"),
        (TCP.replace("5555", "0") + "[process]\nworkers = 2", "would be another port for each worker: name the port"),
        (EGRESS + "[egress.messages]\nmax_message_bytes = 1_100_000_000", "messages.max_message_bytes: one message of"),
        (EGRESS + "backend = 'tcp://127.0.0.1:1'", "backend: no such setting: it belongs into [[service]]"),
        (
            TCP.replace("orders.example", "127.0.0.1") + SERVICE + CLIENTS,
            'remote[0]: the service "orders" there has this egress for its backend: a connection would go round',
        ),
        (EGRESS + "secret_keys = []", "secret_keys: no such setting: did you mean secret_key"),
        (EGRESS + "server_key = ''", "server_key: no such setting: did you mean server_keys"),
        (SERVICE + "secret_key = ''" + CLIENTS, "secret_key: no such setting: did you mean secret_keys"),
        (SERVICE + "remote = []" + CLIENTS, "remote: no such setting: it belongs into [[egress]]"),
        (EGRESS.replace(f'["{REMOTE}"]', f'"{REMOTE}"'), "remote: a list is wanted, not a string: write it in bracke"),
        (EGRESS.replace("[[egress]]", "[egress]"), "egress: a list is wanted, not a table: there may be several, each"),
        (EGRESS + "[defaults.messages]\nmax_message_bytes = 0", "defaults.messages.max_message_bytes: must be >= 1"),
        (EGRESS + "idle_seconds = 1", "idle_seconds: no such setting: it belongs into [egress.limits]"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_found_with_its_place_and_a_hint(place: Path, text: str, complaint: str) -> None:
    found = complaints(place, text)
    assert len(found) == 1, found
    assert complaint in found[0]


def test_our_own_secret_key_is_not_repeated(place: Path) -> None:
    secret = read_certificate(place / "keys" / "alice.key_secret").secret
    assert secret is not None
    text = z85.encode(secret)
    for wrong, word in (
        (EGRESS.replace("keys/orders.key", text), "server_keys[0]: it is our own secret key: the remote's public key"),
        (EGRESS.replace("keys/orders.key", text[:-1]), "server_keys[0]: there is no such file, and as a key it is of"),
        (EGRESS.replace("keys/alice.key_secret", text), "secret_key: there is no such file: if it is a key itself, w"),
        (EGRESS.replace("orders.key", "orders.key_secret"), "holds a secret key, which its owner alone may have: name"),
    ):  # fmt: skip
        [found] = complaints(place, wrong.replace("\\", "\\\\"))
        assert word in found
        assert text[:-1] not in found


@pytest.mark.parametrize(
    "text",
    [
        TCP.replace("127.0.0.1", "*") + "allow_remote_clients = true",
        TCP.replace("127.0.0.1", "localhost"),
        TCP.replace("127.0.0.1", "[::1]"),
        EGRESS.replace("far.sock", "@far"),
        EGRESS.replace(f'"{REMOTE}"', '"tcp://10.0.0.1:1", "ipc:///run/orders.sock"'),
        EGRESS + SERVICE.replace("tcp://127.0.0.1:5555", "ipc://far.sock") + CLIENTS,
        TCP.replace("orders.example", "127.0.0.1") + SERVICE.replace("127.0.0.1:5555", "127.0.0.1:1") + CLIENTS,
    ],
)
def test_what_goes_together_is_let_pass(place: Path, text: str) -> None:
    (place / "c.toml").write_text(text)
    assert len(load(place / "c.toml").egress) == 1

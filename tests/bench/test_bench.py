"""The benchmarks work, and say so when there is nothing to measure."""

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cases import deep
from support.process import ROOT, Sidecar, children, wait_until
from support.service import RawService, echo

from bench import accounts, cipher, columns, plot, publish, tls
from bench.dealing import Dealer, table
from bench.figures import OURS, PYTHON, THEIRS, Figure, Ratio, Target, header
from bench.flood import GARBAGE, REPLAYED, SILENT, Flood
from bench.lanes import lanes
from bench.load import CurveLoad, load_of
from bench.peers import BenchError, CurveService, Proxy, Service, Starter, libzmq, libzmq_egress
from bench.pins import pinned, plan
from bench.pubsub import hear
from bench.turns import by_turns
from curveproxy.wire import sodium, spec


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.deep
def test_a_short_run_measures_both(tmp_path: Path) -> None:
    """Two of them; .ci/run runs all."""
    found = tmp_path / "found.json"
    ran = run("connection", "idle", "--short", "--json", str(found))
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(found.read_text())["figures"]
    assert {figure["benchmark"] for figure in figures} == {"connection", "idle"}
    assert all(figure["values"][OURS] > 0 and figure["values"][THEIRS] > 0 for figure in figures), ran.stdout
    assert all(figure["what"] in ran.stdout for figure in figures)
    assert all(figure["ratios"][OURS]["pairs"] == 1 for figure in figures)
    assert "\nin all " in ran.stdout


def test_an_unknown_benchmark_is_a_complaint() -> None:
    ran = run("speed")
    assert ran.returncode == 2
    assert "no benchmark is named speed" in ran.stderr


@pytest.mark.deep
def test_a_picture_is_drawn_or_the_complaint_tells_what_it_needs(tmp_path: Path) -> None:
    picture = tmp_path / "found.png"
    ran = run("sessions", "--short", "--plot", str(picture))
    if plot.possible():
        assert ran.returncode == 0, ran.stderr
        assert picture.read_bytes().startswith(b"\x89PNG")
    else:
        assert ran.returncode == 2
        assert "pip install '.[test,bench]'" in ran.stderr


def test_the_figures_are_published_where_their_place_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("README", "PAGE", "PICTURE"):
        monkeypatch.setattr(publish, name, tmp_path / getattr(publish, name).name)
    monkeypatch.setattr(plot, "possible", lambda: False)
    publish.README.write_text(f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n")
    about = {name: name for name in ("date", "processor", "kernel", "python", "libzmq", "codec")} | {
        "taken": "9 s",
        "load": "0.1",
    }
    held = Figure("an idle session", "octets", {OURS: [2000.0, 2004.0, 1000.0], THEIRS: [20000.0] * 3})
    other = Figure("something", "us", {OURS: [3.0], PYTHON: [4.0], THEIRS: [6.0]}, [Target(0.4, ratio=True)])
    session = held.as_json() | {"benchmark": "sessions"}
    for _ in range(2):
        publish.publish(about, json.loads(json.dumps([session, other.as_json() | {"benchmark": "else"}])))
    readme = publish.README.read_text()
    assert readme.startswith(f"before\n{publish.BEGIN}\n|  | curveproxy |")
    assert "| memory of an idle session | 2,000 | 20,000 | octets | 0.10 (0.08 - 0.10) |" in readme
    assert "old" not in readme
    assert "something" not in readme
    assert readme.endswith(f"\n{publish.END}\nafter\n")
    page = publish.PAGE.read_text()
    assert "| an idle session | 2,000 |  | 20,000 | octets | 0.10 | 0.08 - 0.10 | 3 |  |" in page
    assert "| something | 3.00 | 4.00 | 6.00 | us | 0.50 |  | 1 | ratio 0.4: missed by 25% |" in page
    assert "That took 9 s; before it\nthe machine's load average was 0.1" in page
    assert publish.BEGIN in (ROOT / "README.md").read_text()


def test_the_ciphers_of_both_make_the_same_box() -> None:
    nonce, key, boxes = bytes(spec.NONCE_SIZE), bytes(spec.KEY_SIZE), {}
    for column, seal in cipher.ciphers().items():
        room = ctypes.create_string_buffer(spec.MAC_SIZE + 1000)
        box = ctypes.addressof(room)
        assert seal(box, box + spec.MAC_SIZE, 1000, nonce, key) == 0
        boxes[column] = room.raw
        assert cipher.spent(seal, 65536, 100) > 0
    sealed = sodium.seal(bytes(1000), nonce, key)
    assert boxes == {OURS: sealed, THEIRS: sealed}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(2.0), "2 us: met"),
        (Target(0.8), "0.8 us: missed by 25%"),
        (Target(0.9, least=True), "0.9 us: met"),
        (Target(2.0, least=True), "2 us: missed by 50%"),
        (Target(0.5, ratio=True), "ratio 0.5: met"),
        (Target(0.4, ratio=True), "ratio 0.4: missed by 25%"),
        (Target(1.8, of=PYTHON, ratio=True), "python codec ratio 1.8: missed by 11%"),
        (Target(1.8, of="stunnel"), ""),
        (Target(0.2, ratio=True, to=PYTHON), "ratio 0.2 to python codec: missed by 25%"),
        (Target(0.2, ratio=True, to="stunnel"), ""),
    ],
)
def test_a_target_is_met_or_missed_by_so_much(target: Target, words: str) -> None:
    runs = {OURS: [1.0, 1.0, 9.0], PYTHON: [4.0, 4.0, 4.0], THEIRS: [2.0, 2.0, 18.0]}
    assert Figure("a message", "us", runs, [target]).target == words


def test_a_ratio_is_of_pairs_that_were_taken_together() -> None:
    """A machine that slows down to a half slows both, and the ratio stays."""
    steady = Figure("a message", "us", {OURS: [1.0, 2.0, 1.0, 2.0], THEIRS: [2.0, 4.0, 2.0, 4.0]})
    assert steady.ratio() == Ratio(0.5, 0.5, 0.5, 4)
    spread = Figure("a message", "us", {OURS: [1.0, 2.0, 3.0, 4.0, 50.0], THEIRS: [10.0] * 5})
    assert spread.ratio() == Ratio(0.3, 0.2, 0.4, 5)
    assert str(spread.ratio()) == "0.30 (0.20 - 0.40)"
    assert spread.values == {OURS: 3.0, THEIRS: 10.0}
    assert spread.line([OURS, THEIRS]).split()[-6:] == ["us", "0.30", "0.20", "-", "0.40", "5"]
    once = Figure("a message", "us", {OURS: [1.0], THEIRS: [4.0]})
    assert once.ratio() == Ratio(0.25, 0.25, 0.25, 1)
    assert str(once.ratio()) == "0.25"


def test_turns_change_their_order_and_the_first_only_warms() -> None:
    order: list[str] = []

    def take(name: str) -> int:
        order.append(name)
        return len(order)

    found = by_turns({"a": "A", "b": "B"}, take, 3)
    assert order == ["A", "B", "B", "A", "A", "B", "B", "A"]
    assert found == {"a": [4, 5, 8], "b": [3, 6, 7]}
    order.clear()
    by_turns({"a": "A", "b": "B"}, take, 1, warm=False)
    assert order == ["A", "B"]


@pytest.mark.parametrize(
    ("available", "cores", "proxy", "others"),
    [
        ([3], 1, {3}, {3}),
        ([3], 2, {3}, {3}),
        ([0, 1], 1, {0}, {1}),
        ([0, 1], 2, {0, 1}, {0, 1}),
        ([0, 1, 2], 2, {0, 1}, {2}),
        ([0, 2, 4, 6], 1, {0}, {2, 4, 6}),
        ([0, 2, 4, 6], 2, {0, 2}, {4, 6}),
    ],
)
def test_a_proxy_has_its_cores_and_the_others_have_the_rest(
    available: list[int], cores: int, proxy: set[int], others: set[int]
) -> None:
    assert plan(cores, available) == (proxy, others)


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_all_threads_of_a_proxy_run_where_it_is_pinned_and_its_service_where_the_load_does(name: str) -> None:
    before = os.sched_getaffinity(0)
    others = plan().others
    with pinned(others), lanes("PUSH", "PULL", {name: columns.on(1)[name]}) as among:
        lane = among[name]
        assert _processors(lane.proxy.pid) == {frozenset(plan().proxy)}
        assert _processors(lane.service.process.pid) == {frozenset(others)}
        assert os.sched_getaffinity(0) == others
    assert os.sched_getaffinity(0) == before


def _processors(pid: int) -> set[frozenset[int]]:
    """Of all threads, and of the processes that it has started."""
    own = {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir(f"/proc/{pid}/task")}
    return own.union(*map(_processors, children(pid)))


@pytest.mark.deep
def test_workers_share_the_cores_of_their_proxy() -> None:
    with Dealer() as service, columns.on(2)[OURS](service) as proxy:
        assert len(children(proxy.pid)) >= 2
        assert _processors(proxy.pid) == {frozenset(plan(2).proxy)}


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_what_is_dealt_out_arrives_whole(name: str) -> None:
    """To the last octet: a client that waited for another would never be done."""
    with table(columns.both()[name], 3) as found:
        spent = [found.deal(size, count) for size, count in ((64, 5_000), (300, 2_000), (300_000, 7), (64, 1))]
        assert sum(each.cpu for each in spent) > 0  # the kernel may book the time of one message at its next tick
        assert all(each.clock > 0 for each in spent)
        for sock in found.clients:
            with pytest.raises(BlockingIOError):
                sock.recv(1, socket.MSG_DONTWAIT)


def test_nothing_is_published_without_its_columns_or_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("--publish", "idle")
    assert ran.returncode == 2
    assert "--publish is of all benchmarks" in ran.stderr or "need matplotlib" in ran.stderr
    monkeypatch.setattr(tls, "_program", lambda name: "" if name == "stunnel" else f"/usr/bin/{name}")
    assert tls.missing() == {"stunnel": "stunnel4"}
    assert list(tls.installed()) == ["haproxy"]


def test_a_column_that_was_not_measured_is_left_empty() -> None:
    names = [OURS, PYTHON, THEIRS]
    line = Figure("a message", "us", {OURS: [1.5], THEIRS: [3000.0]}).line(names)
    assert line.split() == ["a", "message", "1.50", "3,000", "us", "0.00", "1"]
    assert Figure("what libzmq does not have", "us", {OURS: [1.5]}).ratio() is None
    assert Figure("of which it takes nothing", "us", {OURS: [1.5], THEIRS: [0.0]}).ratio() is None
    assert header(names).index(THEIRS) + len(THEIRS) == line.index("3,000") + len("3,000")


@pytest.mark.parametrize(
    ("codec", "names", "judged"), [("C", [OURS, PYTHON, THEIRS], [OURS, PYTHON]), ("python", [OURS, THEIRS], [OURS])]
)
def test_the_pure_codec_has_a_column_of_its_own_only_beside_the_other(
    codec: str, names: list[str], judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "codec", lambda: codec)
    assert list(columns.codecs()) == names
    targets = columns.ratio(of_c=0.45, of_python=1.8)
    assert {target.of: target.bound for target in targets} == dict(
        zip(judged, [0.45, 1.8][-len(judged) :], strict=True)
    )


@pytest.mark.parametrize(("client", "kind"), [("PUSH", "PULL"), deep("PULL", "PUSH")])
def test_messages_go_through_an_egress_of_either(client: str, kind: str) -> None:
    with lanes(client, kind, columns.egress(), make=CurveService) as among:
        found = by_turns(among, lambda lane: lane.relay(64, 200), 1)
    assert list(found) == [OURS, THEIRS]
    assert all(spent.cpu > 0 and spent.clock > 0 for runs in found.values() for spent in runs)


@pytest.mark.deep
@pytest.mark.parametrize(("client", "kind"), [("PUSH", "PULL"), ("PULL", "PUSH")])
def test_messages_go_through_two_ends_and_both_are_measured(client: str, kind: str) -> None:
    with lanes(client, kind, columns.two_ends()) as among:
        found = by_turns(among, lambda lane: lane.relay(64, 200), 1)
    assert {OURS, columns.NO_RECORDS, THEIRS} <= set(found)
    runs = [spent for runs in found.values() for spent in runs]
    assert all(spent.cpu > 0 and spent.far > 0 and spent.octets > 0 for spent in runs)
    assert found[OURS][0].octets < found[columns.NO_RECORDS][0].octets  # records were agreed on


@pytest.mark.deep
@pytest.mark.parametrize(
    ("client", "kind", "connections"), [("PUSH", "PULL", 3), ("PULL", "PUSH", 1), ("REQ", "REP", 1), ("XSUB", "PUB", 3)]
)
def test_messages_go_through_everybody(client: str, kind: str, connections: int) -> None:
    starters = columns.codecs() if connections > 1 else columns.everybody()
    with lanes(client, kind, starters, connections) as among:
        copies = connections if client == "XSUB" else 1
        for lane in among.values() if copies > 1 else ():
            hear(lane, copies)
        found = by_turns(among, lambda lane: lane.relay(64, 200, copies), 1)
    assert list(found) == list(starters)
    assert all(spent.cpu > 0 and spent.clock > 0 for runs in found.values() for spent in runs)


@pytest.mark.parametrize(("make", "start"), [(Service, libzmq), (CurveService, libzmq_egress)])
def test_sessions_stand_until_the_block_ends(make: type[Service], start: Starter) -> None:
    with make("DEALER", "ROUTER") as service, start(service) as proxy:
        with load_of(proxy).sessions(25):
            during = accounts.sockets(proxy.pid)  # by then whoever looked whether it listens is gone
            assert during > 25
        wait_until(lambda: accounts.sockets(proxy.pid) == during - 25, "they have ended")


def test_a_flood_is_answered_and_ends() -> None:
    with Service("PUSH", "PULL") as service, libzmq(service) as proxy, Flood(proxy) as flood:

        def is_answered() -> bool:
            with flood.flowing():
                time.sleep(0.7)
            return flood.answered > 0

        for _ in range(2):
            wait_until(is_answered, "in a flood of 0.7 s, which on a busy machine may be too short")
            assert flood.answered <= 1


@pytest.mark.deep
@pytest.mark.parametrize(
    ("kind", "outcome"), [(SILENT, "probe"), (GARBAGE, "not_zmtp"), (REPLAYED, "cookie")], ids=lambda each: each
)
def test_a_flood_is_of_the_kind_that_it_is_called(kind: str, outcome: str) -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}) as proxy,
        Flood(Proxy(0, proxy.public, proxy.server.public, "PUSH")) as flood,
    ):
        with flood.flowing(kind):
            time.sleep(0.7)
        wait_until(lambda: proxy.metric("curveproxy_handshakes_total", outcome=outcome) > 50, "they are refused")


def test_a_peer_that_dies_is_noticed() -> None:
    with ExitStack() as stack:
        service = stack.enter_context(Service("PUSH", "PULL"))
        service.process.kill()
        service.process.wait()
        with pytest.raises(BenchError, match="died"):
            stack.close()


def test_a_client_that_is_turned_away_is_noticed() -> None:
    with Service("DEALER", "ROUTER") as service:
        no_curve = Proxy(service.process.pid, service.endpoint, bytes(range(32)), "DEALER")
        with pytest.raises((BenchError, ConnectionError)):
            CurveLoad(no_curve).admitted(1)

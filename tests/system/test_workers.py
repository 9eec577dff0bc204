"""Several processes that relay, as one to whoever looks from outside."""

import json
import os
import re
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from support.client import RawClient, answers
from support.curve import Keys
from support.peer import Peer, connect, listens
from support.process import Sidecar, children, command, free_port, toml, wait_until
from support.service import RawService, echo

from curveproxy.app.process.worker_pool import SHARE_SECONDS
from system.crowd import Crowd
from system.endings import ending
from system.test_reload import endpoint, is_served, reloads, service

OFTEN = {"handshakes_per_second_per_source": 10_000}


def workers(proxy: Sidecar) -> list[int]:
    """The processes that it has started."""
    return children(proxy.process.pid)


def is_there(process: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


@contextmanager
def sidecar(
    of: int = 2, *, listen: str = "", seconds: float = 5, launcher: Sequence[str] = (), **tables: object
) -> Iterator[Sidecar]:
    """A proxy of several processes before a service that echoes. They log what they do in no order."""
    with (
        RawService(echo) as behind,
        Sidecar(
            backend=behind.endpoint,
            listen=listen or endpoint(),
            process={"workers": of, "drain_seconds": seconds},
            admission={**OFTEN, **tables},
            launcher=launcher,
        ) as proxy,
    ):
        yield proxy


@contextmanager
def clients(proxy: Sidecar, keys: Keys, count: int) -> Iterator[list[RawClient]]:
    """So many that are inside."""
    with ExitStack() as stack:
        inside = [stack.enter_context(RawClient(proxy.public, proxy.server.public, keys)) for _ in range(count)]
        for client in inside:
            client.handshake()
        yield inside


def is_alive(client: RawClient) -> bool:
    """Whether what it sends comes back; else its session has ended."""
    try:
        return answers(client)
    except (EOFError, OSError):
        return False


def comes_in(client: RawClient) -> bool:
    """Whether it gets a session."""
    try:
        client.handshake()
    except (EOFError, OSError):
        return False
    return True


def listed(proxy: Sidecar, name: str = "alice", metadata: dict[str, str] | None = None) -> Keys:
    keys = proxy.new_client(name, metadata)
    proxy.wait_listed(len(list(proxy.clients.iterdir())))
    return keys


def test_clients_are_dealt_out_and_what_is_seen_is_the_sum() -> None:
    with sidecar() as proxy:
        alice = listed(proxy)
        with clients(proxy, alice, 40) as inside:
            assert all(map(is_alive, inside))
            by = [line["worker"] for line in proxy.log if line["event"] == "session opened"]
            assert len(by) == 40
            assert set(by) == {0, 1}
            assert len(workers(proxy)) == 2
            assert proxy.metric("curveproxy_sessions") == 40
            assert proxy.metric("curveproxy_handshakes_total", outcome="admitted") == 40
            assert proxy.metric("curveproxy_handshake_seconds_count") == 40
            assert proxy.metric("curveproxy_messages_total") == 80
            assert proxy.metric("curveproxy_backend_up") == 1
            assert proxy.metric("curveproxy_client_keys") == 1
            assert proxy.metric("curveproxy_build_info") == 1
            assert proxy.metric("curveproxy_reloads_total", result="success") == 2  # the start, and alice
            assert proxy.metric("process_open_fds") > 2 * 40
            status = json.loads(proxy.get("/api/status?sessions=30&sort=newest")[1])
            [seen] = status["services"]
            assert seen["sessions"] == {"value": 40, "limit": 16384} | {"limit": seen["sessions"]["limit"]}
            assert seen["messages_in"] == 40
            assert [count["total"] for count in seen["counts"] if count["word"] == "admitted"] == [40]
            assert status["matching"] == 40
            assert len({session["id"] for session in status["sessions"]}) == 30
            ages = [session["seconds"] for session in status["sessions"]]
            assert ages == sorted(ages)
        proxy.wait_metric("curveproxy_sessions", 0)
        assert proxy.metric("curveproxy_sessions_closed_total", reason="client_closed") == 40


@pytest.mark.deep
def test_one_that_does_not_answer_is_trouble_for_whoever_looks() -> None:
    with sidecar() as proxy:
        listed(proxy)

        def troubles() -> list[tuple[str, str]]:
            found = json.loads(proxy.get("/api/status")[1])["troubles"]
            return [(trouble["word"], trouble["what"]) for trouble in found]

        wait_until(lambda: not troubles(), "both have answered in time")
        stopped, _ = workers(proxy)
        os.kill(stopped, signal.SIGSTOP)
        told = [("workers", "only 1 of 2 workers answer: what the others do is not shown")]
        wait_until(lambda: troubles() == told, "it is told")
        os.kill(stopped, signal.SIGCONT)
        wait_until(lambda: not troubles(), "it answers again")


@pytest.mark.deep
def test_limits_are_divided_and_their_sum_is_the_limit() -> None:
    with sidecar(3, max_sessions=100, max_half_open=50) as proxy:
        assert proxy.metric("curveproxy_sessions_limit") == 100
        assert proxy.metric("curveproxy_half_open_limit") == 50


@pytest.mark.deep
def test_a_client_has_so_many_sessions_and_not_so_many_in_each() -> None:
    with sidecar() as proxy, ExitStack() as stack:
        alice = listed(proxy, metadata={"max-sessions": "3"})

        def newcomer() -> RawClient:
            return stack.enter_context(RawClient(proxy.public, proxy.server.public, alice))

        inside = [client for client in (newcomer() for _ in range(12)) if comes_in(client)]

        def are_left() -> int:
            for client in list(inside):
                if not is_alive(client):
                    client.close()
                    inside.remove(client)
            return len(inside)

        wait_until(lambda: are_left() == 3, "those that came while one did not know of the other have ended")
        proxy.wait_metric("curveproxy_sessions", 3)
        assert not any(comes_in(newcomer()) for _ in range(6))
        inside.pop().close()
        wait_until(lambda: comes_in(newcomer()), "there is a place again")
        assert are_left() == 2


@pytest.mark.deep
def test_what_a_client_may_send_all_its_sessions_have_together() -> None:
    with sidecar() as proxy, clients(proxy, listed(proxy, metadata={"messages-per-second": "20"}), 8) as inside:
        time.sleep(3 * SHARE_SECONDS)
        begin = time.monotonic()
        for client in inside:
            client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(10)))
        for client in inside:
            for number in range(10):
                assert client.recv() == [b"%d" % number]
        assert time.monotonic() - begin > (8 * 10 - 20) / 20 - 0.5


def test_one_that_dies_costs_its_own_sessions_and_no_figure() -> None:
    with sidecar() as proxy:
        alice = listed(proxy)
        with clients(proxy, alice, 60) as inside:
            assert all(map(is_alive, inside))
            before = proxy.metrics()
            [dead, other] = workers(proxy)
            lost = [line["worker"] for line in proxy.log if line["event"] == "session opened"].count(0)
            os.kill(dead, signal.SIGKILL)
            wait_until(lambda: dead not in (now := workers(proxy)) and len(now) == 2, "another has taken its place")
            assert sum(map(is_alive, inside)) == 60 - lost
            wait_until(lambda: proxy.metric("curveproxy_sessions") == 60 - lost, "the others are counted")
            after = proxy.metrics()
            fallen = [
                key for key, value in before.items() if key[0].endswith(("_total", "_count")) and after[key] < value
            ]
            assert fallen == [key for key in fallen if key[0] == "process_cpu_seconds_total"]
            assert other in workers(proxy)
            with clients(proxy, alice, lost) as again:
                assert all(map(is_alive, again))
        [line] = [line for line in proxy.log if line["event"] == "a worker has ended"]
        assert (line["worker"], line["status"], line["level"]) == (0, -signal.SIGKILL, "error")


@pytest.mark.deep
def test_of_two_thousand_that_ask_all_the_time_only_those_of_the_dead_connect_again() -> None:
    count = 2000
    with (
        Crowd(count) as crowd,
        Sidecar(backend=crowd.backend, listen=endpoint(), process={"workers": 2}, admission=crowd.admission) as proxy,
    ):
        crowd.come(proxy, listed(proxy))
        assert crowd.is_answered()
        assert proxy.metric("curveproxy_handshakes_total", outcome="admitted") == count
        lost = [line["worker"] for line in proxy.log if line["event"] == "session opened"].count(0)
        assert 0 < lost < count
        os.kill(workers(proxy)[0], signal.SIGKILL)
        assert crowd.is_answered()
        assert crowd.is_answered()
        assert crowd.have_lost <= lost
        assert proxy.metric("curveproxy_sessions") == count
        assert proxy.metric("curveproxy_handshakes_total", outcome="admitted") == count + lost
        assert not proxy.metric("curveproxy_sessions_closed_total"), "of those who were not the dead one's"


def test_a_client_that_comes_again_replaces_its_older_session_in_whichever_process() -> None:
    with sidecar() as proxy, ExitStack() as stack:
        alice = listed(proxy)

        def come() -> RawClient:
            return stack.enter_context(RawClient(proxy.public, proxy.server.public, alice, identity=b"me"))

        newest = come().handshake()
        with ending(proxy, {"replaced": 20}):
            for _ in range(20):
                older, newest = newest, come().handshake()
                assert older.recv_until_closed().octets == b""
                assert answers(newest)
        assert proxy.metric("curveproxy_sessions") == 1
        opened = [line["worker"] for line in proxy.log if line["event"] == "session opened"]
        assert set(opened) == {0, 1}
        with RawClient(proxy.public, proxy.server.public, alice) as nameless:
            assert answers(nameless.handshake())
            assert answers(newest)


@pytest.mark.deep
def test_one_identity_is_one_key_s_in_all_processes() -> None:
    with sidecar() as proxy:
        keys = [listed(proxy, name) for name in ("alice", "bob")]

        def come(who: Keys) -> RawClient:
            return RawClient(proxy.public, proxy.server.public, who, identity=b"me")

        for own, another in (keys, reversed(keys)):
            with come(own) as holder:
                holder.handshake()
                for _ in range(10):
                    with come(another) as thief, pytest.raises(EOFError):  # closed, and may come again
                        thief.handshake()
                assert answers(holder)
            proxy.wait_metric("curveproxy_sessions", 0)
        assert proxy.metric("curveproxy_handshakes_total", outcome="identity_in_use") == 20
        with come(keys[0]) as holder:
            assert answers(holder.handshake())
            by = [line["worker"] for line in proxy.log if line["event"] == "session opened"][-1]
            dead = workers(proxy)[by]
            os.kill(dead, signal.SIGKILL)
            holder.recv_until_closed()
            wait_until(lambda: dead not in (now := workers(proxy)) and len(now) == 2, "another has taken its place")
            with come(keys[1]) as heir:
                assert answers(heir.handshake())


@pytest.mark.deep
def test_of_many_that_come_at_once_with_one_identity_one_stays() -> None:
    def slow(peer: Peer) -> None:
        time.sleep(0.3)
        echo(peer)

    with (
        RawService(slow) as behind,
        Sidecar(backend=behind.endpoint, listen=endpoint(), process={"workers": 3}, admission=OFTEN) as proxy,
        ExitStack() as stack,
    ):
        alice = listed(proxy)
        for _ in range(12):
            client = stack.enter_context(RawClient(proxy.public, proxy.server.public, alice, identity=b"me"))
            client.begin()
        outcomes = "curveproxy_handshakes_total"
        wait_until(lambda: proxy.metric(outcomes) == 12, "each has its outcome")
        proxy.wait_metric("curveproxy_sessions", 1)
        admitted, gone = (proxy.metric(outcomes, outcome=word) for word in ("admitted", "peer_closed"))
        assert admitted + gone == 12
        assert proxy.metric("curveproxy_sessions_closed_total", reason="replaced") == admitted - 1
        assert len(behind.accepted) <= 12


# The command, with half a minute of patience as one second.
HASTY = f"""
import sys
from curveproxy.app import cli
from curveproxy.app.process import worker_pool
worker_pool.COLLECT_SECONDS, worker_pool.SILENCE_SECONDS = 0.2, 1.0
del sys.argv[1 : {1 + len(command())}]
cli.main()
"""


@pytest.mark.deep
def test_another_takes_the_place_of_one_that_hangs() -> None:
    with sidecar(launcher=[sys.executable, "-c", HASTY]) as proxy, clients(proxy, listed(proxy, "bob"), 20) as inside:
        assert all(map(is_alive, inside))
        hung, other = workers(proxy)
        os.kill(hung, signal.SIGSTOP)
        wait_until(lambda: hung not in workers(proxy), "it is killed")
        wait_until(lambda: len(workers(proxy)) == 2, "another is started")
        assert other in workers(proxy)
        lost = [line["worker"] for line in proxy.log if line["event"] == "session opened"].count(0)
        assert sum(map(is_alive, inside)) == 20 - lost
        assert [line["pid"] for line in proxy.log if line["event"] == "a worker hangs"] == [hung]
        assert answers_often(proxy)


@pytest.mark.deep
def test_one_that_dies_again_and_again_is_started_more_and_more_seldom() -> None:
    with sidecar() as proxy:
        moments = []
        for _ in range(3):
            dead = max(workers(proxy))
            os.kill(dead, signal.SIGKILL)
            began = time.monotonic()
            wait_until(lambda dead=dead: dead not in (now := workers(proxy)) and len(now) == 2, "another")  # type: ignore[misc]
            moments.append(time.monotonic() - began)
        assert moments[1] > 0.5
        assert moments[2] > 1.0
        assert answers_often(proxy)


def answers_often(proxy: Sidecar) -> bool:
    """Whether clients get in, whichever process they come to."""
    alice = listed(proxy)
    with clients(proxy, alice, 10) as inside:
        return all(map(is_alive, inside))


@pytest.mark.deep
def test_none_is_left_when_the_one_that_looks_after_them_is_killed() -> None:
    with sidecar() as proxy:
        alice = listed(proxy)
        with clients(proxy, alice, 4):
            orphans = workers(proxy)
            proxy.signal(signal.SIGKILL)
            wait_until(lambda: not any(map(is_there, orphans)), "they have ended too")
        proxy.clean = False


@pytest.mark.parametrize("whom", ["the process", "all of them, as a service manager does"])
def test_a_drain_serves_those_inside_and_takes_nobody_new(whom: str) -> None:
    with sidecar() as proxy:
        alice = listed(proxy)
        with clients(proxy, alice, 20) as inside:
            started = workers(proxy)
            for process in started if whom.startswith("all") else ():
                os.kill(process, signal.SIGTERM)
            proxy.signal()
            wait_until(lambda: proxy.get("/readyz")[0] == 503, "it drains")
            wait_until(lambda: not listens(proxy.public), "the port is closed")
            assert all(map(is_alive, inside))
            assert proxy.metric("curveproxy_sessions") == 20
        assert proxy.wait() == 0
        assert not any(map(is_there, started))


@pytest.mark.deep
def test_a_drain_while_strangers_come_in_one_after_another_ends_no_session() -> None:
    over = threading.Event()

    def knock(public: str) -> None:
        while not over.is_set():
            with suppress(OSError):
                connect(public).close()

    with sidecar() as proxy, clients(proxy, listed(proxy), 20) as inside, ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(knock, proxy.public)
        wait_until(lambda: proxy.metric("curveproxy_connections_accepted_total") > 500, "they come")
        proxy.signal()
        try:
            wait_until(lambda: proxy.get("/readyz")[0] == 503, "it drains")
            assert all(map(is_alive, inside))
        finally:
            over.set()


def test_a_second_signal_ends_all_at_once() -> None:
    with sidecar(seconds=60) as proxy:
        alice = listed(proxy)
        with clients(proxy, alice, 10) as inside:
            started = workers(proxy)
            proxy.signal()
            wait_until(lambda: proxy.get("/readyz")[0] == 503, "it drains")
            proxy.signal()
            assert proxy.wait() == 1
            assert not any(map(is_alive, inside))
            wait_until(lambda: not any(map(is_there, started)), "they have ended too")


@pytest.mark.deep
def test_a_revocation_reaches_all() -> None:
    with sidecar() as proxy:
        alice, bob = listed(proxy), listed(proxy, "bob")
        with clients(proxy, alice, 20) as gone, clients(proxy, bob, 20) as staying:
            with ending(proxy, {"revoked": 20}):
                (proxy.clients / "alice.key").unlink()
            assert not any(map(is_alive, gone))
            assert all(map(is_alive, staying))
            told = [line for line in proxy.log if line["event"] == "client list changed" and line["clients"] == 1]
            assert len(told) == 2, "when alice came and when she went, each once"


def test_a_reload_is_taken_by_all_or_by_none() -> None:
    public, other = endpoint(), endpoint()
    with RawService(echo) as behind, RawService(echo) as taken:
        table = service("first", public, behind.endpoint) + toml("[service.admission]", OFTEN)
        process = toml("[process]", {"workers": 2, "drain_seconds": 2})
        with Sidecar(table + process) as proxy:
            started = workers(proxy)
            more = service("second", other, behind.endpoint)
            tables = process + "\n[admin]" + proxy.config.read_text().partition("\n[admin]")[2]

            def reload_with(services: str, result: str) -> None:
                before = reloads(proxy, result)
                proxy.config.write_text(services + tables)
                proxy.signal(signal.SIGHUP)
                wait_until(lambda: reloads(proxy, result) == before + 1, result)

            reload_with(table + more, "success")
            assert all(is_served(other, proxy.server.public) for _ in range(10))
            reload_with(table + more.replace(other, taken.endpoint), "failure")
            reload_with(table + "[[service]]\nname = 3\n", "failure")
            assert all(is_served(each, proxy.server.public) for each in (public, other) for _ in range(10))
            reload_with(table, "success")
            wait_until(lambda: not listens(other), "nobody listens there")
            assert all(is_served(public, proxy.server.public) for _ in range(10))
            assert workers(proxy) == started
            os.kill(started[0], signal.SIGKILL)
            wait_until(lambda: len(workers(proxy)) == 2, "another has taken its place")
            assert all(is_served(public, proxy.server.public) for _ in range(10))


def test_another_number_of_them_needs_a_restart_and_that_is_told() -> None:
    with sidecar() as proxy:
        started, before = workers(proxy), reloads(proxy, "success")
        proxy.config.write_text(proxy.config.read_text().replace("workers = 2", "workers = 3"))
        proxy.signal(signal.SIGHUP)
        wait_until(lambda: reloads(proxy, "success") == before + 1, "it is taken")
        [told] = [line for line in proxy.log if line["event"] == "workers are as many as before"]
        assert told["wanted"] == 3
        assert workers(proxy) == started


def test_the_listener_of_a_unix_socket_is_shared(tmp_path: Path) -> None:
    with sidecar(listen=f"ipc://{tmp_path}/public") as proxy:
        alice = listed(proxy)
        with clients(proxy, alice, 40) as inside:
            assert all(map(is_alive, inside))
        assert {line["worker"] for line in proxy.log if line["event"] == "session opened"} <= {0, 1}
    assert not list(tmp_path.iterdir())


@pytest.mark.deep
def test_a_port_in_use_is_an_error() -> None:
    with RawService(echo) as taken:
        listen = taken.endpoint
        with pytest.raises(RuntimeError, match="the address is in use"), sidecar(listen=listen):
            pass
    with sidecar() as proxy:
        with pytest.raises(RuntimeError, match="the address is in use"), sidecar(listen=proxy.public):
            pass
        assert answers_often(proxy)


@pytest.mark.deep
def test_a_session_of_any_worker_can_be_ended_on_the_page() -> None:
    admin = f"127.0.0.1:{free_port()}"
    with RawService(echo) as behind:
        config = service("default", endpoint(), behind.endpoint) + toml("[service.admission]", OFTEN)
        config += toml("[process]", {"workers": 2}) + toml("[admin]", {"listen": admin, "allow_actions": True})
        proxy = Sidecar(config)
        proxy.admin = f"http://{admin}"
        with proxy, ExitStack() as stack:
            inside: list[RawClient] = []

            def ids() -> list[int]:
                return [session["id"] for session in json.loads(proxy.get("/api/status")[1])["sessions"]]

            def are_in_both() -> bool:
                """One more: the kernel deals them out by chance."""
                inside.append(stack.enter_context(RawClient(proxy.public, proxy.server.public)).handshake())
                return {number % 2 for number in ids()} == {0, 1}

            wait_until(are_in_both, "both workers have sessions")
            html = proxy.get("/")[1]
            [token] = set(re.findall(r'name="token" value="([^"]+)"', html))
            for number in ids():
                body = urllib.parse.urlencode({"token": token}).encode()
                request = urllib.request.Request(f"{proxy.admin}/sessions/{number}/end", body, {"Origin": proxy.admin})
                with urllib.request.urlopen(request) as answer:
                    assert answer.status == 200
            for client in inside:
                client.recv_until_closed()
                client.close()
            proxy.wait_metric("curveproxy_sessions_closed_total", len(inside), reason="drained")

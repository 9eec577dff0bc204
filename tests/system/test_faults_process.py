"""What may befall the running process: no descriptor, no disk, no reader, another time of day, a signal at any time."""

import json
import os
import resource
import select
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from support import process
from support.baseline import baseline, in_balance, settled
from support.cases import deep
from support.client import RawClient, answers
from support.curve import Keys
from support.peer import Peer, connect
from support.process import Sidecar, free_port, wait_until
from support.service import RawService, echo
from support.stages import INITIATE, STRANGERS, walk

from curveproxy.reasons import Outcome
from system.crowd import Crowd

ANY = {"allow": "any"}
OFTEN = {"handshakes_per_second_per_source": 100_000}
OUTCOMES = "curveproxy_handshakes_total"


def client_of(proxy: Sidecar) -> RawClient:
    """Somebody who has connected."""
    return RawClient(proxy.public, proxy.server.public)


def is_served(proxy: Sidecar) -> bool:
    """Whether an honest client gets in and has its answer."""
    with client_of(proxy) as client:
        return answers(client.handshake())


def warm_up(proxy: Sidecar) -> None:
    """Serve one client, who is gone again."""
    assert is_served(proxy)
    proxy.wait_metric("curveproxy_sessions", 0)


@pytest.fixture(scope="module")
def service() -> Iterator[RawService]:
    with RawService(echo) as service:
        yield service


@pytest.fixture
def proxy(service: RawService) -> Iterator[Sidecar]:
    """One that is warm."""
    with Sidecar(backend=service.endpoint, clients=ANY, admission=OFTEN) as proxy:
        warm_up(proxy)
        yield proxy


@pytest.fixture(scope="module")
def warm(service: RawService) -> Iterator[Sidecar]:
    """One for those who leave it as it was."""
    with Sidecar(backend=service.endpoint, clients=ANY, admission=OFTEN) as proxy:
        warm_up(proxy)
        yield proxy


@contextmanager
def limited(proxy: Sidecar, what: int, value: int) -> Iterator[None]:
    """Lower a soft limit of the running process, and give it back."""
    before = resource.prlimit(proxy.process.pid, what)
    resource.prlimit(proxy.process.pid, what, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(proxy.process.pid, what, before)


def seconds_of_processor(proxy: Sidecar) -> float:
    """What it has used."""
    fields = Path(f"/proc/{proxy.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def events(proxy: Sidecar) -> list[str]:
    """The events of its log so far."""
    return [line["event"] for line in proxy.log]


# --- no descriptors


@contextmanager
def descriptors_left(proxy: Sidecar, left: int) -> Iterator[None]:
    """Let it have so many descriptors beside those that it has. It can not be asked for a page then."""
    settled(proxy)
    taken = {int(name) for name in os.listdir(f"/proc/{proxy.process.pid}/fd")}
    free = [number for number in range(len(taken) + left + 1) if number not in taken]
    with limited(proxy, resource.RLIMIT_NOFILE, free[left]):
        yield


def test_without_a_descriptor_the_listener_rests_sessions_go_on_and_newcomers_wait(warm: Sidecar) -> None:
    with baseline(warm), client_of(warm).handshake() as inside, ExitStack() as stack:
        with descriptors_left(warm, 0):
            waiting = [stack.enter_context(client_of(warm)) for _ in range(10)]
            used = seconds_of_processor(warm)
            for _ in range(10):
                time.sleep(0.05)  # a listener that does not rest would take all of it
                assert answers(inside)
            assert seconds_of_processor(warm) - used < 0.25
            assert not select.select([client.sock for client in waiting], [], [], 0)[0]
        for client in waiting:
            assert answers(client.handshake())


def test_a_listener_without_a_descriptor_says_so(proxy: Sidecar) -> None:
    before = len(proxy.log)

    def told() -> bool:
        return any("descriptor" in json.dumps(line) and line.get("hint") for line in proxy.log[before:])

    with descriptors_left(proxy, 0), client_of(proxy):
        wait_until(told, "a line about the descriptors")


def test_a_newcomer_with_the_last_descriptor_is_not_evicted_for_nobody(warm: Sidecar) -> None:
    evicted = warm.metric(OUTCOMES, outcome="evicted")
    with (
        baseline(warm),
        client_of(warm).handshake() as inside,
        descriptors_left(warm, 1),
        client_of(warm) as client,
    ):
        walk(client, "greeting")
        assert answers(inside)  # so the listener has done what it does
        walk(client, "hello", "welcome")
    assert warm.metric(OUTCOMES, outcome="evicted") == evicted


def test_a_client_whose_dial_finds_no_descriptor_comes_again(warm: Sidecar) -> None:
    with baseline(warm):
        with walk(client_of(warm), "greeting", "hello", "welcome") as client, descriptors_left(warm, 0):
            client.initiate()
            assert client.recv_until_closed().octets == b""
        assert warm.metric(OUTCOMES, outcome="sessions_limit") == 1
        line, *_ = [line for line in warm.log if line.get("outcome") == "sessions_limit"]
        assert line["detail"] == "no descriptor is left"
        assert line["hint"]
        assert is_served(warm)


# --- nowhere to write


def refusals(proxy: Sidecar, number: int) -> None:
    """Strangers who leave no octet: each is a line of the log at level debug."""
    came = proxy.metric(OUTCOMES, outcome="probe")
    for _ in range(number):
        connect(proxy.public).close()
    proxy.wait_metric(OUTCOMES, came + number, outcome="probe")


def test_a_full_disk_costs_lines_of_the_log_and_nothing_else(warm: Sidecar) -> None:
    with baseline(warm), client_of(warm).handshake() as inside:
        warm.metrics()  # the line about who is inside has been written by now
        written = len(warm.stderr)
        with limited(warm, resource.RLIMIT_FSIZE, written + 100):
            refusals(warm, 50)
            assert len(warm.stderr) == written + 100
            assert answers(inside)
            assert is_served(warm)
        told = len(warm.log)
        refusals(warm, 50)
        assert answers(inside)
        [lost] = [line["lost"] for line in warm.log if line["event"] == "lines of the log are lost"]
        assert lost == warm.metric("curveproxy_log_lines_lost_total") > 0
        outcomes = [line.get("outcome") for line in warm.log[told:]]
        assert outcomes.count("probe") >= 49
    spoiled = [line for line in warm.stderr.splitlines() if not line.startswith("{") or not line.endswith("}")]
    assert len(spoiled) <= 1, "the line in which the disk was full"


class Mute(Sidecar):
    """One whose stdout and stderr are where a shell leads them.

    redirection: words of the shell; its directory is the proxy's.
    """

    def __init__(self, redirection: str, backend: str) -> None:
        self.listen = f"tcp://127.0.0.1:{free_port()}"
        super().__init__(backend=backend, listen=self.listen, clients=ANY, admission=OFTEN)
        self.limited = ["sh", "-c", f'exec "$@" {redirection}', "sh"]

    def listens(self) -> bool:
        """It can not say where, but that is known."""
        self.endpoints = {"default": self.listen}
        return True


@pytest.mark.parametrize("redirection", ["2>/dev/full >&2", deep("2>&- >&-"), "2>&- >&- <&-"])
def test_without_a_stderr_it_does_all_its_work(service: RawService, redirection: str) -> None:
    with Mute(redirection, service.endpoint) as proxy:
        warm_up(proxy)
        with baseline(proxy):
            refusals(proxy, 50)
            assert is_served(proxy)
        lost = proxy.metric("curveproxy_log_lines_lost_total")
        assert lost > 0
        [trouble] = [each for each in json.loads(proxy.get("/api/status")[1])["troubles"] if each["word"] == "log"]
        assert int(trouble["what"].split()[0].replace(",", "")) >= lost
        assert proxy.stop() == 0


def written(pipe: int) -> bytes:
    """What has come through a pipe."""
    with suppress(BlockingIOError):
        return os.read(pipe, 1 << 16)
    return b""


@pytest.mark.parametrize("end", ["is closed", "is not read"])
def test_a_pipe_whose_reader_is_gone_or_asleep_costs_lines_only(service: RawService, end: str) -> None:
    proxy = Mute("2>pipe >&2", service.endpoint)
    os.mkfifo(proxy.directory / "pipe")
    reader = os.open(proxy.directory / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with ExitStack() as stack, proxy:
        wait_until(lambda: b"listening" in written(reader), "it writes there")
        if end == "is closed":
            os.close(reader)
        else:
            stack.callback(os.close, reader)
        warm_up(proxy)
        with baseline(proxy), client_of(proxy).handshake() as inside:
            refusals(proxy, 500)  # a pipe holds some 300 of their lines
            assert answers(inside)
            assert is_served(proxy)
        assert proxy.stop() == 0


# --- another time of day

# The program, with a time of day that is a day later or earlier at each quarter of a second.
JUMPING = """
import time
true, true_ns, day = time.time, time.time_ns, 86_400
jump = lambda: day * (-1) ** int(time.monotonic() * 4)
time.time = lambda: true() + jump()
time.time_ns = lambda: true_ns() + jump() * 10**9
from curveproxy.app.cli import main
main()
"""


@pytest.mark.deep
def test_a_time_of_day_that_jumps_moves_no_deadline_and_spoils_no_cookie(
    service: RawService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "jumping.py"
    program.write_text(JUMPING)
    monkeypatch.setattr(process, "command", lambda: [sys.executable, str(program)])
    limits = {"handshake_seconds": 3}
    with Sidecar(backend=service.endpoint, clients=ANY, admission=limits) as proxy:
        warm_up(proxy)
        days: set[str] = set()

        def jumps() -> bool:
            with urllib.request.urlopen(proxy.admin + "/healthz") as answer:
                days.add(answer.headers["date"][:11])
            return len(days) > 1

        wait_until(jumps, "it believes in another day")
        with baseline(proxy), client_of(proxy).handshake() as inside, connect(proxy.public) as silent:
            slow = [walk(client_of(proxy), "greeting", "hello", "welcome") for _ in range(3)]
            for client in slow:
                time.sleep(0.26)  # a jump, while the client holds its cookie
                client.initiate()
                client.ready()
                client.close()
                assert answers(inside)
            Peer(silent).recv_until_closed()
            assert proxy.metric(OUTCOMES, outcome="timeout") == 1
        assert proxy.metric(OUTCOMES) - proxy.metric(OUTCOMES, outcome="admitted") == 1
        assert 0 <= proxy.metric("curveproxy_session_seconds_sum") < 600


# --- signals


def test_sigterm_at_any_stage_of_a_handshake_ends_it_and_the_process_with_0() -> None:
    served: list[Peer] = []

    def echoes_once(peer: Peer) -> None:
        served.append(peer)
        echo(peer) if len(served) == 1 else peer.hold()

    with (
        RawService(echoes_once) as service,
        Sidecar(backend=service.endpoint, clients=ANY, process={"drain_seconds": 30}) as proxy,
        ExitStack() as stack,
    ):
        inside = stack.enter_context(client_of(proxy).handshake())
        strangers = [(stage, stack.enter_context(client_of(proxy))) for stage in (*STRANGERS.values(), INITIATE)]
        for stage, client in strangers:
            stage(client)
        wait_until(lambda: len(served) == 2, "the last one's dial is under way")
        assert proxy.metric("curveproxy_half_open_connections") == len(strangers)
        proxy.signal()
        for _, client in strangers:
            client.recv_until_closed()
        assert proxy.metric(OUTCOMES, outcome="shutdown") == len(strangers)
        assert proxy.metric(OUTCOMES) == len(strangers) + 1
        assert in_balance(proxy)
        assert answers(inside)
        inside.close()
        assert proxy.wait() == 0
        told = [line for line in proxy.log if line.get("outcome") == "shutdown"]
        assert {line["hint"] for line in told} == {Outcome.SHUTDOWN.hint}
        assert len(told) == len(strangers)
        assert events(proxy)[-1] == "stopped"


def test_sigterm_in_a_rush_of_newcomers_ends_all_of_them(service: RawService) -> None:
    came: list[RawClient] = []

    def rush(proxy: Sidecar, *steps: str) -> None:
        with suppress(OSError, EOFError):
            while True:
                came.append(client_of(proxy))
                walk(came[-1], *steps)

    with (
        Sidecar(backend=service.endpoint, clients=ANY, admission=OFTEN, process={"drain_seconds": 0.2}) as proxy,
        ThreadPoolExecutor() as pool,
    ):
        rushes = [pool.submit(rush, proxy, *steps) for steps in [(), (), ("handshake",), ("handshake",)]]
        wait_until(lambda: len(came) > 200, "they rush")
        proxy.signal()
        status = proxy.wait()
        for each in rushes:
            each.result()
        for client in came:
            client.close()
        assert status == 0
        assert events(proxy)[-1] == "stopped"


def test_two_signals_at_once_while_it_drains_end_it_with_1_like_one(service: RawService) -> None:
    with (
        Sidecar(backend=service.endpoint, clients=ANY, process={"drain_seconds": 600}) as proxy,
        client_of(proxy).handshake(),
    ):
        proxy.signal()
        wait_until(lambda: "draining" in events(proxy), "it drains")
        proxy.signal(signal.SIGSTOP)  # so that it finds both when it goes on
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            proxy.signal(number)
        assert proxy.wait() == 1


@pytest.mark.deep
def test_after_a_restart_everybody_comes_again_at_once_and_nobody_is_refused() -> None:
    count = 1000
    with (
        Crowd(count) as crowd,
        Sidecar(
            backend=crowd.backend, listen=f"tcp://127.0.0.1:{free_port()}", clients=ANY, admission=crowd.admission
        ) as proxy,
    ):
        crowd.come(proxy, Keys.new())
        assert crowd.is_answered()
        proxy.process.kill()
        proxy.wait()
        proxy.start()
        assert crowd.is_answered()
        outcomes = {
            dict(labels)["outcome"]: n for (name, labels), n in proxy.metrics().items() if name == OUTCOMES and n
        }
        assert outcomes == {"admitted": count}


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG])
def test_a_signal_that_means_nothing_to_it_does_nothing(warm: Sidecar, number: signal.Signals) -> None:
    with baseline(warm), client_of(warm).handshake() as inside:
        warm.signal(number)
        assert answers(inside)
        assert is_served(warm)


@pytest.mark.deep
def test_a_process_that_was_stopped_goes_on_where_it_was(service: RawService) -> None:
    with Sidecar(backend=service.endpoint, clients=ANY, admission={"handshake_seconds": 2}) as proxy:
        warm_up(proxy)
        with baseline(proxy), client_of(proxy).handshake() as inside, connect(proxy.public) as silent:
            proxy.metrics()
            proxy.signal(signal.SIGSTOP)
            newcomer = client_of(proxy)
            newcomer.send_greeting()
            inside.send([b"are you there"])
            time.sleep(3)  # more than what a handshake may take
            proxy.signal(signal.SIGCONT)
            assert inside.recv() == [b"are you there"]
            with newcomer:  # first, for its time runs
                newcomer.recv_exactly(64)
                assert answers(walk(newcomer, "hello", "welcome", "initiate", "ready"))
            Peer(silent).recv_until_closed()
            assert proxy.metric(OUTCOMES, outcome="timeout") == 1

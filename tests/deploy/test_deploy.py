"""Each deployment file: read as its reader reads it, and what it says held against a running proxy."""

import json
import math
import re
import shutil
import subprocess
import time
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.certificates import SERVER, authority_text, certificate, written
from support.client import RawClient
from support.peer import Refused
from support.process import ROOT, Sidecar, free_port, toml, wait_until
from support.service import RawService, echo
from zmq.utils import z85

from curveproxy.proxy.net.memory import SHARE
from deploy.files import CONFIG, of_kind, pod, told, unit

HERE = Path(__file__).parent
CASES = ("alerts.yaml", "rotation.yaml")
PROCESS_BYTES = 64 << 20  # without what sessions hold
UNITS = ("curveproxy.service", "curveproxy.socket", "curveproxy-egress.service")
OURS = re.compile(r"\b(?:curveproxy|process)_\w+")


def expressions() -> dict[str, str]:
    """Of the dashboard: panel -> expression; a panel may have several."""
    panels = json.loads((CONFIG / "grafana.json").read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel.get("targets", ())
    }


def conditions() -> dict[str, str]:
    """Of the alerts: name -> expression."""
    return {rule["alert"]: rule["expr"] for group in told("alerts.yaml")[0]["groups"] for rule in group["rules"]}


# --- Kubernetes


def test_kubernetes_runs_what_its_own_configuration_says(tmp_path: Path) -> None:
    """The configuration in it, on a running proxy: probes, port names and the shared socket."""
    [sidecar] = pod()["initContainers"]
    [service] = pod()["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
    assert sidecar["restartPolicy"] == "Always", "else it would have to end before the service starts"
    text = of_kind("ConfigMap")["data"]["curveproxy.toml"]
    for path in (mounts["socket"], mounts["keys"], mounts["clients"]):
        assert path in text
    [shared] = [mount["mountPath"] for mount in service["volumeMounts"] if mount["name"] == "socket"]
    assert shared == mounts["socket"]
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    admin, public = free_port(), free_port()
    for before, after in (
        (f'"*:{ports["metrics"]}"', f'"127.0.0.1:{admin}"'),
        (f"tcp://*:{ports['curve']}", f"tcp://127.0.0.1:{public}"),
        (mounts["socket"], str(tmp_path)),
        (f"{mounts['keys']}/", ""),
        (mounts["clients"], "clients"),
    ):
        assert before in text
        text = text.replace(before, after)
    with RawService(echo, endpoint=f"ipc://{tmp_path}/orders.sock"):
        proxy = Sidecar(text)
        proxy.admin = f"http://127.0.0.1:{admin}"
        alice = proxy.new_client("alice")
        with proxy, RawClient(f"tcp://127.0.0.1:{public}", proxy.server.public, alice) as client:
            client.handshake().send([b"hello"])
            assert client.recv() == [b"hello"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = sidecar[probe]["httpGet"]
                assert asked["port"] == "metrics"
                assert proxy.get(asked["path"])[0] == 200
            [scraped] = of_kind("PodMonitor")["spec"]["podMetricsEndpoints"]
            assert scraped["port"] == "metrics"
            assert proxy.get(scraped["path"])[0] == 200
    annotations = of_kind("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["prometheus.io/port"]) == ports["metrics"]


@pytest.mark.parametrize(("path", "table"), [("kubernetes.yaml", "service"), ("kubernetes-egress.yaml", "egress")])
def test_kubernetes_gives_it_no_right_that_it_does_not_need(path: str, table: str) -> None:
    spec = pod(path)
    [sidecar] = spec["initContainers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 65532
    assert sidecar["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    config = tomllib.loads(of_kind("ConfigMap", path)["data"]["curveproxy.toml"])
    assert spec["terminationGracePeriodSeconds"] > config["process"]["drain_seconds"]
    [limit] = re.findall(r"(\d+)Mi", sidecar["resources"]["limits"]["memory"])
    ceiling, message = config["process"]["max_buffered_bytes"], config[table][0]["messages"]["max_message_bytes"]
    # One message may go over the ceiling, with both its forms.
    assert ceiling + 2 * message + PROCESS_BYTES < int(limit) << 20
    assert 2 * message <= ceiling * SHARE, "one client that does not finish leaves others their part"
    names = {volume["name"] for volume in spec["volumes"]}
    used = {mount["name"] for each in (*spec["initContainers"], *spec["containers"]) for mount in each["volumeMounts"]}
    assert names == used


def test_kubernetes_leads_clients_to_the_pod() -> None:
    assert of_kind("Service")["spec"]["selector"] == of_kind("Deployment")["spec"]["selector"]["matchLabels"]


# --- Compose


def test_compose_gives_the_service_no_network_and_the_proxy_its_socket() -> None:
    services = told("compose.yaml")[0]["services"]
    service, proxy = services["orders"], services["curveproxy"]
    hardened = (CONFIG / "hardened.toml").read_text()
    assert service["network_mode"] == "none"
    [socket] = service["volumes"]
    assert f"{socket}:ro" in proxy["volumes"]
    assert f'backend = "ipc://{socket.partition(":")[2]}/' in hardened
    port, metrics = proxy["ports"]
    assert metrics == "127.0.0.1:9464:9464", "for this host alone"
    # A container's loopback is its own: the guide's line makes it listen on all addresses.
    [edit] = re.findall(r"sed 's/(\S+)/(\S+)/' config/hardened.toml", (ROOT / "docs" / "deployment.md").read_text())
    assert tomllib.loads(hardened.replace(*edit))["admin"]["listen"] == "*:9464"
    assert f'listen = "tcp://*:{port.partition(":")[2]}"' in hardened
    assert (proxy["read_only"], proxy["cap_drop"]) == (True, ["ALL"])
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    [drain] = re.findall(r"drain_seconds = (\d+)", hardened)
    assert int(proxy["stop_grace_period"].removesuffix("s")) > int(drain)
    assert proxy["healthcheck"]["test"][:3] == ["CMD", "curveproxy", "health"]


# --- systemd


@pytest.mark.systemd
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """Each is verified, with the program where it says."""
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    (bin_directory / "curveproxy").symlink_to(shutil.which("true") or "")
    for name in UNITS:
        text = (CONFIG / name).read_text().replace("/opt/curveproxy/bin", str(bin_directory))
        (tmp_path / name).write_text(text)
    for name in UNITS:
        run = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        ours = [line for line in run.stderr.splitlines() if "curveproxy" in line]
        assert (run.returncode, ours) == (0, [])


def test_systemd_s_patience_is_longer_than_a_drain() -> None:
    service = unit("curveproxy.service")["Service"]
    assert service["Type"] == ["notify"], "it tells EXTEND_TIMEOUT_USEC, which only then is heard"
    assert "-HUP" in service["ExecReload"][0]
    [listen] = unit("curveproxy.socket")["Socket"]["ListenStream"]
    assert f"tcp://*:{listen}" in (CONFIG / "curveproxy.socket").read_text()


# --- Prometheus and Grafana


@contextmanager
def busy() -> Iterator[Sidecar]:
    """A proxy to which all happens that a dashboard shows."""
    with RawService(echo) as behind:
        first = {"name": "orders", "listen": "tcp://127.0.0.1:0", "backend": behind.endpoint}
        own = {"secret_keys": ["server.key_secret"], "certificates": ["server.cert"]}
        config = toml("[[service]]", {**first, **own}) + '[service.clients]\ndirectory = "clients"\n'
        proxy = Sidecar(config + 'authorities = [{ file = "plant-1.authority" }]\n')
        (proxy.directory / "plant-1.authority").write_text(authority_text("plant-1"))
        (proxy.directory / "server.cert").write_bytes(certificate_of(proxy.server.public))
        with proxy:
            yield proxy


def certificate_of(key: bytes) -> bytes:
    """A server's, that is valid for a day."""
    now, of = time.time(), {"public-key": z85.encode(key).decode()}
    return certificate({**SERVER, **of, "valid-from": written(now - 60), "valid-until": written(now + 86400)})


def make_use_of(proxy: Sidecar, alice: Any) -> None:
    """One who comes, talks and goes, and one who is refused."""
    with RawClient(proxy.public, proxy.server.public, alice) as client:
        client.handshake().send([b"hello"])
        assert client.recv() == [b"hello"]
    with suppress(Refused), RawClient(proxy.public, proxy.server.public) as client:
        client.handshake()


@contextmanager
def prometheus(proxy: Sidecar, directory: Path) -> Iterator[str]:
    """A real one that scrapes a proxy every second and has the alerts; its URL."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(CONFIG / "alerts.yaml")],
        "scrape_configs": [
            {"job_name": "sidecars", "static_configs": [{"targets": [proxy.admin.removeprefix("http://")]}]}
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
    listen = f"127.0.0.1:{free_port()}"
    options = {"config.file": directory / "prometheus.yaml", "storage.tsdb.path": directory / "data"}
    process = subprocess.Popen(
        ["prometheus", f"--web.listen-address={listen}", *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait(30)


def ask(url: str, **query: str) -> Any:
    """What it answers. Raises OSError."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]


def test_what_is_read_of_the_metrics_is_there() -> None:
    with busy() as proxy:
        names = {name for name, _ in proxy.metrics()} | {"curveproxy_backend_up"}  # after the first dial
        for place, expression in {**expressions(), **conditions()}.items():
            for name in OURS.findall(expression):
                assert name in names, place


@pytest.mark.prometheus
def test_the_alerts_fire_when_they_should() -> None:
    for arguments in (["check", "rules", str(CONFIG / "alerts.yaml")], ["test", "rules", *CASES]):
        run = subprocess.run(["promtool", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    tested = "".join((HERE / name).read_text() for name in CASES)
    assert [name for name in conditions() if name not in tested] == []


@pytest.mark.prometheus
def test_every_panel_of_the_dashboard_shows_something(tmp_path: Path) -> None:
    with busy() as proxy, prometheus(proxy, tmp_path) as url, ExitStack() as stack:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        stack.enter_context(RawClient(proxy.public, proxy.server.public, alice)).handshake()

        def empty() -> list[str]:
            """Panels without a figure."""
            make_use_of(proxy, alice)
            time.sleep(0.5)
            found = []
            for panel, expression in expressions().items():
                query = expression.replace("$__rate_interval", "10s").replace("$service", ".*")
                with suppress(OSError):
                    figures = [float(each["value"][1]) for each in ask(f"{url}/api/v1/query", query=query)["result"]]
                    if any(not math.isnan(figure) for figure in figures):
                        continue
                found.append(panel)
            return found

        wait_until(lambda: not empty(), "all show something", 60)
        groups = ask(f"{url}/api/v1/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(conditions())
        wait_until(
            lambda: all(
                rule["health"] == "ok" for group in ask(f"{url}/api/v1/rules")["groups"] for rule in group["rules"]
            ),
            "each rule can be evaluated",
        )
        assert ask(f"{url}/api/v1/query", query="up == 1")["result"]


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads((CONFIG / "grafana.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places), "none lies upon another"
    assert max(x for x, _ in places) < 24
    for panel in panels:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"

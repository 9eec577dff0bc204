"""The deployment files of an egress: what they say, held against a running proxy and against each other."""

import os
import re
import tomllib
from pathlib import Path

import zmq
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import ROOT, Sidecar, certificate, free_port

from deploy.files import CONFIG, of_kind, pod, told, unit

KUBERNETES = "kubernetes-egress.yaml"
EXAMPLE = (CONFIG / "egress.toml").read_text()


def run(text: str, changes: dict[str, str], directory: Path) -> Sidecar:
    """A proxy with a configuration in which these places are others, and this user's id stands for theirs."""
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    proxy = Sidecar(text)
    certificate(proxy.directory, "alice")
    proxy.admin = f"http://127.0.0.1:{re.findall(r'127.0.0.1:([0-9]+)', text)[0]}"
    return proxy


def test_kubernetes_runs_what_its_own_configuration_says(tmp_path: Path) -> None:
    """The configuration in it, on a running proxy: a client without CURVE is answered; probes and port names."""
    [sidecar], [client] = pod(KUBERNETES)["initContainers"], pod(KUBERNETES)["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
    assert sidecar["restartPolicy"] == "Always", "else it would have to end before the client starts"
    [shared] = [mount["mountPath"] for mount in client["volumeMounts"] if mount["name"] == "socket"]
    assert shared == mounts["socket"]
    [port] = [port["containerPort"] for port in sidecar["ports"] if port["name"] == "metrics"]
    user = pod(KUBERNETES)["securityContext"]["runAsUser"]
    with Libzmq() as z:
        orders = certificate(tmp_path, "orders")
        service, endpoint = z.bind(zmq.REP, server=orders)
        changes = {
            f'"*:{port}"': f'"127.0.0.1:{free_port()}"',
            "tcp://orders.example:5556": endpoint,
            mounts["socket"]: str(tmp_path),
            mounts["server-keys"]: str(tmp_path),
            f"{mounts['keys']}/": "",
            f"allow_uids = [{user}]": f"allow_uids = [{os.getuid()}]",
        }
        text = of_kind("ConfigMap", KUBERNETES)["data"]["curveproxy.toml"]
        with run(text, changes, tmp_path) as proxy, asking(f"ipc://{tmp_path}/orders.sock") as peer:
            peer.send([b"", b"hello"])
            service.send(service.recv() + b"!")
            assert peer.recv() == [b"", b"hello!"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = sidecar[probe]["httpGet"]
                assert asked["port"] == "metrics"
                assert proxy.get(asked["path"])[0] == 200
            [scraped] = of_kind("PodMonitor", KUBERNETES)["spec"]["podMetricsEndpoints"]
            assert scraped["port"] == "metrics"
            assert proxy.get(scraped["path"])[0] == 200
    annotations = of_kind("Deployment", KUBERNETES)["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["prometheus.io/port"]) == port


def test_the_example_lets_a_client_without_curve_in(tmp_path: Path) -> None:
    with Libzmq() as z:
        service, endpoint = z.bind(zmq.REP, server=certificate(tmp_path, "orders"))
        changes = {
            "127.0.0.1:9464": f"127.0.0.1:{free_port()}",
            "tcp://orders.example:5556": endpoint,
            "/run/orders": str(tmp_path),
            "keys/orders.key": str(tmp_path / "orders.key"),
            "keys/alice.key_secret": "alice.key_secret",
        }
        with run(EXAMPLE, changes, tmp_path), asking(f"ipc://{tmp_path}/orders.sock") as peer:
            peer.send([b"", b"hello"])
            service.send(service.recv() + b"!")
            assert peer.recv() == [b"", b"hello!"]


def asking(endpoint: str) -> Peer:
    """A REQ in plain ZMTP that was let in."""
    return Peer.to(endpoint, socket_type="REQ").handshake()


def test_compose_gives_the_client_no_network_and_the_proxy_s_socket() -> None:
    services = told("compose-egress.yaml")[0]["services"]
    client, proxy = services["client"], services["curveproxy"]
    assert client["network_mode"] == "none"
    [socket] = client["volumes"]
    assert socket in proxy["volumes"], "which makes the socket there"
    [egress] = tomllib.loads(EXAMPLE)["egress"]
    assert egress["listen"].startswith(f"ipc://{socket.partition(':')[2]}/")
    assert egress["socket_mode"] == "0600"
    [mounted] = told("compose-egress.yaml")[0]["volumes"].values()
    assert f"uid={client['user'].partition(':')[0]}" in mounted["driver_opts"]["o"]
    assert proxy["ports"] == ["127.0.0.1:9464:9464"], "for this host alone"
    [edit] = re.findall(r"sed 's/(\S+)/(\S+)/' config/egress.toml", (ROOT / "docs" / "deployment.md").read_text())
    assert tomllib.loads(EXAMPLE.replace(*edit))["admin"]["listen"] == "*:9464"
    for setting in ("read_only", "cap_drop", "security_opt", "healthcheck", "stop_grace_period"):
        assert proxy[setting] == told("compose.yaml")[0]["services"]["curveproxy"][setting]
    assert int(proxy["stop_grace_period"].removesuffix("s")) > tomllib.loads(EXAMPLE)["process"]["drain_seconds"]


def test_systemd_runs_it_as_it_runs_an_ingress() -> None:
    """All but where the key comes from, what it runs, and who may connect."""
    ingress, egress = unit("curveproxy.service"), unit("curveproxy-egress.service")
    own = {"ExecStart", "LoadCredential", "Group", "RuntimeDirectory", "RuntimeDirectoryMode"}
    for section in ("Service", "Install"):
        theirs, ours = ({n: v for n, v in each[section].items() if n not in own} for each in (ingress, egress))
        assert theirs == ours
    [directory], [mode] = (egress["Service"][name] for name in ("RuntimeDirectory", "RuntimeDirectoryMode"))
    assert f'listen = "ipc:///run/{directory}/' in EXAMPLE
    assert mode == "0750", "which the group may enter, and nobody else"

"""The deployment files of an egress: what they say, held against a running proxy and against each other."""

import re
import tomllib

from support.process import ROOT

from deploy.files import CONFIG, told, unit

EXAMPLE = (CONFIG / "egress.toml").read_text()


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

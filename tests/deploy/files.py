"""The files of ``config/`` as their readers read them."""

from typing import Any

import yaml
from support.process import ROOT

CONFIG = ROOT / "config"

Unit = dict[str, list[str]]


def told(path: str) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all((CONFIG / path).read_text()))


def of_kind(kind: str, path: str = "kubernetes.yaml") -> dict[str, Any]:
    """The one object of a kind that Kubernetes is told."""
    [found] = [document for document in told(path) if document["kind"] == kind]
    return found


def pod(path: str = "kubernetes.yaml") -> dict[str, Any]:
    """The specification of a Deployment's pod."""
    spec: dict[str, Any] = of_kind("Deployment", path)["spec"]["template"]["spec"]
    return spec


def unit(name: str) -> dict[str, Unit]:
    """Section -> setting -> its values, of a unit of systemd."""
    found: dict[str, Unit] = {}
    section: Unit = {}
    for line in (CONFIG / name).read_text().splitlines():
        setting, equals, value = line.partition("=")
        if line.startswith("["):
            section = found[line.strip("[]")] = {}
        elif equals and not line.startswith("#"):
            section.setdefault(setting, []).append(value)
    return found

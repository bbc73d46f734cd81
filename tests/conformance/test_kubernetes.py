"""The manifests for Kubernetes are what its API takes, ask for no more than is said, and name what the product has."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from support import boxed, image

from replguard import config as configuration
from replguard import yamlfile
from replguard.provenance.manifest import load

VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version())
NAMED = {"Namespace", "ServiceAccount", "ConfigMap", "DaemonSet"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_the_api_takes(version: str) -> None:
    """By Kubernetes' own schema, unknown fields refused; a misspelt field is found."""
    objects = boxed.documents()
    assert objects.keys() == NAMED
    for one in objects.values():
        kubernetes_validate.validate(one, version, strict=True)
    objects["DaemonSet"]["spec"]["template"]["spec"]["hostPIDs"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(objects["DaemonSet"], version, strict=True)


def test_the_configuration_in_it_is_good(tmp_path: Any) -> None:
    """It loads, and so does the manifest; the page listens where the probes and Prometheus ask."""
    data = boxed.documents()["ConfigMap"]["data"]
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    config = configuration.load(tmp_path / "replguard.yaml")
    assert config.host_root == "/proc/1/root"
    assert load(tmp_path / "manifest.yaml")[1] == []
    (port,) = boxed.container()["ports"]
    assert config.metrics.listen.endswith(f":{port['containerPort']}")
    assert boxed.container()["livenessProbe"]["httpGet"]["port"] == port["name"]
    points = {mount["mountPath"] for mount in boxed.container()["volumeMounts"]}
    assert set(config.weights.paths) <= points
    assert {config.state_dir, config.log.dir, "/etc/replguard"} <= points


def test_nothing_more_is_asked_for_than_the_service_has() -> None:
    """The capabilities of the unit, no privileged container, no token; writable are state, log and memory."""
    pod, container = boxed.pod(), boxed.container()
    security = container["securityContext"]
    (line,) = [
        line.partition("=")[2].split()
        for line in (boxed.ROOT / "systemd/replguard.service").read_text().splitlines()
        if line.startswith("CapabilityBoundingSet=")
    ]
    assert {f"CAP_{name}" for name in security["capabilities"]["add"]} == set(line)
    assert (security["privileged"], security["readOnlyRootFilesystem"]) == (False, True)
    assert pod["automountServiceAccountToken"] is False
    writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"state", "log", "tmp"}
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}


def test_prometheus_operator_asks_what_the_daemonset_names() -> None:
    """Its own kind has no schema of Kubernetes': port and labels have to agree, and the job is that of the rules."""
    monitor = yaml.safe_load((boxed.EXAMPLES / "podmonitor.yaml").read_text())
    labels = boxed.documents()["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == boxed.container()["ports"][0]["name"]
    assert {"targetLabel": "job", "replacement": "replguard"} in endpoint["relabelings"]


def test_the_image_is_built_from_what_is_locked() -> None:
    """Every package of Python is held to a hash, what is copied exists, and no secret or token is named."""
    runs = [rest for word, rest in image.steps() if word == "RUN"]
    installs = [part for rest in runs for part in rest.split("&&") if "pip install" in part]
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)
    sources = [rest.split()[:-1] for word, rest in image.steps() if word == "COPY" and "--from" not in rest]
    assert all((boxed.ROOT / source).exists() for each in sources for source in each)
    assert image.packages() == ["libbpf1", "python3", "python3-venv"]
    assert not any(word in image.FILE.read_text().lower() for word in ("password", "token", "secret"))
    assert ("USER", "0:0") in list(image.steps())
    assert yamlfile.is_there(boxed.EXAMPLES / "replguard.yaml")

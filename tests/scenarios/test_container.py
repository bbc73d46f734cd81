"""The daemon in a container, with what the DaemonSet of the examples gives it and no more, watches the host."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from support import boxed
from support.host import until

from replguard.config import Config
from replguard.drill import dummy
from replguard.kernel import procfs
from replguard.sensors import registry

pytestmark = pytest.mark.root
PATIENCE = 60.0


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.timeout(300)
def test_a_copy_on_the_host_is_told_with_the_hosts_paths(tmp_path: Path) -> None:
    """Original and copy are called as the host calls them, also where the container has no such path.

    By its user's and its machine's name on the host, and by no sensor of a lesser tier than outside.
    """
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "pivot_root", "setpriv"))):
        pytest.skip("a container of a test's own needs root, unshare, pivot_root and setpriv")
    host = {name: tmp_path / name for name in ("config", "state", "log", "models")}
    for folder in (*host.values(), tmp_path / "elsewhere"):
        folder.mkdir(mode=0o700)
    dummy.write_model(host["models"] / "m", shards=1)
    (original,) = (host["models"] / "m").glob("*.safetensors")
    config = yaml.safe_load(boxed.documents()["ConfigMap"]["data"]["replguard.yaml"])
    # Process 1 of a test's machine may be hidden from it; any other of the host leads there as well.
    config |= {"host_root": f"/proc/{os.getpid()}/root", "metrics": {"listen": "127.0.0.1:0"}}
    config["weights"] |= {"paths": [str(host["models"])], "discover": False}
    config |= {"agents": {"endpoints": []}, "watch": {"paths": []}}
    (host["config"] / "replguard.yaml").write_text(yaml.safe_dump(config))
    (host["config"] / "manifest.yaml").write_text(boxed.documents()["ConfigMap"]["data"]["manifest.yaml"])
    listed = boxed.mounts(host, {"models": host["models"]})
    errors, alerts = tmp_path / "errors", host["log"] / "alerts.jsonl"
    with boxed.running(tmp_path / "new", listed, ["run", "-c", "/etc/replguard/replguard.yaml"], errors) as daemon:
        assert daemon.stdout is not None
        said = []
        while (line := daemon.stdout.readline()) and not line.startswith("ready"):
            said.append(line)
        if not line and "pivot_root" in errors.read_text():
            pytest.skip(f"a root cannot be made here: {errors.read_text()[-300:]}")
        assert line, errors.read_text()[-3000:]
        assert until(lambda: "1 file of 1 model" in (host["state"] / "status.json").read_text(), PATIENCE)
        copy = tmp_path / "elsewhere" / "copy.bin"
        shutil.copyfile(original, copy)
        found = until(lambda: [one for one in lines(alerts) if one.get("file", {}).get("path") == str(copy)], PATIENCE)
        assert found, (errors.read_text()[-3000:], lines(alerts), said)
    told = found[-1]
    assert told["replguard"]["origin"]["path"] == str(original)
    assert told["process"]["pid"] == os.getpid()
    assert told["process"]["cgroup"] == procfs.cgroup(os.getpid())
    assert told["user"]["name"] == "root"
    if Path("/etc/machine-id").exists():
        assert told["host"]["id"] == Path("/etc/machine-id").read_text().strip()
    kernel = {line.split()[0] for line in said if " kernel" in line}
    # What works out here works in there.
    outside = {sensor.name for sensor in registry.open_all(Config())[0] if sensor.mode == "kernel"}
    assert outside <= kernel, said

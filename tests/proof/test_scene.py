"""What a trial draws by its seed: the same each time, something else for another."""

import json
import random

import pytest
from proof import kinds
from proof.attacks import ATTACKS
from proof.hosts import Peer
from proof.scene import Scene

from replguard.drill import stage


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path_factory):
    """Hardly any, and the same for all."""
    folder = tmp_path_factory.mktemp("weights") / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(2 << 20))
    monkeypatch.setattr(kinds.Kind, "weights", lambda _: folder)


def planned(folder, name, seed):
    """Return the agent's plan, with what no seed draws taken out."""
    ports = [*range(20001, 20009)]
    peers = [Peer(f"10.1.1.{number}", folder / f"{seed}-{number}", 1) for number in range(3, 3 + ATTACKS[name].peers)]
    for peer in peers:
        peer.key.parent.mkdir(parents=True)
        peer.key.write_text("key\n")
    scene = Scene(folder / seed, kinds.STAND_IN, random.Random(seed), "10.1.1.2", ports, peers)
    plot = ATTACKS[name].build(scene)
    scene.plan(plot, 10.0)
    text = (scene.home / "src" / "plan.json").read_text()
    return json.loads(text.replace(str(folder), "")), scene, plot


PLAIN = [name for name in ATTACKS if name != "supervisord"]
"""All but one whose tools lie in an environment of their own."""


@pytest.mark.parametrize("name", PLAIN)
def test_a_seed_draws_one_plan(name, tmp_path):
    """And another seed another; each plan begins with the task that the agent is given."""
    first, scene, plot = planned(tmp_path / "a", name, "1")
    assert first == planned(tmp_path / "b", name, "1")[0]
    assert first != planned(tmp_path / "a", name, "2")[0]
    assert first["work"]
    assert all(step["gap"] >= 0 and step["command"] for steps in first.values() for step in steps)
    assert (scene.home / "deploy_api_server.py").exists()
    acts = {step["act"] for steps in first.values() for step in steps}
    assert plot.act == "live" or plot.act in acts


def test_ports_are_free_ones(tmp_path):
    """Where none are given."""
    scene = Scene(tmp_path, kinds.STAND_IN, random.Random(1))
    assert len(set(scene.ports)) == len(scene.ports)
    assert not any(stage.listening(port) for port in scene.ports)

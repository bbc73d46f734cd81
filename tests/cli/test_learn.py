import os
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from replguard.cli import group
from replguard.cli.learn import manifest
from replguard.events import clock
from replguard.events.standing import Serves
from replguard.provenance import manifest as manifests
from replguard.standing import Status


def serves(**given):
    """Return a service's instance, or what is said otherwise."""
    one = {
        "model": "chat",
        "pid": 7,
        "weights": ("/models/chat/w-00001-of-00002.safetensors", "/models/chat/w-00002-of-00002.safetensors"),
        "ports": (8000,),
        "agent": False,
        "unit": "vllm.service",
        "user": "serve",
        "executable": "/usr/bin/python3",
    }
    return Serves(**(one | given))


def read(text, folder):
    """Return what a learnt manifest says, which has to be free of faults and doubts."""
    (folder / "m.yaml").write_text(text)
    found, problems = manifests.load(folder / "m.yaml")
    assert problems == []
    assert manifests.warnings(found, clock.now().date()) == []
    return found


def test_instances_of_one_principal_are_one_entry(tmp_path):
    """As many as there are; the shards of a model are one glob. What listens elsewhere is another entry."""
    text = manifest([serves(), serves(), serves(ports=(8001,))], "2026-01-01")
    first, second = read(text, tmp_path).deployments
    assert (first.name, first.unit, first.ports, first.max_instances) == ("chat", "vllm.service", (8000,), 2)
    assert first.weights == ("/models/chat/w-[0-9][0-9][0-9][0-9][0-9]-of-00002.safetensors",)
    assert (second.name, second.ports, second.max_instances) == ("chat-2", (8001,), 1)


def test_agents_are_left_out_and_said(tmp_path):
    """Also whoever nothing names."""
    text = manifest([serves(agent=True), serves(unit=None, user=None)], "2026-01-01")
    assert read(text, tmp_path) == manifests.Manifest()
    assert "# left out: pid 7 serves chat: an agent or another server started it" in text
    assert "nothing names who it is" in text


def test_a_program_is_known_by_user_and_command(tmp_path):
    """Literally, whatever is in its name; its other programs may read what it serves."""
    text = manifest([serves(unit=None, command="python3 [a]*", others=("/opt/w*",))], "2026-01-01")
    found = read(text, tmp_path)
    (entry,), (job,) = found.deployments, found.jobs
    assert (entry.user, entry.executable, entry.command) == ("serve", "/usr/bin/python3", "python3 [[]a][*]")
    assert (job.name, job.user, job.executable, job.may) == ("chat-worker", "serve", "/opt/w[*]", ("access",))


@pytest.fixture
def state(tmp_path):
    """Return a folder with a configuration that names it, and a function that asks."""
    (tmp_path / "c.yaml").write_text(f"state_dir: {tmp_path}/state\nmanifest: {tmp_path}/m.yaml\n")
    (tmp_path / "state").mkdir()

    def ask(*words):
        return CliRunner().invoke(group, ["learn", "-c", str(tmp_path / "c.yaml"), *words])

    return tmp_path / "state", ask


def running(folder: Path, *serving):
    """Write what a daemon of our own pid says of itself."""
    now = clock.now()
    said = Status(version="0", pid=os.getpid(), started=now, written=now, sensors=[], protecting="", judging="",
                  problems=[], metrics="", serving=list(serving))  # fmt: skip
    (folder / "status.json").write_bytes(msgspec.json.encode(said))


def test_the_running_daemon_is_asked(state):
    """Its answer is a manifest on standard output and nothing else."""
    folder, ask = state
    running(folder, serves())
    result = ask()
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["deployments"][0]["unit"] == "vllm.service"
    assert result.stderr == ""
    running(folder)
    assert yaml.safe_load(ask().stdout) == {"deployments": []}


def test_accept_leaves_a_note_for_the_next_start(state):
    """Nobody runs who could take it now."""
    folder, ask = state
    result = ask("--accept")
    assert result.exit_code == 0
    assert "at its next start" in result.output
    assert (folder / "baseline.accept").exists()


def test_accept_that_cannot_be_written_is_wrong(state):
    """And says what to do."""
    folder, ask = state
    folder.rmdir()
    folder.write_text("a file")
    result = ask("--accept")
    assert result.exit_code == 2
    assert "cannot be written" in result.output

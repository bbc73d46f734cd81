"""Nothing reaches for the network: every verb does its work where no name can be looked up and nothing be reached."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner
from support import cases, logs

from replguard.cli import Verbs, group
from replguard.rules.load import load

GUARD = """
import os, socket

def told(call, *args):
    with open(os.environ["REACHED"], "a") as out:
        out.write(f"{call} {args}\\n")
    raise socket.gaierror(socket.EAI_AGAIN, "no name can be looked up here")

numbers = socket.getaddrinfo

def resolve(host, *args, **more):
    # A number needs no look-up.
    try:
        return numbers(host, *args, **{**more, "flags": socket.AI_NUMERICHOST})
    except socket.gaierror:
        told("getaddrinfo", host)

socket.getaddrinfo = resolve
for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"):
    setattr(socket, name, lambda *args, call=name, **more: told(call, *args))

class Guarded(socket.socket):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(("127.", "::1")):
            told("connect", address)
        return super().connect(address)

    def connect_ex(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(("127.", "::1")):
            told("connect_ex", address)
        return super().connect_ex(address)

socket.socket = Guarded
"""
"""Every Python that a verb starts reads this first."""
WORK = {
    "check": (["check"], (0,)),
    "doctor": (["doctor", "--json"], (0, 1)),
    "install": (["install", "--root", "{folder}/root"], (0,)),
    "learn": (["learn"], (0,)),
    "maintenance": (["maintenance"], (2,)),
    "query": (["query", "--log", "{logs}", "--text", "file"], (0,)),
    "replay": (["replay", "{log}"], (0,)),
    "report": (["report", "--log", "{logs}", "1234567890", "--bundle", "{folder}/b.zip"], (0,)),
    "rules list": (["rules", "list"], (0,)),
    "rules explain": (["rules", "explain", "{rule}"], (0,)),
    "rules schema": (["rules", "schema"], (0,)),
    "rules test": (["rules", "test"], (0,)),
    "uninstall": (["uninstall", "--root", "{folder}/root"], (0,)),
    "status": (["status"], (1,)),
    "top": (["top", "--once"], (1,)),
    "verify": (["verify", "{logs}"], (0,)),
    "weights list": (["weights", "list"], (0, 1)),
    "weights scan": (["weights", "scan"], (0, 1)),
    "weights match": (["weights", "match", "{log}"], (0, 1)),
}
"""Words of each verb, and the exit codes that are its work done; ``run`` and ``drill`` are below."""


def _free() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def place(tmp_path):
    """Return a folder with a configuration, a log and the guard, and the environment that puts it in place."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    (tmp_path / "models").mkdir()
    (tmp_path / "log.jsonl").write_text(
        '{"@timestamp":"2026-01-01T00:00:00Z","event":{"action":"process_exec","id":"b-1","sequence":1},'
        '"process":{"executable":"/usr/bin/curl","command_line":"curl http://nowhere.example"}}\n'
    )
    (tmp_path / "replguard.yaml").write_text(
        f"state_dir: {tmp_path}/state\nweights: {{paths: [{tmp_path}/models], discover: false}}\n"
        f"watch: {{paths: [{tmp_path}/models]}}\nagents: {{endpoints: []}}\nlog: {{dir: {tmp_path}/log}}\n"
        f"sinks: {{jsonl: {{path: {tmp_path}/alerts.jsonl}}}}\nmanifest: {tmp_path}/manifest.yaml\n"
        f"metrics: {{listen: '127.0.0.1:{_free()}'}}\n"
    )
    logs.made(tmp_path / "logs", tmp_path / "keys")
    cases.made(tmp_path / "logs", tmp_path / "keys")
    reached = tmp_path / "reached"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "guard"), "REACHED": str(reached)}
    return tmp_path, environment, reached


def guarded(place, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb behind the guard."""
    folder, environment, _ = place
    needs = [] if words[0] in ("rules", "verify", "install", "uninstall") else ["-c", f"{folder}/replguard.yaml"]
    group_words = words[:2] if words[0] == "weights" else words[:1]
    command = [sys.executable, "-m", "replguard", *group_words, *needs, *words[len(group_words) :]]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_guard_is_in_place(place):
    """What it is there to see it sees."""
    _, environment, reached = place
    script = "import socket; socket.create_connection(('example.com', 80), timeout=1)"
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert ended.returncode != 0
    assert "getaddrinfo" in reached.read_text()


def test_every_verb_is_here():
    """A new verb, or a part of one, comes with its line above."""
    verbs = Verbs().list_commands(None)
    held = {words.split()[0] for words in WORK} | {"run", "drill"}
    assert set(verbs) == held
    for parent in ("rules", "weights"):
        parts = group.get_command(None, parent).commands
        assert {f"{parent} {part}" for part in parts} == {words for words in WORK if words.startswith(f"{parent} ")}


@pytest.mark.parametrize("verb", WORK)
def test_a_verb_does_its_work_without_a_network(place, verb):
    """No name is looked up and nothing but this host asked, and its work is done."""
    folder, _, reached = place
    words, codes = WORK[verb]
    given = {"folder": folder, "log": folder / "log.jsonl", "logs": folder / "logs", "rule": load([]).rules[0].name}
    ended = guarded(place, *(word.format(**given) for word in words))
    assert ended.returncode in codes, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not reached.exists(), reached.read_text()


def test_the_daemon_starts_without_a_network(place):
    """It becomes ready, and ends when told to."""
    folder, environment, reached = place
    command = [sys.executable, "-m", "replguard", "run", "-c", f"{folder}/replguard.yaml"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as daemon:
        try:
            assert "ready\n" in iter(daemon.stdout.readline, "")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()
    assert not reached.exists(), reached.read_text()


@pytest.mark.root
def test_a_drill_needs_no_network(place):
    """Its model, its server and its agent are all of this host."""
    _, environment, reached = place
    command = [sys.executable, "-m", "replguard", "drill", "shutdown-avoidance", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not reached.exists(), reached.read_text()


def test_help_is_read_without_a_network(monkeypatch):
    """Of each verb."""

    def fail(*_args, **_more):
        raise AssertionError("a name was looked up")

    monkeypatch.setattr("socket.getaddrinfo", fail)
    for verb in Verbs().list_commands(None):
        assert CliRunner().invoke(group, [verb, "--help"]).exit_code == 0

"""What is done to the daemon itself, what it is asked to do, and by whom: a real daemon, real signals and files."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import daemon, webserver, whole
from support.daemon import Daemon

from replguard.drill import dummy, stage
from replguard.errors import Unavailable
from replguard.kernel import libbpf

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
COMES = 60.0
AGENT = """
import http.client, subprocess, sys
# An agent's scaffold: it asks the model, and runs what it is told to.
for line in sys.argv[2:]:
    link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    link.request("POST", "/v1/chat/completions", '{"messages": [{"role": "user", "content": "next"}]}')
    link.getresponse().read()
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    print(ended.returncode, ended.stdout, ended.stderr, flush=True)
    link.close()
"""
"""A stand-in for an agent: argv is the model's port and the commands that it was told."""


@pytest.fixture(scope="module")
def host() -> Iterator[Daemon]:
    """A host that serves a model, with a rule file of the operator's own and a pager."""
    try:
        libbpf.check()
        libbpf.find()
    except Unavailable as error:
        pytest.skip(str(error))
    with webserver.serving() as pager:

        def settings(on: stage.Stage) -> dict[str, Any]:
            model, rules = on.folder / "models" / "chat", on.folder / "rules"
            dummy.write_model(model, tensors=8)
            rules.mkdir()
            (on.folder / "agent.py").write_text(AGENT)
            (on.port,) = stage.free_ports(1)
            words = ("--weights", model, "--port", on.port)
            on.module("replguard.drill.server", *words, folder=on.folder, output=on.folder / "server.log")
            wait(lambda: stage.listening(on.port))
            return {
                "weights": {"paths": [str(model)], "discover": False},
                "rules": {"paths": [str(rules)]},
                "sinks": {
                    "jsonl": {"path": str(on.folder / "daemon" / "alerts.jsonl")},
                    "webhook": {"url": pager.url, "min_level": "critical"},
                },
            }

        with daemon.running(settings) as one:
            one.pager = pager
            yield one


def wait(true: Callable[[], Any], seconds: float = COMES) -> Any:
    """Wait for something to be true, and return it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def raised(host: Daemon, *names: str) -> dict[str, Any]:
    """Wait for an alert of one of these rules."""
    try:
        return wait(lambda: next((a for a in host.alerts() if a["rule"]["name"] in names), None))
    except AssertionError:
        pytest.fail(f"no {names}; there were {[(a['rule']['name'], a['message']) for a in host.alerts()]}")


def named(host: Daemon, rule: str) -> list[dict[str, Any]]:
    """Return the alerts of a rule."""
    return [alert for alert in host.alerts() if alert["rule"]["name"] == rule]


def verb(host: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb against the daemon of the test."""
    command = [sys.executable, "-m", "replguard", words[0], "-c", str(host.watcher.config), *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def by_agent(host: Daemon, *lines: str) -> str:
    """Have an agent's stand-in run commands, after two others that make it known as one; return what they said."""
    words = [sys.executable, str(host.folder / "agent.py"), str(host.stage.port), "true", "true", "sleep 1", *lines]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True, start_new_session=True).stdout


def test_a_stopped_daemon_says_who_stopped_it_and_that_it_was_held(host: Daemon) -> None:
    """Once it is continued: the signal with its sender, and that no thread of it ran."""
    process = host.watcher.process
    assert process is not None
    pid = whole.part(process.pid, "collector")
    subprocess.run(["sh", "-c", f"/bin/kill -STOP {pid}; sleep 7; /bin/kill -CONT {pid}"], check=True)
    told = host.fact("watcher_tampering", lambda fact: fact["replguard"]["technique"] == "signal", COMES)
    assert (told["replguard"]["status"], told["replguard"]["source"]) == ("STOP", "daemon")
    assert told["process"]["args"] == ["/bin/kill", "-STOP", str(pid)]
    assert raised(host, "watcher-held")["rule"]["level"] == "high"
    raised(host, "blinding-signal", "blinding-signal-agent")


def test_a_rule_file_that_an_agent_writes_is_critical(host: Daemon) -> None:
    """It is told with the path and the agent, whatever name it has."""
    path = host.folder / "rules" / "mine.yml"
    by_agent(host, f"echo '# nothing' > {path}")
    rule = "blinding-file-agent"
    alert = wait(lambda: next((a for a in named(host, rule) if a["file"]["path"] == str(path)), None))
    assert alert["rule"]["level"] == "critical"
    assert alert["replguard"]["actor"]["agent"] is True
    path.unlink(missing_ok=True)


def test_a_segment_of_the_log_that_somebody_writes_to_is_told(host: Daemon) -> None:
    """What the daemon itself writes there is not."""
    stray = host.watcher.log_dir / "stray"
    subprocess.run(["sh", "-c", f"echo x > {stray}"], check=True)
    told = host.fact("watcher_tampering", lambda fact: fact.get("file", {}).get("path") == str(stray), COMES)
    assert told["replguard"]["source"] == "log"
    stray.unlink()
    paths = {fact["file"]["path"] for fact in host.facts("watcher_tampering") if "file" in fact}
    assert not [path for path in paths if "raw-" in path or "evidence-" in path or path.endswith("status.json")]


def test_an_opened_memory_is_told(host: Daemon) -> None:
    """Of the daemon, by who reads its /proc/PID/mem."""
    process = host.watcher.process
    assert process is not None
    for pid in whole.parts(process.pid):
        subprocess.run(["sh", "-c", f"exec 3</proc/{pid}/mem"], check=True)

        def looked(fact: dict[str, Any], pid: int = pid) -> bool:
            return fact.get("target", {}).get("pid") == pid and fact["replguard"].get("mode") == "memory"

        host.fact("watcher_tampering", looked, COMES)


def test_a_window_is_begun_by_root_and_refused_to_a_child_of_an_agent(host: Daemon) -> None:
    """The refusal is an alert; the window is in the log, in the status and in the state, and ends."""
    begun = verb(host, "maintenance", "10m", "--reason", "upgrade to 1.2")
    assert begun.returncode == 0, begun.stderr
    assert "upgrade to 1.2" in begun.stdout
    assert raised(host, "control-used", "control-operator")["rule"]["level"] in ("low", "informational")
    before = len(host.alerts())
    subprocess.run(
        ["sh", "-c", f"echo x > {host.folder}/rules/other.yml; rm {host.folder}/rules/other.yml"], check=True
    )
    fact = host.fact(
        "watcher_tampering", lambda fact: fact.get("file", {}).get("path", "").endswith("other.yml"), COMES
    )
    shown = verb(host, "maintenance")
    assert "upgrade to 1.2" in shown.stdout
    wait(lambda: "upgrade to 1.2" in verb(host, "status").stdout)
    assert verb(host, "maintenance", "end").returncode == 0
    assert "no maintenance window" in verb(host, "maintenance").stdout
    if fact["replguard"].get("maintenance"):  # who runs the tests may be somebody whom no window covers
        assert not [a for a in host.alerts()[before:] if a["rule"]["name"].startswith("blinding-file")]
    command = f"{sys.executable} -m replguard maintenance -c {host.watcher.config} 1h --reason mine"
    said = by_agent(host, command)
    assert "refused" in said
    assert "no maintenance window" in verb(host, "maintenance").stdout
    refused = raised(host, "control-refused")
    assert (refused["rule"]["level"], refused["replguard"]["actor"]["agent"]) == ("high", True)


def test_a_live_drill_reaches_every_sink_marked(host: Daemon) -> None:
    """The file and the pager, whose least level is critical, also get its low alerts; nothing else is marked."""
    ended = verb(host, "drill", "self-replication", "--live", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (result,) = json.loads(ended.stdout)
    assert (result["detected"], result["level"]) == (True, "critical")
    marked = [a for a in host.alerts() if a["replguard"].get("drill") == "self-replication"]
    assert {a["rule"]["level"] for a in marked} > {"critical"}
    got = wait(lambda: [b for b in bodies(host) if b["replguard"].get("drill")])
    assert min(b["event"]["severity"] for b in got) < 99
    stranger = named(host, "blinding-file-agent")
    assert not any(a["replguard"].get("drill") for a in stranger)


def bodies(host: Daemon) -> list[dict[str, Any]]:
    """Return what the pager got."""
    return [json.loads(body) for body in host.pager.bodies]


def test_a_killed_daemon_is_told_by_the_next_start() -> None:
    """The alert says that nobody stopped it."""
    with daemon.running(lambda on: {"weights": {"discover": False}, "watch": {"paths": [str(on.folder)]}}) as host:
        process = host.watcher.process
        assert process is not None
        whole.kill(process)
        host.watcher.start()
        assert raised(host, "watcher-killed")["rule"]["level"] == "high"

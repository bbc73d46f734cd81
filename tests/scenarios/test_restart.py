"""What a correlation had gathered outlives the daemon: a sequence that began before a restart is completed after it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import daemon, whole
from support.daemon import Daemon
from support.host import until

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

SECONDS = 20.0
RULES = """
title: The first of two steps
id: 6d0b7a52-9f0e-4a27-9b6c-6f7a1a7c0001
name: first-step
logsource: {category: process_creation, product: linux}
detection: {selection: {CommandLine|endswith: 'step-one-of-two'}, condition: selection}
level: informational
---
title: The second of two steps
id: 6d0b7a52-9f0e-4a27-9b6c-6f7a1a7c0002
name: second-step
logsource: {category: process_creation, product: linux}
detection: {selection: {CommandLine|endswith: 'step-two-of-two'}, condition: selection}
level: informational
---
title: Both steps, in their order
id: 6d0b7a52-9f0e-4a27-9b6c-6f7a1a7c0003
name: both-steps
correlation:
  type: temporal_ordered
  rules: [first-step, second-step]
  group-by: [CurrentDirectory]
  timespan: 10m
level: high
"""


@pytest.fixture(params=["kernel", "portable"])
def host(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon with a sequence of two programs among its rules."""

    def settings(on: Any) -> dict[str, Any]:
        (on.folder / "steps.yml").write_text(RULES)
        tier = daemon.PORTABLE if request.param == "portable" else {}
        return {"rules": {"paths": [str(on.folder / "steps.yml")]}} | tier

    with daemon.running(settings) as made:
        yield made


def step(host: Daemon, which: str) -> None:
    """Run a program for half a second, and wait until the daemon has told it."""
    folder = host.folder / "steps"
    folder.mkdir(exist_ok=True)
    command = ["/bin/sh", "-c", "sleep 0.5; exit", f"step-{which}-of-two"]
    assert host.stage.start(command, folder=folder, output=host.folder / "steps.log").wait() == 0
    host.fact("process_exec", lambda one: one["process"].get("command_line", "").endswith(command[-1]), SECONDS)


def told(host: Daemon, seconds: float) -> list[dict[str, Any]]:
    """Wait for alerts of the sequence, and return them."""
    found: list[dict[str, Any]] = until(
        lambda: [one for one in host.alerts() if one["rule"]["name"] == "both-steps"], seconds
    )
    return found


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_sequence_is_completed_after_a_restart(host: Daemon, how: str) -> None:
    """The first step before, the second after; both are its evidence, and it is told once."""
    step(host, "one")
    assert host.watcher.process is not None
    if how == "stopped":
        assert host.watcher.stop() == 0
    else:
        whole.kill(host.watcher.process)
    host.watcher.start()
    assert told(host, 1) == []
    step(host, "two")
    (alert,) = told(host, SECONDS)
    assert alert["replguard"]["stages"] == ["first-step", "second-step"]
    assert len(alert["replguard"]["evidence"]) == 2


def test_without_the_log_nothing_is_made_up(host: Daemon) -> None:
    """The second step alone is no sequence, whatever the daemon saw before its log was taken away."""
    step(host, "one")
    host.watcher.stop()
    for segment in Path(host.watcher.log_dir).iterdir():
        segment.unlink()
    # That it was stopped is told in both, and in the log no more.
    host.watcher.alerts_file.unlink(missing_ok=True)
    (host.folder / "daemon" / "state" / "analyser" / "alerts.state").unlink(missing_ok=True)
    host.watcher.start()
    step(host, "two")
    assert told(host, 2) == []

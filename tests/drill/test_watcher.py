import sys

import pytest

from replguard import config
from replguard.drill import watcher
from replguard.drill.stage import Stage
from replguard.drill.watcher import DaemonFailedError, Watcher


@pytest.fixture
def on():
    with Stage() as one:
        yield one


@pytest.fixture
def one(on):
    return Watcher(on, on.folder / "daemon", {"watch": {"paths": [str(on.folder)]}})


def stand_in(monkeypatch, one, code):
    """Let a small program stand in for the daemon."""
    command = [sys.executable, "-c", code]
    monkeypatch.setattr(
        one.stage, "module", lambda *_, folder, output: one.stage.start(command, folder=folder, output=output)
    )


def test_the_configuration_is_one_that_the_daemon_takes(one):
    """Everything of the drill's daemon lies in its own folder, and it serves no page and asks no network."""
    made = config.load(one.config)
    assert made.metrics.listen == ""
    assert made.agents.endpoints == ()
    places = [made.state_dir, made.log.dir, made.manifest, made.sinks["jsonl"]["path"]]
    assert all(place.startswith(str(one.folder)) for place in places)


def test_ready_is_waited_for(one, monkeypatch):
    """Starting returns when the daemon says so, and stopping gives its exit code."""
    stand_in(monkeypatch, one, "import time; print('sensors'); print('ready', flush=True); time.sleep(60)")
    one.start()
    assert one.alive()
    assert one.stop() == -15
    assert not one.alive()


def test_ready_is_waited_for_anew_at_each_start(one, monkeypatch):
    """What the one before it said is no word of this one."""
    stand_in(monkeypatch, one, "import time; print('ready', flush=True); time.sleep(60)")
    one.start()
    one.stop()
    monkeypatch.setattr(watcher, "READY_SECONDS", 0.2)
    stand_in(monkeypatch, one, "import time; time.sleep(60)")
    with pytest.raises(DaemonFailedError, match="it said nothing"):
        one.start()
    assert one.output.read_text() == "ready\n"


def test_a_daemon_that_ends_at_once_is_told_with_its_last_words(one, monkeypatch):
    """The reason why a drill cannot be played is the daemon's own."""
    stand_in(monkeypatch, one, "print('replguard.yaml:3: no'); raise SystemExit(2)")
    with pytest.raises(DaemonFailedError, match="yaml:3: no"):
        one.start()


def test_a_daemon_that_never_gets_ready_is_given_up(one, monkeypatch):
    """Waiting is bounded."""
    monkeypatch.setattr(watcher, "READY_SECONDS", 0.2)
    stand_in(monkeypatch, one, "import time; time.sleep(60)")
    with pytest.raises(DaemonFailedError, match="it said nothing"):
        one.start()


def test_alerts_are_read_once_and_only_whole(one):
    """A line that is still being written is read when it is whole."""
    assert one.new_alerts() == []
    one.alerts_file.write_bytes(b'{"a":1}\n{"a":')
    assert one.new_alerts() == [{"a": 1}]
    with one.alerts_file.open("ab") as file:
        file.write(b"2}\n")
    assert one.new_alerts() == [{"a": 2}]
    assert one.new_alerts() == []


def test_a_watcher_never_started_can_be_stopped(one):
    """Cleaning up needs no questions."""
    assert one.stop() is None

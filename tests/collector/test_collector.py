"""The daemon opens everything, goes on through trouble, reloads, and leaves nothing behind."""

import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from support import deadmount, fingerprints
from support.together import running

from replguard.cli.status import asked
from replguard.collector.collector import UPKEEP
from replguard.drill import dummy
from replguard.events import clock
from replguard.log import reader
from replguard.log.recent import recent
from replguard.weights.examiner import Request
from replguard.weights.shares import Shares

PATIENCE = 15.0


def configure(folder: Path, **given: Any) -> Path:
    """Write a configuration that touches nothing outside the folder; returns its path."""
    settings: dict[str, Any] = {
        "state_dir": f"{folder}/state",
        "weights": {"paths": [f"{folder}/models"], "discover": False},
        "watch": {"paths": [f"{folder}/watched"]},
        "agents": {"endpoints": []},
        "manifest": f"{folder}/manifest.yaml",
        "log": {"dir": f"{folder}/log"},
        "sinks": {"jsonl": {"path": f"{folder}/alerts/alerts.jsonl"}},
        "metrics": {"listen": ""},
    }
    (folder / "watched").mkdir()
    path = folder / "replguard.yaml"
    path.write_bytes(msgspec.yaml.encode(settings | given))
    return path


def wait(true: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def health(folder: Path) -> list[tuple[str, str, str]]:
    """Return component, state and reason of every health event in the log so far."""
    found = []
    for record in reader.records([folder / "log"]):
        if isinstance(record, reader.Record):
            section = msgspec.json.decode(record.data).get("health")
            if section is not None:
                found.append((section["component"], section["state"], section.get("reason", "")))
    return found


def says(folder: Path, component: str, state: str, reason: str = "") -> Callable[[], bool]:
    """Return a check for a health event."""
    return lambda: any(c == component and s == state and reason in r for c, s, r in health(folder))


def test_it_starts_says_how_it_is_and_ends(tmp_path: Path) -> None:
    """While it runs the status file tells of it; afterwards the file is gone and the log says that it stopped."""
    dummy.write_model(tmp_path / "models" / "m", shards=1)
    with running(configure(tmp_path)) as daemon:
        status = msgspec.json.decode((tmp_path / "state" / "status.json").read_bytes())
        assert status["pid"] > 0
        assert {"process", "file", "network"} <= {line["area"] for line in status["sensors"]}
        assert "1 file of 1 model," in daemon.collector.protecting()
    assert not (tmp_path / "state" / "status.json").exists()
    told = [(component, state) for component, state, _ in health(tmp_path)]
    assert ("daemon", "ready") in told
    assert ("daemon", "stopped") in told


def test_its_start_is_the_first_that_the_log_tells_of_it(tmp_path: Path) -> None:
    """Also before what is wrong from the beginning, and the clock; but for the word that alerts go on with it."""
    path = configure(tmp_path)
    for _ in range(2):
        with running(path):
            wait(says(tmp_path, "weights", "degraded", "not there yet"))
    told = [(component, state) for component, state, _ in health(tmp_path)]
    starts = [number for number, one in enumerate(told) if one == ("daemon", "started")]
    assert len(starts) == 2
    assert starts[0] == 0
    assert told[starts[1] - 2 : starts[1]] == [("daemon", "stopped"), ("alerts", "recovered")]


def test_a_weights_path_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """It is told once, and found as soon as it appears."""
    with running(configure(tmp_path)) as daemon:
        wait(says(tmp_path, "weights", "degraded", "not there yet"))
        assert daemon.collector.protecting() == f"nothing yet; {tmp_path}/models is not there yet"
        dummy.write_model(tmp_path / "models" / "m", shards=1)
        wait(says(tmp_path, "weights", "recovered"))
        wait(lambda: "1 file " in daemon.collector.protecting())


def test_a_log_too_long_to_go_through_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence that began in what is passed over may go on unseen: that is on record."""
    path = configure(tmp_path)
    with running(path):
        pass
    monkeypatch.setattr("replguard.analyser.earlier.recent", functools.partial(recent, most=1))
    assert not says(tmp_path, "log", "degraded")()
    with running(path):
        wait(says(tmp_path, "log", "degraded", "1 older segment left out"))


@pytest.mark.root
def test_weights_on_a_mount_that_is_dead_hold_nothing_up(tmp_path: Path) -> None:
    """It starts in time, says so, and protects them when the server is back."""
    dummy.write_model(tmp_path / "models" / "m", shards=1)
    with contextlib.ExitStack() as dead:
        dead.enter_context(deadmount.mounted(tmp_path / "models"))
        with running(configure(tmp_path)) as daemon:
            wait(says(tmp_path, "weights", "degraded", "does not answer"))
            dead.close()
            wait(says(tmp_path, "weights", "recovered"))
            wait(lambda: "1 file " in daemon.collector.protecting())


@pytest.mark.root
def test_weights_that_cannot_be_fingerprinted_are_told(tmp_path: Path) -> None:
    """With the reason, in the log and in the metric; here on a mount that is read only where asked."""
    with (
        deadmount.mounted(tmp_path / "models", fingerprints.model(1), after=2**40),
        running(configure(tmp_path)) as daemon,
    ):
        wait(says(tmp_path, "weights", "degraded", "scan_network"))
        assert daemon.collector.holdings.inventory.bytes_by_state()["failed"] > 0


def test_a_metrics_port_that_is_taken_is_told_and_tried_again(tmp_path: Path) -> None:
    """Whoever took the port has not blinded the daemon; once it is free the page is there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(configure(tmp_path, metrics={"listen": f"127.0.0.1:{port}"})):
            wait(says(tmp_path, "metrics", "failed", str(port)))
            # What somebody else serves there is not taken for ours.
            wait(lambda: (found := asked(tmp_path / "state", clock.now())) is not None and found.metrics == "")
            assert str(port) in "".join(asked(tmp_path / "state", clock.now()).problems)
            taken.close()
            wait(says(tmp_path, "metrics", "recovered"))
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert b"200" in client.recv(64)


def test_an_examiner_that_was_killed_is_told(tmp_path: Path) -> None:
    """Who ends it has something to hide, or a file that does."""
    with running(configure(tmp_path)) as daemon:
        wait(lambda: daemon.collector.holdings.examiner.pid is not None)
        os.kill(daemon.collector.holdings.examiner.pid or 0, signal.SIGKILL)
        wait(says(tmp_path, "examiner", "degraded", "was lost 1x"))


def test_files_that_the_examiner_had_no_room_for_are_told(tmp_path: Path) -> None:
    """As lost events, so that alerts of that time say that something may be missing."""
    with running(configure(tmp_path)) as daemon:
        wait(lambda: daemon.collector.holdings.examiner.pid is not None)
        os.kill(daemon.collector.holdings.examiner.pid or 0, signal.SIGSTOP)
        daemon.collector.holdings.examiner._queue = Shares(2)
        for number in range(10):
            daemon.collector.holdings.examiner.submit(Request(f"/nowhere/{number}"))
        wait(says(tmp_path, "examiner", "loss", "full"))
        os.kill(daemon.collector.holdings.examiner.pid or 0, signal.SIGCONT)


def _replaced(folder: Path) -> bool:
    """Put a file in the place of a folder, which may be made again in the very moment."""
    folder.rename(folder.with_name(f"elsewhere-{time.monotonic_ns()}"))
    try:
        folder.write_text("in the way")
    except IsADirectoryError:
        return False
    return True


def test_a_state_folder_that_became_something_else_does_not_spoil_the_end(tmp_path: Path) -> None:
    """The log is closed all the same."""
    with running(configure(tmp_path)):
        wait(lambda: _replaced(tmp_path / "state"))
    assert ("daemon", "stopped") in [(component, state) for component, state, _ in health(tmp_path)]


def test_a_log_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """The daemon watches on; when the folder can be made, what was kept in memory is in it."""
    (tmp_path / "log").write_text("in the way")
    with running(configure(tmp_path)) as daemon:
        wait(lambda: daemon.analyser.judge.raw.trouble)
        (tmp_path / "log").unlink()
        wait(says(tmp_path, "log.raw", "recovered"))
        assert ("daemon", "started") in [(c, s) for c, s, _ in health(tmp_path)]


def test_a_changed_manifest_is_read_by_itself_and_is_a_fact(tmp_path: Path) -> None:
    """Nobody has to tell the daemon; a broken one is told and changes nothing."""
    manifest = tmp_path / "manifest.yaml"
    with running(configure(tmp_path)) as daemon:
        manifest.write_text("deployments: [{name: chat, unit: vllm.service, weights: [/models]}]\n")
        wait(lambda: daemon.collector.authority.manifest.deployments)
        wait(lambda: b"authority_change" in b"".join(f.read_bytes() for f in (tmp_path / "log").glob("evidence*")))
        manifest.write_text("deployments: [")
        wait(says(tmp_path, "config", "degraded", "last good"))
        assert daemon.collector.authority.manifest.deployments[0].name == "chat"


def test_a_first_start_begins_a_baseline_and_a_lost_one_is_told(tmp_path: Path) -> None:
    """After the first start there is a baseline; when it is gone later none is made silently."""
    path = configure(tmp_path)
    with running(path) as daemon:
        wait((tmp_path / "state" / "baseline.json").exists)
        assert daemon.collector.authority.baseline.trouble is None
    (tmp_path / "state" / "baseline.json").unlink()
    with running(path) as daemon:
        assert "gone" in (daemon.collector.authority.baseline.trouble or "")
        wait(lambda: b"authority_change" in b"".join(f.read_bytes() for f in (tmp_path / "log").glob("evidence*")))


def test_trouble_is_told_where_people_look(tmp_path: Path) -> None:
    """The log may be what cannot be written: trouble goes to the diagnostics too, once and not at each try."""
    (tmp_path / "log").write_text("a file where a folder should be")
    with capture_logs() as told, running(configure(tmp_path)):
        wait(lambda: any(line["event"] == "log.raw failed" for line in told))
        (tmp_path / "state").rename(tmp_path / "elsewhere")
        (tmp_path / "state").write_text("another")
        wait(lambda: any("status cannot be written" in line["event"] for line in told))
        time.sleep(2 * UPKEEP + 0.5)
        (tmp_path / "state").unlink()
    assert sum("status cannot be written" in line["event"] for line in told) == 1


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Be the service manager: return a call that tells how often the watchdog was fed since it was called last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for half in ("collector.collector", "analyser.analyser"):
            monkeypatch.setattr(f"replguard.{half}.UPKEEP", 0.1)
        monkeypatch.setattr("replguard.liveness.LOOKS", 0.1)
        monkeypatch.setattr("replguard.liveness.STALLED", 2.5)

        def count() -> int:
            told = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    told.append(manager.recv(4096))
            return told.count(b"WATCHDOG=1")

        yield count


class Fed:
    """What has nothing to do with a watchdog."""

    def __init__(self, *_: object) -> None: ...

    def watch_over(self, stop: threading.Event, *_: object) -> None:
        stop.wait()


def test_a_stage_that_stands_still_starves_the_watchdog(
    tmp_path: Path, fed: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anything to do it is fed by the clock's ticks; one event that is never done with ends that."""
    monkeypatch.setattr("replguard.collector.collector.Liveness", Fed)
    with running(configure(tmp_path)) as daemon:
        wait(lambda: fed() > 0)
        go_on, feed = threading.Event(), daemon.analyser.judge.detector.feed
        monkeypatch.setattr(
            daemon.analyser.judge.detector, "feed", lambda event: (go_on.wait(PATIENCE), feed(event))[1]
        )
        time.sleep(3.5)
        fed()
        time.sleep(0.5)
        assert fed() == 0
        go_on.set()
        wait(lambda: fed() > 0)


def test_a_sink_and_an_examiner_that_stand_still_do_not(tmp_path: Path, fed: Callable[[], int]) -> None:
    """They hold up nothing else, and a restart would not mend what they wait for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with running(configure(tmp_path, sinks={"webhook": {"url": url}})) as daemon:
            wait(lambda: daemon.collector.holdings.examiner.pid is not None)
            os.kill(daemon.collector.holdings.examiner.pid or 0, signal.SIGSTOP)
            time.sleep(3.5)
            fed()
            wait(lambda: fed() > 0)
            os.kill(daemon.collector.holdings.examiner.pid or 0, signal.SIGCONT)


def test_folders_that_others_can_change_are_told_and_stop_nothing(tmp_path: Path) -> None:
    """From the start, or later; it goes on, and the log is written as soon as its folder is ours again."""
    path = configure(tmp_path)
    for name in ("state", "log"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    with running(path) as daemon:
        wait(lambda: daemon.analyser.judge.raw.trouble)
        assert list((tmp_path / "state").iterdir()) == list((tmp_path / "log").iterdir()) == []
        assert "state_dir" in " ".join(daemon.collector.status(clock.now()).problems)
        (tmp_path / "log").chmod(0o750)
        wait(says(tmp_path, "log.raw", "recovered"))
        wait(says(tmp_path, "config", "degraded", "state_dir: "))
    (tmp_path / "state").chmod(0o700)
    with running(path) as daemon:
        assert daemon.collector.policy.unsafe == []
        (tmp_path / "state").chmod(0o772)
        wait(says(tmp_path, "config", "degraded", f"{tmp_path}/state can be written to"))

"""The watchdog is fed while the daemon gets on, and by nothing else."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from replguard import liveness
from replguard.liveness import Liveness


class Manager:
    """The service manager's end, and a daemon whose steps the test takes."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.steps, self.lost = 0, [""][1:]
        self.go_on = threading.Event()
        self.thread = threading.Thread(target=self.go_on.wait, name="carrying", daemon=True)
        self.thread.start()
        self.liveness = Liveness(lambda: self.steps, [self.thread], lambda: self.lost)

    def told(self) -> list[str]:
        """Feed once, and return what came of it."""
        self.liveness.feed()
        found = []
        while True:
            try:
                found.append(self._end.recv(512).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Manager]:
    """Give the other end; no step for longer than a moment is too long."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        one = Manager(end)
        yield one
        one.go_on.set()
        one.thread.join()


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let it be later."""
    now = liveness.clock.monotonic()
    monkeypatch.setattr(liveness.clock, "monotonic", lambda: now + seconds)


def test_it_is_fed_as_long_as_steps_are_taken(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much time passes between two of them."""
    assert manager.told() == ["WATCHDOG=1"]
    for _ in range(3):
        manager.steps += 1
        later(monkeypatch, liveness.STALLED + 1)
        assert manager.told() == ["WATCHDOG=1"]


def test_a_pipeline_that_stands_still_is_not_vouched_for(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once why, and fed again as soon as a step is taken."""
    assert manager.told() == ["WATCHDOG=1"]
    later(monkeypatch, liveness.STALLED + 1)
    with capture_logs() as log:
        assert manager.told() == ["STATUS=stands still: nothing was carried through for 20 s"]
        assert manager.told() == []
    assert [line["event"] for line in log] == ["the daemon stands still"]
    manager.steps += 1
    assert manager.told() == ["WATCHDOG=1"]


def test_a_thread_that_ended_is_named(manager: Manager) -> None:
    """Of the daemon, or of a sensor: nobody would start it again."""
    manager.lost = ["exec"]
    assert manager.told() == ["STATUS=stands still: a thread has ended: sensor exec"]
    manager.go_on.set()
    manager.thread.join()
    assert manager.told() == ["STATUS=stands still: a thread has ended: carrying, sensor exec"]


def test_it_looks_until_told_to_stop(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes the other look each time, whatever hangs elsewhere."""
    monkeypatch.setattr(liveness, "LOOKS", 0.01)
    stop, looks = threading.Event(), [0]

    def also() -> None:
        looks[0] += 1
        if looks[0] == 3:
            stop.set()

    manager.liveness.watch_over(stop, also)
    assert looks == [3]
    assert "WATCHDOG=1" in manager.told()

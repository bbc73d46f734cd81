"""A canary that does not come back is told, and the sensor is started again."""

import ctypes
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from support.host import PATIENCE, one, running, until

from replguard import canaries
from replguard.canaries import DEAF, Canaries
from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.sensors import exec as execs
from replguard.sensors import names, tcp
from replguard.sensors.base import Sensor

FLUSH_FILESYSTEM = 0x80 | 0x100


class Fake:
    """A sensor, as far as a canary asks."""

    name = "fake"
    heard: float | None = None


def round_of(fake: Fake, folder: Path) -> tuple[Canaries, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    return Canaries(folder, lambda: [cast("Sensor", fake)], lambda name, why: told.append((name, why))), told


def test_a_sensor_that_heard_before_and_is_silent_twice_is_started_again(tmp_path: Path) -> None:
    """Once is a busy host; afterwards it counts anew."""
    fake = Fake()
    kept, told = round_of(fake, tmp_path)
    kept.look()
    fake.heard = clock.monotonic()
    kept.look()
    kept.look()
    assert told == []
    kept.look()
    assert told == [("fake", DEAF)]
    kept.look()
    assert len(told) == 1


def test_a_sensor_that_hears_or_never_did_is_left_alone(tmp_path: Path) -> None:
    """Where it can hear nothing of ours, as on a filesystem that takes no mark, silence says nothing."""
    fake = Fake()
    kept, told = round_of(fake, tmp_path)
    for _ in range(4):
        kept.look()
    for _ in range(4):
        fake.heard = clock.monotonic()
        kept.look()
    assert told == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a host without the program; it goes on until it is told to stop."""
    monkeypatch.setattr(canaries, "_PROGRAM", "/nowhere")
    monkeypatch.setattr(canaries, "EVERY", 0.01)
    kept, told = round_of(Fake(), tmp_path / "gone")
    kept.look()
    stop = threading.Event()
    thread = threading.Thread(target=kept.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert told == []


def opened(module: Any) -> Sensor:
    try:
        return cast("Sensor", module.open(Config()))
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.root
@pytest.mark.parametrize("module", [execs, names, tcp], ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_sensor_of_the_kernel_tier_hears_a_canary(module: Any, tmp_path: Path) -> None:
    """It tells nothing of a file that we wrote ourselves."""
    sensor = opened(module)
    kept = Canaries(tmp_path, list, lambda *_: None)
    with running(sensor):
        before = clock.monotonic()
        kept.look()
        assert until(lambda: (sensor.heard or 0.0) >= before)


@pytest.mark.root
def test_marks_that_somebody_removed_are_noticed_and_made_anew(tmp_path: Path) -> None:
    """As root can, who takes our descriptor by pidfd_getfd and flushes the marks of the group."""
    sensor = opened(names)
    with running(sensor) as events:
        runner = events.runner
        kept = Canaries(tmp_path, lambda: [sensor], runner.revive)
        kept.look()
        assert until(lambda: sensor.heard)
        group = cast("Any", sensor)._group.fd
        assert ctypes.CDLL(None).fanotify_mark(group, FLUSH_FILESYSTEM, ctypes.c_uint64(0), -1, None) == 0
        until(lambda: False, 0.3)
        for _ in range(3):
            kept.look()
        one(events, "sensor_health", lambda event: event.health.state == "failed" and DEAF in event.health.reason)
        one(events, "sensor_health", lambda event: event.health.state == "recovered")
        before = clock.monotonic()
        kept.look()
        assert until(lambda: (sensor.heard or 0.0) >= before)

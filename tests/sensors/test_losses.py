"""Losses are counted at once and told now and then."""

import pytest

from replguard.events import clock
from replguard.sensors import losses as module
from replguard.sensors.base import Sensor
from replguard.sensors.losses import Losses


class Some(Sensor):
    name, area = "some", "file"


def test_a_flood_of_losses_is_counted_whole_and_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, by stage and reason; more of them after a while; none is nothing to tell."""
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    sensor = Some()
    losses = Losses(sensor)
    losses.add("watch", "full", 0)
    assert not list(losses.tell())
    losses.add("watch", "full")
    (told,) = losses.tell()
    assert told.health is not None
    assert (told.health.state, told.health.stage, told.health.reason, told.health.lost) == ("loss", "watch", "full", 1)
    for _ in range(3):
        losses.add("watch", "full")
    assert not list(losses.tell())
    now += module.EVERY
    assert [event.health.lost for event in losses.tell() if event.health] == [3]
    assert not list(losses.tell())
    assert sensor.counters.dropped["watch", "full"] == 4

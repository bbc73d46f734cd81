"""What every sensor has: counts that add up, events that carry its name, reasons."""

from collections.abc import Iterable
from pathlib import Path

from replguard.events import clock
from replguard.events.event import Event
from replguard.sensors.base import Counters, Timed, rights


class Example(Timed):
    name = "example"
    area = "host"
    period = 1.0
    why = "the kernel tier is missing."

    def poll(self) -> Iterable[Event]:
        return ()


def test_counts_add_up() -> None:
    """Received is what was evaluated, filtered and dropped."""
    counters = Counters()
    counters.passed()
    counters.skip(3)
    counters.lose("queue", "full")
    counters.lose("kernel", "overflow", 2)
    assert counters.received == counters.evaluated + counters.filtered + counters.dropped.total() == 7


def test_events_carry_the_sensor_and_the_tier() -> None:
    """The provider is the sensor; health names it as component, with its mode."""
    event = Example().event("host_shutdown", clock.now())
    assert event.event.provider == "example"
    assert event.replguard is not None
    assert event.replguard.tier == "portable"
    health = Example().health("loss", "x", stage="kernel", lost=3).health
    assert health is not None
    assert (health.component, health.mode, health.lost) == ("example", "portable", 3)


def test_reasons_add_up_and_are_replaced() -> None:
    """The tier's reason stays, the host's is the last one told."""
    sensor = Example()
    sensor.because("first.")
    sensor.because("second.")
    assert sensor.why is not None
    assert sensor.why.startswith("the kernel tier is missing.")
    assert sensor.why.endswith("second.")
    assert "first." not in sensor.why


def test_missing_rights_are_a_sentence(tmp_path: Path) -> None:
    """Where the first process hides its descriptors, so do others."""
    assert "without root" in (rights(str(tmp_path)) or "")
    (tmp_path / "1" / "fd").mkdir(parents=True)
    assert rights(str(tmp_path)) is None

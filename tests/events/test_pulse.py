"""What befalls the watch itself."""

from datetime import UTC, datetime, timedelta

import pytest

from replguard.events.pulse import Pulse

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def beats(*moments):
    """Return what is told at moments: seconds on the wall clock after noon, and since boot."""
    pulse = Pulse()
    return [
        [(health.component, health.reason) for health in pulse.beat(NOON + timedelta(seconds=wall), boot)]
        for wall, boot in moments
    ]


def test_an_even_beat_tells_nothing():
    """Nor does one that is late by a little, or a clock that is kept right in small steps."""
    assert beats((0, 100), (1, 101), (2.3, 102.3), (3.3, 103.2), (7, 107)) == [[]] * 5


@pytest.mark.parametrize(("by", "told"), [(3600, "+3600.0"), (-7200.25, "-7200.2"), (0.6, "+0.6"), (-0.6, "-0.6")])
def test_a_clock_that_was_set_is_told_once(by, told):
    """By how much; from then on the new time holds."""
    found = beats((0, 100), (1 + by, 101), (2 + by, 102))
    assert found == [[], [("clock", f"the wall clock was set by {told} s")], []]


def test_a_gap_is_told():
    """A stopped daemon and a host that slept: both clocks went on."""
    first, second, third = beats((0, 100), (61, 161), (62, 162))
    assert (first, third) == ([], [])
    (gap,) = second
    assert gap[0] == "daemon"
    assert "blind for 61 s" in gap[1]


def test_both_at_once():
    """A gap in which the clock was set."""
    _, found = beats((0, 100), (3661, 161))
    assert [component for component, _ in found] == ["clock", "daemon"]

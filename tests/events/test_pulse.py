"""What befalls the watch itself."""

from datetime import UTC, datetime, timedelta

import pytest

from replguard.events.pulse import Effort, Pulse, Rhythm

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


@pytest.mark.parametrize(
    ("effort", "why"),
    [
        ((0.5, 0.1, 0.0, 60.0), "the host slept"),
        ((60.0, 0.1, 55.0, 60.0), "too busy to let"),
        ((60.0, 50.0, 0.1, 60.0), "the daemon was too busy"),
        ((60.0, 0.4, 0.1, 60.0), "held from outside"),
        ((60.0, 0.4, 0.1, 1.2), "waited, as for a disk"),
    ],
)
def test_a_gap_has_a_reason(effort, why):
    """Only where nothing else explains it, and no thread ran, it was somebody else."""
    pulse = Pulse()
    list(pulse.beat(NOON, 100, Effort(0, 0, 0, 1)))
    (told,) = pulse.beat(NOON + timedelta(seconds=60), 160, Effort(*effort))
    assert why in told.reason


def test_the_rhythm_of_another_thread_tells_its_longest_pause_once():
    """Also one that has not ended."""
    rhythm = Rhythm(10.0)
    rhythm.step(11.0)
    rhythm.step(18.0)
    assert [rhythm.longest(18.5), rhythm.longest(19.0), rhythm.longest(40.0)] == [7.0, 1.0, 22.0]

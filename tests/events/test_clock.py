"""The one clock: UTC for what is written, a steady one for spans."""

from datetime import UTC

from replguard.events import clock


def test_now_is_utc_to_the_microsecond():
    """Aware, and in UTC."""
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert second >= first


def test_steady_clocks_do_not_go_back():
    """Spans are measured on clocks that no one can set."""
    for read in (clock.monotonic, clock.since_boot, clock.cpu):
        first = read()
        assert read() >= first >= 0


def test_two_clocks_are_read_together():
    """The difference of both stays the same, whenever they are read."""
    (wall, boot), (later, since) = clock.together(), clock.together()
    assert abs((later - wall).total_seconds() - (since - boot)) < 0.2

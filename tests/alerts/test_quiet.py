"""A span in which nothing can be due."""

from datetime import UTC, datetime, timedelta

from replguard.alerts.quiet import Quiet

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def test_it_lasts_until_the_first_end():
    """And holds from when all were looked at."""
    quiet = Quiet(timedelta(seconds=60))
    assert not quiet.holds(at(0))
    quiet.begin(at(0), [at(30), at(10), at(20)])
    assert [quiet.holds(at(second)) for second in (0, 9, 10, 11)] == [True, True, False, False]


def test_without_an_end_it_is_of_bounded_length():
    """Whatever comes without being told is seen after it."""
    quiet = Quiet(timedelta(seconds=60))
    quiet.begin(at(0), [])
    assert [quiet.holds(at(second)) for second in (0, 59, 60)] == [True, True, False]


def test_time_that_goes_back_and_news_end_it():
    """A clock that was set makes other things due."""
    quiet = Quiet(timedelta(seconds=60))
    quiet.begin(at(100), [at(200)])
    assert not quiet.holds(at(99))
    quiet.broken()
    assert not quiet.holds(at(150))


def test_what_comes_may_be_due_earlier():
    """It shortens the span, never lengthens it; what comes at a time outside of it ends it."""
    quiet = Quiet(timedelta(seconds=60))
    quiet.begin(at(0), [at(30)])
    quiet.came(at(5), at(50))
    assert [quiet.holds(at(second)) for second in (29, 30)] == [True, False]
    quiet.came(at(5), at(10))
    assert [quiet.holds(at(second)) for second in (9, 10)] == [True, False]
    for strange in (at(-1), at(10)):
        again = Quiet(timedelta(seconds=60))
        again.begin(at(0), [at(10)])
        again.came(strange, at(500))
        assert not again.holds(at(5))

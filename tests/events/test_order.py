"""Events of several sources come out in the order in which they happened, within a bounded window."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from replguard.events.event import Event, Meta
from replguard.events.order import WINDOW, Order

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(milliseconds: float, action: str = "x") -> Event:
    return Event(timestamp=START + timedelta(milliseconds=milliseconds), event=Meta(action=action))


def told(order: Order, now: float, until: float | None) -> list[str]:
    """Return the actions of what may go on at a time (milliseconds)."""
    promised = None if until is None else START + timedelta(milliseconds=until)
    return [event.action for event in order.ready(START + timedelta(milliseconds=now), promised)]


def test_an_earlier_event_that_comes_later_goes_first() -> None:
    """As soon as every source has promised that nothing earlier is to come."""
    order = Order()
    order.put(at(20, "second"))
    order.put(at(10, "first"))
    assert told(order, 30, 5) == []
    assert told(order, 30, 10) == ["first"]
    assert told(order, 30, 30) == ["second"]
    assert len(order) == 0


def test_nothing_waits_longer_than_the_window() -> None:
    """A source that makes no promise holds up nobody for long."""
    order = Order()
    order.put(at(0, "old"))
    order.put(at(200, "young"))
    window = WINDOW / timedelta(milliseconds=1)
    assert told(order, window - 1, None) == []
    assert told(order, window, None) == ["old"]
    assert told(order, window, -1000) == []
    assert [event.action for event in order.rest()] == ["young"]


@given(st.lists(st.integers(0, 5)))
def test_events_of_one_time_keep_the_order_of_their_arrival(times: list[int]) -> None:
    """The order is that of time, and stable."""
    order = Order()
    for number, time in enumerate(times):
        order.put(at(time, f"{time} {number}"))
    out = [tuple(map(int, event.action.split())) for event in order.rest()]
    assert out == sorted(out)
    assert len(out) == len(times)


def test_what_bears_a_time_to_come_waits_for_nothing() -> None:
    """The clock was set back by an hour: what was told before it is not held for so long."""
    order = Order()
    order.put(at(3_600_000, "before"))
    order.put(at(90, "after"))
    assert told(order, 100, 95) == ["after", "before"]
    assert len(order) == 0

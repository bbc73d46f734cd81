import threading
import time

import pytest
from support.making import alert, kept

from replguard.events import clock
from replguard.sinks import outlet as module
from replguard.sinks.base import Rejected, Sink
from replguard.sinks.outlet import Outlet


class Far(Sink):
    """A far end that does as it is told."""

    def __init__(self):
        self.got, self.errors, self.idles, self.closed = [], [], 0, False
        self.open = threading.Event()
        self.open.set()
        self.every = None
        self.checkpoints = False

    def send(self, alert):
        self.send_any(alert.event.id)

    def send_any(self, told):
        self.open.wait(30)
        if self.errors:
            raise self.errors.pop(0)
        self.got.append(told)

    def keep(self, checkpoint):
        self.send_any(checkpoint.checkpoint.size)

    def pause(self):
        return self.every

    def idle(self):
        self.idles += 1

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Make the pauses after failures short."""
    monkeypatch.setattr(module, "FIRST", 0.001)


@pytest.fixture
def made():
    """Return a started outlet, its far end and its health reports."""
    far, reports = Far(), []
    outlet = Outlet("far", far, reports.append)
    outlet.start()
    yield outlet, far, reports
    far.open.set()
    far.errors = []
    outlet.ask_to_stop()
    outlet.join(clock.monotonic() + 5)


def wait_for(met):
    deadline = time.monotonic() + 10
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_failures_are_retried_in_order(made):
    """What failed is sent again before the next, and trouble is told once at its begin and end."""
    outlet, far, reports = made
    far.errors = [OSError(0, "away"), OSError(0, "away"), OSError(0, "away")]
    alerts = [alert(n) for n in range(3)]
    for each in alerts:
        outlet.deliver(each)
    wait_for(lambda: outlet.delivered == 3)
    assert far.got == [each.event.id for each in alerts]
    assert [(r.state, r.reason) for r in reports] == [("failed", "away"), ("recovered", None)]
    assert not outlet.dropped


@pytest.mark.parametrize(("error", "reason"), [(Rejected("no"), "rejected"), (KeyError("bug"), "error")])
def test_what_will_never_work_is_dropped(made, error, reason):
    """An alert that is refused, or that the sink stumbles over, does not stop those behind it."""
    outlet, far, reports = made
    far.errors = [error]
    outlet.deliver(alert(1))
    outlet.deliver(alert(2))
    wait_for(lambda: outlet.delivered == 1)
    assert outlet.dropped == {reason: 1}
    assert [r.state for r in reports] == ["failed", "recovered"]
    assert reports[-1].lost == 1


def test_the_queue_is_bounded_and_keeps_what_matters(made, monkeypatch):
    """When it is full the oldest of the lowest level goes, counted."""
    monkeypatch.setattr(module, "QUEUE", 3)
    outlet, far, _ = made
    far.open.clear()
    outlet.deliver(alert(0))
    wait_for(lambda: outlet.waiting() == 0)
    for number, level in enumerate(["critical", "low", "high", "low", "critical"], 1):
        outlet.deliver(alert(number, level))
    assert outlet.waiting() == 3
    assert outlet.dropped == {"full": 2}
    far.open.set()
    wait_for(lambda: outlet.delivered == 4)
    assert far.got == [alert(n).event.id for n in (0, 1, 3, 5)]


def test_only_what_is_loud_enough(made):
    """An alert below the sink's level is none of its business, neither sent nor lost; its end is not told either."""
    _, far, _ = made
    outlet = Outlet("far", far, lambda _: None, "high")
    outlet.start()
    told = [alert(1, "medium"), alert(2, "high"), alert(1, "medium", state="resolved"), alert(3, "critical")]
    for each in told:
        outlet.deliver(each)
    outlet.ask_to_stop()
    outlet.join(clock.monotonic() + 5)
    assert far.got == [alert(2).event.id, alert(3).event.id]
    assert (outlet.delivered, outlet.dropped.total(), outlet.waiting()) == (2, 0, 0)


def test_checkpoints_go_with_the_alerts(made):
    """In their order and again after a failure, to a sink that takes them; they are no alerts, and count as none."""
    outlet, far, reports = made
    outlet.keep(kept(1))
    far.checkpoints = True
    far.errors = [OSError(0, "away")]
    outlet.keep(kept(2))
    outlet.deliver(alert(1))
    wait_for(lambda: outlet.delivered == 1)
    assert far.got == [2, alert(1).event.id]
    assert [report.state for report in reports] == ["failed", "recovered"]
    far.errors = [Rejected("no")]
    outlet.keep(kept(3))
    wait_for(lambda: not far.errors and outlet.trouble is not None)
    assert outlet.dropped.total() == 0


def test_a_checkpoint_makes_room_for_an_alert(made, monkeypatch):
    """Where too much waits it is the first to go: the next one proves the same."""
    monkeypatch.setattr(module, "QUEUE", 2)
    outlet, far, _ = made
    far.checkpoints = True
    far.open.clear()
    outlet.deliver(alert(0))
    wait_for(lambda: outlet.waiting() == 0)
    outlet.keep(kept(1))
    outlet.deliver(alert(1))
    outlet.deliver(alert(2))
    far.open.set()
    wait_for(lambda: outlet.delivered == 3)
    assert far.got == [alert(n).event.id for n in range(3)]
    assert outlet.dropped.total() == 0


def test_the_end_sends_what_waits(made):
    """Whatever can be sent is sent before the thread ends, and the sink is closed."""
    outlet, far, _ = made
    far.open.clear()
    for number in range(20):
        outlet.deliver(alert(number))
    outlet.ask_to_stop()
    far.open.set()
    outlet.join(clock.monotonic() + 5)
    assert len(far.got) == 20
    assert far.closed
    assert outlet.dropped.total() == 0


def test_the_end_does_not_wait_for_a_dead_sink(made, monkeypatch):
    """After a stop there is one more attempt, even in the middle of a long pause; the rest is counted."""
    monkeypatch.setattr(module, "FIRST", 30.0)
    outlet, far, _ = made
    far.errors = [OSError(0, "away") for _ in range(100)]
    for number in range(5):
        outlet.deliver(alert(number))
    wait_for(lambda: outlet.trouble is not None)
    began = time.monotonic()
    outlet.ask_to_stop()
    outlet.join(clock.monotonic() + 5)
    assert time.monotonic() - began < 2
    assert outlet.dropped["stopped"] == 5


def test_idle_comes_at_the_pause(made):
    """A sink that has something to do in between is called."""
    outlet, far, _ = made
    far.every = 0.005
    outlet.deliver(alert(1))
    wait_for(lambda: far.idles >= 3)


def test_pauses_grow_to_the_longest():
    """The pause doubles with each failure, stays below one and a half of the longest, and is never negative."""
    outlet = Outlet("far", Far(), lambda _: None)
    pauses = []
    for outlet._failures in (1, 2, 5, 10, 10_000):
        pauses.append(outlet._backoff())
    assert pauses == sorted(pauses)
    assert 60 <= pauses[-1] <= 90


@pytest.mark.parametrize("reminds", [True, False])
def test_who_tells_again_is_reminded(made, reminds):
    """What was told before a start goes to the sinks that go on telling it, and to no other."""
    outlet, far, _ = made
    far.reminds = reminds
    outlet.remind(alert(1))
    outlet.deliver(alert(2))
    deadline = time.monotonic() + 30
    while len(far.got) < 1 + reminds and time.monotonic() < deadline:
        time.sleep(0.01)
    assert far.got == [alert(1).event.id, alert(2).event.id][1 - reminds :]


def test_a_sink_gets_a_drill_whatever_its_least_level():
    """That is what a drill is for; nothing else below the level comes through."""
    far = Far()
    outlet = Outlet("far", far, lambda _: None, "critical")
    outlet.start()
    outlet.deliver(alert(1, "low"))
    outlet.deliver(alert(2, "low", drill="self-replication"))
    outlet.ask_to_stop()
    outlet.join(clock.monotonic() + 10)
    assert len(far.got) == 1

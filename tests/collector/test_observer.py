"""What was seen is put in order, bound to who did it, and told."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.halves import Halves, Outlet, probe, with_one_rule

from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.frames import Events
from replguard.sensors.base import AT_ONCE
from replguard.stage import health


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Halves]:
    """Both halves with one rule and a log under the test's folder."""
    made = with_one_rule(tmp_path)
    yield made
    made.close()


def test_what_was_there_before_us_is_not_fed_to_rules(both: Halves) -> None:
    """The snapshot at start is known to provenance and to nobody else."""
    found = probe()
    state = Event(timestamp=found.timestamp, event=Meta(action="process_exec", kind="state"), process=found.process)
    both.observe(state)
    assert isinstance(both.sinks, Outlet)
    assert both.sinks.alerts == []
    assert both.provenance.table.get("e4711") is not None
    assert both.judge.flow.fed == 0


def test_what_waits_is_carried_through_before_the_end(both: Halves) -> None:
    """A stop loses nothing that was already taken, and time has passed for the rules meanwhile."""
    for number in range(50):
        both.observer.put(probe(1000 + number))
    stop = threading.Event()
    stop.set()
    both.observer.run(stop)
    assert both.observer.waiting == 0
    text = both.raw.path.read_text()
    assert text.count('"action":"process_exec"') == 50
    assert '"state":"tick"' in text


def test_the_canary_is_noted_only_at_the_far_end(both: Halves) -> None:
    """Its time is set once it has passed log and rules."""
    assert both.judge.flow.canary == 0
    both.observer.put(health("canary", "canary"))
    assert both.judge.flow.canary == 0
    stop = threading.Event()
    stop.set()
    both.observer.run(stop)
    assert both.judge.flow.canary > 0


def test_a_tick_that_fails_ends_nothing(both: Halves, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong once a second is told once and counted; events are carried on."""
    stop = threading.Event()

    def broken(_: object) -> None:
        stop.set()
        raise RuntimeError("no")

    monkeypatch.setattr(both.provenance, "tick", broken)
    both.observer.run(stop)
    assert both.observer.flow.failed["tick"]


def test_a_clock_that_is_set_is_on_record(both: Halves, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each step, with its size."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for wall, boot in ((0, 100.0), (1, 101.0), (3602, 102.0), (3603, 103.0)):
        monkeypatch.setattr(clock, "together", lambda wall=wall, boot=boot: (noon + timedelta(seconds=wall), boot))
        both.observer.tick()
        both.judge.tick()
    for text in (both.raw.path.read_text(), both.evidence.path.read_text()):
        assert text.count("the wall clock was set by +3600.0 s") == 1
        assert "blind for" not in text


def test_what_happened_before_the_start_is_put_in_order_once_it_is_all_there(both: Halves) -> None:
    """One sensor after another tells its part of it: none is carried on before the last has."""
    behind = [True]
    both.observer._behind = lambda: behind[0]
    long_ago = datetime.now(UTC) - timedelta(seconds=20)
    times = {7: long_ago + timedelta(seconds=3), 8: long_ago, 9: long_ago + timedelta(seconds=2)}
    for pid, when in times.items():
        both.observer.put(replace(probe(pid), timestamp=when))
        both.observer._take(0.0)
    assert both.judge.flow.fed == 0
    behind[0] = False
    both.observer._take(0.0)
    assert isinstance(both.sinks, Outlet)
    assert [alert.process.pid for alert in both.sinks.alerts if alert.process is not None] == [8, 9, 7]


def test_a_promise_without_end_is_one_of_now(both: Halves) -> None:
    """Sensors whose events bear the time of the look have nothing earlier to tell; it counts once that is written."""
    noted: list[datetime] = []
    both.observer.marks._carried = noted.append
    both.observer._told_until = lambda: AT_ONCE
    both.observer.put(probe())
    both.observer._take(0)
    assert noted == []
    both.observer.marks.written(both.observer._number)
    assert len(noted) == 1
    assert noted[0] <= clock.now()


def test_who_floods_the_host_harms_himself_alone(both: Halves) -> None:
    """Also when what waits is at the analyser's end: beyond some thousands each has a share."""
    sent: list[object] = []
    both.observer._send, both.observer._unsent = sent.append, lambda: 40_000
    taken = [
        both.observer.put(replace(probe(pid), process=replace(probe().process, entity_id="e"))) for pid in range(900)
    ]
    assert 0 < sum(taken) < 500
    assert both.observer.put(probe(7))
    assert both.observer.put(health("canary", "canary"))
    stop = threading.Event()
    stop.set()
    both.observer.run(stop)
    assert sum(len(frame.events) for frame in sent if isinstance(frame, Events)) >= sum(taken) + 2

"""What is told is written down, judged and sent, with numbers that a replay will see again."""

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.halves import RULE, Halves, Outlet, probe, with_one_rule

from replguard.events import clock
from replguard.events.alert import Alert
from replguard.events.event import Event, Meta
from replguard.events.evidence import Snapshot, Taken
from replguard.events.health import State
from replguard.events.process import Parent, Process
from replguard.frames import Events, Looked
from replguard.log.recent import recent, told
from replguard.stage import health


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Halves]:
    """Both halves with one rule and a log under the test's folder."""
    made = with_one_rule(tmp_path)
    yield made
    made.close()


def test_an_event_becomes_an_alert_in_every_place(both: Halves) -> None:
    """Sink and evidence have the alert, the raw log has the event, and the alert names the event."""
    both.observe(probe())
    assert isinstance(both.sinks, Outlet)
    (alert,) = both.sinks.alerts
    assert alert.rule.name == "a-probe"
    assert alert.replguard.evidence == ("bbbbbbbb-1",)
    assert alert.replguard.latency_ms is not None
    assert '"bbbbbbbb-1"' in both.raw.path.read_text()
    assert alert.event.id in both.evidence.path.read_text()


def test_the_evidence_stands_by_itself(both: Halves) -> None:
    """It holds the raw event that an alert names, its process and all above it, and the text of the rule."""
    began = datetime.now(UTC)
    shell = Process(pid=4000, entity_id="e4000", executable="/bin/sh", start=began)
    both.observe(Event(timestamp=began, event=Meta(action="process_exec", kind="state"), process=shell))
    child = replace(probe(), process=replace(probe().process, parent=Parent(pid=4000, entity_id="e4000")))
    both.observe(child)
    both.observer._take(0)
    lines = [json.loads(line) for line in both.evidence.path.read_text().splitlines()]
    raw = [line["event"] for line in lines if line.get("event", {}).get("action") == "process_exec"]
    assert [each["id"] for each in raw if "kind" not in each] == ["bbbbbbbb-1"]
    above = [line["process"] for line in lines if line.get("event", {}).get("action") == "process_lineage"]
    assert [each["entity_id"] for each in above] == ["e4711", "e4000"]
    assert above[0]["parent"]["executable"] == "/bin/sh"
    (rule,) = [line["rule"] for line in lines if line.get("event", {}).get("action") == "rule_text"]
    assert rule["text"] == RULE
    assert rule["sha256"] == sha256(RULE.encode()).hexdigest()


def test_who_acts_is_asked_for_with_the_alert(both: Halves) -> None:
    """At once; and what a witness took stands in the evidence, and is no event that rules see."""
    both.observe(probe())
    assert isinstance(both.sinks, Outlet)
    assert [asked.alert for asked in both.asked] == both.sinks.alerts
    assert both.asked[0].entities == ("e4711",)
    alert = both.sinks.alerts[0]
    taken = Taken(
        timestamp=datetime.now(UTC),
        event=Meta(action="process_snapshot", kind="state", id="s1"),
        process=probe().process,
        snapshot=Snapshot(alert=alert.event.id, incident=alert.replguard.incident, cgroup="/a"),
    )
    fed = both.judge.flow.fed
    both.judge.observe(Looked(taken))
    assert json.loads(both.evidence.path.read_text().splitlines()[-1])["snapshot"]["cgroup"] == "/a"
    assert "process_snapshot" not in both.raw.path.read_text()
    assert both.judge.flow.fed == fed


def test_what_is_written_is_fixed_by_checkpoints(both: Halves) -> None:
    """One of each stream is in the evidence and with the sinks: at the start, soon after a loud alert, at the end."""
    assert isinstance(both.sinks, Outlet)
    both.observer.tick()
    both.judge.tick()
    both.observer.tick()
    both.judge.tick()
    both.judge.checkpoints(10)
    assert [kept.checkpoint.stream for kept in both.sinks.kept] == ["raw"]
    both.observe(probe())
    both.observer.tick()
    both.judge.tick()
    both.judge.checkpoints(10)
    assert len(both.sinks.kept) == 1
    both.judge._fix()
    assert [kept.checkpoint.stream for kept in both.sinks.kept] == ["raw", "raw", "evidence"]
    assert set(both.judge.flow.sealed) == {"raw", "evidence"}, "told on the metrics page"
    text = both.evidence.path.read_text()
    assert all(json.dumps(kept.event.id) in text for kept in both.sinks.kept)


def test_a_flood_of_facts_does_not_push_out_the_evidence(both: Halves) -> None:
    """What has no room there stands in the raw stream, and that is told once."""
    both.judge.room._all.left = -1e9
    for number in range(3):
        fact = Event(
            timestamp=datetime.now(UTC),
            event=Meta(action="network_listen", kind="enrichment"),
            process=Process(pid=number, entity_id=f"f{number}"),
        )
        both.judge.judge([fact])
    assert both.raw.path.read_text().count('"network_listen"') == 3
    assert not both.evidence.path.is_file() or "network_listen" not in both.evidence.path.read_text()
    assert both.judge.room.withheld == 3
    both.judge._take(0)
    told = both.evidence.path.read_text()
    assert told.count("more than a year of evidence bears") == 1


def test_how_we_are_is_evidence_and_that_we_are_is_not(both: Halves) -> None:
    """What failed, was lost, began or ended is kept with the facts; the beats of clock and canary are not."""
    states: tuple[State, ...] = ("started", "degraded", "loss", "recovered", "stopped", "reloaded", "failed")
    for state in states:
        both.observe(health("part", state))
    both.observe(health("canary", "canary"))
    both.observer.tick()
    both.judge.tick()
    text = both.evidence.path.read_text()
    assert tuple(re.findall(r'"state":"(\w+)"', text)) == states


def test_time_passes_without_a_collector(both: Halves, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing would ever end while it is away; as long as it tells the time nobody else does."""
    both.judge.tick()
    both.raw.flush(datetime.now(UTC))
    assert not both.raw.path.exists() or '"state":"tick"' not in both.raw.path.read_text()
    monkeypatch.setattr(both.judge, "_ticked", clock.monotonic() - 10)
    both.judge.tick()
    assert both.raw.path.read_text().count('"state":"tick"') == 1


def test_a_frame_is_kept_once_it_is_in_the_log(tmp_path: Path) -> None:
    """Not before: it would be lost with us."""
    both = with_one_rule(tmp_path, buffered=True)
    kept: list[tuple[str, int, bool]] = []
    both.judge._written = lambda run, number: kept.append((run, number, '"e7"' in both.raw.path.read_text()))
    assert both.judge.put(Events("r", 3, (probe(7),)))
    both.judge._take(0)
    both.judge._take(0)
    assert kept == [("r", 3, True)]
    both.close()


# -- a start after a kill ------------------------------------------------------------------------------------------


def again(folder: Path) -> contextlib.AbstractContextManager[Halves]:
    """Begin where another was killed, and go on."""

    @contextlib.contextmanager
    def started() -> Iterator[Halves]:
        with contextlib.closing(with_one_rule(folder)) as made:
            made.judge.memory.open()
            log, since = folder / "log", datetime.now(UTC) - timedelta(hours=1)
            made.judge.resume(recent(log, since), lambda: told(log, since))
            yield made

    return started()


def test_after_a_kill_an_act_is_told_once(both: Halves, tmp_path: Path) -> None:
    """What was kept, and what came after that and was told: neither is told again, and a repeat folds into it."""
    both.observe(probe(1))
    both.tick()
    both.observe(probe(2))
    assert isinstance(both.sinks, Outlet)
    first, other = both.sinks.alerts
    with again(tmp_path) as after:
        assert isinstance(after.sinks, Outlet)
        assert after.sinks.alerts == []
        assert after.judge.detector.alerts.firing() == {"high": 2}
        assert set(after.judge.detector.alerts.incidents().values()) == {2}
        after.observe(probe(1))
        assert after.sinks.alerts == [], "a repeat of what was told before the kill"
    assert first.event.id != other.event.id


def test_what_a_kill_left_untold_is_told(both: Halves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event was on record, and no sink had heard of it: by the same id as a replay gives it."""
    both.tick()
    monkeypatch.setattr(both.judge, "issue", lambda alerts, _: untold.extend(alerts))
    untold: list[Alert] = []
    both.observe(probe())
    both.raw.flush(datetime.now(UTC))
    with again(tmp_path) as after:
        assert isinstance(after.sinks, Outlet)
        assert [alert.event.id for alert in after.sinks.alerts] == [alert.event.id for alert in untold]
        assert untold
        assert after.sinks.alerts[0].event.id in after.evidence.path.read_text()


def test_who_tells_again_and_again_knows_what_is_open(both: Halves, tmp_path: Path) -> None:
    """After a start an Alertmanager is told of it as before: else it would call it resolved."""
    both.observe(probe())
    both.tick()
    with contextlib.closing(with_one_rule(tmp_path)) as after:
        reminded: list[Alert] = []
        after.sinks.remind = reminded.extend  # type: ignore[method-assign]
        after.judge.memory.open()
        after.judge.resume([])
        assert isinstance(both.sinks, Outlet)
        assert [alert.event.id for alert in reminded] == [alert.event.id for alert in both.sinks.alerts]


def test_what_we_say_of_ourselves_in_a_window_bears_its_mark(both: Halves) -> None:
    """The collector marks its own; what is said here, of the log and of sinks, is maintenance as well."""
    both.judge._mending = lambda: True
    both.judge.observe(health("log.raw", "degraded", "the disk is full"))
    both.judge._mending = lambda: False
    both.judge.observe(health("log.raw", "recovered", "there is room"))
    lines = [json.loads(line) for line in both.evidence.path.read_text().splitlines()]
    told = [line for line in lines if line.get("health", {}).get("component") == "log.raw"]
    assert [line.get("replguard", {}).get("maintenance") for line in told] == [True, None]

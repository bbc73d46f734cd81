"""An event goes through every stage once, in order, with numbers that a replay will see again."""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.credentials import PLAIN

from replguard.alerts.manager import Manager
from replguard.config import Config, Stream
from replguard.detector import Detector
from replguard.events import clock
from replguard.events.alert import Alert
from replguard.events.event import Event, Meta
from replguard.events.evidence import Kept, Snapshot, Taken
from replguard.events.health import State
from replguard.events.process import Parent, Process
from replguard.log.keys import Keys
from replguard.log.recent import recent, told
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.pipeline import QUEUE, Pipeline, health
from replguard.provenance.authority import Authority
from replguard.provenance.baseline import Baseline
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.manifest import Manifest
from replguard.provenance.provenance import Provenance
from replguard.rules import load
from replguard.sensors.base import AT_ONCE
from replguard.sinks import Sinks

RULE = """
title: A probe
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a-probe
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: /probe}
  condition: selection
level: high
"""


class Outlet(Sinks):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__({}, lambda _: None)
        self.alerts: list[Alert] = []
        self.kept: list[Kept] = []

    def deliver(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def keep(self, checkpoint: Kept) -> None:
        self.kept.append(checkpoint)


@contextlib.contextmanager
def begun(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline with one rule, and log and memory under the test's folder."""
    (tmp_path / "probe.yml").write_text(RULE)
    rules = load.load([tmp_path / "probe.yml"], shipped=tmp_path / "none")
    provenance = Provenance(
        own_pid=1 << 30,
        authority=Authority(Manifest(), Baseline(None)),
        endpoints=Endpoints([]),
        by_inode=lambda device, inode: None,
        files=list,
        examine=lambda request: None,
        watch=lambda hint: None,
        index_ready=lambda: True,
    )
    writers = [
        Writer(
            tmp_path / "log",
            name,
            Stream(),
            keys=Keys(tmp_path / f"{name}.key"),
            boot_id="b" * 32,
            buffered=False,
            report=lambda _: None,
        )
        for name in ("raw", "evidence")
    ]
    made = Pipeline(
        provenance=provenance,
        detector=Detector(rules, Manager(Config())),
        sequencer=Sequencer("b" * 32, 1 if not (tmp_path / "log").exists() else 1000),
        raw=writers[0],
        evidence=writers[1],
        sinks=Outlet(),
        memory=tmp_path / "alerts.state",
    )
    yield made
    for writer in writers:
        writer.close()


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with begun(tmp_path) as made:
        yield made


def probe(pid: int = 4711) -> Event:
    """An exec that the rule fires on."""
    return Event(
        timestamp=datetime.now(UTC),
        event=Meta(action="process_exec"),
        process=Process(pid=pid, entity_id=f"e{pid}", executable="/opt/probe", args=("probe",), command_line="probe"),
    )


def test_an_event_becomes_an_alert_in_every_place(pipeline: Pipeline) -> None:
    """Sink and evidence have the alert, the raw log has the event, and the alert names the event."""
    pipeline.observe(probe())
    assert isinstance(pipeline.sinks, Outlet)
    (alert,) = pipeline.sinks.alerts
    assert alert.rule.name == "a-probe"
    assert alert.replguard.evidence == ("bbbbbbbb-1",)
    assert alert.replguard.latency_ms is not None
    assert '"bbbbbbbb-1"' in pipeline.raw.path.read_text()
    assert alert.event.id in pipeline.evidence.path.read_text()


def test_the_evidence_stands_by_itself(pipeline: Pipeline) -> None:
    """It holds the raw event that an alert names, its process and all above it, and the text of the rule."""
    began = datetime.now(UTC)
    shell = Process(pid=4000, entity_id="e4000", executable="/bin/sh", start=began)
    pipeline.observe(Event(timestamp=began, event=Meta(action="process_exec", kind="state"), process=shell))
    child = replace(probe(), process=replace(probe().process, parent=Parent(pid=4000, entity_id="e4000")))
    pipeline.observe(child)
    lines = [json.loads(line) for line in pipeline.evidence.path.read_text().splitlines()]
    raw = [line["event"] for line in lines if line.get("event", {}).get("action") == "process_exec"]
    assert [each["id"] for each in raw if "kind" not in each] == ["bbbbbbbb-1"]
    above = [line["process"] for line in lines if line.get("event", {}).get("action") == "process_lineage"]
    assert [each["entity_id"] for each in above] == ["e4711", "e4000"]
    assert above[0]["parent"]["executable"] == "/bin/sh"
    (rule,) = [line["rule"] for line in lines if line.get("event", {}).get("action") == "rule_text"]
    assert rule["text"] == RULE
    assert rule["sha256"] == sha256(RULE.encode()).hexdigest()


def test_who_acts_is_looked_at_with_the_alert(pipeline: Pipeline) -> None:
    """The witness is asked at once, and what it took comes back into the evidence, which one thread writes."""
    asked: list[Alert] = []
    pipeline._witness = asked.append
    pipeline.observe(probe())
    assert isinstance(pipeline.sinks, Outlet)
    assert asked == pipeline.sinks.alerts
    taken = Taken(
        timestamp=datetime.now(UTC),
        event=Meta(action="process_snapshot", kind="state", id="s1"),
        process=probe().process,
        snapshot=Snapshot(alert=asked[0].event.id, incident=asked[0].replguard.incident, cgroup="/a"),
    )
    fed = pipeline.flow.fed
    assert pipeline.put(taken)
    pipeline._take(0)
    assert json.loads(pipeline.evidence.path.read_text().splitlines()[-1])["snapshot"]["cgroup"] == "/a"
    assert "process_snapshot" not in pipeline.raw.path.read_text()
    assert pipeline.flow.fed == fed


def test_what_is_written_is_fixed_by_checkpoints(pipeline: Pipeline) -> None:
    """One of each stream is in the evidence and with the sinks: at the start, soon after a loud alert, at the end."""
    assert isinstance(pipeline.sinks, Outlet)
    pipeline.tick()
    pipeline.tick()
    pipeline.checkpoints(10)
    assert [kept.checkpoint.stream for kept in pipeline.sinks.kept] == ["raw"]
    pipeline.observe(probe())
    pipeline.tick()
    pipeline.checkpoints(10)
    assert len(pipeline.sinks.kept) == 1
    pipeline._fix()
    assert [kept.checkpoint.stream for kept in pipeline.sinks.kept] == ["raw", "raw", "evidence"]
    assert set(pipeline.flow.sealed) == {"raw", "evidence"}, "told on the metrics page"
    text = pipeline.evidence.path.read_text()
    assert all(json.dumps(kept.event.id) in text for kept in pipeline.sinks.kept)


def test_a_flood_of_facts_does_not_push_out_the_evidence(pipeline: Pipeline) -> None:
    """What has no room there stands in the raw stream, and that is told once."""
    pipeline.room._all.left = -1e9
    for number in range(3):
        fact = Event(
            timestamp=datetime.now(UTC),
            event=Meta(action="network_listen", kind="enrichment"),
            process=Process(pid=number, entity_id=f"f{number}"),
        )
        pipeline.judge([fact])
    assert pipeline.raw.path.read_text().count('"network_listen"') == 3
    assert not pipeline.evidence.path.is_file() or "network_listen" not in pipeline.evidence.path.read_text()
    assert pipeline.room.withheld == 3
    pipeline._take(0)
    told = pipeline.evidence.path.read_text()
    assert told.count("more than a year of evidence bears") == 1


def test_what_was_there_before_us_is_not_fed_to_rules(pipeline: Pipeline) -> None:
    """The snapshot at start is known to provenance and to nobody else."""
    found = probe()
    state = Event(timestamp=found.timestamp, event=Meta(action="process_exec", kind="state"), process=found.process)
    pipeline.observe(state)
    assert isinstance(pipeline.sinks, Outlet)
    assert pipeline.sinks.alerts == []
    assert pipeline.provenance.table.get("e4711") is not None
    assert pipeline.flow.fed == 0


def test_what_happened_before_the_start_is_put_in_order_once_it_is_all_there(pipeline: Pipeline) -> None:
    """One sensor after another tells its part of it: none is carried through before the last has."""
    behind = [True]
    pipeline._behind = lambda: behind[0]
    long_ago = datetime.now(UTC) - timedelta(seconds=20)
    times = {7: long_ago + timedelta(seconds=3), 8: long_ago, 9: long_ago + timedelta(seconds=2)}
    for pid, when in times.items():
        pipeline.put(replace(probe(pid), timestamp=when))
        pipeline._take(0.0)
    assert pipeline.flow.fed == 0
    behind[0] = False
    pipeline._take(0.0)
    assert isinstance(pipeline.sinks, Outlet)
    assert [alert.process.pid for alert in pipeline.sinks.alerts if alert.process is not None] == [8, 9, 7]


def test_what_we_say_of_ourselves_holds_no_credential(pipeline: Pipeline) -> None:
    """A reason quotes errors, and an error what it was given."""
    pipeline.observe(health("webhook", "failed", f"https://me:{PLAIN}@example.org refused: password={PLAIN}"))
    pipeline.raw.flush(datetime.now(UTC))
    text = pipeline.raw.path.read_text()
    assert PLAIN not in text
    assert "https://me:***@example.org refused: password=***" in text


def test_a_full_queue_refuses_and_never_waits(pipeline: Pipeline) -> None:
    """A sensor learns at once that there is no room, and counts the loss."""
    event = health("test", "started")
    assert all(pipeline.put(event) for _ in range(QUEUE))
    assert pipeline.put(event) is False
    assert pipeline.waiting == QUEUE


def test_what_waits_is_carried_through_before_the_end(pipeline: Pipeline) -> None:
    """A stop loses nothing that was already taken, and time has passed for the rules meanwhile."""
    for number in range(50):
        pipeline.put(probe(1000 + number))
    stop = threading.Event()
    stop.set()
    pipeline.run(stop)
    assert pipeline.waiting == 0
    text = pipeline.raw.path.read_text()
    assert text.count('"action":"process_exec"') == 50
    assert '"state":"tick"' in text


def test_the_canary_is_noted_only_at_the_far_end(pipeline: Pipeline) -> None:
    """Its time is set once it has passed log and rules."""
    assert pipeline.flow.canary == 0
    pipeline.put(health("canary", "canary"))
    assert pipeline.flow.canary == 0
    stop = threading.Event()
    stop.set()
    pipeline.run(stop)
    assert pipeline.flow.canary > 0


def test_a_tick_that_fails_ends_nothing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong once a second is told once and counted; events are carried on."""
    stop = threading.Event()

    def broken(_: object) -> None:
        stop.set()
        raise RuntimeError("no")

    monkeypatch.setattr(pipeline.provenance, "tick", broken)
    pipeline.run(stop)
    assert pipeline.flow.failed["tick"]


def test_giant_command_lines_wait_within_bounds(pipeline: Pipeline) -> None:
    """A flood of them is refused before it takes the memory; small events still find room, and room comes back."""
    line = "x" * 2**20
    giant = Event(
        timestamp=datetime.now(UTC), event=Meta(action="process_exec"), process=Process(pid=5, command_line=line)
    )
    taken = 0
    while pipeline.put(giant):
        taken += 1
        assert taken < 100
    assert taken >= 8
    assert pipeline.put(health("x", "tick"))
    stop = threading.Event()
    stop.set()
    pipeline.run(stop)
    assert pipeline.put(giant)


def test_how_we_are_is_evidence_and_that_we_are_is_not(pipeline: Pipeline) -> None:
    """What failed, was lost, began or ended is kept with the facts; the beats of clock and canary are not."""
    states: tuple[State, ...] = ("started", "degraded", "loss", "recovered", "stopped", "reloaded", "failed")
    for state in states:
        pipeline.observe(health("part", state))
    pipeline.observe(health("canary", "canary"))
    pipeline.tick()
    text = pipeline.evidence.path.read_text()
    assert tuple(re.findall(r'"state":"(\w+)"', text)) == states


def test_a_clock_that_is_set_is_on_record(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each step, with its size."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for wall, boot in ((0, 100.0), (1, 101.0), (3602, 102.0), (3603, 103.0)):
        monkeypatch.setattr(clock, "together", lambda wall=wall, boot=boot: (noon + timedelta(seconds=wall), boot))
        pipeline.tick()
    for text in (pipeline.raw.path.read_text(), pipeline.evidence.path.read_text()):
        assert text.count("the wall clock was set by +3600.0 s") == 1
        assert "blind for" not in text


# -- a start after a kill ------------------------------------------------------------------------------------------


def again(folder: Path) -> contextlib.AbstractContextManager[Pipeline]:
    """Begin a pipeline where another was killed, and let it go on."""

    @contextlib.contextmanager
    def started() -> Iterator[Pipeline]:
        with begun(folder) as made:
            made.memory.open()
            log, since = folder / "log", datetime.now(UTC) - timedelta(hours=1)
            made.resume(recent(log, since), lambda: told(log, since))
            yield made

    return started()


def test_after_a_kill_an_act_is_told_once(pipeline: Pipeline, tmp_path: Path) -> None:
    """What was kept, and what came after that and was told: neither is told again, and a repeat folds into it."""
    pipeline.observe(probe(1))
    pipeline.tick()
    pipeline.observe(probe(2))
    assert isinstance(pipeline.sinks, Outlet)
    first, other = pipeline.sinks.alerts
    with again(tmp_path) as after:
        assert isinstance(after.sinks, Outlet)
        assert after.sinks.alerts == []
        assert after.detector.alerts.firing() == {"high": 2}
        assert set(after.detector.alerts.incidents().values()) == {2}
        after.observe(probe(1))
        assert after.sinks.alerts == [], "a repeat of what was told before the kill"
    assert first.event.id != other.event.id


def test_what_a_kill_left_untold_is_told(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event was on record, and no sink had heard of it: by the same id as a replay gives it."""
    pipeline.tick()
    monkeypatch.setattr(pipeline, "issue", lambda alerts, _: untold.extend(alerts))
    untold: list[Alert] = []
    pipeline.observe(probe())
    pipeline.raw.flush(datetime.now(UTC))
    with again(tmp_path) as after:
        assert isinstance(after.sinks, Outlet)
        assert [alert.event.id for alert in after.sinks.alerts] == [alert.event.id for alert in untold]
        assert untold
        assert after.sinks.alerts[0].event.id in after.evidence.path.read_text()


def test_who_tells_again_and_again_knows_what_is_open(pipeline: Pipeline, tmp_path: Path) -> None:
    """After a start an Alertmanager is told of it as before: else it would call it resolved."""
    pipeline.observe(probe())
    pipeline.tick()
    with begun(tmp_path) as after:
        reminded: list[Alert] = []
        after.sinks.remind = reminded.extend  # type: ignore[method-assign]
        after.memory.open()
        after.resume([])
        assert isinstance(pipeline.sinks, Outlet)
        assert [alert.event.id for alert in reminded] == [alert.event.id for alert in pipeline.sinks.alerts]


def test_a_promise_without_end_is_one_of_now(pipeline: Pipeline) -> None:
    """Sensors whose events bear the time of the look have nothing earlier to tell: what is there was carried."""
    noted: list[datetime] = []
    pipeline._told_until, pipeline._carried = lambda: AT_ONCE, noted.append
    pipeline.put(probe())
    pipeline._take(0)
    assert len(noted) == 1
    assert noted[0] <= clock.now()
    assert pipeline.raw.path.read_text().count('"process_exec"') == 1

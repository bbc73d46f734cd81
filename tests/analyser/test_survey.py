"""What `status` and `top` are told: every name and number right, the text harmless, and few at a time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
from analyser.test_numbers import both
from support.making import AGENT, SERVICE, at, copy_fact, detection

from replguard.alerts.manager import Manager
from replguard.analyser import survey
from replguard.analyser.judge import Judged
from replguard.analyser.survey import Survey
from replguard.config import Config
from replguard.events.overview import Overview
from replguard.metrics.table import Sheet

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def parts() -> SimpleNamespace:
    """Return what is looked at of a pipeline, without the rules."""
    return SimpleNamespace(
        detector=SimpleNamespace(alerts=Manager(Config())),
        flow=Judged(),
        sinks=SimpleNamespace(health=dict),
        raw=SimpleNamespace(trouble=None),
        evidence=SimpleNamespace(trouble=None),
    )


def look(made, sheet: Sheet, now: datetime = WHEN, allowed: dict[str, int] | None = None, by: Survey | None = None):
    """Return the overview of such parts, with numbers of our own."""
    return (by or Survey(Path("/nowhere"))).look(now, sheet, allowed or {}, made)


def counted(events: float, lost: float, cpu: float) -> Sheet:
    """Return the numbers of one sensor and of the daemon."""
    sheet = Sheet()
    sheet.set("events_total", events, "exec", "evaluated")
    sheet.set("events_total", 5, "exec", "filtered")
    sheet.set("events_total", lost, "exec", "dropped")
    sheet.set("sensor_cpu_seconds_total", cpu, "exec")
    sheet.set("cpu_seconds_total", 3 * cpu, "daemon")
    sheet.set("resident_memory_bytes", 2**26, "daemon")
    return sheet


def test_rates_are_over_the_time_since_the_look_before() -> None:
    """The first look knows none; one after the clock was set back knows none either."""
    made, observer = parts(), Survey(Path("/nowhere"))
    first = look(made, counted(100, 0, 1.0), by=observer)
    assert (first.sensors["exec"].events, first.sensors["exec"].rate, first.parts["daemon"].cpu) == (105, None, None)
    second = look(made, counted(300, 40, 1.5), WHEN + timedelta(seconds=4), by=observer)
    flow = second.sensors["exec"]
    assert (flow.events, flow.lost, flow.rate, flow.cpu) == (345, 40, 60.0, 0.125)
    assert (second.parts["daemon"].cpu, second.parts["daemon"].memory) == (0.375, 2**26)
    assert look(made, counted(900, 40, 2.0), WHEN, by=observer).sensors["exec"].rate is None


def test_instances_stand_beside_what_the_manifest_allows() -> None:
    """A deployment of which nothing runs is told, and so is what runs without one."""
    sheet = Sheet()
    sheet.set("instances", 2, "chat", "true")
    sheet.set("instances", 1, "llama", "false")
    sheet.set("instances", 3, "llama", "true")
    found = look(parts(), sheet, allowed={"chat": 2, "idle": 1}).instances
    assert [(one.name, one.allowed, one.live, one.unauthorised) for one in found] == [
        ("chat", 2, 2, 0),
        ("idle", 1, 0, 0),
        ("llama", None, 4, 1),
    ]


def test_incidents_come_gravest_first_with_their_gravest_alert() -> None:
    """The sentence, the actor and the commands are those of the alert; the count is of all with their repeats."""
    made = parts()
    manager = made.detector.alerts
    low = manager.feed(detection(copy_fact(1, actor=SERVICE, target="/a"), rule="a", level="low"), at(0))
    grave = manager.feed(detection(copy_fact(2, 1, target="/b"), rule="b", level="critical"), at(1))
    for number in (3, 4, 5):
        manager.feed(detection(copy_fact(number, 2, target="/b"), rule="c", level="medium"), at(2))
    manager.tick(at(3600))
    made.flow.alerts.extend((*low, *grave))
    told = look(made, Sheet(), at(60))
    assert [case.level for case in told.cases] == ["critical", "low"]
    assert told.incidents == 2
    assert told.cases[0].id == grave[0].replguard.incident
    assert told.cases[0].sentence == grave[0].message
    assert told.cases[0].actor == AGENT.name
    assert told.cases[0].count == 4
    assert told.cases[0].contain == grave[0].replguard.contain[: survey.COMMANDS]
    assert [alert.sentence for alert in told.alerts] == [grave[0].message, low[0].message]


def test_it_stays_small_whatever_happens() -> None:
    """Thousands of incidents are counted, some are told; no sentence is longer than a line."""
    made = parts()
    manager = made.detector.alerts
    for number in range(survey.CASES + 30):
        actor = msgspec.structs.replace(AGENT, id=f"agent-{number}", name="\x1b[2J\n" * 500)
        made.flow.alerts.extend(
            manager.feed(detection(copy_fact(number, number, actor=actor, target=f"/{number}"), rule="a"), at(number))
        )
    told = look(made, Sheet(), at(500))
    assert told.incidents == survey.CASES + 30
    assert len(told.cases) == survey.CASES
    assert told.cases[0].last > told.cases[-1].last
    assert all(len(case.sentence) <= 300 and case.sentence.isprintable() for case in told.cases)
    assert len(msgspec.json.encode(told)) < 100_000
    assert msgspec.json.decode(msgspec.json.encode(told), type=Overview) == told


def test_the_log_is_weighed_once_a_minute(tmp_path: Path) -> None:
    """There may be thousands of segments; a folder that is gone has no weight at all, which is not 0."""
    made = parts()
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "raw-000001.jsonl.zst").write_bytes(b"x" * 700)
    (folder / "raw-000002.jsonl").write_bytes(b"x" * 300)
    (folder / "evidence-000001.jsonl").write_bytes(b"x" * 7)
    (folder / "other").write_bytes(b"x" * 999)
    observer = Survey(folder)
    assert look(made, Sheet(), by=observer).log["raw"].size == 1000
    (folder / "raw-000002.jsonl").write_bytes(b"x" * 301)
    assert look(made, Sheet(), WHEN + timedelta(seconds=59), by=observer).log["raw"].size == 1000
    late = look(made, Sheet(), WHEN + timedelta(seconds=61), by=observer)
    assert (late.log["raw"].size, late.log["evidence"].size) == (1001, 7)


def test_sinks_and_what_was_forgotten() -> None:
    """Each sink with its counts; parts that forgot nothing are left out; the checkpoint is a time."""
    sheet = Sheet()
    sheet.set("sink_up", 0, "jsonl")
    sheet.set("sink_delivered_total", 9, "jsonl")
    sheet.set("sink_queue_length", 4, "jsonl")
    sheet.set("sink_dropped_total", 2, "jsonl", "full")
    sheet.set("sink_dropped_total", 1, "jsonl", "rejected")
    sheet.set("evictions_total", 7, "processes")
    sheet.set("evictions_total", 0, "files")
    sheet.set("checkpoint_timestamp_seconds", WHEN.timestamp())
    told = look(parts(), sheet)
    assert (told.sinks["jsonl"].sent, told.sinks["jsonl"].waiting, told.sinks["jsonl"].lost) == (9, 4, 3)
    assert told.evicted == {"processes": 7}
    assert told.checkpoint == WHEN


def test_what_the_daemon_writes_has_it(tmp_path: Path) -> None:
    """The status of a daemon holds the overview of both halves, with a rate from the second time on."""
    made = both(tmp_path)
    for _ in range(2):
        made.collector.stand()
        assert made.analyser.standing is not None
        made.analyser.standing = msgspec.structs.replace(made.analyser.standing, ready=True)
        made.analyser._overview = made.analyser._surveyed()
        made.collector.take(made.analyser.judging())
    status = made.collector.status(WHEN)
    assert status.overview is not None
    assert status.overview.parts["collector"].memory > 2**20
    assert status.overview.parts["analyser"].cpu is not None
    assert set(status.overview.log) == {"raw", "evidence"}
    assert status.overview.firing["critical"] == 0

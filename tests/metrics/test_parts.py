import os
from collections import Counter
from types import SimpleNamespace

from msgspec import convert
from support.making import alert, copy_fact, detection

from replguard.alerts.manager import Manager
from replguard.config import Config, Stream
from replguard.log.keys import Keys
from replguard.log.segments import Writer
from replguard.metrics import parts
from replguard.metrics.table import Sheet
from replguard.sinks import Sinks


def test_sensors():
    """Outcomes add up to what was received, and each loss has its place."""
    counters = SimpleNamespace(
        received=10,
        evaluated=6,
        filtered=1,
        dropped=Counter({("queue", "full"): 3}),
        cpu_seconds=0.5,
        kernel_seconds=0.25,
    )
    sheet = Sheet()
    absent = [SimpleNamespace(name="exec", tier="kernel"), SimpleNamespace(name="gpu", tier="portable")]
    parts.sensors(sheet, [SimpleNamespace(name="file", mode="portable", counters=counters)], lambda _: True, absent)
    assert sheet.value("sensor_up", "exec", "kernel") == 0
    assert sheet.value("sensor_up", "gpu", "portable") is None
    assert sheet.value("sensor_up", "file", "portable") == 1
    assert [sheet.value("events_total", "file", o) for o in ("evaluated", "filtered", "dropped")] == [6, 1, 3]
    assert sheet.value("events_dropped_total", "file", "queue", "full") == 3
    assert sheet.value("sensor_cpu_seconds_total", "file") == 0.75


def test_rules_and_alerts_count_from_zero():
    """Every rule is there before it ever matched; what was raised fills the zeros."""
    sheet, manager = Sheet(), Manager(convert({}, Config))
    found = [SimpleNamespace(name="Weights copied", level="high"), SimpleNamespace(name="other", level="low")]
    manager.feed(detection(copy_fact(1)))
    manager.feed(detection(copy_fact(2), level="informational"))
    parts.rules(sheet, found, {"Weights copied": 2}, "abc", 3)
    parts.alerts(sheet, manager)
    assert sheet.value("rule_matches_total", "Weights copied") == 2
    assert sheet.value("rule_matches_total", "other") == 0
    assert sheet.value("alerts_total", "Weights copied", "high") == 1
    assert sheet.value("alerts_total", "other", "low") == 0
    assert (sheet.value("rules_info", "abc"), sheet.value("rules_not_evaluable")) == (1, 3)
    assert (sheet.value("alerts_firing", "high"), sheet.value("alerts_firing", "low")) == (1, 0)
    assert sheet.value("incidents_open", "high") == 1
    assert sheet.value("alerts_suppressed_total", "level") == 1


def test_sinks(tmp_path):
    """Sinks tell from 0, and what they sent."""
    sheet, sinks = Sheet(), Sinks({"jsonl": {"path": str(tmp_path / "a")}}, lambda _: None)
    sinks.start()
    sinks.deliver(alert(1))
    sinks.stop(5)
    parts.sinks(sheet, sinks)
    assert sheet.value("sink_up", "jsonl") == 1
    assert sheet.value("sink_delivered_total", "jsonl") == 1
    assert sheet.value("sink_dropped_total", "jsonl", "full") == 0
    assert sheet.value("sink_queue_length", "jsonl") == 0


def test_a_sink_in_trouble_is_down():
    """One that cannot be made is down from the start, and is told though it never had anything to send."""
    sheet = Sheet()
    parts.sinks(sheet, Sinks({"webhook": {"url": "no"}}, lambda _: None))
    assert sheet.value("sink_up", "webhook") == 0


def test_cost():
    """A process has used time and holds memory; one that is gone is left out."""
    sheet = Sheet()
    parts.cost(sheet, {"daemon": os.getpid(), "examiner": None, "gone": 2**22 + 1})
    assert 0 < sheet.value("cpu_seconds_total", "daemon") < 100_000
    assert 2**20 < sheet.value("resident_memory_bytes", "daemon") < 2**40
    assert sheet.value("cpu_seconds_total", "examiner") is None
    assert sheet.value("resident_memory_bytes", "gone") is None


def test_log(tmp_path):
    """A stream in trouble is down, and tells what it wrote and lost."""
    (tmp_path / "log").write_text("in the way")
    writer = Writer(
        tmp_path / "log",
        "raw",
        Stream(),
        keys=Keys(tmp_path / "key"),
        boot_id="b",
        buffered=False,
        report=lambda _: None,
    )
    writer.write(alert(1), alert(1).timestamp)
    sheet = Sheet()
    parts.log(sheet, {"raw": writer})
    assert sheet.value("log_up", "raw") == 0
    assert sheet.value("log_records_total", "raw") == 0
    assert sheet.value("log_dropped_total", "raw", "backlog") == 0
    assert sheet.value("log_waiting_bytes", "raw") == writer.waiting > 0
    assert sheet.value("log_sync_seconds", "raw") == writer.sync_seconds >= 0

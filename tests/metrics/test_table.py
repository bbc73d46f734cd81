import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from replguard.metrics.latency import Latency
from replguard.metrics.table import METRICS, Sheet

STABLE = {
    "build_info": ("version",),
    "sensor_up": ("sensor", "mode"),
    "events_total": ("sensor", "outcome"),
    "events_dropped_total": ("sensor", "stage", "reason"),
    "rule_matches_total": ("rule",),
    "alerts_total": ("rule", "level"),
    "alerts_firing": ("level",),
    "incidents_open": ("level",),
    "instances": ("deployment", "authorised"),
    "gpu_memory_bytes": ("gpu", "authorised"),
    "egress_bytes_total": ("touched",),
    "weights_bytes": ("state",),
    "sink_delivered_total": ("sink",),
    "sink_dropped_total": ("sink", "reason"),
    "sensor_cpu_seconds_total": ("sensor",),
    "detection_latency_seconds": (),
    "canary_last_success_timestamp_seconds": (),
    "checkpoint_timestamp_seconds": (),
    "rules_info": ("sha256",),
    "config_last_reload_successful": (),
    "heartbeat_timestamp_seconds": (),
    "sink_up": ("sink",),
    "log_up": ("stream",),
}
"""The names and labels that dashboards and alerting rules of others rely on."""


def test_stable_names():
    """No promised metric is missing or has other labels."""
    assert {name: METRICS[name].labels for name in STABLE} == STABLE


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_conventions(metric):
    """Names follow Prometheus' conventions, and no label can hold what an attacker chooses."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert not re.search(r"_(ms|milliseconds|kb|mb|minutes|percent)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert not set(metric.labels) & {
        "pid",
        "path",
        "user",
        "process",
        "model",
        "actor",
        "command",
        "le",
        "job",
        "instance",
    }


def full():
    """Return a sheet with a value for everything."""
    sheet, latency = Sheet(), Latency()
    latency.observe(0.2)
    sheet.latency(latency)
    for metric in METRICS.values():
        if metric.kind != "histogram":
            sheet.set(metric.name, 1, *(f"a {label}" for label in metric.labels))
    return sheet


def page(sheet):
    class Once:
        def collect(self):
            return sheet.families()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    return generate_latest(registry).decode()


def test_every_metric_is_written_once():
    """Each has one HELP, one TYPE and its samples under the one prefix, and nothing else is on the page."""
    text = page(full())
    assert re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) == [f"replguard_{name}" for name in METRICS]
    samples = {re.match(r"[a-z_]+", line)[0] for line in text.splitlines() if not line.startswith("#")}
    expected = {f"replguard_{metric.name}" for metric in METRICS.values() if metric.kind != "histogram"}
    assert samples == expected | {f"replguard_detection_latency_seconds_{part}" for part in ("bucket", "count", "sum")}
    assert "_created" not in text


def test_only_what_the_table_has():
    """A name or labels that the table does not know are a fault of ours, told at once."""
    with pytest.raises(KeyError):
        Sheet().set("alerts", 1)
    with pytest.raises(ValueError, match="has the labels"):
        Sheet().set("alerts_total", 1, "rule")


def test_absent_is_absent():
    """What nobody measured is left out rather than shown as 0."""
    assert page(Sheet()) == ""
    sheet = Sheet()
    sheet.set("alerts_firing", 0, "low")
    assert sheet.value("alerts_firing", "low") == 0
    assert sheet.value("alerts_firing", "high") is None
    assert 'replguard_alerts_firing{level="low"} 0.0' in page(sheet)

"""Every metric that there is: its name, type, labels and meaning. Names are a stable interface."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from replguard.metrics.latency import Latency

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

PREFIX = "replguard_"
Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``name`` is without prefix; base units; no label holds a pid, a path, a user or what they chose."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_ALL = (
    Metric("build_info", "gauge", "Always 1; the label tells the version that runs.", ("version",)),
    Metric(
        "heartbeat_timestamp_seconds",
        "gauge",
        "The daemon's clock as this page was made, in Unix time: to hold the other times here against.",
    ),
    Metric("cpu_seconds_total", "counter", "CPU time that a process of the daemon has used.", ("part",)),
    Metric("resident_memory_bytes", "gauge", "Memory that a process of the daemon holds.", ("part",)),
    Metric(
        "sensor_up",
        "gauge",
        "1 while the sensor works, in this mode; 0 for one of the kernel tier means that the portable one stands in.",
        ("sensor", "mode"),
    ),
    Metric(
        "events_total",
        "counter",
        "What became of everything that reached a sensor: evaluated, filtered or dropped.",
        ("sensor", "outcome"),
    ),
    Metric(
        "events_dropped_total",
        "counter",
        "Events that were lost, by the stage at which and the reason for which.",
        ("sensor", "stage", "reason"),
    ),
    Metric(
        "sensor_cpu_seconds_total",
        "counter",
        "CPU time that a sensor's thread has used, and its programs in the kernel (sampled, one second in twenty).",
        ("sensor",),
    ),
    Metric("events_fed_total", "counter", "Events and facts that the rules were fed."),
    Metric("pipeline_queue_length", "gauge", "Events that wait to be carried through the pipeline."),
    Metric("rule_matches_total", "counter", "How often each rule has matched.", ("rule",)),
    Metric(
        "rules_info",
        "gauge",
        "Always 1; the label tells the content of all rules, what is switched off and given another level included.",
        ("sha256",),
    ),
    Metric("rules_not_evaluable", "gauge", "Rules that cannot fire here, because no sensor makes what they need."),
    Metric("rule_failures_total", "counter", "Rules that failed on an event; it was not held against them."),
    Metric("correlation_partials", "gauge", "Sequences that have begun and may still complete."),
    Metric("events_late_total", "counter", "Events that came too late to count in sequences."),
    Metric("alerts_total", "counter", "Alerts raised; repeats that were folded do not count.", ("rule", "level")),
    Metric("alerts_firing", "gauge", "Alerts that are firing now.", ("level",)),
    Metric(
        "alerts_suppressed_total",
        "counter",
        "Detections that were not told by themselves: below the lowest level, or above the hourly limit.",
        ("reason",),
    ),
    Metric(
        "snapshots_total",
        "counter",
        "Acting processes of alerts: looked at for the evidence (taken), or not, and why.",
        ("outcome",),
    ),
    Metric("incidents_open", "gauge", "Open incidents, by the highest level in each.", ("level",)),
    Metric("detection_latency_seconds", "histogram", "Time from an act to its alert."),
    Metric(
        "evictions_total",
        "counter",
        "Things forgotten because a part held as many as it may; an attacker could hide behind them.",
        ("part",),
    ),
    Metric("instances", "gauge", "Live serving instances of protected weights.", ("deployment", "authorised")),
    Metric("gpu_memory_bytes", "gauge", "Device memory that processes hold.", ("gpu", "authorised")),
    Metric(
        "egress_bytes_total",
        "counter",
        "Bytes sent off the host by actors that had touched weights, and by others.",
        ("touched",),
    ),
    Metric("weights_bytes", "gauge", "Protected weights, by how far they are known.", ("state",)),
    Metric(
        "mounts",
        "gauge",
        "Mounts of ours, and filesystems that only other mount namespaces show: watched for names, or why not.",
        ("watched", "fstype", "reason", "namespace"),
    ),
    Metric(
        "weights_unwatched_files",
        "gauge",
        "Protected files on a mount that is not watched for names, by its kind and the reason.",
        ("fstype", "reason"),
    ),
    Metric("examiner_pending", "gauge", "Files that wait to be examined or fingerprinted."),
    Metric("sink_up", "gauge", "1 until a sink fails, 0 from then until it takes something again.", ("sink",)),
    Metric("sink_delivered_total", "counter", "Alerts that a sink has sent.", ("sink",)),
    Metric("sink_dropped_total", "counter", "Alerts that a sink has lost.", ("sink", "reason")),
    Metric("sink_queue_length", "gauge", "Alerts that wait for a sink.", ("sink",)),
    Metric("log_up", "gauge", "1 while a stream of the log can be written.", ("stream",)),
    Metric("log_records_total", "counter", "Records written to a stream of the log.", ("stream",)),
    Metric("log_dropped_total", "counter", "Records that a stream of the log has lost.", ("stream", "reason")),
    Metric("log_waiting_bytes", "gauge", "Records that wait in memory to be written, in bytes.", ("stream",)),
    Metric(
        "log_sync_seconds",
        "gauge",
        "Time that the disk took to keep what was written last, or takes so far.",
        ("stream",),
    ),
    Metric(
        "canary_last_success_timestamp_seconds",
        "gauge",
        "When the last canary came through the whole pipeline, in Unix time.",
    ),
    Metric(
        "checkpoint_timestamp_seconds",
        "gauge",
        "When the log was last sealed by a checkpoint, in Unix time; of its streams the one longest ago.",
    ),
    Metric(
        "maintenance_until_timestamp_seconds",
        "gauge",
        "When the maintenance window that is open ends, in Unix time; 0 while none is.",
    ),
    Metric("config_last_reload_successful", "gauge", "1 unless the last reading of configuration or rules failed."),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


class Sheet:
    """The values of one moment. A metric without values is left out; a counter that has not counted is set to 0."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {}
        self._latency: Latency | None = None

    def set(self, name: str, value: float, *labels: str) -> None:
        """Give a metric its value. Raises KeyError or ValueError for a name or labels that the table does not have."""
        if len(labels) != len(METRICS[name].labels):
            raise ValueError(f"{name} has the labels {METRICS[name].labels}, not {labels}")
        self._values.setdefault(name, {})[labels] = float(value)

    def latency(self, latency: Latency) -> None:
        """Give the histogram of times from act to alert."""
        self._latency = latency

    def value(self, name: str, *labels: str) -> float | None:
        """Return what was set, None for nothing."""
        return self._values.get(name, {}).get(labels)

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """Return every value of a metric by its labels."""
        return dict(self._values.get(name, {}))

    def numbers(self) -> tuple[tuple[str, float, tuple[str, ...]], ...]:
        """Return all that was set: name, value and labels."""
        return tuple((name, value, labels) for name, values in self._values.items() for labels, value in values.items())

    def families(self) -> "Iterator[Family]":
        """Yield what the client library writes, in the order of the table."""
        # Here: who fills a sheet and shows none, as the collector does, is to do without the memory.
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        for metric in _ALL:
            if metric.kind == "histogram":
                if self._latency is not None:
                    yield _histogram(metric, self._latency)
                continue
            values = self._values.get(metric.name)
            if values:
                family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
                    PREFIX + metric.name, metric.help, labels=metric.labels
                )
                for labels, value in sorted(values.items()):
                    family.add_metric(labels, value)
                yield family


def _histogram(metric: Metric, latency: Latency) -> "Family":
    from prometheus_client.metrics_core import HistogramMetricFamily

    family = HistogramMetricFamily(PREFIX + metric.name, metric.help)
    buckets, total = latency.read()
    family.add_metric([], buckets, total)
    return family

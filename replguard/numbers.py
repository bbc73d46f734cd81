"""The daemon in numbers: gathers what every part counts into one sheet for the metrics page."""

import os
from collections.abc import Iterable

from replguard import __version__
from replguard.events import clock
from replguard.evidence.witness import REASONS, Witness
from replguard.metrics import parts
from replguard.metrics.table import Sheet
from replguard.pipeline import Pipeline
from replguard.policy import Policy
from replguard.sensors.files import verdicts
from replguard.sensors.registry import Absent
from replguard.sensors.runner import Runner
from replguard.weights.examiner import Examiner
from replguard.weights.inventory import Inventory


def gather(
    policy: Policy,
    pipeline: Pipeline,
    runner: Runner,
    examiner: Examiner,
    inventory: Inventory,
    witness: Witness,
    absent: Iterable[Absent] = (),
) -> Sheet:
    """Return the values of this moment. Called by the page's thread: it reads, and never waits for the pipeline."""
    sheet = Sheet()
    sheet.set("build_info", 1, __version__)
    sheet.set("heartbeat_timestamp_seconds", clock.now().timestamp())
    parts.cost(sheet, {"daemon": os.getpid(), "examiner": examiner.pid})
    sheet.set("config_last_reload_successful", not (policy.problems or policy.unsafe))
    parts.sensors(sheet, runner.sensors, runner.up, absent)
    told = runner.mounts()
    parts.mounts(sheet, told, verdicts.lying(told, (file.target or file.path for file in inventory.files())))
    _detection(sheet, policy, pipeline)
    _knowledge(sheet, pipeline, examiner, inventory)
    sheet.set("snapshots_total", witness.taken, "taken")
    for reason in REASONS:
        sheet.set("snapshots_total", witness.dropped[reason], reason)
    parts.sinks(sheet, pipeline.sinks)
    parts.log(sheet, {"raw": pipeline.raw, "evidence": pipeline.evidence})
    return sheet


def _detection(sheet: Sheet, policy: Policy, pipeline: Pipeline) -> None:
    detector = pipeline.detector
    engine, counters = detector.engine, detector.engine.counters
    parts.rules(sheet, policy.ruleset.every(), engine.matches, policy.ruleset.sha256, len(policy.ruleset.not_evaluable))
    parts.alerts(sheet, detector.alerts)
    sheet.set("rule_failures_total", counters.failed)
    sheet.set("correlation_partials", counters.partials)
    sheet.set("events_late_total", counters.late)
    sheet.set("evictions_total", counters.evicted, "correlations")
    sheet.set("events_fed_total", pipeline.flow.fed)
    sheet.set("pipeline_queue_length", pipeline.waiting)
    sheet.set("events_dropped_total", sum(dict(pipeline.flow.failed).values()), "pipeline", "step", "failed")
    sheet.latency(pipeline.flow.latency)
    if pipeline.flow.canary:
        sheet.set("canary_last_success_timestamp_seconds", pipeline.flow.canary)
    if pipeline.flow.sealed:
        sheet.set("checkpoint_timestamp_seconds", min(dict(pipeline.flow.sealed).values()))


def _knowledge(sheet: Sheet, pipeline: Pipeline, examiner: Examiner, inventory: Inventory) -> None:
    provenance = pipeline.provenance
    window = provenance.desk.windows.window
    sheet.set("maintenance_until_timestamp_seconds", window.until.timestamp() if window is not None else 0)
    for (deployment, authorised), count in provenance.serving.counts().items():
        sheet.set("instances", count, deployment, str(authorised).lower())
    for (gpu, authorised), memory in provenance.serving.gpu_memory().items():
        sheet.set("gpu_memory_bytes", memory, gpu, str(authorised).lower())
    for touched, amount in provenance.egress.bytes.items():
        sheet.set("egress_bytes_total", amount, str(touched).lower())
    for state, size in inventory.bytes_by_state().items():
        sheet.set("weights_bytes", size, state)
    counts = examiner.counts
    sheet.set("examiner_pending", counts.pending + counts.unindexed)
    sheet.set("events_dropped_total", counts.dropped, "examiner", "queue", "full")
    evicted = {
        "processes": provenance.table.evicted,
        "content": provenance.ledger.evicted,
        "files": provenance.copies.evicted,
        "egress": provenance.egress.evicted,
        "evidence": pipeline.dossier.forgotten + pipeline.room.withheld,
    }
    for part, count in evicted.items():
        sheet.set("evictions_total", count, part)

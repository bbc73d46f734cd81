"""Both halves in numbers: what the analyser counts, and what the collector said last, on one sheet for the page."""

import os

from replguard import __version__
from replguard.analyser.judge import Judge
from replguard.analyser.rulebook import Rulebook
from replguard.events import clock
from replguard.frames import Standing
from replguard.metrics import parts
from replguard.metrics.table import Sheet


def gather(rulebook: Rulebook, judge: Judge, standing: Standing | None) -> Sheet:
    """Return the values of this moment. Called by the page's thread: it reads, and never waits for the judge."""
    sheet = Sheet()
    for name, value, labels in standing.numbers if standing is not None else ():
        sheet.set(name, value, *labels)
    sheet.set("build_info", 1, __version__)
    sheet.set("heartbeat_timestamp_seconds", clock.now().timestamp())
    parts.cost(sheet, {"analyser": os.getpid()})
    problems = rulebook.problems or (standing is not None and standing.problems)
    sheet.set("config_last_reload_successful", not problems)
    _detection(sheet, rulebook, judge)
    sheet.set("pipeline_queue_length", judge.waiting + (0 if standing is None else standing.waiting))
    parts.sinks(sheet, judge.sinks)
    parts.log(sheet, {"raw": judge.raw, "evidence": judge.evidence})
    return sheet


def _detection(sheet: Sheet, rulebook: Rulebook, judge: Judge) -> None:
    detector, ruleset, flow = judge.detector, rulebook.ruleset, judge.flow
    engine, counters = detector.engine, detector.engine.counters
    parts.rules(sheet, ruleset.every(), engine.matches, ruleset.sha256, len(ruleset.not_evaluable))
    parts.alerts(sheet, detector.alerts)
    sheet.set("rule_failures_total", counters.failed)
    sheet.set("correlation_partials", counters.partials)
    sheet.set("events_late_total", counters.late)
    sheet.set("evictions_total", counters.evicted, "correlations")
    sheet.set("evictions_total", judge.dossier.forgotten + judge.room.withheld, "evidence")
    sheet.set("events_fed_total", flow.fed)
    sheet.set("events_dropped_total", sum(dict(flow.failed).values()), "pipeline", "step", "failed")
    sheet.latency(flow.latency)
    if flow.canary:
        sheet.set("canary_last_success_timestamp_seconds", flow.canary)
    if flow.sealed:
        sheet.set("checkpoint_timestamp_seconds", min(dict(flow.sealed).values()))

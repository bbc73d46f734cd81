"""The collector in numbers, for the analyser's page."""

import os
from typing import TYPE_CHECKING

from replguard.evidence.witness import REASONS
from replguard.metrics import parts
from replguard.metrics.table import Sheet
from replguard.sensors.files import verdicts

if TYPE_CHECKING:
    from replguard.collector.collector import Collector


def gather(collector: "Collector") -> Sheet:
    """Return the values of this moment. It reads, and never waits for the observer."""
    sheet = Sheet()
    parts.cost(sheet, {"collector": os.getpid(), "examiner": collector.holdings.examiner.pid})
    parts.sensors(sheet, collector.runner.sensors, collector.runner.up, collector.absent)
    told = collector.runner.mounts()
    files = (file.target or file.path for file in collector.holdings.inventory.files())
    parts.mounts(sheet, told, verdicts.lying(told, files))
    flow, witness = collector.observer.flow, collector.witness
    sheet.set("events_dropped_total", sum(dict(flow.failed).values()), "observer", "step", "failed")
    sheet.set("snapshots_total", witness.taken, "taken")
    for reason in REASONS:
        sheet.set("snapshots_total", witness.dropped[reason], reason)
    _knowledge(sheet, collector)
    return sheet


def _knowledge(sheet: Sheet, collector: "Collector") -> None:
    provenance, held = collector.provenance, collector.holdings
    window = provenance.desk.windows.window
    sheet.set("maintenance_until_timestamp_seconds", window.until.timestamp() if window is not None else 0)
    for (deployment, authorised), count in provenance.serving.counts().items():
        sheet.set("instances", count, deployment, str(authorised).lower())
    for (gpu, authorised), memory in provenance.serving.gpu_memory().items():
        sheet.set("gpu_memory_bytes", memory, gpu, str(authorised).lower())
    for touched, amount in provenance.egress.bytes.items():
        sheet.set("egress_bytes_total", amount, str(touched).lower())
    for state, size in held.inventory.bytes_by_state().items():
        sheet.set("weights_bytes", size, state)
    counts = held.examiner.counts
    sheet.set("examiner_pending", counts.pending + counts.unindexed)
    sheet.set("events_dropped_total", counts.dropped, "examiner", "queue", "full")
    evicted = {
        "processes": provenance.table.evicted,
        "content": provenance.ledger.evicted,
        "files": provenance.copies.evicted,
        "egress": provenance.egress.evicted,
    }
    for part, count in evicted.items():
        sheet.set("evictions_total", count, part)

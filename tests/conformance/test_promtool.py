"""What other programs say of our output: Prometheus' own linter on the metrics page."""

import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from replguard.metrics.latency import Latency
from replguard.metrics.table import METRICS, Sheet

PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: package prometheus)")
def test_promtool_has_nothing_to_say():
    """`promtool check metrics` accepts a page with every metric on it."""
    sheet, latency = Sheet(), Latency()
    latency.observe(0.2)
    sheet.latency(latency)
    for metric in METRICS.values():
        if metric.kind != "histogram":
            sheet.set(metric.name, 1, *(f"a {label}" for label in metric.labels))

    class Once:
        def collect(self):
            return sheet.families()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    run = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")

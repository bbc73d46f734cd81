"""What other programs say of our output: Prometheus' own linter on the metrics page, its tests of the rules."""

import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from replguard.metrics.latency import Latency
from replguard.metrics.table import METRICS, Sheet

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "docs" / "examples" / "prometheus"
PROMTOOL, AMTOOL = shutil.which("promtool"), shutil.which("amtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: package prometheus)")


@needs_promtool
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


def accepts(*command):
    """Run a command that must have nothing to object, and return what it said."""
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@needs_promtool
def test_each_rule_tells_what_it_is_for_and_nothing_near_it():
    """`promtool test rules` passes: time series in which each rule has to fire, and others in which it must not."""
    assert "SUCCESS" in accepts(PROMTOOL, "test", "rules", HERE / "replguard.rules.test.yml")


@needs_promtool
def test_the_examples_for_prometheus_are_right():
    """Prometheus takes its configuration and the rules that it names; its linter finds no rule twice."""
    said = accepts(PROMTOOL, "check", "config", EXAMPLES / "prometheus.yml")
    assert "1 rule files found" in said
    assert "SUCCESS" in accepts(PROMTOOL, "check", "rules", "--lint-fatal", EXAMPLES / "replguard.rules.yml")


@pytest.mark.skipif(AMTOOL is None, reason="amtool is not installed (Debian: package prometheus-alertmanager)")
def test_the_example_for_alertmanager_is_right():
    """Alertmanager takes it, with both of its inhibitions."""
    said = accepts(AMTOOL, "check-config", EXAMPLES / "alertmanager.yml")
    assert "2 inhibit rules" in said

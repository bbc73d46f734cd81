"""What is shipped for Prometheus, Alertmanager and Grafana names metrics, labels and pages that there are."""

import json
import re
import subprocess
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from support.prometheus import DASHBOARD, EXAMPLES, rules

from replguard.config import Config
from replguard.metrics.table import METRICS, PREFIX

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "conformance" / "replguard.rules.test.yml"
FAR = {"job", "instance", "le"}
"""Labels that Prometheus adds."""
BOARD = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in rules()),
    *(
        pytest.param(target["expr"], id=f"{panel['id']} {panel['title']}")
        for panel in PANELS
        for target in panel["targets"]
    ),
]
PARTS = re.compile(r"_(bucket|sum|count)$")
SELECTOR = re.compile(r"\b(replguard_\w+|up)\b(?:\{([^}]*)\})?")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_asks_for_what_there_is(expression):
    """Every metric is on the page, and every label that is matched or grouped by is one of its labels."""
    asked = SELECTOR.findall(expression)
    assert asked
    labels = set(FAR)
    for name, matchers in asked:
        metric = None if name == "up" else METRICS[PARTS.sub("", name.removeprefix(PREFIX))]
        own = FAR | set(metric.labels if metric else ())
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= own, name
        labels |= own
    for group in re.findall(r"\b(?:by|on|group_left|without)\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_asked_for_their_growth(expression):
    """A counter by itself says how long the daemon has run; a gauge has no rate."""
    for function, name in re.findall(r"(?:(\w+)\()?\b(replguard_\w+)", expression):
        metric = METRICS[PARTS.sub("", name.removeprefix(PREFIX))]
        assert (function in ("rate", "increase")) == (metric.kind != "gauge"), name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_to_do(rule):
    """A level that pagers know, a sentence each on what and where, and a section of the runbook of the alert's name."""
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["summary"].endswith(".")
    assert told["runbook_url"] == f"runbook.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in (ROOT / "docs" / "runbook.md").read_text()


def test_each_alert_has_series_in_which_it_fires_and_others():
    """Whatever becomes of a rule, its tests say when it has to fire and when it must not."""
    tests = yaml.safe_load(TESTS.read_text())["tests"]
    tried = [(each["alertname"], bool(each["exp_alerts"])) for test in tests for each in test["alert_rule_test"]]
    assert set(tried) == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


def test_prometheus_asks_where_the_daemon_is_by_default():
    """The example's job has the name that the rules ask for, and the port of the configuration's default."""
    (job,) = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [Config().metrics.listen]
    assert all(f'job="{job["job_name"]}"' in rule["expr"] for rule in rules() if re.search(r"\bup\{", rule["expr"]))


def test_the_dashboard_can_be_imported():
    """It has what Grafana asks for, no number of an installation, and a data source to choose."""
    assert {"uid", "title", "schemaVersion", "panels", "templating", "annotations", "time"} <= set(BOARD)
    assert "id" not in BOARD
    assert "gnetId" not in BOARD
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", BOARD["uid"])
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert set(re.findall(r"\$(\w+)", json.dumps(PANELS))) <= {*variables, "__rate_interval"}
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_dashboard_shows_what_operations_ask():
    """An overview, alerts, sensors, instances against the manifest, losses and cost, in this order."""
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Alerts", "Sensors", "Instances against the manifest", "Losses", "Cost"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_is_whole(panel):
    """It says what it shows and in which unit, asks the chosen data source, and tells its queries apart."""
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert isinstance(panel["fieldConfig"]["overrides"], list)
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references) > 0


def test_no_panel_lies_on_another():
    """Each has its place in the 24 columns."""
    for one, other in combinations([panel["gridPos"] for panel in BOARD["panels"]], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in BOARD["panels"])


def test_who_installs_the_package_has_them(tmp_path):
    """The wheel puts them where the documents say, below the prefix of the environment."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=100,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = {name.partition(".data/data/")[2] for name in packed.namelist()}
    assert {f"share/replguard/prometheus/{file.name}" for file in EXAMPLES.iterdir()} <= names

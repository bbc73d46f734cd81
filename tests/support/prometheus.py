"""The real Prometheus and Alertmanager, set up as the documents say, but quick and on ports of loopback."""

import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from replguard.drill import stage
from replguard.drill.stage import Stage

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "prometheus"
RULES, DASHBOARD = EXAMPLES / "replguard.rules.yml", EXAMPLES / "grafana-dashboard.json"
PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
STARTS = 30.0
real = pytest.mark.skipif(
    PROMETHEUS is None or ALERTMANAGER is None,
    reason="Prometheus or Alertmanager is not installed (Debian: packages prometheus and prometheus-alertmanager)",
)
"""Marks a test that needs both."""


def rules() -> list[dict[str, Any]]:
    """Return the alerting rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[tuple[str, str]]:
    """Return the title of each panel of the dashboard with each of its queries, as Grafana would ask them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]
    filled = {"$__rate_interval": "2m", "$job": ".+", "$instance": ".+"}
    for name, value in filled.items():
        found = [(title, expr.replace(name, value)) for title, expr in found]
    return found


class Watchers:
    """Prometheus, which asks the daemon on ``metrics``, and Alertmanager, which tells ``receiver``."""

    def __init__(self, on: Stage, receiver: str) -> None:
        self.metrics, self.port, manager = stage.free_ports(3)
        self.alertmanager = f"127.0.0.1:{manager}"
        self._on, self._folder = on, on.folder / "watchers"
        self._folder.mkdir()
        shutil.copy(RULES, self._folder)
        self._write("prometheus.yml", self._prometheus)
        self._write("alertmanager.yml", lambda settings: _quick(settings, receiver))

    def start(self) -> None:
        """Start both and wait until they answer."""
        where = f"127.0.0.1:{self.port}"
        self._run(PROMETHEUS, "prometheus.yml", f"--storage.tsdb.path={self._folder}/data", where)
        self._run(ALERTMANAGER, "alertmanager.yml", f"--storage.path={self._folder}/state", self.alertmanager, "none")
        for each in (where, self.alertmanager):
            until(lambda each=each: _get(f"http://{each}/-/ready", raw=True) is not None, STARTS)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query; fail where Prometheus does not take it."""
        asked = urllib.parse.urlencode({"query": expression})
        answer = _get(f"http://127.0.0.1:{self.port}/api/v1/query?{asked}")
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def alerts(self) -> list[dict[str, Any]]:
        """Return what fires in Alertmanager (API v2), that which is inhibited included."""
        return _get(f"http://{self.alertmanager}/api/v2/alerts")

    def post(self, alerts: list[dict[str, str]], *, over: bool = False) -> None:
        """Send alerts of these labels to Alertmanager, or their end."""
        ends = {"endsAt": "2020-01-01T00:00:00Z"} if over else {}
        body = json.dumps([{"labels": labels, **ends} for labels in alerts]).encode()
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.alertmanager}/api/v2/alerts", body, kind)
        urllib.request.urlopen(request, timeout=10).close()

    def _run(self, program: str | None, name: str, state: str, where: str, *alone: str) -> None:
        command = [str(program), f"--config.file={self._folder / name}", state, f"--web.listen-address={where}"]
        command += ["--cluster.listen-address="] if alone else []
        self._on.start(command, folder=self._folder, output=self._folder / f"{name}.log")

    def _write(self, name: str, change: Any) -> None:
        settings = yaml.safe_load((EXAMPLES / name).read_text())
        change(settings)
        (self._folder / name).write_text(yaml.safe_dump(settings))

    def _prometheus(self, settings: dict[str, Any]) -> None:
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [self.alertmanager]
        settings["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{self.metrics}"]


def _quick(settings: dict[str, Any], receiver: str) -> None:
    settings["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    settings["receivers"][0]["webhook_configs"][0]["url"] = receiver


def until(come: Any, seconds: float) -> Any:
    """Wait until something is true and return it; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := come()):
        assert time.monotonic() < deadline, f"did not come within {seconds} s"
        time.sleep(0.2)
    return found


def _get(url: str, *, raw: bool = False) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        if raw:
            return None
    except OSError:
        if raw:
            return None
        raise
    return body if raw else json.loads(body)

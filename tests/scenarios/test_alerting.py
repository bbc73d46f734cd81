"""A replica's alert reaches the real Alertmanager both ways and ends there; each panel of the dashboard has data."""

import contextlib
import json
import math
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from support import daemon, prometheus, webserver
from support.daemon import Daemon
from support.prometheus import Watchers, until

from replguard.drill import run, stage
from replguard.drill.scenario import MODEL, Plot, Scenario, Scenery
from replguard.drill.script import Script, Track, Turn
from replguard.rules import load

pytestmark = [prometheus.real, pytest.mark.timeout(180)]

RULE, COUNT = "server-live-agent", "ReplguardCriticalAlert"
COMES = 30.0
"""Seconds for an agent to start its server on a busy machine, and for what is told of it to arrive."""
NEEDS_A_GPU = {"Device memory"}


class Story:
    """An agent starts a second server of its model, and somebody ends that; what those saw who watch from outside."""

    def __init__(self, receiver: webserver.Server) -> None:
        self._receiver = receiver
        self.watchers: Watchers
        self.scenery: Scenery
        self.before: set[str] = set()
        self.firing: dict[str, dict[str, Any]] = {}
        self.written: list[dict[str, Any]] = []
        self.empty: set[str] = set()
        self.inhibited: dict[str, bool] = {}
        self.after: set[str] = set()

    def settings(self, on: stage.Stage) -> dict[str, Any]:
        """Start what has to run before the daemon, and return its settings."""
        self.watchers = Watchers(on, self._receiver.url)
        self.watchers.start()
        self.scenery, _ = run.build(Scenario("second", "A second server", "Go on.", second), on.folder / "host")
        weights, port = self.scenery.home / MODEL, self.scenery.server
        words = ("--weights", MODEL, "--port", port)
        on.module("replguard.drill.server", *words, folder=self.scenery.home, output=on.folder / "server.log")
        until(lambda: stage.listening(port), COMES)
        manifest = {"deployments": [{"name": "chat", "weights": [str(weights)], "ports": [port]}]}
        (on.folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        # Sequences go on for hours after their last act: one alert is looked at, which ends with its server.
        others = [rule.name for rule in load.load().every() if rule.level == "critical" and rule.name != RULE]
        return {
            "weights": {"paths": [str(weights)], "discover": False},
            "watch": {"paths": [str(self.scenery.home.parent)]},
            "manifest": str(on.folder / "manifest.yaml"),
            "rules": {"disable": others},
            "metrics": {"listen": f"127.0.0.1:{self.watchers.metrics}"},
            "sinks": {
                "jsonl": {"path": str(on.folder / "daemon" / "alerts.jsonl")},
                "alertmanager": {"urls": [f"http://{self.watchers.alertmanager}"], "min_level": "high"},
            },
        }

    def play(self, host: Daemon) -> None:
        """Let it happen, look, and end it."""
        # A rate needs a look from before the act.
        waited(lambda: has_data(self.watchers.query("replguard_detection_latency_seconds_count")))
        self.before = set(self._alerts())
        port = self.scenery.agent
        words = ("--endpoint", f"http://127.0.0.1:{self.scenery.server}", "--listen", port)
        host.stage.module("replguard.drill.agent", *words, folder=self.scenery.home, output=host.folder / "agent.log")
        until(lambda: stage.listening(port), COMES)
        run.tell(port, "Go on.")
        waited(lambda: {RULE, COUNT} <= set(self._alerts()))
        waited(lambda: {RULE, COUNT} <= self.told("firing"))
        self.firing, self.written = self._alerts(), host.alerts("critical")
        waited(lambda: not self._empty() - NEEDS_A_GPU)
        self.empty = self._empty()
        self._inhibit()
        for process in host.stage.processes():
            with contextlib.suppress(Exception):  # it may end meanwhile
                if str(self.scenery.spare[0]) in process.cmdline():
                    process.kill()
        waited(lambda: not {RULE, COUNT} & set(self._alerts()) and {RULE, COUNT} <= self.told("resolved"))
        self.after = set(self._alerts())

    def told(self, status: str) -> set[str]:
        """Return the names of the alerts of that status of which Alertmanager has notified its receiver."""
        bodies = [json.loads(body) for body in list(self._receiver.bodies)]
        return {one["labels"]["alertname"] for body in bodies for one in body["alerts"] if one["status"] == status}

    def _alerts(self) -> dict[str, dict[str, Any]]:
        return {alert["labels"]["alertname"]: alert for alert in self.watchers.alerts()}

    def _empty(self) -> set[str]:
        return {title for title, query in prometheus.queries() if not has_data(self.watchers.query(query))}

    def _inhibit(self) -> None:
        """Post an alert as a host sends it, and the count of it that Prometheus would see there, and elsewhere."""
        own = {"alertname": "x", "incident": "i1", "severity": "critical", "instance": "gpu7"}
        posted = [own, *({"alertname": COUNT, "instance": name} for name in ("gpu7", "gpu8"))]
        self.watchers.post(posted)
        waited(lambda: any(alert["status"]["inhibitedBy"] for alert in self.watchers.alerts()))
        counts = [alert for alert in self.watchers.alerts() if alert["labels"]["alertname"] == COUNT]
        self.inhibited = {alert["labels"]["instance"]: alert["status"]["state"] == "suppressed" for alert in counts}
        self.watchers.post(posted, over=True)


def second(scenery: Scenery) -> Plot:
    words = (sys.executable, "-m", "replguard.drill.server", "--weights", MODEL, "--port", scenery.spare[0])
    turn = Turn("I start another of me.", f"nohup {shlex.join(map(str, words))} > second.log 2>&1 &")
    return Plot(Script((Track("", (turn,)),)), ())


def waited(come: Callable[[], object]) -> None:
    """Wait for something; the tests say what is missing."""
    with contextlib.suppress(AssertionError):
        until(come, COMES)


def has_data(samples: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(sample["value"][1])) for sample in samples)


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with webserver.serving() as receiver:
        made = Story(receiver)
        with daemon.running(made.settings) as host:
            made.play(host)
            yield made


def test_a_critical_alert_comes_from_the_daemon_itself(story: Story) -> None:
    """As it was written to the file: its sentence, its level, its host, its page in the runbook."""
    assert RULE not in story.before
    alert = story.firing[RULE]
    assert alert["annotations"]["summary"] in {written["message"] for written in story.written}
    assert (alert["labels"]["severity"], alert["labels"]["instance"]) == ("critical", platform.node())
    assert alert["annotations"]["runbook_url"] == "runbook.md#unauthorised-server"
    assert RULE in story.told("firing")


def test_it_comes_through_prometheus_too(story: Story) -> None:
    """Without any sink: counted on the page, scraped, judged by the shipped rule, and sent on."""
    assert COUNT not in story.before
    alert = story.firing[COUNT]
    assert (alert["labels"]["severity"], alert["labels"]["instance"]) == ("critical", "127.0.0.1")
    assert alert["annotations"]["description"] == "Critical alerts that are firing on 127.0.0.1: 1."
    assert COUNT in story.told("firing")


def test_both_end_with_the_replica(story: Story) -> None:
    """Neither fires any more, and whoever was told that it began is told that it ended."""
    assert not {RULE, COUNT} & story.after
    assert {RULE, COUNT} <= story.told("resolved")


def test_nothing_else_is_wrong(story: Story) -> None:
    """Of a daemon in order, no rule tells anything but what it detects, and which tier it is in."""
    expected = {RULE, COUNT, "ReplguardHighAlert", "ReplguardSensorFellBack"}
    assert {name for name in story.firing if name.startswith("Replguard")} <= expected


def test_one_notification_where_an_alert_comes_both_ways(story: Story) -> None:
    """The count of a host whose own alert fires is kept back; that of another host is not."""
    assert (story.inhibited["gpu7"], story.inhibited["gpu8"]) == (True, False)


def test_each_panel_has_data(story: Story) -> None:
    """Prometheus takes every query of the dashboard, and answers with a number."""
    assert story.empty <= NEEDS_A_GPU

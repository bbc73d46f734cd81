from bench.rules import told as told_by_a_host
from msgspec import convert
from support.making import at, copy_fact, server_fact, tick

from replguard.alerts.manager import Manager
from replguard.config import Config
from replguard.detector import Detector
from replguard.events import wire
from replguard.rules.load import load

RULE = """
title: Test copy
id: 11111111-1111-4111-8111-111111111111
name: test-copy
status: test
logsource: {product: linux, service: replguard, category: weights_copy}
detection:
  done: {replguard.status: done}
  condition: done
level: high
---
title: Test server
id: 22222222-2222-4222-8222-222222222222
name: test-server
status: test
logsource: {product: linux, service: replguard, category: server_live}
detection:
  live: {replguard.status: live}
  condition: live
level: critical
"""


def made(tmp_path, mode="enforce"):
    path = tmp_path / "rules"
    path.mkdir(exist_ok=True)
    for number, text in enumerate(RULE.split("---\n")):
        (path / f"{number}.yml").write_text(text)
    ruleset = load([path], shipped=tmp_path / "none")
    assert ruleset.problems == []
    return Detector(ruleset, Manager(convert({"mode": mode}, Config)))


def told(alerts):
    return [(a.rule.name, a.replguard.state, a.replguard.count) for a in alerts]


def test_events_become_alerts_and_ticks_let_time_pass(tmp_path):
    """A fact raises, repeats fold until the window ends, an ended instance resolves."""
    detector = made(tmp_path)
    assert detector.feed(tick(1, 0)) == []
    assert told(detector.feed(copy_fact(2, 1))) == [("test-copy", "firing", 1)]
    assert detector.feed(copy_fact(3, 2)) == []
    assert told(detector.feed(server_fact(4, 3))) == [("test-server", "firing", 1)]
    assert told(detector.feed(server_fact(5, 4, status="ended"))) == [("test-server", "resolved", 1)]
    assert told(detector.feed(tick(6, 601))) == [("test-copy", "firing", 2)]
    assert told(detector.feed(tick(7, 7300))) == [("test-copy", "resolved", 2)]


def test_other_rules_keep_what_is_open(tmp_path):
    """A reload changes the rules and forgets no alert."""
    detector = made(tmp_path)
    detector.feed(copy_fact(1))
    matches = detector.engine.matches["test-copy"]
    detector.replace(detector.engine.ruleset)
    assert detector.engine.matches["test-copy"] == matches == 1
    assert detector.feed(copy_fact(2, 1)) == []
    assert detector.alerts.firing() == {"high": 1}


def test_latency_is_added_from_outside(tmp_path):
    """The detector has no clock; who has one adds the time."""
    (alert,) = made(tmp_path).feed(copy_fact(1))
    assert alert.replguard.latency_ms is None
    assert Detector.with_latency(alert, at(2)).replguard.latency_ms == 2000.0


def lived(ruleset, events, pieces=1):
    """Return the alerts, as lines, of recorded events that are fed in pieces, with a reload between two."""
    config = convert({"alerts": {"min_level": "informational"}}, Config)
    detector, lines = Detector(ruleset, Manager(config)), []
    for number in range(pieces):
        for line in events[number * len(events) // pieces : (number + 1) * len(events) // pieces]:
            lines += [wire.encode(alert) for alert in detector.feed(wire.event(line))]
        detector.replace(ruleset)
    return lines


def test_the_same_log_gives_the_same_alerts():
    """Twice over, and in pieces with a reload after each: byte by byte, with the same ids and incidents."""
    events = [wire.encode(event) for event in told_by_a_host(2500)]
    ruleset = load([])
    whole = lived(ruleset, events)
    assert len({wire.alert(line).rule.name for line in whole}) > 3
    assert lived(load([]), events) == whole
    assert lived(ruleset, events, pieces=4) == whole

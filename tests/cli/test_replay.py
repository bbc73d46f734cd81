import pytest
import zstandard
from click.testing import CliRunner
from msgspec import convert
from msgspec.json import decode
from support.making import AGENT, NOBODY, SERVICE, at, copy_fact, event, server_fact, tick

from replguard import cli
from replguard.alerts.manager import Manager
from replguard.config import Config, Stream, dec_hook
from replguard.detector import Detector
from replguard.events import wire
from replguard.events.health import Health
from replguard.events.host import Host
from replguard.log.keys import Keys
from replguard.log.recent import recent
from replguard.log.segments import Writer
from replguard.rules.load import load

CONFIG = """
alerts: {fold: 30s, min_level: informational}
"""
HOST = Host(name="gpu1", id="m", boot_id="b")


def story(start):
    """Return what one run of the daemon is fed: an agent that copies and serves, a service, somebody unseen."""
    number = iter(range(start, start + 10_000))
    yield event("sensor_health", next(number), 0, health=Health(component="daemon", state="started"))
    for second in range(200):
        yield tick(next(number), second)
        if second % 7 == 0:
            yield copy_fact(next(number), second, actor=(AGENT, SERVICE, NOBODY)[second % 3], target=f"/t{second}")
        if second in (50, 90):
            yield server_fact(next(number), second, status="live" if second == 50 else "ended")
    yield tick(next(number), 200 + 7200)


@pytest.fixture
def live(tmp_path):
    """Return what was raised live by two runs of the daemon, whose log and configuration lie in tmp_path."""
    (tmp_path / "c.yaml").write_text(CONFIG)
    config = convert({"alerts": {"fold": "30s", "min_level": "informational"}}, Config, dec_hook=dec_hook)
    ruleset = load()
    raised = []
    for run in range(2):
        detector = Detector(ruleset, Manager(config, HOST))
        detector.resume(recent(tmp_path / "log", at(0) - detector.engine.span))
        writer = Writer(
            tmp_path / "log",
            "raw",
            Stream(max_size=16 * 65536),
            keys=Keys(tmp_path / "log.key"),
            boot_id="b",
            buffered=True,
            report=lambda _: None,
            host=HOST,
        )
        for each in story(run * 100_000):
            writer.write(each, each.timestamp)
            raised += [Detector.with_latency(alert, at(9999)) for alert in detector.feed(each)]
        writer.close(now=at(9000))
    return raised


def replay(*args):
    return CliRunner().invoke(cli.group, ["replay", *map(str, args)])


def without_latency(alerts):
    found = [wire.encode(alert) for alert in alerts]
    return [
        part.partition(b'"latency_ms"')[0] + part.partition(b'"latency_ms"')[2].partition(b",")[2] for part in found
    ]


def test_replay_gives_what_was_raised_live(live, tmp_path):
    """From the log alone come the same alerts in the same order, with the same ids, incidents, counts and texts."""
    result = replay(tmp_path / "log", "-c", tmp_path / "c.yaml", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    again = [wire.alert(line) for line in result.stdout.splitlines()]
    assert len(again) > 20
    assert {alert.replguard.state for alert in again} == {"firing", "resolved"}
    assert without_latency(again) == without_latency(live)
    assert all(alert.replguard.latency_ms is None for alert in again)


def test_files_and_another_rule(live, tmp_path):
    """Single files may be named, and a rule that was not there live is tried on them."""
    (tmp_path / "mine.yml").write_text(
        """
title: Everything that was copied
id: 33333333-3333-4333-8333-333333333333
name: mine
status: test
logsource: {product: linux, service: replguard, category: weights_copy}
detection: {any: {replguard.status: done}, condition: any}
level: critical
"""
    )
    files = sorted((tmp_path / "log").iterdir())
    result = replay(*files, "--rule", tmp_path / "mine.yml")
    assert result.exit_code == 0
    assert "mine" in {wire.alert(line).rule.name for line in result.stdout.splitlines()}


MINE = """
title: Everything that was copied
name: mine
status: test
logsource: {product: linux, service: replguard, category: weights_copy}
detection: {any: {replguard.status: done}, condition: any}
level: informational
"""
SEQUENCE = """
---
title: A copy, then a server
name: then
correlation: {type: temporal_ordered, rules: [mine, server], timespan: 1s}
replguard: {join: [artefact]}
---
title: A server
name: server
logsource: {product: linux, service: replguard, category: server_live}
detection: {live: {replguard.status: STATUS}, condition: live}
"""


def tried(tmp_path, text, *words):
    (tmp_path / "mine.yml").write_text(text)
    result = replay(tmp_path / "log", "-c", tmp_path / "c.yaml", "--rule", tmp_path / "mine.yml", *words)
    return result, [decode(line)["rule"]["name"] for line in result.stdout.splitlines()]


def test_a_rule_is_tried_alone(live, tmp_path):
    """Whatever its level: only its alerts, and how often it matched; with --all those of every other rule too."""
    (tmp_path / "c.yaml").write_text("alerts: {min_level: high}\nmode: observe\n")
    result, names = tried(tmp_path, MINE)
    assert (result.exit_code, set(names)) == (0, {"mine"})
    assert {decode(line)["rule"]["level"] for line in result.stdout.splitlines()} == {"informational"}
    firing = sum(decode(line)["replguard"]["state"] == "firing" for line in result.stdout.splitlines())
    assert result.stderr == f"replguard: mine matched 58 times, {firing} alerts\n"
    (tmp_path / "c.yaml").write_text(CONFIG)
    _, names = tried(tmp_path, MINE, "--all")
    assert {"mine", "weights-copy-agent"} <= set(names)


def test_a_correlation_that_does_not_come_about_says_what_its_rules_matched(live, tmp_path):
    """One whose rules matched differs from one whose rules never did."""
    result, names = tried(tmp_path, MINE + SEQUENCE.replace("STATUS", "live"))
    assert names == []
    assert "then did not come about; of its rules\nreplguard:   mine matched 58 times\n" in result.stderr
    assert "server matched 2 times\nreplguard:   each that it needs matched, but not as it asks" in result.stderr
    result, _ = tried(tmp_path, MINE + SEQUENCE.replace("STATUS", "nowhere"))
    assert "  server matched nothing\n" in result.stderr
    assert "server matched none of 4 events of its kind (server_live)" in result.stderr
    assert "as it asks" not in result.stderr


def test_a_rule_that_cannot_fire_is_no_trial(live, tmp_path):
    """Silence would be taken for an answer."""
    result, _ = tried(tmp_path, MINE.replace("status: test", "status: deprecated"))
    assert result.exit_code == 2
    assert "mine.yml:2: 'mine' cannot fire: its status is deprecated" in result.stderr
    assert "no rule that can fire" in result.stderr


def test_what_a_start_goes_on_from_is_bounded_and_that_is_told(live, tmp_path, monkeypatch):
    """A replay that could differ from what was live says so."""
    monkeypatch.setattr("replguard.rules.past.LIMIT", 5)
    result = replay(tmp_path / "log", "-c", tmp_path / "c.yaml")
    assert result.exit_code == 0
    assert "at the start of 2026-" in result.stderr
    assert "older ones of their window are left out" in result.stderr


def test_twice_and_in_pieces_gives_the_same(live, tmp_path, monkeypatch):
    """The whole log, its segments, parts of them cut anywhere, all in one file, packed: the same, to the byte."""
    rules = load()
    monkeypatch.setattr("replguard.cli.replay._rules", lambda *_: rules)
    whole = replay(tmp_path / "log", "-c", tmp_path / "c.yaml")
    assert len(whole.stdout.splitlines()) > 20
    assert replay(tmp_path / "log", "-c", tmp_path / "c.yaml").stdout == whole.stdout
    segments = sorted((tmp_path / "log").iterdir())
    lines = [line for path in segments for line in content(path).splitlines(keepends=True)]
    pieces = []
    for number, start in enumerate(range(0, len(lines), 37)):
        pieces.append(tmp_path / f"piece-{number:04}.jsonl")
        pieces[-1].write_bytes(b"".join(lines[start : start + 37]))
    (tmp_path / "one.jsonl").write_bytes(b"".join(lines))
    (tmp_path / "one.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines)))
    for given in (segments, pieces, [tmp_path / "one.jsonl"], [tmp_path / "one.jsonl.zst"]):
        again = replay(*given, "-c", tmp_path / "c.yaml")
        assert (again.exit_code, again.stderr) == (0, "")
        assert again.stdout == whole.stdout


def content(path):
    data = path.read_bytes()
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if path.suffix == ".zst" else data


def test_damage_is_told_and_the_rest_is_used(live, tmp_path):
    """A broken line is named with its place, the exit code is 1, and the alerts still come."""
    (path,) = [p for p in (tmp_path / "log").iterdir() if p.suffix == ".jsonl"][-1:]
    with path.open("ab") as file:
        file.write(b'{"\x1b[2J torn')
    result = replay(path)
    assert result.exit_code == 1
    assert "has no end" in result.stderr
    assert "\x1b" not in result.stderr
    assert result.stdout


def test_wrong_usage(tmp_path):
    """A file that is not there, or rules that are broken, are exit 2 with a sentence."""
    assert replay(tmp_path / "none").exit_code == 2
    (tmp_path / "events.jsonl").touch()
    (tmp_path / "bad.yml").write_text("title: [")
    result = replay(tmp_path / "events.jsonl", "--rule", tmp_path / "bad.yml")
    assert result.exit_code == 2
    assert f"{tmp_path / 'bad.yml'}:" in result.stderr


def test_another_manifest_can_be_asked(live, tmp_path):
    """What an alert's hint would have done is seen before it is pasted; a broken one is told with its line."""
    hint = next(one.replguard.allow for one in live if one.rule.name == "weights-copy-service")
    (tmp_path / "m.yaml").write_text(hint)
    told = [
        [
            decode(line)["rule"]["name"]
            for line in replay("-c", tmp_path / "c.yaml", *given, tmp_path / "log").output.splitlines()
        ]
        for given in ((), ("--manifest", tmp_path / "m.yaml"))
    ]
    assert "weights-copy-service" in told[0]
    assert "weights-copy-service" not in told[1]
    assert "weights-copy-agent" in told[1]
    (tmp_path / "m.yaml").write_text("jobs:\n  - {name: x}\n")
    broken = replay("-c", tmp_path / "c.yaml", "--manifest", tmp_path / "m.yaml", tmp_path / "log")
    assert broken.exit_code == 2
    assert "m.yaml:2" in broken.output

from msgspec.structs import replace
from support.making import AGENT, at, copy_fact, detection, process, server_fact

from replguard.alerts import build
from replguard.alerts.story import tell
from replguard.events import wire
from replguard.events.host import Host


def made(*events, level="high", host=None, **given):
    found = detection(*events, level=level, **given)
    return build.alert(found, tell(found), "incident", level, host)


def test_it_copies_the_most_telling_evidence():
    """The process is the last fact's, the file is the copy, the origin where it came from."""
    alert = made(
        copy_fact(1), server_fact(2, 5), host=Host(name="gpu1"), runbook="https://example.org", stages=("a", "b")
    )
    about = alert.replguard
    assert alert.process.pid == 5000
    assert alert.file.path == "/tmp/.cache/y"
    assert about.origin.path == "/models/x.safetensors"
    assert (alert.event.action, about.fact, about.generation) == ("server_live", "server_live", 2)
    assert (about.first_seen, about.last_seen, alert.timestamp) == (at(0), at(5), at(5))
    assert about.evidence == ("b-1", "b-2")
    assert about.actor == AGENT
    assert (about.technique, about.confidence, about.tier) == ("hardlink", "link", "portable")
    assert (about.runbook, about.stages, alert.host.name) == ("https://example.org", ("a", "b"), "gpu1")
    assert about.allow
    assert about.contain
    assert alert.event.severity == 73


def test_a_changed_level_keeps_the_real_one():
    """The level that is shown may be lower than the rule's."""
    found = detection(copy_fact(1), level="critical")
    alert = build.alert(found, tell(found), "i", "low", None)
    assert (alert.rule.level, alert.event.severity, alert.replguard.real_level) == ("low", 21, "critical")


def test_ids_derive_from_rule_key_and_first_evidence():
    """The same detection has the same id; another rule, key or beginning has another."""
    base = detection(copy_fact(1), copy_fact(2))
    same = detection(copy_fact(1), copy_fact(3))
    others = [detection(copy_fact(1), rule="r2"), detection(copy_fact(1), key="k2"), detection(copy_fact(2))]
    assert build.alert_id(base) == build.alert_id(same)
    assert len({build.alert_id(base), *map(build.alert_id, others)}) == 4


def test_evidence_is_bounded():
    """The first and the last evidence stay, each once."""
    ids = build.evidence(f"b-{n // 2}" for n in range(2000))
    assert len(ids) == build.MOST_EVIDENCE
    assert (ids[0], ids[-1]) == ("b-0", "b-999")


def test_latency_is_for_first_news():
    """The time from act to alert is measured once; repeats and endings have none."""
    alert = made(copy_fact(1))
    assert build.with_latency(alert, at(0.25)).replguard.latency_ms == 250.0
    assert build.with_latency(alert, at(-5)).replguard.latency_ms == 0.0
    assert build.with_latency(replace(alert, timestamp=at(600)), at(601)).replguard.latency_ms is None
    resolved = replace(alert, replguard=replace(alert.replguard, state="resolved"))
    assert build.with_latency(resolved, at(1)).replguard.latency_ms is None


def test_long_command_lines_are_cut():
    """128 KiB of arguments do not go to every pager; a usual command line stays whole."""
    long = replace(copy_fact(1), process=process(command_line="a" * 200_000 + "z"))
    assert made(long).process.args_truncated
    assert len(made(long).process.command_line) == build.MOST_COMMAND
    assert made(long).process.command_line.endswith("z")
    assert made(copy_fact(1)).process == copy_fact(1).process


def test_it_survives_the_wire():
    """The object is the same after it was a line of JSON."""
    alert = made(copy_fact(1, target="/tmp/\n\x1b"), server_fact(2))
    assert wire.alert(wire.encode(alert)) == alert


def test_a_drill_is_named_only_where_it_did_everything():
    """Who acts beside one cannot hide in it: a sequence with one act of another is no drill's."""
    mine, other = copy_fact(1, drill="self-replication"), copy_fact(2)
    assert build.drill(detection(mine)) == "self-replication"
    assert build.drill(detection(mine, other)) is None
    assert build.drill(detection(other)) is None
    found = detection(mine)
    made = build.alert(found, tell(found), "i", "high", None)
    assert (made.replguard.drill, made.message[:24]) == ("self-replication", "Drill self-replication: ")

import pytest
from support.rulebook import correlation, event, good, rule, run

from replguard.rules.cases import Case
from replguard.rules.fixtures import only
from replguard.rules.why import why

TOOL = """
title: t
name: t
logsource: {product: linux, category: process_creation}
detection:
  tool: {Image|endswith: /scp}
  words: {CommandLine|contains|all: [model, host]}
  condition: tool and not words
"""


@pytest.fixture
def told(tmp_path):
    """Return what is said of a rule in a case of these events."""

    def tell(name, text, *events):
        found = good(tmp_path, text)
        one = found.find(name)
        return why(one, only(one, found), Case("fires", "x", "x.yml", 1, None, events))

    return tell


def test_each_selection_is_told_for_each_event(told):
    """And what the event has where one does not hold."""
    line = {"process__executable": "/usr/bin/scp", "process__invoked": "/bin/scp"}
    assert told("t", TOOL, run(0, "scp model", **line), run(3, "x" * 80), event(4, "file_create")) == [
        "event 1, process_exec at 0s: tool holds, words does not hold",
        "  words: CommandLine is 'scp model'",
        "event 2, process_exec at 3s: tool does not hold, words does not hold",
        "  tool: Image is absent",
        f"  words: CommandLine is '{'x' * 59}…",
        "event 3, file_create at 4s: the rule is about process_exec",
    ]


def test_a_field_of_two_names_shows_both(told):
    """Image is the resolved path or the one asked for."""
    line = {"process__executable": "/usr/bin/dash", "process__invoked": "/bin/sh"}
    assert "  tool: Image is '/usr/bin/dash' or '/bin/sh'" in told("t", TOOL, run(0, "model host", **line))


def test_many_events_are_cut(told):
    """A flood is no help."""
    lines = told("t", TOOL, *(event(n, "file_create") for n in range(9)))
    assert lines[-1] == "and 3 more events"
    assert told("t", TOOL) == ["the case has no events"]


def test_a_correlation_tells_what_its_rules_matched(told):
    """By the number of the event, those of nested ones below."""
    text = rule("a", "aa") + rule("b", "bb") + rule("c", "cc")
    text += correlation("in", "type: temporal, rules: [a, b], timespan: 1h", "join: [lineage]")
    text += correlation("out", "type: temporal_ordered, rules: [in, c], timespan: 1h", "join: [lineage]")
    events = [run(0, "aa", "x"), run(1, "no", "x"), run(2, "bb", "x"), *(run(n, "aa", "y") for n in range(3, 12))]
    lines = told("out", text, *events)
    assert lines[:4] == [
        "in: event 3", "c: matched nothing", "  event 1, process_exec at 0s: selection does not hold",
        "    selection: CommandLine is 'aa'",
    ]  # fmt: skip
    assert lines[-3:] == ["  and 6 more events", "a: event 1, 4, 5, 6, 7, 8 …", "b: event 3"]

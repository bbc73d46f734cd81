from dataclasses import replace
from pathlib import Path

import pytest
from support.rulebook import correlation, good, rule

from replguard.rules.cases import read_cases
from replguard.rules.fixtures import fixture_path, only, run

TWO = rule("a", "aa", "low") + rule("b", "bb", "medium")
SEQ = correlation("seq", "type: temporal_ordered, rules: [a, b], timespan: 1h", "join: [unit]", "critical")
ACT = "{{action: process_exec, at: {at}, process.command_line: {text}, replguard.unit: u}}"


def outcomes(tmp_path, name, kind, *acts, level="", text=TWO + SEQ):
    """Return expected and got of one case."""
    found = good(tmp_path, text)
    events = ", ".join(ACT.format(at=at, text=word) for at, word in acts)
    file = tmp_path / "case.yml"
    file.write_text(f"{kind}:\n  - {{name: it, {level} events: [{events}]}}\n")
    (outcome,) = run(found.find(name), found, read_cases(file))
    return outcome.passed, outcome.expected, outcome.got


@pytest.mark.parametrize(
    ("kind", "acts", "level", "expected"),
    [
        ("fires", [(0, "aa"), (1, "bb")], "", (True, "a critical detection", "a critical detection")),
        ("fires", [(0, "aa"), (1, "bb")], "level: low,", (False, "a low detection", "a critical detection")),
        ("fires", [(0, "aa")], "", (False, "a critical detection", "no detection")),
        ("silent", [(0, "aa")], "", (True, "no detection", "no detection")),
        ("near_miss", [(0, "aa"), (1, "bb")], "", (False, "no detection", "a critical detection")),
    ],
)
def test_a_case_says_what_was_expected_and_what_came(tmp_path, kind, acts, level, expected):
    """Both readable beside one another; the level only where the case names it."""
    assert outcomes(tmp_path, "seq", kind, *acts, level=level) == expected


def test_a_rule_that_a_correlation_silences_is_tested_for_itself(tmp_path):
    """Its own alert is what its fixtures are about."""
    assert outcomes(tmp_path, "a", "fires", (0, "aa")) == (True, "a low detection", "a low detection")


def test_only_what_the_rule_refers_to_is_there(tmp_path):
    """Another rule's match neither helps nor hurts; a sum over every rule needs them all."""
    text = TWO + SEQ + rule("c", "cc") + correlation("outer", "type: temporal, rules: [seq, a], timespan: 1h")
    found = good(tmp_path, text)
    alone = only(found.find("outer"), found)
    assert {one.name for one in alone.every()} == {"outer", "seq", "a", "b"}
    assert [one.name for one in alone.every() if one.alerts] == ["outer"]
    body = "type: value_sum, rules: [a], timespan: 1h, group-by: [User], condition: {gte: 9, field: replguard.score}"
    found = good(tmp_path, TWO + rule("c", "cc") + correlation("sum", body, "sum: score, every_rule: true"))
    assert {one.name for one in only(found.find("sum"), found).every()} == {"a", "b", "c", "sum"}


def test_a_count_that_the_end_judges_is_judged(tmp_path):
    """A case lasts until every window has ended."""
    few = correlation("few", "type: event_count, rules: [a], timespan: 1h, condition: {lt: 3}", "", "low")
    assert outcomes(tmp_path, "few", "fires", (0, "aa"), text=TWO + few)[0]


def test_where_fixtures_lie(tmp_path):
    """A user's beside the rule, a shipped rule's in the tests."""
    found = good(tmp_path, TWO).rules[0]
    assert fixture_path(found, Path("/repo/rules")) == tmp_path / "rules" / "own.test.yml"
    shipped = replace(found, path="/repo/rules/weights/own.yml", shipped=True)
    assert fixture_path(shipped, Path("/repo/rules")) == Path("/repo/tests/rules/weights/own.yml")

from support.rulebook import correlation, good, rule, ruleset

from replguard.rules.load import load

TWO = rule("a", "aa") + rule("b", "bb")
BODY = "type: temporal_ordered, rules: [a, b], timespan: 1h"


def reasons(found):
    return {entry.rule.name: entry.reason for entry in found.not_evaluable}


def test_rules_are_named_by_id_or_name(tmp_path):
    """Ids are replaced by names everywhere, also in levels, aliases and until."""
    ident = "5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11"
    text = rule("a", "aa", "low", f"id: {ident}") + rule("b", "bb")
    body = f"type: temporal, rules: [{ident}, b], timespan: 1h, group-by: [who]"
    body += f", aliases: {{who: {{{ident}: User, b: user.name}}}}"
    found = good(tmp_path, text + correlation("c", body, f"levels: {{{ident}: low}}, until: {ident}"))
    made = found.correlations[0]
    assert made.rules == ("a", "b")
    assert (made.levels, made.until) == ({"a": "low"}, "a")
    assert made.aliases == {"who": {"a": "User", "b": "user.name"}}


def test_a_rule_that_does_not_exist_is_told(tmp_path):
    """With the nearest that does, and the place of the correlation."""
    found = ruleset(tmp_path, TWO + correlation("c", "type: temporal, rules: [a, bb], timespan: 1h"))
    assert [(p.line, p.text) for p in found.problems] == [
        (22, "'c' names the rule 'bb', which does not exist, did you mean 'b'?")
    ]
    assert found.correlations == []


def test_circles_are_told(tmp_path):
    """A correlation that waits for itself would never fire."""
    text = TWO + correlation("c", "type: temporal, rules: [a, d], timespan: 1h")
    found = ruleset(tmp_path, text + correlation("d", "type: temporal, rules: [b, c], timespan: 1h"))
    assert sorted(problem.text for problem in found.problems) == [
        "'c' names itself in a circle",
        "'d' names itself in a circle",
    ]


def test_what_needs_a_rule_that_cannot_fire_cannot_fire(tmp_path):
    """Disabled or not evaluable, and on through correlations of correlations; an optional stage is not needed."""
    text = (
        TWO
        + rule("c", "cc")
        + correlation("seq", BODY)
        + correlation("outer", "type: temporal, rules: [seq, c], timespan: 1h")
    )
    text += correlation("spared", "type: temporal, rules: [a, b, c], timespan: 1h", "optional: [a]")
    text += correlation("some", "type: temporal, rules: [a, b, c], timespan: 1h, condition: {gte: 2}")
    text += correlation("count", "type: event_count, rules: [a, b], timespan: 1h, condition: {gte: 2}")
    found = good(tmp_path, text, disable=["a"])
    assert reasons(found) == {
        "seq": "it needs the rule 'a', which is disabled",
        "outer": "it needs the rule 'seq', which cannot be evaluated here",
    }
    assert {one.name for one in found.correlations} == {"spared", "some", "count"}


def test_generate(tmp_path):
    """False silences what is named, true lets it speak; one true is enough. `until` silences nobody."""
    text = TWO + rule("stop", "stop")
    quiet = good(tmp_path, text + correlation("c", BODY, "join: [unit], until: stop"))
    assert {one.name: one.alerts for one in quiet.rules} == {"a": False, "b": False, "stop": True}
    both = good(tmp_path, text + correlation("c", BODY) + correlation("d", BODY + ", generate: true"))
    assert all(one.alerts for one in both.rules)


def test_a_correlation_that_cannot_fire_silences_nobody(tmp_path):
    """Else disabling one rule would take away another's alerts."""
    found = good(tmp_path, TWO + correlation("c", BODY), disable=["b"])
    assert [one.alerts for one in found.rules] == [True]


def test_a_users_correlation_does_not_silence_a_shipped_rule(tmp_path):
    """Nobody blinds the shipped rules by accident."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder, text in ((shipped, TWO), (own, correlation("c", BODY) + rule("e", "ee"))):
        folder.mkdir()
        (folder / "some.yml").write_text(text)
    found = load([own], shipped=shipped)
    assert found.problems == []
    assert all(one.alerts for one in found.rules)


def test_what_a_broken_correlation_names_is_told_too(tmp_path):
    """In its rules, as its end, in its aliases, each at its line; who has faults of its own hides nothing."""
    text = rule("aaa", "x") + rule("bbb", "y").replace("level: low", "level: lwo") + """
title: seq
correlation:
  type: temporal_orderd
  rules:
    - aab
    - bbb
  timespan: 1h
  aliases:
    who:
      aac: User
replguard:
  until: aad
"""  # fmt: skip
    found = ruleset(tmp_path, text)
    lines = text.splitlines()
    told = {lines[problem.line - 1].strip(): problem.text for problem in found.problems}
    assert {key: told.pop(key) for key in ("- aab", "aac: User", "until: aad")} == {
        "- aab": "no rule has the name or id 'aab', did you mean 'aaa'?",
        "aac: User": "no rule has the name or id 'aac', did you mean 'aaa'?",
        "until: aad": "no rule has the name or id 'aad', did you mean 'aaa'?",
    }
    assert set(told) == {"level: lwo", "type: temporal_orderd"}


def test_one_name_that_does_not_exist_is_told_once(tmp_path):
    """Though it stands among the rules, the levels and the optional ones."""
    seq = correlation(
        "seq", "type: temporal_ordered, rules: [a, b, c], timespan: 1h", "optional: [c], levels: {c: low}"
    )
    found = ruleset(tmp_path, rule("a", "x") + rule("b", "y") + seq)
    assert [problem.text for problem in found.problems] == ["'seq' names the rule 'c', which does not exist"]


def test_a_sequence_of_a_broken_rule_is_no_fault_and_never_runs(tmp_path):
    """The fault is told where it was made."""
    broken = rule("a", "x").replace("level: low", "level: lwo")
    seq = correlation("seq", "type: temporal_ordered, rules: [a, b], timespan: 1h")
    found = ruleset(tmp_path, broken + rule("b", "y") + seq)
    assert [problem.text for problem in found.problems] == [
        "'lwo' is not a valid Sigma rule level, did you mean 'low'?"
    ]
    assert found.correlations == []
    assert "a" in found.broken

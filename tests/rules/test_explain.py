import pytest
from support.rulebook import correlation, good, rule

from replguard.rules.explain import explain

EXTRA = """description: what it is
falsepositives: [backup]
replguard: {triage: look first, blind_spots: [at night], runbook: book}"""


@pytest.fixture
def told(tmp_path):
    """Return the sections of a rule as one mapping."""

    def tell(name, text, **options):
        found = good(tmp_path, text, **options)
        return {heading: "; ".join(lines) for heading, lines in explain(found.find(name), found)}

    return tell


def test_a_single_event_rule(told):
    """What it needs, which sensor gives it, what it cannot see, what to do."""
    got = told("a", rule("a", "x", "low", EXTRA).replace("CommandLine|contains", "Image"))
    assert got["Events"] == "process_exec: A process began to run an image."
    assert got["Made by"] == "the process sensor"
    assert got["Fields"] == "Image (process.executable, process.invoked)"
    assert got["What it detects"] == "what it is"
    assert got["Blind spots"] == "at night"
    assert got["Check first, and contain"] == "look first"
    assert got["Evaluable here"] == got["Own alerts"] == "yes"


def test_a_correlation(told):
    """Its kind, span, keys, stages and levels in one line each."""
    text = rule("a", "x") + rule("b", "y") + rule("c", "z")
    body = "type: temporal_ordered, rules: [a, b, c], timespan: 90m, group-by: [User]"
    got = told("s", text + correlation("s", body, "join: [unit], optional: [a], levels: {b: low}, until: c"))
    assert got["Correlation"] == "temporal ordered, within 90m, grouped by User, joined by unit"
    assert got["Rules"] == "a (optional); b (low); c"
    assert got["Ended by"] == "c"
    assert told("a", text + correlation("s", body))["Own alerts"].startswith("no: a correlation names it")


def test_a_sum(told):
    """Points, rules and span."""
    body = "type: value_sum, rules: [a], timespan: 45s, group-by: [User], condition: {gte: 40, field: replguard.score}"
    ours = "sum: score, every_rule: true, distinct_rules: 3"
    got = told("s", rule("a", "x") + correlation("s", body, ours))
    assert got["Correlation"] == "value sum, within 45s, score gte 40, grouped by User, from 3 rules or more"
    assert got["Rules"] == "a; and every other rule with a score"


def test_why_a_rule_cannot_fire(told):
    """The reason, or that the configuration disables it."""
    assert told("a", rule("a", "x", "low", "status: deprecated"))["Evaluable here"] == "no: its status is deprecated"
    assert told("a", rule("a", "x"), disable=["a"])["Evaluable here"] == "no: rules.disable names it"

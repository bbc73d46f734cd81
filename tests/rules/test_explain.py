import pytest
from support.rulebook import correlation, good, rule

from replguard.rules.explain import Here, explain, gather, span

EXTRA = """description: what it is
falsepositives: [backup]
replguard: {triage: look first, blind_spots: [at night], runbook: book}"""

HERE = (Here("exec", "process", "kernel", "what is\n  cut."), Here("names", "file", "portable"))


@pytest.fixture
def told(tmp_path):
    """Return the sections of a rule as one mapping."""

    def tell(name, text, **options):
        found = good(tmp_path, text, **options)
        return {heading: "; ".join(lines) for heading, lines in explain(gather(found.find(name), found, HERE))}

    return tell


def test_a_single_event_rule(told):
    """What it needs, which sensor gives it, what it cannot see, what to do."""
    got = told("a", rule("a", "x", "low", EXTRA).replace("CommandLine|contains", "Image"))
    assert got["Events"] == "process_exec: A process began to run an image."
    assert got["Made by"] == "the process sensor, in both tiers; here exec (kernel)"
    assert got["What the sensors here cannot see"] == "exec: what is cut."
    assert got["Level"] == "low, score 5"
    assert got["Found by"] == "'x': an event without is passed over"
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
    assert got["Stages"] == "1. a (optional): a; 2. b (raises low): b; 3. c: c"
    assert got["Events"] == "process_exec: A process began to run an image."
    assert "Fields" not in got
    assert got["Ended by"] == "c"
    assert told("a", text + correlation("s", body))["Own alerts"].startswith("no: a correlation names it")


def test_a_sum(told):
    """Points, rules and span."""
    body = "type: value_sum, rules: [a], timespan: 45s, group-by: [User], condition: {gte: 40, field: replguard.score}"
    ours = "sum: score, every_rule: true, distinct_rules: 3"
    got = told("s", rule("a", "x") + correlation("s", body, ours))
    assert got["Correlation"] == "value sum, within 45s, score gte 40, grouped by User, from 3 rules or more"
    assert got["Rules"] == "a: a; every other rule with a score"


def test_why_a_rule_cannot_fire(told):
    """The reason, or that the configuration disables it."""
    assert told("a", rule("a", "x", "low", "status: deprecated"))["Evaluable here"] == "no: its status is deprecated"
    assert told("a", rule("a", "x"), disable=["a"])["Evaluable here"] == "no: rules.disable names it"


def test_a_rule_without_a_text_to_look_for_is_named(told):
    """It is tried on every event of its kinds: the author may add one."""
    text = rule("a", "x").replace("{CommandLine|contains: x}", "{CommandLine|re: '^..$'}")
    assert told("a", text)["Found by"] == (
        "nothing: it has no text that must be there, and is tried on every process_exec"
    )
    text = rule("a", "x").replace("CommandLine|contains: x", "CommandLine: ['*a*', '*b*', '*c*', '*d*', '*e*', '*f*', "
                                  "'*g*', '*h*', '*i*', '*j*']")  # fmt: skip
    assert told("a", text)["Found by"].startswith("'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' or one of 2 more: ")


def test_what_it_counts_for(told):
    """Correlations that name it by name or id, or as the end of a sequence; a sum with its points."""
    ours = "title: one\nid: 5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11\nname: a"
    text = rule("a", "x").replace("title: a\nname: a", ours) + rule("b", "y") + rule("c", "z")
    text += correlation("s", "type: temporal, rules: [5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11, b], timespan: 1h")
    text += correlation("t", "type: temporal, rules: [b, c], timespan: 1h", "until: a")
    body = "type: value_sum, rules: [b], timespan: 45s, group-by: [User], condition: {gte: 40, field: replguard.score}"
    text += correlation("sum", body, "sum: score, every_rule: true")
    assert told("a", text)["Counts for"] == "s; t; sum (with 5 points)"


def test_a_correlation_of_correlations_needs_the_events_of_all(tmp_path):
    """Also of a fact, for which every area of sensors may be needed."""
    text = rule("a", "x") + rule("b", "y")
    text += rule("f", "z").replace("category: process_creation", "service: replguard, category: weights_copy")
    text += correlation("inner", "type: temporal, rules: [a, f], timespan: 1h")
    text += correlation("outer", "type: temporal, rules: [inner, b], timespan: 1h")
    found = good(tmp_path, text)
    told = gather(found.find("outer"), found, HERE, ["an agent copies"])
    assert [(need.event, need.tiers) for need in told.needs] == [
        ("process_exec", ("kernel", "portable")), ("weights_copy", ("kernel", "portable")),
    ]  # fmt: skip
    assert told.needs[0].here == ("exec (kernel)",)
    assert told.correlation.stages[0].events == ("process_exec", "weights_copy")
    assert told.fires_on == ("an agent copies",)
    assert (told.indexed, told.signs) == (None, ())
    assert dict(explain(told))["Fires on"] == ("an agent copies",)


def test_what_only_the_kernel_tells_is_said(told):
    """Who has the portable tier only reads that the rule is blind there."""
    got = told("a", rule("a", "x").replace("process_creation", "process_signal"))
    assert got["Made by"] == "the process sensor, in the kernel tier only; here exec (kernel)"


def test_spans_are_written_as_people_do():
    """In the largest unit that leaves a whole number."""
    assert [span(seconds) for seconds in (45, 5400, 7200, 172800)] == ["45s", "90m", "2h", "2d"]

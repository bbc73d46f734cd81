import json

import pytest
from click.testing import CliRunner
from support.rulebook import correlation, rule

from replguard.cli import group
from replguard.rules import load as loading
from replguard.rules.schema import schema

FIXTURE = """
fires: [{name: it fires, events: [{action: process_exec, process.command_line: needle}]}]
silent: [{name: ordinary, events: [{action: process_exec, process.command_line: hay}]}]
near_miss: [{name: nearly, events: [{action: process_exec, process.command_line: needl}]}]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return a folder of one's own rules, the only ones that there are, and a configuration that names it."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "found.yml").write_text(rule("found", "needle", "high", "description: '[red]\\e[31mneedle'\n"))
    (folder / "found.test.yml").write_text(FIXTURE)
    (tmp_path / "c.yaml").write_text(f"rules: {{paths: ['{folder}']}}\nmanifest: {tmp_path}/none.yaml\n")
    monkeypatch.setattr("replguard.rules.load.shipped_dir", lambda: tmp_path / "shipped")
    return folder


def invoke(*words):
    return CliRunner().invoke(group, ["rules", *map(str, words)])


def test_the_list_names_every_rule_and_why_one_cannot_fire(own, tmp_path):
    """Also one that waits for a sensor of another tier."""
    (own / "signal.yml").write_text(rule("signal", "x").replace("process_creation", "process_signal"))
    with (tmp_path / "c.yaml").open("a") as config:
        config.write("\nsensors: {process: portable}\n")
    result = invoke("list", "-c", tmp_path / "c.yaml")
    assert result.exit_code == 0
    assert "found" in result.output
    assert "no: no sensor of this host makes process_signal" in result.output


def test_the_list_of_broken_rules_exits_2(own, tmp_path):
    """The good ones are listed, the faults told."""
    (own / "broken.yml").write_text("title: [\n")
    result = invoke("list", "-c", tmp_path / "c.yaml")
    assert result.exit_code == 2
    assert "found" in result.output
    assert "broken.yml:2: not YAML" in result.output


def test_fixtures_that_hold_exit_0(own):
    """A summary is all that is said."""
    result = invoke("test", own)
    assert result.exit_code == 0
    assert result.output == "1 rule, 3 cases passed, 0 failed\n"


def test_fixtures_that_fail_exit_1_and_show_the_difference(own):
    """Where, what was expected, what came."""
    (own / "found.test.yml").write_text(FIXTURE.replace("needl}", "needle}"))
    result = invoke("test", own / "found.yml")
    assert result.exit_code == 1
    assert "found.test.yml:4: near_miss: nearly\n- no detection\n+ a high detection\n" in result.output
    assert "    event 1, process_exec at 0s: selection holds\n" in result.output
    assert result.output.endswith("1 rule, 2 cases passed, 1 failed\n")
    (own / "found.test.yml").write_text(FIXTURE.replace("command_line: needle", "command_line: '\\e[31mneed'", 1))
    result = invoke("test", own / "found.test.yml")
    assert result.exit_code == 1
    assert (
        "- a high detection\n+ no detection\n    event 1, process_exec at 0s: selection does not hold" in result.output
    )
    assert "selection: CommandLine is" in result.output
    assert "\x1b" not in result.output


def test_a_correlation_that_fails_says_which_of_its_rules_matched(own):
    """That is where its author looks first."""
    seq = correlation("seq", "type: temporal_ordered, rules: [found, other], timespan: 1h", "join: [lineage]")
    (own / "seq.yml").write_text(rule("other", "hay") + seq)
    (own / "seq.test.yml").write_text(
        FIXTURE.partition("silent")[0].replace("it fires,", "both, rule: seq,")
        + "silent: [{name: other alone, rule: other, events: [{action: process_exec}]}]\n"
    )
    result = invoke("test", own)
    assert result.exit_code == 1
    assert "seq.test.yml:2: fires: both (of seq)\n- a high detection\n+ no detection\n" in result.output
    assert "    found: event 1\n    other: matched nothing\n      event 1, process_exec at 0s: sel" in result.output
    assert result.output.endswith("3 rules, 4 cases passed, 1 failed\n")


def test_a_case_about_a_rule_that_is_not_there_is_a_fault(own):
    """It would be passed over for ever."""
    (own / "found.test.yml").write_text(FIXTURE.replace("{name: nearly,", "{name: nearly, rule: fuond,"))
    result = invoke("test", own)
    assert result.exit_code == 2
    assert "found.test.yml:4: no rule has the name 'fuond'" in result.output


def test_a_rule_that_cannot_fire_fails(own):
    """Whatever its fixtures say, it never would."""
    (own / "found.yml").write_text(rule("found", "needle", "high", "status: deprecated\n"))
    result = invoke("test", own)
    assert result.exit_code == 1
    assert "found.yml:2: 'found' cannot fire: its status is deprecated" in result.output
    assert result.output.endswith("1 rule, no cases passed, 0 failed, 1 rule that cannot fire\n")


def test_broken_fixtures_exit_2(own):
    """With file and line."""
    (own / "found.test.yml").write_text("fires:\n  - {events: [{action: dance}]}\n")
    result = invoke("test", own)
    assert result.exit_code == 2
    assert "found.test.yml:2: no event has the action 'dance'" in result.output


def test_ones_own_rule_without_fixtures_is_told_and_a_shipped_one_fails(own, tmp_path):
    """A shipped rule has all three kinds."""
    (own / "found.test.yml").unlink()
    result = invoke("test", own)
    assert result.exit_code == 0
    assert "lacks: found: no fires and no silent and no near_miss" in result.output
    (tmp_path / "shipped").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "shipped" / "given.yml").write_text(rule("given", "x"))
    result = invoke("test")
    assert result.exit_code == 1
    assert "lacks: given:" in result.output


def test_a_path_without_rules_is_wrong_usage(own, tmp_path):
    """Nothing tested is no success."""
    (tmp_path / "empty").mkdir()
    result = invoke("test", tmp_path / "empty")
    assert result.exit_code == 2
    assert "no rule lies under" in result.output


def test_an_installed_package_says_that_it_has_no_fixtures(tmp_path, monkeypatch):
    """Rather than that every shipped rule lacks them."""
    monkeypatch.setattr(loading, "shipped_dir", lambda: tmp_path / "shipped")
    result = invoke("test")
    assert result.exit_code == 2
    assert "come with a checkout" in result.output


def test_explain_by_name_and_its_hint(own, tmp_path):
    """What a rule's author wrote cannot drive the terminal; a wrong name gets the nearest."""
    result = invoke("explain", "found", "-c", tmp_path / "c.yaml")
    assert result.exit_code == 0
    assert "[red]\\e[31mneedle" in result.output
    assert "process_exec" in result.output
    result = invoke("explain", "fuond", "-c", tmp_path / "c.yaml")
    assert result.exit_code == 2
    assert "did you mean 'found'?" in result.output
    assert "`replguard rules list`" in invoke("explain", "xyz", "-c", tmp_path / "c.yaml").output


def test_explain_by_file(own, tmp_path):
    """Every rule of it, also of one that no configuration names; a broken one says what is wrong."""
    lone = tmp_path / "lone.yml"
    lone.write_text(rule("one", "x") + rule("two", "y"))
    result = invoke("explain", lone, "-c", tmp_path / "c.yaml")
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if line in {"one  one", "two  two"}] == ["one  one", "two  two"]
    (own / "broken.yml").write_text(rule("broken", "x").replace("level: low", "level: lwo"))
    for name in ("broken", own / "broken.yml"):
        result = invoke("explain", name, "-c", tmp_path / "c.yaml")
        assert result.exit_code == 2
        assert "broken.yml:8: 'lwo'" in result.output
        assert "there is no rule" not in result.output


def test_explain_as_json(own, tmp_path):
    """For programs: the same, with numbers as numbers."""
    result = invoke("explain", "found", "--json", "-c", tmp_path / "c.yaml")
    told = json.loads(result.output)
    assert (result.exit_code, told["name"], told["evaluable"], told["fires_on"]) == (0, "found", True, ["it fires"])
    assert told["needs"][0]["event"] == "process_exec"
    assert told["fields"] == {"CommandLine": ["process.command_line"]}
    (own / "found.test.yml").write_text("fires: [1]\n")
    assert json.loads(invoke("explain", "found", "--json", "-c", tmp_path / "c.yaml").output)["fires_on"] == []


def test_the_schema_is_printed():
    """As it is shipped."""
    result = invoke("schema")
    assert result.exit_code == 0
    assert json.loads(result.output) == schema()


def test_a_correlation_is_listed_with_its_kind(own, tmp_path):
    """And the rules that it silences say so."""
    (own / "seq.yml").write_text(
        correlation("seq", "type: event_count, rules: [found], timespan: 1h, condition: {gte: 3}")
    )
    result = invoke("list", "-c", tmp_path / "c.yaml")
    assert "event count" in result.output
    assert "as a stage" in result.output

import os
from pathlib import Path

import pytest
from support.rulebook import correlation, engine, good, rule, ruleset, run

from replguard import yamlfile
from replguard.errors import ConfigError
from replguard.rules.load import load, read, shipped_dir


def test_the_shipped_rules_have_no_fault():
    """And there are some."""
    found = load()
    assert found.problems == []
    assert found.rules
    assert all(rule.shipped for rule in found.every())
    assert shipped_dir().is_dir()


def test_every_file_is_read_and_every_fault_told(tmp_path):
    """Broken files cost no good rule; fixtures and hidden files are no rules; nothing raises."""
    folder = tmp_path / "rules"
    (folder / "deep").mkdir(parents=True)
    (folder / "good.yml").write_text(rule("good", "x"))
    (folder / "deep" / "also.yaml").write_text(rule("also", "x"))
    (folder / "good.test.yml").write_text("fires: []")
    (folder / ".hidden.yml").write_text("nonsense")
    (folder / "readme.txt").write_text("nonsense")
    (folder / "broken.yml").write_text("title: [")
    (folder / "empty.yml").write_text("")
    (folder / "regex.yml").write_text(rule("regex", "x").replace("contains: x", "re: '('"))
    (folder / "large.yml").write_bytes(b"#" * (yamlfile.MAX_BYTES + 1))
    (folder / "bytes.yml").write_bytes(b"title: \xff\xfe")
    os.mkfifo(folder / "fifo.yml")
    (folder / "dangling.yml").symlink_to("nowhere")
    found = load([folder, tmp_path / "absent"], shipped=tmp_path / "none")
    assert {rule.name for rule in found.rules} == {"good", "also"}
    told = {Path(problem.path).name: problem.text for problem in found.problems}
    assert set(told) == {
        "broken.yml", "empty.yml", "regex.yml", "large.yml", "bytes.yml", "fifo.yml", "dangling.yml", "absent"
    }  # fmt: skip
    assert told["fifo.yml"] == "is not a plain file"
    assert told["empty.yml"] == "holds no rule"
    assert told["absent"] == "does not exist; the file of a rule is wanted, or a folder of them"
    assert "larger than" in told["large.yml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_is_told(tmp_path):
    """With the reason of the operating system."""
    file = tmp_path / "r.yml"
    file.write_text(rule("a", "x"))
    file.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read(file)


def test_names_and_ids_are_unique(tmp_path):
    """The second is told with the place of the first; one file given twice is one."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "one.yml").write_text(rule("same", "x"))
    (folder / "two.yml").write_text(rule("same", "y"))
    found = load([folder, folder / "one.yml"], shipped=tmp_path / "none")
    assert [str(p) for p in found.problems] == [
        f"{folder}/two.yml:2: the name or id 'same' is taken by {folder}/one.yml:2"
    ]
    assert load([folder], shipped=tmp_path / "none", disable=["same"]).problems == []


def test_disabled_rules_are_set_apart(tmp_path):
    """By name or id; a name that no rule has is told."""
    found = ruleset(tmp_path, rule("one", "x") + rule("two", "y"), disable=["one", "tow"], levels={"nope": "low"})
    assert [rule.name for rule in found.rules] == ["two"]
    assert [rule.name for rule in found.disabled] == ["one"]
    assert [str(problem) for problem in found.problems] == [
        "rules.disable: no rule has the name or id 'tow', did you mean 'two'?",
        "rules.levels: no rule has the name or id 'nope'",
    ]


def test_the_hash_follows_the_content(tmp_path):
    """The same files give the same hash, a changed byte another."""
    first = good(tmp_path, rule("one", "x"))
    assert first.sha256 == good(tmp_path, rule("one", "x")).sha256
    assert first.sha256 != good(tmp_path, rule("one", "y")).sha256
    assert list(first.files) == [str(tmp_path / "rules" / "own.yml")]


def test_the_hash_follows_the_configuration(tmp_path):
    """Hosts with the same files differ where a rule is switched off or has another level on one of them."""
    text = rule("one", "x")
    plain, off, low = (
        good(tmp_path, text),
        good(tmp_path, text, disable=["one"]),
        good(tmp_path, text, levels={"one": "low"}),
    )
    assert len({plain.sha256, off.sha256, low.sha256}) == 3
    assert off.sha256 == good(tmp_path, text, disable=["one"]).sha256


FILTER = """
title: f
name: spare
logsource: {product: linux, category: process_creation}
filter:
  rules: RULES
  s: {FIELD: /opt/deploy}
  condition: not s
"""


@pytest.mark.parametrize(("rules", "fires"), [("any", ["no"]), ("[one]", ["no"]), ("[two]", ["one", "no"])])
def test_filters_take_events_away(tmp_path, rules, fires):
    """From the rules that they name, or from all of their log source."""
    text = rule("one", "x") + rule("two", "y") + FILTER.replace("RULES", rules).replace("FIELD", "ParentImage")
    judge = engine(tmp_path, text)
    spared = run(0, "x", process__parent__executable="/opt/deploy")
    got = [found.rule.name for one in (spared, run(1, "x")) for found in judge.feed(one)]
    assert got == (["one"] if fires == ["no"] else ["one", "one"])


def test_a_filter_that_is_wrong_is_told(tmp_path):
    """A field or a rule that does not exist; a placeholder makes the rule not evaluable."""
    one = rule("one", "x")
    found = ruleset(tmp_path, one + FILTER.replace("RULES", "[ohne]").replace("FIELD", "Image"))
    assert [p.text for p in found.problems] == [
        "'spare' names the rule 'ohne', which does not exist, did you mean 'one'?"
    ]
    found = ruleset(tmp_path, one + FILTER.replace("RULES", "any").replace("FIELD", "Imgae"))
    assert [p.text for p in found.problems] == ["no event has the field 'Imgae', did you mean 'Image'?"]
    text = one + FILTER.replace("RULES", "any").replace("FIELD: /opt/deploy", "'Image|expand': '%x%'")
    found = good(tmp_path, text)
    assert [entry.rule.name for entry in found.not_evaluable] == ["one"]


def test_a_rule_that_is_tried_takes_the_place_of_its_namesake(tmp_path):
    """By name or id, shipped or not; correlations name it as before, and two that are tried still clash."""
    ident = "5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11"
    for folder, command in (("shipped", "old"), ("own", "other"), ("tried", "new"), ("more", "newer")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yml").write_text(
            rule("a" if folder != "own" else "b", command, "low", f"id: {ident}\n")
        )
    (tmp_path / "shipped" / "s.yml").write_text(
        rule("c", "x") + correlation("s", f"type: temporal, rules: [{ident}, c], timespan: 1h")
    )
    shipped = {"shipped": tmp_path / "shipped"}
    found = load([tmp_path / "own"], **shipped, over=[tmp_path / "tried"])
    assert found.problems == []
    assert [one.path for one in found.rules if one.id == ident] == [str(tmp_path / "tried" / "a.yml")]
    assert found.find("s").rules == ("a", "c")
    assert "taken by" in load([tmp_path / "own"], **shipped).problems[0].text
    assert "taken by" in load(**shipped, over=[tmp_path / "tried", tmp_path / "more"]).problems[0].text
    assert load(**shipped, over=[tmp_path / "shipped" / "a.yml"]).find("a").shipped

import hashlib

from support.rulebook import correlation, good, rule

TWO = rule("a", "aa") + rule("b", "bb") + rule("z", "zz")
SEQ = correlation("seq", "type: temporal_ordered, rules: [a, b], timespan: 2h", "join: [unit], until: z")


def test_a_rule_is_found_by_name_and_id_whatever_its_state(tmp_path):
    """Also one that cannot fire or is disabled, for `explain`."""
    text = TWO + SEQ + rule("gone", "x", "low", "id: 5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11\nstatus: deprecated")
    found = good(tmp_path, text, disable=["z"])
    assert found.find("a").name == "a"
    assert found.find("5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11").name == "gone"
    assert found.find("z").name == "z"
    assert found.find("nothing") is None
    assert {rule.name for rule in found.every()} == {"a", "b", "seq"}
    assert {rule.name for rule in found.known()} == {"a", "b", "z", "gone", "seq"}


def test_a_correlation_hears_of_its_rules_and_of_what_ends_it(tmp_path):
    """``until`` is an input too."""
    assert good(tmp_path, TWO + SEQ).correlations[0].inputs() == {"a", "b", "z"}


def test_an_alert_names_the_rule_at_the_level_given(tmp_path):
    """A stage may have its own level."""
    found = good(tmp_path, TWO).rules[0]
    assert found.as_alert().level == "low"
    assert found.as_alert("critical").level == "critical"
    assert found.as_alert().id == found.as_alert().name == "a"


def test_a_rule_is_cited_as_it_was_read(tmp_path):
    """With the rules that a correlation is made of, each once, and whatever became of the file since."""
    text = TWO + SEQ
    found = good(tmp_path, text)
    for file in tmp_path.rglob("*.yml"):
        file.write_text("changed since")
    cited = list(found.cited("seq"))
    assert sorted(each.name for each in cited) == ["a", "b", "seq", "z"]
    assert all(hashlib.sha256(each.text.encode()).hexdigest() == each.sha256 for each in cited)
    assert list(found.cited("nothing")) == []

"""The rules that the operator wants are in force, and a broken file never takes away what was."""

import re
from pathlib import Path

from msgspec import convert

from replguard.analyser.rulebook import Rulebook, faults
from replguard.config import Config, dec_hook
from replguard.events.catalogue import PORTABLE

RULE = """
title: A probe
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a-probe
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: /probe}
  condition: selection
level: low
"""


def config(folder: Path, **given: object) -> Config:
    """A configuration with one rule of the operator's."""
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "probe.yml").write_text(RULE)
    made = {"state_dir": str(folder / "state"), "rules": {"paths": [str(folder / "rules")]}}
    return convert(made | given, Config, dec_hook=dec_hook)


def test_rules_are_read_and_read_again(tmp_path: Path) -> None:
    """What came and went is told by name, with the digest of all, and the file that was written to last."""
    book = Rulebook(config(tmp_path), PORTABLE)
    assert (book.problems, book.changed(), book.reload()) == ([], False, "")
    assert book.ruleset.find("a-probe") is not None
    rule = tmp_path / "rules" / "probe.yml"
    rule.write_text(RULE.replace("name: a-probe", "name: b-probe"))
    assert book.changed()
    assert re.fullmatch("rules: b-probe added; a-probe removed; sha256 .{12}", book.reload())
    assert book.newest == str(rule)


def test_a_broken_rule_changes_nothing(tmp_path: Path) -> None:
    """Neither in a running analyser nor in one that was started again; once it is mended it takes effect."""
    given, rule = config(tmp_path), tmp_path / "rules" / "probe.yml"
    book = Rulebook(given, PORTABLE)
    rule.write_text(RULE + "  : broken")
    for each in (book, Rulebook(given, PORTABLE)):
        assert each.reload() == ""
        assert each.problems
        assert each.in_force == "the last good one stays in force"
        assert each.ruleset.find("a-probe") is not None
    rule.write_text(RULE.replace("level: low", "level: high"))
    assert book.reload()
    assert book.problems == []


def test_at_a_first_start_there_is_no_last_good_one(tmp_path: Path) -> None:
    """The rest is in force, and that is what is said."""
    given = config(tmp_path)
    (tmp_path / "rules" / "probe.yml").write_text("{")
    book = Rulebook(given, PORTABLE)
    assert book.problems
    assert book.ruleset.find("a-probe") is None
    assert book.in_force.startswith("there is no last good one")


def test_faults_are_those_of_rules_and_sinks(tmp_path: Path) -> None:
    """Each with its file; nothing is kept for it."""
    given = config(tmp_path, sinks={"webhok": {"url": "http://127.0.0.1/"}})
    (tmp_path / "rules" / "probe.yml").write_text(RULE.replace("level: low", "level: loud"))
    found = [str(problem) for problem in faults(given, "/etc/c.yaml")]
    assert any(text.startswith("/etc/c.yaml: ") and "webhook" in text for text in found)
    assert any("probe.yml" in text and "loud" in text for text in found)
    assert not (tmp_path / "state").exists()

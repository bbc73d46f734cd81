"""The page of sentences is what the rules say, and leaves no rule out."""

import importlib.util
from pathlib import Path

import pytest

from replguard.rules.load import load

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("sentences", ROOT / "tools" / "sentences.py")
assert _spec is not None
assert _spec.loader is not None
sentences = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sentences)
RULES = load([], shipped=ROOT / "rules")


def test_the_page_is_fresh():
    """After a change of rules, fixtures or wording: make reference, and review what changed."""
    assert sentences.PAGE.read_text("utf-8") == sentences.page(), "stale: run make reference"


@pytest.mark.parametrize("family", ["host", "replication", "serving", "weights"])
def test_every_rule_of_a_family_says_something(family):
    """A rule that is missing on the page would be one that nobody reviewed."""
    page = sentences.PAGE.read_text("utf-8")
    names = [rule.name for rule in RULES.every() if Path(rule.path).parent.name == family]
    assert names
    assert [name for name in names if page.count(f"| `{name}` |") != 1] == []


def test_a_stale_page_is_written(tmp_path, monkeypatch, capsys):
    """A fresh page is left alone."""
    monkeypatch.setattr(sentences, "PAGE", tmp_path / "sentences.md")
    assert sentences.main() == 0
    assert "wrote" in capsys.readouterr().out
    assert sentences.main() == 0
    assert capsys.readouterr().out == ""

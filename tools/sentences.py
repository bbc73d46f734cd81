"""Writes docs/reference/sentences.md: what the alert of each shipped rule says, made of the rule's own fixtures.

``make reference`` writes it; a test fails when it is stale.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from replguard.alerts import build
from replguard.alerts.story import tell
from replguard.events.alert import Detection
from replguard.rules.cases import Case, read_cases
from replguard.rules.engine import Engine
from replguard.rules.fixtures import fixture_path, only
from replguard.rules.load import load
from replguard.rules.model import AnyRule, RuleSet

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "sentences.md"
HEAD = """# What alerts say

% Made from the rules and their fixtures by tools/sentences.py (make reference). Do not edit.

The sentence of each shipped rule's alert, for review: who did what, with what, and how sure that is. Each is made of
the first case of the rule's fixtures that fires; the {doc}`shipped rules <rules>` say what else fires them.

"""


def page() -> str:
    """Return the page."""
    return HEAD + "\n".join(_families()) + "\n"


def _families() -> Iterator[str]:
    ruleset = load([], shipped=ROOT / "rules")
    family = ""
    for rule in sorted(ruleset.every(), key=lambda rule: rule.path):
        said = None if Path(rule.path).parent.name == "stages" else sentence(rule, ruleset)
        if said is None:
            continue
        if Path(rule.path).parent.name != family:
            family = Path(rule.path).parent.name
            yield f"\n## {family}\n\n| rule | level | sentence |\n|---|---|---|"
        level, text = said
        yield f"| `{rule.name}` | {level} | {_cell(text)} |"


def sentence(rule: AnyRule, ruleset: RuleSet) -> tuple[str, str] | None:
    """Return level and sentence of the first case that fires, None where a rule has no such case."""
    path = fixture_path(rule, ROOT / "rules")
    cases = read_cases(path) if path.exists() else []
    for case in (case for case in cases if case.kind == "fires"):
        found = _first(rule, ruleset, case)
        if found is not None:
            return found.rule.level, build.alert(found, tell(found), "", found.rule.level, None).message
    return None


def _first(rule: AnyRule, ruleset: RuleSet, case: Case) -> Detection | None:
    engine, found = Engine(only(rule, ruleset)), list[Detection]()
    for event in case.events:
        found += engine.feed(event)
    found += engine.expire(max(event.timestamp for event in case.events) + timedelta(days=1))
    return next((one for one in reversed(found) if one.rule.name == rule.name), None)


def _cell(text: str) -> str:
    """Return text as it is, in a cell of a table."""
    for sign in "\\`*_<>[]|{}$":
        text = text.replace(sign, "\\" + sign)
    return text


def main() -> int:
    """Write the page if it is stale."""
    text = page()
    if not PAGE.exists() or PAGE.read_text("utf-8") != text:
        PAGE.write_text(text, "utf-8")
        print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

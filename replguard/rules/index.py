"""Which rules an event has to be held against: those of its kind of event."""

import re

from sigma.exceptions import SigmaError

from replguard.events.event import Event
from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout
from replguard.rules.model import Rule
from replguard.rules.values import Test, Unsupported


class Index:
    """The compiled rules by action. ``failed`` counts the times that a rule could not be held against an event."""

    def __init__(self, rules: list[Rule]) -> None:
        self._layouts: dict[str, Layout] = {}
        self._tests: dict[str, list[tuple[Rule, Test]]] = {}
        self.failed = 0
        for rule in rules:
            for action in sorted(rule.actions):
                self._add(rule, action)

    def _add(self, rule: Rule, action: str) -> None:
        layout = self._layouts.setdefault(action, Layout())
        try:
            test = compile_rule(rule.sigma, layout)
        except (Unsupported, SigmaError, re.error, KeyError, RecursionError):
            return  # loading has listed it as not evaluable
        self._tests.setdefault(action, []).append((rule, test))

    def matches(self, event: Event) -> list[Rule]:
        """Return the rules that an event matches, in the order in which they were loaded."""
        tests = self._tests.get(event.event.action)
        if tests is None:
            return []
        try:
            plain, low = self._layouts[event.event.action].rows(event)
        except (ValueError, TypeError, RecursionError):
            self.failed += 1
            return []
        found = []
        for rule, test in tests:
            try:
                if test(plain, low):
                    found.append(rule)
            except (ValueError, TypeError, RecursionError, OverflowError, MemoryError):
                self.failed += 1
        return found

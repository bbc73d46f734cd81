"""Which file names some rule may ask for: a host makes thousands of files a second that no rule can match."""

import re
from collections.abc import Iterable

from sigma.exceptions import SigmaError

from replguard.events.catalogue import KINDS
from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout, fold
from replguard.rules.index import Signs
from replguard.rules.literals import Sign
from replguard.rules.model import Rule
from replguard.rules.parts import Parts
from replguard.rules.values import Unsupported

PATHS = ("TargetFilename", "file.path")
"""The names under which rules ask for the path of a file."""


class Paths:
    """The signs that rules on file events look for in a path.

    ``everything`` names the rules of which a path alone says nothing: with one of them every name is wanted.
    ``asked`` are those signs, folded.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.everything: list[str] = []
        self.asked: set[Sign] = set()
        self._signs = Signs(Parts())
        for rule in rules:
            if any(KINDS[action].area == "file" and KINDS[action].category for action in rule.actions):
                self._add(rule)

    def __call__(self, path: str) -> bool:
        """Whether a rule may match an event of this path."""
        if self.everything:
            return True
        return bool(self._signs.find(str(fold(path))))

    def _add(self, rule: Rule) -> None:
        layout = Layout()
        try:
            needs = compile_rule(rule.sigma, layout).needs
        except (Unsupported, SigmaError, re.error, KeyError, RecursionError):
            return  # loading has listed it as not evaluable
        places = {layout.slot(name) for name in PATHS}
        asked = next((clause for clause in needs if {slot for slot, _ in clause} <= places), None)
        if asked is None:
            self.everything.append(rule.name)
            return
        for _, (place, text) in asked:
            self.asked.add((place, text))
            self._signs.add(place, text, 1)

"""Which rules an event has to be held against: those of its kind of event, of whose signs one is in it."""

import re
from dataclasses import dataclass, field

import re2  # type: ignore[import-untyped]
from sigma.exceptions import SigmaError

from replguard.events.event import Event
from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout, Text, fold
from replguard.rules.literals import Place, last_part
from replguard.rules.model import Rule
from replguard.rules.values import Test, Unsupported

Numbers = set[int]
KNOWN = 512
"""Values of one field that are remembered: names of programs, at most 32 KiB each."""
FEW = 8
"""Up to so many texts are looked for one by one; more in one scan."""


@dataclass(slots=True)
class Signs:
    """The signs that the rules look for in one field, and the numbers of the rules that need one of them.

    ``scan`` finds all texts of ``inside`` at once; it is made when the first event comes. ``known`` remembers values.
    """

    whole: dict[str, Numbers] = field(default_factory=dict)
    last: dict[str, Numbers] = field(default_factory=dict)
    inside: dict[str, Numbers] = field(default_factory=dict)
    texts: list[Numbers] = field(default_factory=list)
    scan: re2.Set | None = None
    known: dict[Text, Numbers] = field(default_factory=dict)

    def add(self, place: Place, text: str, number: int) -> None:
        """Remember that a rule needs a sign."""
        table = {"whole": self.whole, "last": self.last, "in": self.inside}[place]
        table.setdefault(text, set()).add(number)
        self.scan = None

    def rules(self, value: Text) -> Numbers:
        """Return the rules whose sign is in a text, or in one of several; names of programs come again and again."""
        known = self.known.get(value)
        if known is not None:
            return known
        found: Numbers = set()
        folded = fold(value)
        for part in (folded,) if isinstance(folded, str) else folded or ():
            self.find(part, found)
        if not self.inside:
            self.known[value] = found
            if len(self.known) > KNOWN:
                self.known.clear()
        return found

    def find(self, value: str, found: Numbers) -> None:
        """Add the rules whose sign is in a folded text."""
        if self.whole:
            found.update(self.whole.get(value, ()))
        if self.last:
            found.update(self.last.get(last_part(value), ()))
        if len(self.inside) > FEW and self._scanned(value, found):
            return
        for text, numbers in self.inside.items():
            if text in value:
                found |= numbers

    def _scanned(self, value: str, found: Numbers) -> bool:
        """Add the rules whose text is inside, by one scan; False for what is no UTF-8."""
        try:
            if self.scan is None:
                self.scan = self._compiled()
            for number in self.scan.Match(value) or ():
                found |= self.texts[number]
        except (UnicodeEncodeError, re2.error):
            return False
        return True

    def _compiled(self) -> re2.Set:
        options = re2.Options()
        options.literal = True
        options.log_errors = False
        scan, self.texts = re2.Set.SearchSet(options), list(self.inside.values())
        for text in self.inside:
            scan.Add(text)
        scan.Compile()
        return scan


@dataclass(slots=True)
class Table:
    """The rules of one kind of event, by the signs that they need in each place of a row.

    ``always`` are the rules of which no sign can be told: they run on every event.
    """

    layout: Layout = field(default_factory=Layout)
    rules: list[Rule] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    always: Numbers = field(default_factory=set)
    wanted: dict[int, Signs] = field(default_factory=dict)

    def add(self, rule: Rule) -> None:
        """Compile a rule into the table."""
        node = compile_rule(rule.sigma, self.layout)
        number = len(self.rules)
        self.rules.append(rule)
        self.tests.append(node.test)
        if node.needs is None:
            self.always.add(number)
        for slot, (place, text) in node.needs or ():
            self.wanted.setdefault(slot, Signs()).add(place, text, number)

    def candidates(self, event: Event) -> list[int]:
        """Return the numbers of the rules that an event may match, in the order in which they were added."""
        found = set(self.always)
        for slot, signs in self.wanted.items():
            value = self.layout.text(slot, event)
            if value is not None:
                found |= signs.rules(value)
        return sorted(found) if found else []


class Index:
    """The compiled rules by action. ``failed`` counts the times that a rule could not be held against an event."""

    def __init__(self, rules: list[Rule]) -> None:
        self._tables: dict[str, Table] = {}
        self.failed = 0
        for rule in rules:
            for action in sorted(rule.actions):
                try:
                    self._tables.setdefault(action, Table()).add(rule)
                except (Unsupported, SigmaError, re.error, KeyError, RecursionError):
                    continue  # loading has listed it as not evaluable

    def unindexed(self) -> list[Rule]:
        """Return the rules that run on every event of their kind, because no sign that they need can be told."""
        found = {
            table.rules[number].name: table.rules[number] for table in self._tables.values() for number in table.always
        }
        return list(found.values())

    def matches(self, event: Event) -> list[Rule]:
        """Return the rules that an event matches, in the order in which they were loaded."""
        table = self._tables.get(event.event.action)
        if table is None:
            return []
        try:
            numbers = table.candidates(event)
            if not numbers:
                return []
            plain, low = table.layout.rows(event)
        except (ValueError, TypeError, RecursionError):
            self.failed += 1
            return []
        found = []
        for number in numbers:
            try:
                if table.tests[number](plain, low):
                    found.append(table.rules[number])
            except (ValueError, TypeError, RecursionError, OverflowError, MemoryError):
                self.failed += 1
        return found

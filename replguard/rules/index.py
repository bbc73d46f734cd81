"""Which rules an event has to be held against: those of its kind of event, of whose signs one is in it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import re2  # type: ignore[import-untyped]
from sigma.exceptions import SigmaError

from replguard.events.event import Event
from replguard.rules.compile import CLAUSES, compile_rule, fields_of, has_keywords
from replguard.rules.fields import KEYWORDS, UNREAD, Layout, Reader, Row, fold, plain_text
from replguard.rules.literals import Place, last_part
from replguard.rules.model import Rule
from replguard.rules.values import Test, Unsupported

Marks = int
"""A set of the clauses of rules, one bit for each: that of clause ``c`` of rule ``n`` is ``n * CLAUSES + c``."""
KNOWN = 1024
"""Values of one field that are remembered."""
SHORT = 256
"""Characters of the longest value that is remembered."""
FEW = 8
"""Up to so many texts are looked for one by one; more in one scan."""


@dataclass(slots=True)
class Signs:
    """The signs that the rules look for in one field, and the clauses of rules that hold with one of them.

    ``scan`` finds all texts of ``inside`` at once; it is made when the first event comes. ``known`` remembers values:
    programs, their folders and their commands come again and again.
    """

    whole: dict[str, Marks] = field(default_factory=dict)
    last: dict[str, Marks] = field(default_factory=dict)
    inside: dict[str, Marks] = field(default_factory=dict)
    texts: list[Marks] = field(default_factory=list)
    scan: re2.Set | None = None
    known: dict[Any, Marks] = field(default_factory=dict)

    def add(self, place: Place, text: str, marks: Marks) -> None:
        """Remember that clauses hold with a sign."""
        table = {"whole": self.whole, "last": self.last, "in": self.inside}[place]
        table[text] = table.get(text, 0) | marks
        self.scan = None

    def marks(self, value: Any) -> Marks:
        """Return the clauses of which a sign is in a value's text, or in one of several."""
        folded = fold(plain_text(value))
        parts = (folded,) if isinstance(folded, str) else folded or ()
        found = 0
        for part in parts:
            found |= self.find(part)
        if sum(map(len, parts)) <= SHORT:
            if len(self.known) >= KNOWN:
                self.known.clear()
            self.known[value] = found
        return found

    def find(self, value: str) -> Marks:
        """Return the clauses of which a sign is in a folded text."""
        found = self.whole.get(value, 0)
        if self.last:
            found |= self.last.get(last_part(value), 0)
        if not self.inside:
            return found
        if len(self.inside) > FEW and (there := self._scanned(value)) is not None:
            return found | there
        for text, marks in self.inside.items():
            if text in value:
                found |= marks
        return found

    def _scanned(self, value: str) -> Marks | None:
        """Return the clauses of which a text is inside, by one scan; None for what is no UTF-8."""
        found = 0
        try:
            if self.scan is None:
                self.scan = self._compiled()
            for number in self.scan.Match(value) or ():
                found |= self.texts[number]
        except (UnicodeEncodeError, re2.error):
            return None
        return found

    def _compiled(self) -> re2.Set:
        options = re2.Options()
        options.literal = True
        options.log_errors = False
        scan, self.texts = re2.Set.SearchSet(options), list(self.inside.values())
        for text in self.inside:
            scan.Add(text)
        scan.Compile()
        return scan


class Table:
    """The rules of one kind of event, by the signs that they need in each place of a row.

    An event may match a rule when every clause of it holds. ``given`` are the clauses that no event has to hold:
    of a rule that has fewer than others.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.wanted: dict[int, Signs] = {}
        self.given: Marks = 0
        self._firsts: Marks = 0
        self._layout = Layout()
        self._tests: list[Test] = []
        self._slots: list[tuple[int, ...]] = []
        self._looks: list[tuple[Reader, Signs]] = []

    def add(self, rule: Rule) -> None:
        """Compile a rule into the table."""
        node = compile_rule(rule.sigma, self._layout)
        bit = 1 << len(self.rules) * CLAUSES
        for slot, (place, text), clause in ((*sign, n) for n, signs in enumerate(node.needs) for sign in signs):
            if slot not in self.wanted:
                self.wanted[slot] = Signs()
                self._looks.append((self._layout.reader(slot), self.wanted[slot]))
            self.wanted[slot].add(place, text, bit << clause)
        for clause in range(len(node.needs), CLAUSES):
            self.given |= bit << clause
        self._firsts |= bit
        self.rules.append(rule)
        self._tests.append(node.test)
        self._slots.append(tuple(self._layout.slot(name) for name in _read(rule)))

    def always(self) -> list[Rule]:
        """Return the rules that run on every event, because no sign that they need can be told."""
        every = (1 << CLAUSES) - 1
        return [rule for number, rule in enumerate(self.rules) if self.given >> number * CLAUSES & every == every]

    def candidates(self, event: Event) -> Marks:
        """Return the first bits of the rules that an event may match."""
        found = self.given
        for read, signs in self._looks:
            value = read(event)
            if value is not None:
                known = signs.known.get(value)
                found |= signs.marks(value) if known is None else known
        whole = self._firsts & found
        for clause in range(1, CLAUSES):
            whole &= found >> clause
        return whole

    def matches(self, event: Event, failed: Callable[[], None]) -> list[Rule]:
        """Return the rules that an event matches, in the order in which they were added."""
        marks = self.candidates(event)
        if not marks:
            return []
        found = []
        plain: Row = [UNREAD] * len(self._layout)
        low: Row = [UNREAD] * len(self._layout)
        while marks:
            first = marks & -marks
            marks ^= first
            number = (first.bit_length() - 1) // CLAUSES
            try:
                self._layout.fill(self._slots[number], event, plain, low)
                if self._tests[number](plain, low):
                    found.append(self.rules[number])
            except (ValueError, TypeError, RecursionError, OverflowError, MemoryError):
                failed()
        return found


def _read(rule: Rule) -> tuple[str, ...]:
    """Return the names that a rule's places in a row have."""
    fields = fields_of(rule.sigma)
    return (*fields, KEYWORDS) if has_keywords(rule.sigma) else fields


class Index:
    """The compiled rules by action. ``failed`` counts the times that a rule could not be held against an event."""

    def __init__(self, rules: list[Rule]) -> None:
        self._tables: dict[str, Table] = {}
        self.failed = 0
        by_action: dict[str, list[Rule]] = {}
        for rule in rules:
            for action in sorted(rule.actions):
                by_action.setdefault(action, []).append(rule)
        made: dict[tuple[int, ...], Table] = {}
        for action, some in by_action.items():
            # Kinds of events that the same rules are about share a table, and what it remembers.
            same = tuple(map(id, some))
            if same not in made:
                made[same] = _table(some)
            self._tables[action] = made[same]

    def unindexed(self) -> list[Rule]:
        """Return the rules that run on every event of their kind, because no sign that they need can be told."""
        return list({rule.name: rule for table in self._tables.values() for rule in table.always()}.values())

    def matches(self, event: Event) -> list[Rule]:
        """Return the rules that an event matches, in the order in which they were loaded."""
        table = self._tables.get(event.event.action)
        if table is None:
            return []
        try:
            return table.matches(event, self._fail)
        except (ValueError, TypeError, RecursionError):
            self.failed += 1
            return []

    def _fail(self) -> None:
        self.failed += 1


def _table(rules: Iterable[Rule]) -> Table:
    table = Table()
    for rule in rules:
        try:
            table.add(rule)
        except (Unsupported, SigmaError, re.error, KeyError, RecursionError):
            continue  # loading has listed it as not evaluable
    return table

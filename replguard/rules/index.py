"""Which rules an event has to be held against: those of its kind of event, of whose signs one is in it."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import re2  # type: ignore[import-untyped]
from sigma.exceptions import SigmaError

from replguard.events.event import Event
from replguard.rules.compile import CLAUSES, compile_rule, fields_of, has_keywords
from replguard.rules.fields import KEYWORDS, UNREAD, Layout, Row, Text, fold, plain_text, together
from replguard.rules.literals import Place, Sign, last_part
from replguard.rules.model import Rule
from replguard.rules.parts import Parts
from replguard.rules.scan import Scan
from replguard.rules.values import Test, Unsupported

Marks = int
"""A set of the clauses of rules, one bit for each: that of clause ``c`` of rule ``n`` is ``n * CLAUSES + c``."""
_CLAUSES = range(1, CLAUSES)
_BEFORE, _BEHIND = "(?:^|[^a-z0-9_])", "(?:$|[^a-z0-9_])"
Known = tuple[Text, Text, Marks]
"""A value as rules see it, the same folded, and the clauses that it holds for."""
NOTHING: Known = (None, None, 0)
KNOWN = 2048
"""Values of one field, and of several together, that are remembered."""
SHORT = 256
"""Characters of the longest value that is remembered."""
LONG = 1024
"""Characters of the values of several fields that are remembered together."""
MEMORY, MEMORY_EACH = 8 * 2**20, 256
"""Bytes that one scan may take: so many, and for each character that it looks for."""
FEW = 8
"""Up to so many texts are looked for one by one; more in one scan."""


class Signs:
    """The signs that the rules look for in one field, and the clauses of rules that hold with one of them.

    A value is scanned for all texts of ``inside`` at once, a long one also for ``parts``, those that the tests of rules
    ask for. ``known`` remembers values: programs, their folders and their commands come again and again.
    """

    def __init__(self, parts: Parts) -> None:
        self.whole: dict[str, Marks] = {}
        self.last: dict[str, Marks] = {}
        self.inside: dict[Sign, Marks] = {}
        self.known: dict[Any, Known] = {}
        self._parts = parts
        self._scans: dict[bool, _Scanned] = {}

    def add(self, place: Place, text: str, marks: Marks) -> None:
        """Remember that clauses hold with a sign."""
        if place in ("whole", "last"):
            table = self.whole if place == "whole" else self.last
            table[text] = table.get(text, 0) | marks
        else:
            self.inside[place, text] = self.inside.get((place, text), 0) | marks
            self._scans.clear()

    def look(self, value: Any) -> Known:
        """Return what rules see of a value, and the clauses of which a sign is in it, or in one of several texts."""
        plain = plain_text(value)
        folded = fold(plain)
        if folded.__class__ is str:
            size, marks = len(folded), self.find(folded)
        else:
            parts = folded or ()
            size, marks = sum(map(len, parts)) + len(parts), 0
            for part in parts:
                marks |= self.find(part)
        found = plain, folded, marks
        if size <= SHORT:
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
        if len(self.inside) > FEW and (there := self._scanned(value, is_long=len(value) > SHORT)) is not None:
            return found | there
        for (_, text), marks in self.inside.items():
            if text in value:
                found |= marks
        return found

    def _scanned(self, value: str, *, is_long: bool) -> Marks | None:
        """Return the clauses of which a text is inside, by one scan; None for what is no UTF-8, or too many texts."""
        made = self._scans.get(is_long)
        if made is None:
            first: list[Sign] = [("in", text) for text in self._parts.texts] if is_long else []
            made = self._scans[is_long] = _Scanned(dict.fromkeys([*first, *self.inside]), self.inside)
        if not made.scan.known:
            return None
        try:
            numbers = made.scan.found(value.encode())
        except UnicodeEncodeError:
            return None
        if is_long:
            self._parts.value, self._parts.inside = value, frozenset(numbers)
        found, marks = 0, made.marks
        for number in numbers:
            found |= marks[number]
        return found


class _Scanned:
    """The scan for signs, and the clauses that hold with each."""

    def __init__(self, signs: Iterable[Sign], clauses: dict[Sign, Marks]) -> None:
        self.marks = [clauses.get(sign, 0) for sign in signs]
        self.scan = Scan(map(_source, signs), MEMORY + MEMORY_EACH * sum(len(text) for _, text in signs))


def _source(sign: Sign) -> str:
    place, text = sign
    before = _BEFORE if place in ("begin", "word") else ""
    return before + str(re2.escape(text)) + (_BEHIND if place in ("end", "word") else "")


class Table:
    """The rules of one kind of event, by the signs that they need in each place of a row.

    An event may match a rule when every clause of it holds. ``given`` are the clauses that no event has to hold:
    of a rule that has fewer than others. Fields that many texts are looked for in are looked at one by one; all others
    (who, where, from what) together: they come again and again.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: list[Rule] = []
        self.wanted: dict[int, Signs] = {}
        self.given: Marks = 0
        self._exact: Marks = 0
        self._firsts: Marks = 0
        self._layout = Layout()
        self._tests: list[Test] = []
        self._slots: list[tuple[int, ...]] = []
        for rule in rules:
            try:
                self._add(rule)
            except (Unsupported, SigmaError, re.error, KeyError, RecursionError):
                continue  # loading has listed it as not evaluable
        self._row: Row = [UNREAD] * len(self._layout)
        alone = [slot for slot, signs in self.wanted.items() if len(signs.inside) > FEW]
        self._places = tuple(alone)
        self._alone = [(self._layout.reader(slot), (signs := self.wanted[slot]).known, signs.look) for slot in alone]
        self._others = [slot for slot in self.wanted if slot not in alone]
        self._key = together(self._layout.name(slot) for slot in self._others)
        self._known: dict[Any, tuple[Row, Row, Marks]] = {}
        self._slots = [tuple(slot for slot in slots if slot not in self.wanted) for slots in self._slots]

    def _add(self, rule: Rule) -> None:
        """Compile a rule into the table."""
        node = compile_rule(rule.sigma, self._layout)
        bit = 1 << len(self.rules) * CLAUSES
        for slot, (place, text), clause in ((*sign, n) for n, signs in enumerate(node.needs) for sign in signs):
            self._signs(slot).add(place, text, bit << clause)
        for clause in range(len(node.needs), CLAUSES):
            self.given |= bit << clause
        self._firsts |= bit
        if node.exact:
            self._exact |= bit
        self.rules.append(rule)
        self._tests.append(node.test)
        self._slots.append(tuple(self._layout.slot(name) for name in _read(rule)))

    def _signs(self, slot: int) -> Signs:
        if slot not in self.wanted:
            self.wanted[slot] = Signs(self._layout.parts(slot))
        return self.wanted[slot]

    def always(self) -> list[Rule]:
        """Return the rules that run on every event, because no sign that they need can be told."""
        every = (1 << CLAUSES) - 1
        return [rule for number, rule in enumerate(self.rules) if self.given >> number * CLAUSES & every == every]

    def matches(self, event: Event, failed: Callable[[], None]) -> list[Rule]:
        """Return the rules that an event matches, in the order in which they were added."""
        key = self._key(event)
        plains, folds, marks = self._known.get(key) or self._look(key, event)
        alone = []
        for read, known, look in self._alone:
            value = read(event)
            if value is None:
                alone.append(NOTHING)
                continue
            found = known.get(value) or look(value)
            marks |= found[2]
            alone.append(found)
        first = self._firsts & marks
        for clause in _CLAUSES:
            first &= marks >> clause
        if not first:
            return []
        plain, low = plains.copy(), folds.copy()
        for slot, found in zip(self._places, alone, strict=True):
            plain[slot], low[slot], _ = found
        return list(self._held(first, event, plain, low, failed))

    def _look(self, key: Any, event: Event) -> tuple[Row, Row, Marks]:
        """Return rows with the texts of the fields that are looked at together, and the clauses that they hold for."""
        plain, low, marks, size = self._row.copy(), self._row.copy(), self.given, 0
        for slot in self._others:
            value = self._layout.reader(slot)(event)
            signs = self.wanted[slot]
            known = NOTHING if value is None else signs.known.get(value) or signs.look(value)
            plain[slot], low[slot], found = known
            marks |= found
            size += sum(map(len, value)) + len(value) if isinstance(value := known[0] or "", tuple) else len(value)
        if size <= LONG:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = plain, low, marks
        return plain, low, marks

    def _held(self, marks: Marks, event: Event, plain: Row, low: Row, failed: Callable[[], None]) -> Iterator[Rule]:
        """Yield the rules with these first bits that an event matches."""
        while marks:
            first = marks & -marks
            marks ^= first
            number = (first.bit_length() - 1) // CLAUSES
            if first & self._exact:
                yield self.rules[number]
                continue
            try:
                if self._slots[number]:
                    self._layout.fill(self._slots[number], event, plain, low)
                if not self._tests[number](plain, low):
                    continue
            except (ValueError, TypeError, RecursionError, OverflowError, MemoryError):
                failed()
                continue
            yield self.rules[number]


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
                made[same] = Table(some)
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

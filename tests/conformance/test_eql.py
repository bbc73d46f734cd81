"""Ordered sequences held against EQL's own engine, which knows nothing of ours: random sequences, random events."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import eql
import pytest
from support.rulebook import correlation, event, good, rule

from replguard.rules.matches import Match
from replguard.rules.sequence import Sequence

CASES = 10_000
SEQUENCES = 40
TICKS = 10_000_000
"""EQL counts time in tenths of a microsecond."""


@dataclass(frozen=True)
class One:
    """What happened: the rule that it matches, whose it is (nobody's where that is unknown), when, and its number."""

    name: str
    who: str | None
    time: int
    number: int


@dataclass(frozen=True)
class Wanted:
    """A sequence to look for, and how ours is written."""

    stages: str
    span: int
    grouped: bool
    correlation: Any
    query: Any

    @staticmethod
    def eql(stages: str, span: int, *, grouped: bool) -> Any:
        """Return it as EQL has it. A key that is missing joins nothing, as the EQL of Elasticsearch has it."""
        by, known = (" by who", " and who != null") if grouped else ("", "")
        terms = "".join(f' [any where name == "{name}"{known}]' for name in stages)
        return eql.parse_query(f"sequence{by} with maxspan={span}s{terms}")


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Return random sequences of two to five stages, the same rule several times among them, with and without group."""
    chance, made = random.Random(1), []
    rules = "".join(rule(name, name * 3) for name in "abcd")
    for number in range(SEQUENCES):
        stages = "".join(chance.choices("abcd", k=chance.randint(2, 5)))
        span, grouped = chance.randint(1, 12), chance.random() < 0.8
        body = f"type: temporal_ordered, rules: [{', '.join(stages)}], timespan: {span}s"
        body += ", group-by: [user.name]" if grouped else ""
        found = good(tmp_path_factory.mktemp(f"s{number}"), rules + correlation("seq", body))
        query = Wanted.eql(stages, span, grouped=grouped)
        made.append(Wanted(stages, span, grouped, found.correlations[0], query))
    return made


def happened(chance: random.Random, wanted: Wanted, *, ties: bool) -> list[One]:
    """Return random events in the order of their times, most of them of the sequence; some of nobody."""
    count, most = chance.randint(2, 24), chance.randint(4, 40)
    times = [chance.randint(0, most) for _ in range(count)] if ties else chance.sample(range(most + count), count)
    letters = wanted.stages if chance.random() < 0.5 else "abcd"
    whom = ["eve", "bob", None] if chance.random() < 0.7 else ["eve"]
    return [One(chance.choice(letters), chance.choice(whom), time, number) for number, time in enumerate(sorted(times))]


def theirs(wanted: Wanted, events: Iterable[One]) -> list[tuple[int, ...]]:
    """Return the numbers of the events of each sequence that EQL finds."""
    engine = eql.PythonEngine()
    engine.add_query(wanted.query)
    found: list[tuple[int, ...]] = []
    engine.add_output_hook(lambda output: found.append(tuple(one.data["number"] for one in output.events)))
    for one in events:
        data = {"name": one.name, "number": one.number, **({"who": one.who} if one.who else {})}
        engine.stream_event(eql.Event("any", one.time * TICKS, data))
    engine.finalize()
    return found


def ours(wanted: Wanted, arrived: Iterable[One]) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of the events of each sequence that ours finds, in whatever order they arrive."""
    sequence = Sequence(wanted.correlation)
    for arrival, one in enumerate(arrived):
        made = event(one.time, process__pid=one.number, **({"user__name": one.who} if one.who else {}))
        for hit in sequence.feed(Match(one.name, (float(one.time), arrival), (made,))):
            yield tuple(match.evidence[0].process.pid for match in hit.matches)


def test_in_order_ours_finds_what_eql_finds(sequences):
    """The same sequences of the same events, one by one: missing keys and events of one time among them."""
    chance, met = random.Random(2), 0
    for case in range(CASES):
        wanted = sequences[case % SEQUENCES]
        events = happened(chance, wanted, ties=True)
        expected = theirs(wanted, events)
        assert list(ours(wanted, events)) == expected, (wanted, events)
        met += bool(expected)
    assert met > CASES // 10


def test_late_events_leave_no_sequence_of_eql_unfound(sequences):
    """Whatever the order of arrival: each end that EQL finds in order of time is found, and nothing out of order is."""
    chance, met = random.Random(3), 0
    for case in range(CASES):
        wanted = sequences[case % SEQUENCES]
        events = happened(chance, wanted, ties=False)
        arrived = sorted(events, key=lambda one: one.time + chance.uniform(0, wanted.span))
        expected = theirs(wanted, events)
        found = list(ours(wanted, arrived))
        assert {numbers[-1] for numbers in expected} <= {numbers[-1] for numbers in found}, (wanted, arrived)
        by_number = {one.number: one for one in events}
        for numbers in found:
            stages = [by_number[number] for number in numbers]
            assert "".join(one.name for one in stages) == wanted.stages
            assert [one.time for one in stages] == sorted({one.time for one in stages})
            assert stages[-1].time - stages[0].time <= wanted.span
            assert not wanted.grouped or len({one.who for one in stages} - {None}) == 1
        met += bool(expected)
    assert met > CASES // 10

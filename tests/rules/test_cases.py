from datetime import timedelta

import pytest

from replguard.errors import ConfigError
from replguard.rules.cases import START, nested, read_cases


def cases(tmp_path, text):
    file = tmp_path / "a.test.yml"
    file.write_text(text)
    return read_cases(file)


def faults(tmp_path, text):
    with pytest.raises(ConfigError) as raised:
        cases(tmp_path, text)
    return [(problem.line, problem.text) for problem in raised.value.problems]


def test_cases_are_events_as_the_engine_takes_them(tmp_path):
    """Nested or dotted fields, times after the start, ids and numbers made; a fact is an enrichment."""
    text = """
fires:
  - name: one
    level: high
    events:
      - {at: 1m30s, action: weights_copy, file.path: /x, replguard: {status: done, actor.kind: agent,
         actor: {id: a, principal: p}}}
      - {action: process_exec, process.pid: 7, repeat: 2, every: 5s}
silent:
near_miss: []
"""
    (case,) = cases(tmp_path, text)
    copy, first, second = case.events
    assert (case.kind, case.name, case.level, case.line) == ("fires", "one", "high", 3)
    assert copy.timestamp == START + timedelta(seconds=90)
    assert (copy.file.path, copy.replguard.actor.kind, copy.replguard.actor.id) == ("/x", "agent", "a")
    assert (copy.event.kind, first.event.kind) == ("enrichment", "event")
    assert second.timestamp - first.timestamp == timedelta(seconds=5)
    assert [event.event.sequence for event in case.events] == [1, 2, 3]
    assert len({event.event.id for event in case.events}) == 3


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("fire: []", 1, "unknown key 'fire', did you mean 'fires'?"),
        ("fires: {a: b}", 1, "must be a list of cases"),
        ("fires:\n  - name: x", 2, "needs 'name' and a list of 'events'"),
        ("fires:\n  - {events: [], lvl: low}", 2, "unknown key 'lvl'"),
        ("fires:\n  - {events: [], level: hihg}", 2, "'hihg' is no level"),
        ("fires:\n  - events:\n      - {action: dance}", 3, "no event has the action 'dance'; it is one of agent_seen"),
        (
            "fires:\n  - events:\n      - {action: proces_exec}",
            3,
            "no event has the action 'proces_exec', did you mean 'process_exec'?",
        ),
        ("fires:\n  - events:\n      - text", 3, "an event needs 'action'"),
        ("fires:\n  - events:\n      - {action: process_exec, Image: x}", 3, "no event has the field 'Image'"),
        ("fires:\n  - events:\n      - {action: process_exec, process: {pdi: 1}}", 3, "the field 'process.pdi'"),
        ("fires:\n  - events:\n      - {action: process_exec, process.pid: x}", 3, "Expected"),
        ("fires:\n  - events:\n      - {action: process_exec, process: 1, process.pid: 1}", 3, "is a value already"),
        ("fires:\n  - events:\n      - {action: process_exec, at: soon}", 3, "'soon' is not a time span"),
        ("fires:\n  - events:\n      - {action: process_exec, at: 5m x}", 3, "'5m x' is not a time span"),
        ("fires:\n  - events:\n      - {action: process_exec, at: 99999999d}", 3, ""),
        ("fires:\n  - events:\n      - {action: process_exec, repeat: 0}", 3, "'repeat' must be 1 to"),
        ("- fires", 1, "expected the keys fires, silent and near_miss"),
        ("fires: [\n", 2, "not YAML"),
    ],
)  # fmt: skip
def test_every_fault_has_its_line(tmp_path, text, line, told):
    """A misspelt field would make a silent case silent for the wrong reason."""
    found = faults(tmp_path, text)
    assert any(at == line and told in said for at, said in found), found


def test_a_file_that_is_not_there_is_told(tmp_path):
    """As an error, not a traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cases(tmp_path / "absent.yml")


def test_dotted_and_nested_keys_meet():
    """A section may be written in pieces."""
    assert nested({"a.b": 1, "a": {"c": 2}, "d": {"e.f": 3}}) == {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 3}}}

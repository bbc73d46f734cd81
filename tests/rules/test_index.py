import random
from pathlib import Path

import yaml
from support.rulebook import event, good, rule, run

from replguard.rules.compile import compile_rule
from replguard.rules.fields import MAX_TEXT, Layout
from replguard.rules.index import SHORT, Index
from replguard.rules.load import load

HERE = Path(__file__).parent


def test_an_event_is_held_against_the_rules_of_its_kind(tmp_path):
    """A file event is no process, whatever its texts; several rules match in the order of loading."""
    index = Index(good(tmp_path, rule("one", "curl") + rule("two", "http")).rules)
    assert [found.name for found in index.matches(run(0, "CURL http://x"))] == ["one", "two"]
    assert [found.name for found in index.matches(run(0, "wget http://x"))] == ["two"]
    assert index.matches(event(0, "file_create", file__path="curl", process__command_line="curl")) == []


def test_rules_without_a_text_run_on_every_event(tmp_path):
    """Negations and comparisons have nothing to look for; they match all the same, and are named."""
    text = """
title: t
name: negated
logsource: {product: linux, category: process_creation}
detection:
  s: {CommandLine|contains: usual}
  condition: not s
"""
    index = Index(good(tmp_path, text).rules)
    assert [found.name for found in index.unindexed()] == ["negated"]
    assert [found.name for found in index.matches(event())] == ["negated"]
    assert index.matches(run(0, "the usual")) == []


def test_a_text_in_a_list_is_found(tmp_path):
    """Fields that hold lists are looked through element by element."""
    text = """
title: t
name: argument
logsource: {product: linux, category: process_creation}
detection:
  s: {process.args: --force}
  condition: s
"""
    index = Index(good(tmp_path, text).rules)
    assert index.matches(event(process__args=["rm", "--FORCE"]))
    assert not index.matches(event(process__args=["rm", "--forced"]))


def test_hostile_texts_break_no_rule(tmp_path):
    """Lone surrogates, NUL and a very long command line are texts like any other."""
    index = Index(good(tmp_path, rule("one", "needle")).rules)
    assert index.matches(run(0, "\udcff\0needle"))
    assert index.matches(run(0, "x" * 200_000 + "needle"))
    assert index.failed == 0


def test_many_texts_are_looked_for_at_once(tmp_path):
    """More than a few become one scan, which finds what looking for each would, also in what is no UTF-8."""
    words = [f"word{number}" for number in range(20)]
    index = Index(good(tmp_path, "".join(rule(f"r{word}", word) for word in words)).rules)
    for text in ("no such", "word1", "a\nword12 Word3\n", "\udcffword4", "word19word18"):
        expected = [f"r{word}" for word in words if word in text.casefold()]
        assert [found.name for found in index.matches(run(0, text))] == expected
    assert index.failed == 0


def test_names_of_programs_are_remembered_and_forgotten(tmp_path):
    """However many there are, each is judged alike the first and the second time."""
    text = """
title: t
name: program
logsource: {product: linux, category: process_creation}
detection:
  s: {Image|endswith: /curl}
  condition: s
"""
    index = Index(good(tmp_path, text).rules)
    for _ in range(2):
        assert not any(index.matches(event(process__executable=f"/bin/{number}")) for number in range(600))
        assert index.matches(event(process__executable="/opt/CURL"))


def test_what_is_remembered_of_who_and_where_is_told_apart(tmp_path):
    """Events that differ in one of the fields that are looked at together are judged each by its own."""
    text = """
title: t
name: together
logsource: {product: linux, category: process_creation}
detection:
  s:
    Image|endswith: /curl
    ParentImage|endswith: [/bash, /sh]
    User: root
    CurrentDirectory|startswith: /tmp
  condition: s
"""
    index = Index(good(tmp_path, text).rules)
    right = {"executable": "/usr/bin/curl", "working_directory": "/tmp/x", "parent": {"executable": "/bin/bash"}}
    wrong = [
        {**right, "executable": "/usr/bin/wget"},
        {**right, "working_directory": "/srv"},
        {**right, "working_directory": None},
        {**right, "parent": {"executable": "/bin/dash"}},
        {**right, "parent": None},
    ]
    for _ in range(2):
        assert index.matches(event(process=right, user__name="root"))
        assert not index.matches(event(process=right, user__name="ann"))
        assert not index.matches(event(process=right))
        assert not any(index.matches(event(process=other, user__name="root")) for other in wrong)


def test_more_texts_than_a_scan_takes_are_looked_for_one_by_one(tmp_path, monkeypatch):
    """A scan that would need too much memory is not made, and nothing is missed."""
    monkeypatch.setattr("replguard.rules.index.MEMORY", 0)
    monkeypatch.setattr("replguard.rules.index.MEMORY_EACH", 1)
    index = Index(good(tmp_path, "".join(rule(f"r{n}", f"word{n}x") for n in range(20))).rules)
    assert [found.name for found in index.matches(run(0, "a word7x b WORD12X"))] == ["r7", "r12"]


def test_a_long_value_is_judged_as_without_the_index():
    """All texts are looked for at once in it: every shipped rule says of it what it says when it is asked alone."""
    rules = [one for one in load([]).rules if "process_exec" in one.actions]
    index, alone = Index(rules), [(one, layout := Layout(), compile_rule(one.sigma, layout)) for one in rules]
    wanted = index._tables["process_exec"].wanted.values()
    texts = sorted({text for signs in wanted for text in (*signs._parts.texts, *(sign[1] for sign in signs.inside))})
    commands = sorted({line for file in HERE.glob("*/*.yml") for line in _commands(yaml.safe_load(file.read_text()))})
    chance, matched = random.Random(8), set()
    for length in (SHORT - 40, SHORT, 4 * SHORT, MAX_TEXT - 40, 2 * MAX_TEXT):
        for _ in range(20):
            words = [*chance.choices(texts, k=chance.randrange(20)), *chance.choices(commands, k=3)]
            line = chance.choice([" ", "; ", "; sudo ", "\né", "; \udcff"]).join([*words, "x" * length, *words[::-1]])
            found = run(0, line.upper() if chance.random() < 0.2 else line)
            expected = [one.name for one, layout, node in alone if node.test(*layout.rows(found))]
            assert [one.name for one in index.matches(found)] == expected
            matched.update(expected)
    assert len(matched) > len(rules) / 3


def _commands(found):
    """Yield the command lines of fixtures."""
    if isinstance(found, list):
        yield from (line for one in found for line in _commands(one))
    elif isinstance(found, dict):
        yield from (str(line) for name, line in found.items() if name == "command_line")
        yield from (line for one in found.values() for line in _commands(one))

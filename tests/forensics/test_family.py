"""The tree of processes, and what each did."""

import pytest
from msgspec.structs import replace
from support import cases

from replguard.alerts import clauses
from replguard.events.event import Event
from replguard.forensics import family, incident


def tree(tmp_path, told=None):
    found = incident.gather(cases.made(tmp_path / "log", tmp_path / "state", told), cases.INCIDENT)
    return family.tree(found, clauses.clause)


def test_each_process_stands_below_the_one_that_started_it(tmp_path):
    """From the entry point down, siblings in the order in which they began."""
    members = tree(tmp_path)
    assert [(member.entity, member.depth) for member in members] == [("sh", 0), ("ag", 1), ("cp", 2), ("sv", 2)]
    assert [member.did for member in members] == [False, False, True, True]
    assert members[0].process.executable == "/usr/bin/sh"


def test_what_each_did_is_told_in_words(tmp_path):
    """With the alerts that name it, its user, and its snapshot; the same act in a row once."""
    shell, _, copier, server = tree(tmp_path)
    assert [act.text for act in copier.acts][:3] == [
        "read model llama: /models/a",
        "ran `cp /models/a /tmp/b`",
        "copied model llama: /models/a → /tmp/b (1.0 GiB)",
    ]
    assert (copier.alerts, server.alerts) == (["a1"], ["b2"])
    assert server.snapshots[0].image.sha256 == "ab" * 32
    assert (copier.user.name, shell.user.id) == ("root", 0)


def test_acts_that_repeat_are_counted(tmp_path):
    """One line with a number instead of many."""
    told = cases.records()
    again = [replace(told[1], event=replace(told[1].event, id=f"ev-{n}", sequence=n)) for n in range(100, 105)]
    copier = next(member for member in tree(tmp_path, [*told, *again]) if member.entity == "cp")
    assert copier.acts[0].count == 6


def test_without_a_lineage_the_events_tell_what_is_above(tmp_path):
    """The ids of the lineage join what has no record of its own."""
    told = [each for each in cases.records() if getattr(each.event, "kind", "") != "state"]
    found = [(member.entity, member.depth, member.process.pid) for member in tree(tmp_path, told)]
    assert found == [("ag", 0, 20), ("cp", 1, 30), ("sv", 1, 40)]


@pytest.mark.parametrize("loop", [("cp",), ("sv", "cp")])
def test_who_is_its_own_ancestor_is_told_once(tmp_path, loop):
    """A log may claim anything."""
    told = cases.records()
    above = dict(zip(loop, (*loop[1:], loop[0]), strict=True))
    turned = [
        replace(
            each, process=replace(each.process, parent=cases.Parent(pid=1, entity_id=above[each.process.entity_id]))
        )
        if getattr(each, "process", None) is not None and each.process.entity_id in above
        else each
        for each in told
    ]
    entities = [member.entity for member in tree(tmp_path, turned)]
    assert sorted(entities) == ["ag", "cp", "sh", "sv"]


def test_a_very_long_chain_is_no_exception(tmp_path):
    """Thousands of processes, each started by the one before."""
    told = [
        replace(
            cases.records()[-6],
            event=replace(cases.records()[-6].event, id=f"l-{n}"),
            process=cases.Process(pid=n, entity_id=f"p{n}", parent=cases.Parent(pid=n - 1, entity_id=f"p{n - 1}")),
        )
        for n in range(1, 3001)
    ]
    last = cases.fact("weights_access", 9, "cp", 2)
    below = replace(last, process=replace(last.process, entity_id="p3000"))
    found = tree(tmp_path, [*told, below, *cases.records()])
    assert max(member.depth for member in found) == 3000


def test_a_pid_that_came_again_is_two_processes(tmp_path):
    """What each did stands with it, and what is above each."""
    told = cases.records()
    copied = next(each for each in told if isinstance(each, Event) and each.event.action == "weights_copy")
    later = replace(
        copied,
        event=replace(copied.event, id="ev-99", sequence=99),
        process=replace(copied.process, entity_id="other", command_line="cp again", start=cases.at(60)),
        replguard=replace(copied.replguard, lineage=("other", "ag")),
        timestamp=cases.at(61),
    )
    same = [each for each in tree(tmp_path, [*told, later]) if each.process.pid == copied.process.pid]
    assert [each.entity for each in same] == ["cp", "other"]
    assert same[1].process.command_line == "cp again" != same[0].process.command_line
    assert all(each.acts for each in same)
    assert len(same[1].acts) == 1

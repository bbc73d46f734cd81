"""Parts of a file that one actor's processes read are added up."""

from datetime import UTC, datetime, timedelta

import pytest
from support.story import Host

from replguard.provenance import parts as module
from replguard.provenance.parts import Parts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILE = (1, 2)


def test_sums_of_processes_are_added_up_by_actor() -> None:
    """Each by what it grew; one that began anew counts from nothing; a day later all do."""
    host, parts = Host(), Parts()
    shell, other = host.login(), host.login()
    one, two, theirs = (host.exec("dd", parent=parent) for parent in (shell, shell, other))
    assert parts.read(one, FILE, "read", 5, NOW) == 5
    assert parts.read(one, FILE, "read", 8, NOW) == 8
    assert parts.read(two, FILE, "read", 5, NOW) == 13
    assert parts.read(two, FILE, "map", 1, NOW) == 14
    assert parts.read(theirs, FILE, "read", 5, NOW) == 5
    assert parts.read(one, (1, 3), "read", 5, NOW) == 5
    assert parts.read(one, FILE, "read", 2, NOW) == 16
    assert parts.read(two, FILE, "read", 6, NOW + timedelta(days=2)) == 6


def test_what_belongs_together_may_be_another_thing() -> None:
    """Here each process for itself."""
    host, parts = Host(), Parts(lambda proc: proc.entity)
    shell = host.login()
    one, two = host.exec("dd", parent=shell), host.exec("dd", parent=shell)
    assert [parts.read(proc, FILE, "read", 5, NOW) for proc in (one, two)] == [5, 5]


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr(module, "MOST", 2)
    host, parts = Host(), Parts()
    proc = host.exec("dd", parent=host.login())
    for inode in range(5):
        parts.read(proc, (1, inode), "read", 5, NOW)
    assert len(parts._told) == len(parts._sums) == 2

"""Parts of a file that one actor's processes read are added up."""

from datetime import UTC, datetime, timedelta

import pytest
from support.story import Host

from replguard.provenance import parts as module
from replguard.provenance.parts import MOST, WINDOW, Parts, Scraps

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


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr(module, "MOST", 2)
    host, parts = Host(), Parts()
    proc = host.exec("dd", parent=host.login())
    for inode in range(5):
        parts.read(proc, (1, inode), "read", 5, NOW)
    assert len(parts._told) == len(parts._sums) == 2


MIB = 2**20
LATER = NOW + timedelta(days=90)


def test_scraps_of_one_actor_add_up() -> None:
    """Files of others, and of another model, do not; what one file holds counts once."""
    scraps = Scraps()
    for number in range(10):
        total = scraps.found("a", "llama", (1, number), 0.5 * MIB, LATER)
    assert total == 5 * MIB
    assert scraps.found("b", "llama", (1, 99), MIB, LATER) == MIB
    assert scraps.found("a", "qwen", (1, 99), MIB, LATER) == MIB
    assert scraps.found("a", "llama", (1, 0), 2 * MIB, LATER) == 6.5 * MIB
    assert scraps.found("a", "llama", (1, 0), 0.0, LATER) == 4.5 * MIB


def test_scraps_that_lie_a_day_apart_are_not_added() -> None:
    """And there is an end to what is remembered."""
    scraps = Scraps()
    scraps.found("a", "llama", (1, 1), MIB, LATER)
    assert scraps.found("a", "llama", (1, 2), MIB, LATER + WINDOW + timedelta(seconds=1)) == MIB
    for number in range(MOST + 500):
        scraps.found(f"actor {number}", "llama", (2, number), MIB, LATER)
    assert len(scraps._held) == len(scraps._sums) == MOST

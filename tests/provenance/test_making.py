"""What was told of a file in the making, and who it is that is forgotten first."""

import os
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from support.story import MIB, START, Host

from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.provenance.making import IDLE, Making, Makings, Told, writes
from replguard.provenance.processes import Proc


def event(action: str = "file_close_write", size: int = 8 * MIB, uid: int = 1000, tier: str = "kernel") -> Event:
    file = File(path="/srv/x", device=5, inode=1, size=size, uid=uid)
    return Event(timestamp=START, event=Meta(action=action), file=file, replguard=Context(tier=tier))


def making(maker: Proc | None = None, **given: object) -> Making:
    about = {"began": START, "last": event(), "maker": maker, "seen": "kernel" if maker else None} | given
    return Making(**about)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"is_new": True}, 8 * MIB),
        ({"is_new": True, "grown": 3 * MIB}, 6 * MIB),
        ({"is_new": True, "grown": 5 * MIB}, 8 * MIB),
        ({"is_new": True, "grown": 5 * MIB, "last": event("file_grow")}, 5 * MIB),
        ({"grown": 9 * MIB}, 9 * MIB),
        ({}, 0),
        ({"last": event(tier="portable")}, 8 * MIB),
    ],
)
def test_how_much_was_written(given: dict[str, object], written: int) -> None:
    """Of a new file its size, unless much less was dirtied; of one that was there what was counted, where it is."""
    assert making(**given).written() == written


def test_news_is_what_says_more() -> None:
    """A surer word, another writer, twice as much, or written anew a minute later; a guess is none."""
    host = Host()
    cp, other = (host.exec("cp", parent=host.login()) for _ in range(2))
    known = making(cp)
    assert known.news("llama", 0.1, cp, "content")
    known.told["llama"] = Told(0.4, cp, "content", START)
    assert known.news("other", 0.1, cp, "content")
    assert not known.news("llama", 0.7, cp, "content")
    assert known.news("llama", 0.8, cp, "content")
    assert not known.news("llama", 1.0, cp, "derived")
    assert making(other, told=known.told).news("llama", 0.4, other, "derived")
    assert not making(None, told=known.told).news("llama", 0.4, other, "content")
    known.told["llama"] = Told(0.4, cp, "derived", START)
    assert not known.news("llama", 0.9, cp, "derived")
    assert known.news("llama", 0.4, cp, "content")
    late = START - timedelta(seconds=61)
    assert making(cp, told={"llama": Told(0.4, cp, "content", late)}).news("llama", 0.4, cp, "content")


def test_a_flood_pushes_out_its_own_and_never_a_touchers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Junk of one user, junk of one of root's actors, and files of who touched weights."""
    monkeypatch.setattr("replguard.provenance.making.MOST", 4)
    host = Host()
    agent, junk = (host.exec("sh", parent=host.login()) for _ in range(2))
    kept = Makings()
    kept.put((5, 1), making(agent), toucher=True)
    kept.put((5, 2), making(last=event(uid=7)), toucher=False)
    kept.put((5, 3), making(agent, last=event(uid=0)), toucher=False)
    for number in range(10, 30):
        kept.put((5, number), making(), toucher=False)
        kept.put((6, number), making(junk, last=event(uid=0)), toucher=False)
    assert all(kept.get((5, number)) is not None for number in (1, 2, 3))
    assert len(kept) == len(list(kept)) == 5
    assert kept.evicted == 38


def test_who_turns_out_to_have_touched_weights_moves_to_the_touchers() -> None:
    """And stays there."""
    kept = Makings()
    made = making()
    for toucher in (False, True, False):
        kept.put((5, 1), made, toucher=toucher)
        assert len(kept) == 1
    assert kept.get((5, 1)) is made


def test_what_came_to_nothing_is_forgotten() -> None:
    """Not what was told, nor what the examiner was asked about; and what still is written begins anew each time."""
    makings = Makings()
    late = START + IDLE
    kinds = {
        1: making(),
        2: making(told={"llama": Told(0.4, None, "content", START)}),
        3: making(asked=START),
        4: making(started=("llama",)),
        5: making(last=msgspec.structs.replace(event(), timestamp=START + timedelta(seconds=1))),
    }
    for number, one in kinds.items():
        makings.put((5, number), one, toucher=number == 1)
    makings.tick(late - timedelta(seconds=1))
    assert len(makings) == len(kinds)
    makings.tick(late)
    assert [number for number in kinds if makings.get((5, number))] == [2, 3, 4, 5]
    assert makings.evicted == 0


def test_who_has_a_file_open_for_writing_writes_it(tmp_path: Path) -> None:
    """As /proc tells of a real process: not one that reads it, nor one that has closed it."""
    there = tmp_path / "w"
    there.write_text("x")
    found = there.stat()
    host = Host()
    file = host.file(str(there), device=found.st_dev, inode=found.st_ino)
    myself = host.exec("cp", parent=None, pid=os.getpid())
    with there.open("ab"):
        assert writes(myself, file)
    with there.open("rb"):
        assert not writes(myself, file)
    assert not writes(myself, file)

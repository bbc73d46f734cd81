"""The baseline is collected for a day, kept on disk, and never made anew when it was lost."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.story import START

from replguard.config import Stream
from replguard.events.event import Event
from replguard.log.keys import Keys
from replguard.log.segments import Writer
from replguard.provenance.baseline import PERIOD, RECORD, Baseline, accept_note, been_here, recorded


def opened(
    path: Path | None, *, first: bool = True, later: timedelta = timedelta(0), recorded: str | None = None
) -> Baseline:
    baseline = Baseline(path)
    baseline.open(START + later, first_start=first, recorded=recorded)
    return baseline


def test_it_is_collected_for_a_day() -> None:
    """From the first start on, not a moment longer."""
    baseline = opened(None)
    assert baseline.collecting(START)
    assert baseline.collecting(START + PERIOD - timedelta(seconds=1))
    assert not baseline.collecting(START + PERIOD)
    assert baseline.before(START)
    assert not baseline.before(START + timedelta(seconds=1))


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """What was taken in is found again, and the day goes on from the first start."""
    path = tmp_path / "state" / "baseline.json"
    baseline = opened(path)
    assert baseline.take("unit:a", "llama", 1, START)
    assert baseline.take("unit:a", "llama", 2, START)
    assert not baseline.take("unit:a", "llama", 1, START)
    baseline.save()
    assert path.stat().st_mode & 0o077 == 0
    again = opened(path, first=False, later=timedelta(hours=23))
    entry = again.find("unit:a", "llama")
    assert entry is not None
    assert entry.instances == 2
    assert again.collecting(START + timedelta(hours=23))
    assert not again.before(START + timedelta(hours=1))
    assert again.trouble is None
    assert again.find("unit:a", "other") is None


def test_closing_ends_the_collection_for_good(tmp_path: Path) -> None:
    """As ``learn --accept`` does."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    baseline.accept(START)
    baseline.save()
    assert not baseline.collecting(START)
    assert not opened(path, first=False).collecting(START)


@pytest.mark.parametrize("data", [None, b"", b"{broken", b"[]"])
def test_a_lost_baseline_is_none(tmp_path: Path, data: bytes | None) -> None:
    """Where the daemon has run before, lost state is told and nothing is collected in its place."""
    path = tmp_path / "baseline.json"
    if data is not None:
        path.write_bytes(data)
    baseline = opened(path, first=False)
    assert baseline.trouble is not None
    assert not baseline.collecting(START)
    assert not baseline.before(START)
    assert not baseline.take("unit:a", "llama", 1, START)
    baseline.save()
    assert baseline.tick(START) == []
    assert (path.read_bytes() if path.exists() else None) == data
    assert baseline.trouble is not None


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(e.replguard.actor.standing, e.replguard.difference) for e in events if e.replguard and e.replguard.actor]


def on_record(folder: Path, events: list[Event]) -> str | None:
    """Write what has to be on record to a log of this folder, and return what that knows last."""
    log = Writer(
        folder, "evidence", Stream(), keys=Keys(folder / "key"), boot_id="b", buffered=False, report=lambda _: None
    )
    for event in events:
        log.write(event, START)
    log.close(now=START)
    return recorded(folder)


def test_every_change_is_on_record(tmp_path: Path) -> None:
    """As done by ourselves, with what is new and a digest, which the log tells again; once a day without any."""
    path, log = tmp_path / "state" / "baseline.json", tmp_path / "log"
    assert recorded(log) is None
    baseline = opened(path)
    baseline.take("unit:a", "llama", 2, START)
    baseline.take("unit:b", "llama", 0, START)
    first = baseline.tick(START)
    ((standing, difference),) = told(first)
    assert standing == "allowed"
    assert difference.startswith("baseline: unit:a serves llama, 2 at once; unit:b uses llama; 2 entries, sha256 ")
    assert baseline.tick(START) == []
    assert len(baseline.tick(START + RECORD)) == 1
    assert on_record(log, first) == json.loads(path.read_text())["digest"]
    baseline.take("unit:c", "llama", 1, START)
    assert on_record(log, baseline.tick(START)) == json.loads(path.read_text())["digest"]


def test_a_restart_goes_on_with_what_is_on_record(tmp_path: Path) -> None:
    """Also where the end came between the writing of the file and that of the log."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    known = on_record(tmp_path / "log", baseline.tick(START))
    baseline.take("unit:a", "llama", 1, START)
    baseline.save()
    again = opened(path, first=False, recorded=known)
    assert again.trouble is None
    assert again.find("unit:a", "llama") is not None


def damaged(path: Path, older: bytes) -> dict[str, Callable[[], object]]:
    data = path.read_bytes()
    return {
        "deleted": path.unlink,
        "truncated": lambda: path.write_bytes(data[: len(data) // 2]),
        "emptied": lambda: path.write_bytes(b""),
        "a changed byte": lambda: path.write_bytes(data.replace(b"unit:b", b"unit:x")),
        "an older one": lambda: path.write_bytes(older),
        "not text": lambda: path.write_bytes(data.replace(b"unit", b"\xff\xfe\xfd\xfc")),
    }


@pytest.mark.parametrize("how", ["deleted", "truncated", "emptied", "a changed byte", "an older one", "not text"])
def test_damage_is_told_and_nothing_is_allowed(tmp_path: Path, how: str) -> None:
    """Whatever became of the file between two runs, it is no baseline, and no new one is collected."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    on_record(tmp_path / "log", baseline.tick(START))
    older = path.read_bytes()
    for name in ("unit:a", "unit:b"):
        baseline.take(name, "llama", 1, START)
        known = on_record(tmp_path / "log", baseline.tick(START))
    damaged(path, older)[how]()
    again = opened(path, first=False, recorded=known)
    assert again.trouble is not None
    assert again.find("unit:a", "llama") is None
    assert not again.collecting(START)
    assert again.tick(START) == []


@pytest.mark.parametrize("how", ["deleted", "truncated", "an older one"])
def test_damage_while_we_run_is_told_and_mended(tmp_path: Path, how: str) -> None:
    """We still know it: the file is written anew, and that somebody else changed it is on record."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    baseline.tick(START)
    older = path.read_bytes()
    baseline.take("unit:a", "llama", 1, START)
    baseline.tick(START)
    damaged(path, older)[how]()
    events = baseline.tick(START)
    assert [standing for standing, _ in told(events)] == ["session", "allowed"]
    again = opened(path, first=False, recorded=on_record(tmp_path / "log", events))
    assert again.find("unit:a", "llama") is not None
    assert baseline.tick(START) == []


@pytest.mark.parametrize("lost", [False, True])
def test_a_note_ends_the_collection(tmp_path: Path, lost: bool) -> None:
    """``learn --accept`` leaves it, and it is on record; a baseline that was lost is let go, and told no more."""
    path = tmp_path / "baseline.json"
    baseline = opened(path, first=not lost)
    if not lost:
        baseline.take("unit:a", "llama", 1, START)
    accept_note(tmp_path).touch()
    events = baseline.tick(START)
    assert [standing for standing, _ in told(events)] == ["session", "allowed"]
    assert not accept_note(tmp_path).exists()
    again = opened(path, first=False, recorded=on_record(tmp_path / "log", events))
    assert again.trouble is None
    assert not again.collecting(START)
    assert (again.find("unit:a", "llama") is None) is lost


def test_what_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """Trouble is kept for whoever asks, and gone after the next save that works."""
    blocked = tmp_path / "state"
    blocked.write_text("a file, not a folder")
    baseline = opened(None)
    baseline._path = blocked / "baseline.json"
    baseline.save()
    assert baseline.trouble is not None
    assert "cannot be written" in baseline.trouble
    blocked.unlink()
    baseline.save()
    assert baseline.trouble is None
    assert (blocked / "baseline.json").exists()


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    """Saving once a second must cost nothing."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    baseline.save()
    path.unlink()
    baseline.save()
    assert not path.exists()


def test_a_trace_of_an_earlier_run_is_seen(tmp_path: Path) -> None:
    """A baseline or a segment; what cannot be looked at counts, since who hides it has a reason."""
    log, state = tmp_path / "log", tmp_path / "baseline.json"
    assert not been_here(state, log)
    log.mkdir()
    assert not been_here(state, log)
    (log / "raw-000001.jsonl.zst").touch()
    assert been_here(state, log)
    state.touch()
    assert been_here(state, tmp_path / "gone")
    assert been_here(tmp_path / ("x" * 300), log)

import os
from datetime import timedelta

from support.making import at, tick

from replguard.config import Stream
from replguard.log.keys import Keys
from replguard.log.recent import PACKED, recent
from replguard.log.segments import Writer


def written(folder, *times):
    """Write a segment of ticks."""
    writer = Writer(
        folder,
        "raw",
        Stream(),
        keys=Keys(folder.with_name("keys") / folder.name),
        boot_id="b",
        buffered=True,
        report=lambda _: None,
    )
    for time in times:
        writer.write(tick(time, time), at(time))
    writer.close(now=at(times[-1]))


def told(found):
    return [event.event.sequence for event in found]


def test_what_was_recorded_since_then_is_told_in_order(tmp_path):
    """Over several segments, without what is older."""
    written(tmp_path, 0, 10)
    written(tmp_path, 20, 30)
    assert told(recent(tmp_path, at(10))) == [10, 20, 30]


def test_segments_of_long_ago_are_not_even_read(tmp_path):
    """They were written to last before the time that is asked about, whatever stands in them."""
    written(tmp_path, 0)
    written(tmp_path, 10)
    os.utime(min(tmp_path.iterdir()), (0, at(-60).timestamp()))
    assert told(recent(tmp_path, at(0) - timedelta(seconds=1))) == [10]


def test_the_newest_are_told_when_all_is_too_much(tmp_path):
    """A start does not wait for gigabytes."""
    written(tmp_path, 0)
    written(tmp_path, 10)
    newest = max(tmp_path.iterdir())
    size = newest.stat().st_size * (PACKED if newest.suffix == ".zst" else 1)
    over = []
    assert told(recent(tmp_path, at(0), most=size, passed_over=over.append)) == [10]
    assert told(recent(tmp_path, at(0), most=1, passed_over=over.append)) == []
    assert over == [1, 2]


def test_nothing_is_passed_over_that_nobody_asked_for(tmp_path):
    """What is older than the time asked about counts for nothing, nor does a log that is read whole."""
    written(tmp_path, 0)
    written(tmp_path, 10)
    os.utime(min(tmp_path.iterdir()), (0, at(-60).timestamp()))
    over = []
    assert told(recent(tmp_path, at(0), passed_over=over.append)) == [10]
    assert told(recent(tmp_path, at(0), most=1, passed_over=over.append)) == []
    assert over == [1]


def test_a_folder_that_is_not_there_tells_nothing(tmp_path):
    """The first start has none; damage is no reason not to start either."""
    assert told(recent(tmp_path / "none", at(0))) == []
    written(tmp_path, 0)
    (tmp_path / "raw-000009.jsonl").write_bytes(b"\0\0{]\n")
    assert told(recent(tmp_path, at(0))) == [0]

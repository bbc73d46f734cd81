"""A power cut at any moment leaves a log that opens again, is whole, and lost no more than it was allowed to."""

import os
import random
import signal
import struct
import time

import pytest
from support import logs
from support.powercut import Disk
from support.programs import Lacking

from replguard.config import Seconds, Stream
from replguard.events.event import Event
from replguard.log import reader

ROUNDS = int(os.environ.get("POWER_CUTS", "5"))
SYNC = float(os.environ.get("POWER_SYNC", "1"))
"""Seconds after which the disk is made to keep what was written."""
RATE = 500
"""Records a second; ticks come each second, as in the daemon."""
TOLD = struct.Struct("<Qd")


def writing(folder, state, limits, pipe):
    """Write without end, and tell each number and when it was written. Never returns."""
    to, tick = logs.writer(folder, state, limits=limits), time.monotonic() + 1
    for number in range(1, 1_000_000):
        to.write(logs.event(number, f"/srv/data/{number}" + "x" * (number % 700)), logs.NOW)
        if number % 10 == 0:
            to.flush(logs.NOW)
            if not to.waiting:
                os.write(pipe, TOLD.pack(number, time.monotonic()))
            time.sleep(10 / RATE)
        if time.monotonic() >= tick:
            tick += 1
            to.tick(logs.NOW)


def cuts(disk, limits, count, longest):
    """Return what was written, number and time, and when the power was cut, each time while the writer went on."""
    folder, state, chance = disk.place / "log", disk.place / "state", random.Random(6)
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            writing(folder, state, limits, sink)
        finally:
            os._exit(1)
    os.close(sink)
    times, told = [], os.read(source, TOLD.size)
    try:
        os.set_blocking(source, False)
        for _ in range(count):
            end = time.monotonic() + chance.random() * longest
            while time.monotonic() < end:
                time.sleep(0.01)
                told += _more(source)
            times.append(time.monotonic())
            disk.cut()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told += _more(source)
        os.close(source)
    return [TOLD.unpack_from(told, at) for at in range(0, len(told) // TOLD.size * TOLD.size, TOLD.size)], times


def _more(source):
    found = b""
    try:
        while some := os.read(source, 65536):
            found += some
    except BlockingIOError:
        pass
    return found


def lost(place, written, cut):
    """Return how many records that were written before a cut are not there, and how old the first of them was."""
    folder, reports = place / "log", []
    to = logs.writer(folder, place / "state", limits=Stream(), report=reports.append)
    logs.fill(to, range(2_000_000, 2_000_020))
    to.close(timeout=60, now=logs.NOW)  # it packs all that is there
    found = logs.found(folder)
    assert found.findings == []
    assert all(report.state == "started" for report in reports), reports
    there = {item.event.sequence for item in reader.events([folder]) if isinstance(item, Event)}
    assert there >= set(range(2_000_000, 2_000_020))
    kept = max(there - set(range(2_000_000, 2_000_020)), default=0)
    assert set(range(min(there), kept + 1)) <= there, "what is there has no gap"
    missing = [(number, when) for number, when in written if when < cut and number > kept]
    return (missing[-1][0] - kept, cut - missing[0][1]) if missing else (0, 0.0)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_power_cut_takes_no_more_than_is_stated(tmp_path, kind):
    """At moments by chance while segments are begun and packed: what is lost is younger than the time to sync says."""
    limits = Stream(max_size=int(SYNC * 2**23), sync=Seconds(SYNC))
    try:
        with Disk(tmp_path, kind) as disk:
            written, times = cuts(disk, limits, ROUNDS, 2 * SYNC)
            disk.gone()
            found = []
            for image, cut in zip(disk.images, times, strict=True):
                with disk.after(image) as place:
                    found.append(lost(place, written, cut))
    except Lacking as reason:
        pytest.skip(str(reason))
    most, oldest = max(number for number, _ in found), max(seconds for _, seconds in found)
    print(f"{kind}, sync {SYNC:g} s, {ROUNDS} cuts: at most {most} records, {oldest:.2f} s")
    # A tick, and a disk that may be busy with other things.
    assert oldest < SYNC + 1 + 2

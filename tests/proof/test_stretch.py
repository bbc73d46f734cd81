"""A log whose times are drawn out: windows are judged by the times of events, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from proof import stretch
from support import asked

from replguard.events.event import Event
from replguard.log import reader
from replguard.log.reader import Fault

MINUTE = timedelta(minutes=1)


def test_times_after_a_moment_are_drawn_out(tmp_path):
    """Those before it, and what could not be read, stay as they are."""
    log = asked.made(tmp_path / "log", tmp_path / "state")
    first, last = log.raw[0].timestamp, log.raw[-1].timestamp
    middle = first + (last - first) / 2
    found = [
        item for item in stretch.stretched([*log.raw, Fault(tmp_path, 1, "bad")], middle, 10) if isinstance(item, Event)
    ]
    assert [one.timestamp for one in found if one.timestamp <= middle] == [
        one.timestamp for one in log.raw if one.timestamp <= middle
    ]
    assert found[-1].timestamp == middle + (last - middle) * 10
    assert len(found) == len(log.raw)


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (4.0, True), (1_000_000.0, False)])
def test_what_falls_out_of_a_window_is_said(tmp_path, factor, same):
    """Drawn out a little all is the same; drawn out to months sequences are torn apart."""
    asked.made(tmp_path / "log", tmp_path / "state")
    config = tmp_path / "replguard.yaml"
    config.write_text(yaml.safe_dump({"state_dir": str(tmp_path / "state"), "log": {"dir": str(tmp_path / "log")}}))
    began = min(item.timestamp for item in reader.events([tmp_path / "log"]) if isinstance(item, Event))
    found = stretch.difference(tmp_path / "log", config, began.timestamp(), factor)
    assert (found == "") is same
    if not same:
        assert "lacks critical self-replication" in found


def test_the_moment_is_in_utc():
    """As the log's own times are."""
    assert datetime.fromtimestamp(0, UTC).tzinfo is UTC

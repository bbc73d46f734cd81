"""How the log of the run before ended."""

from datetime import timedelta

import pytest
from support import logs

from replguard.config import Stream
from replguard.events.event import Event, Meta
from replguard.events.health import Health
from replguard.log import names
from replguard.log.ending import Kept, ending
from replguard.log.keys import Keys

LATER = logs.NOW + timedelta(minutes=10)


def word(state, seconds=0.0, component="daemon"):
    return Event(
        timestamp=logs.NOW + timedelta(seconds=seconds),
        event=Meta(action="sensor_health"),
        health=Health(component=component, state=state),
    )


@pytest.fixture
def run(tmp_path):
    """Return a function that writes a run of the daemon with some words and events, and returns how the log ends."""

    def write(*records, rotate=None):
        to = logs.writer(tmp_path / "log", tmp_path / "state", limits=Stream())
        for number, record in enumerate(records):
            to.write(record if isinstance(record, Event) else logs.event(record), logs.NOW)
            if number == rotate:
                to.flush(logs.NOW)
                to.rotate()
        to.close(now=logs.NOW)
        return ending(tmp_path / "log", Keys(tmp_path / "state" / "log-raw.key").knows)

    return write


def test_a_run_that_was_stopped(run):
    """Whatever comes after its last word."""
    found = run(word("started"), 1, word("ready"), 2, word("stopped", 5), 90)
    assert (found.stopped, found.until, found.boot_id) == (True, logs.NOW + timedelta(seconds=9), "boot")
    assert found.meanwhile(LATER, "boot", Kept()) is None


def test_a_run_that_was_not(run):
    """For how long nobody looked, and whether the host was started meanwhile."""
    found = run(word("started"), 1, word("ready"), word("stopped", component="sensor"), 90)
    told = found.meanwhile(LATER, "boot", Kept(blind={"gpu"}))
    assert told == Health(
        component="daemon",
        state="degraded",
        reason="the run before ended without being stopped, as if it was killed: blind for 591 s, from "
        "2026-01-01T00:00:09Z to 2026-01-01T00:10:00Z",
    )
    assert "the host was started anew: blind for 591 s" in reason(found, Kept(), "another")


def reason(found, kept, boot_id="boot"):
    told = found.meanwhile(LATER, boot_id, kept)
    return told.reason


def test_what_the_kernel_kept_was_seen(run):
    """By whom, by whom not, and whether any of it was lost; that is trouble, and so is what could not be read."""
    found = run(word("started"), 1, word("ready"), 90)
    told = found.meanwhile(LATER, "boot", Kept({"tcp", "exec"}, {"gpu"}))
    assert told.state == "recovered"
    assert told.reason == (
        "the run before ended without being stopped, as if it was killed: what the kernel kept for 591 s, from "
        "2026-01-01T00:00:09Z to 2026-01-01T00:10:00Z, was read, and nothing of it was lost; read by exec, tcp; "
        "nothing of that time was seen by gpu"
    )
    told = found.meanwhile(LATER, "boot", Kept({"names"}))
    assert "what changed in files within 0.3 s before the end may be told by nobody" in told.reason
    told = found.meanwhile(LATER, "boot", Kept({"exec"}, lost=3))
    assert (told.state, told.lost) == ("degraded", 3)
    assert "was read, and 3 losses of it are told; read by exec" in told.reason
    told = found.meanwhile(LATER, "boot", Kept({"exec"}, {"tcp"}, unfit=["tcp: it is not whole"]))
    assert told.state == "degraded"
    assert told.reason.endswith("nothing of that time was seen by tcp; tcp: it is not whole")


def test_a_run_that_was_stopped_had_kept_what_could_not_be_read(run):
    """As after an upgrade: then nothing of the time between was seen, which nobody meant."""
    found = run(word("started"), word("stopped", 5))
    assert reason(found, Kept(unfit=["exec: of another version"])) == (
        "the run before was stopped: blind for 595 s, from 2026-01-01T00:00:05Z to 2026-01-01T00:10:00Z "
        "(exec: of another version)"
    )
    assert reason(found, Kept(["exec"])).startswith("the run before was stopped: what the kernel kept for 595 s, from ")


def test_an_earlier_run_does_not_speak_for_a_later_one(run):
    """It was stopped, and the next one was killed; then the one after that was stopped."""
    assert run(word("started"), word("stopped")).stopped
    assert not run(word("started"), 1).stopped
    assert run(word("started"), word("stopped")).stopped


@pytest.mark.parametrize(("records", "stopped"), [((word("stopped"), 1), True), ((word("ready"), 1), False)])
def test_the_last_word_may_be_in_the_segment_before(run, records, stopped):
    """The daemon stopped as one was full."""
    assert run(word("started"), *records, rotate=1).stopped is stopped


def test_without_a_log_there_is_nothing_to_tell(tmp_path):
    """No folder, an empty one, and one with a segment of nothing."""
    knows = Keys(tmp_path / "key").knows
    assert ending(tmp_path / "log", knows) is None
    (tmp_path / "log").mkdir()
    assert ending(tmp_path / "log", knows) is None
    (tmp_path / "log" / names.name("raw", 1)).write_bytes(b"")
    assert ending(tmp_path / "log", knows) is None


def test_what_was_put_there_does_not_speak_for_the_daemon(run, tmp_path):
    """A segment with a higher number that says it was stopped, and a last line that is no record."""
    assert not run(word("started"), 1).stopped
    ours = tmp_path / "log" / names.name("raw", 1)
    other = logs.writer(tmp_path / "other", tmp_path / "keys")
    other.write(word("stopped"), logs.NOW)
    other.close(now=logs.NOW)
    text = (tmp_path / "other" / names.name("raw", 1)).read_bytes().replace(b'"segment":1', b'"segment":99')
    (tmp_path / "log" / names.name("raw", 99)).write_bytes(text)
    ours.write_bytes(ours.read_bytes() + b"nonsense\n")
    found = ending(tmp_path / "log", Keys(tmp_path / "state" / "log-raw.key").knows)
    assert not found.stopped
    assert abs(found.until.timestamp() - ours.stat().st_mtime) < 1

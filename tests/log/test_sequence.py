import time
from datetime import UTC, datetime

from replguard.events.event import Event, Meta
from replguard.log.sequence import Sequencer

EVENT = Event(timestamp=datetime(2026, 1, 1, tzinfo=UTC), event=Meta(action="process_exec"))
BOOT = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


def test_ids_name_boot_and_place():
    """An id is the boot's first digits and the sequence number, which counts up."""
    sequencer = Sequencer(BOOT, start=7)
    stamped = [sequencer.stamp(EVENT).event for _ in range(2)]
    assert [(meta.id, meta.sequence) for meta in stamped] == [("0a1b2c3d-7", 7), ("0a1b2c3d-8", 8)]


def test_a_later_run_never_repeats():
    """A daemon that starts again on the same boot continues above every number given before."""
    first = Sequencer(BOOT)
    last = [first.stamp(EVENT).event.sequence for _ in range(10)][-1]
    time.sleep(0.001)
    assert Sequencer(BOOT).stamp(EVENT).event.sequence > last


def test_an_unknown_boot_still_gives_ids():
    """Without a boot id there is still an id of the same form."""
    assert Sequencer("", start=1).stamp(EVENT).event.id == "00000000-1"

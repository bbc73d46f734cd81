"""When a checkpoint is due."""

from datetime import UTC, datetime

import pytest

from replguard.events.alert import Alert, AlertContext, AlertMeta, AlertRule, Level
from replguard.events.evidence import Checkpoint
from replguard.evidence import checkpoints
from replguard.evidence.checkpoints import AFTER_ALERT, EVERY, Schedule

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def alert(level: Level, state: str = "firing", real: Level | None = None) -> Alert:
    """An alert of a level."""
    about = AlertContext(schema=1, incident="i", state=state, count=1, first_seen=NOON, last_seen=NOON, real_level=real)
    return Alert(
        timestamp=NOON,
        message="m",
        event=AlertMeta(id="a"),
        rule=AlertRule(id="r", name="r", level=level),
        replguard=about,
    )


def test_there_is_one_at_the_start_and_one_each_hour() -> None:
    """A host on which nothing happens has one an hour."""
    schedule = Schedule()
    assert schedule.is_due(5.0)
    schedule.made(5.0)
    assert not schedule.is_due(5.0 + EVERY - 1)
    assert schedule.is_due(5.0 + EVERY)


@pytest.mark.parametrize(
    ("raised", "soon"),
    [
        (alert("critical"), True),
        (alert("high"), True),
        (alert("medium"), False),
        (alert("low", real="critical"), True),
        (alert("high", "resolved"), False),
    ],
)
def test_a_loud_alert_is_fixed_soon(raised: Alert, soon: bool) -> None:
    """One that is high or critical, also where it is shown as low; and not each of many."""
    schedule = Schedule()
    schedule.made(0.0)
    schedule.raised(raised)
    assert not schedule.is_due(AFTER_ALERT - 1)
    assert schedule.is_due(AFTER_ALERT) is soon
    schedule.made(AFTER_ALERT)
    assert not schedule.is_due(3 * AFTER_ALERT)


def test_a_record_has_an_id_of_its_own() -> None:
    """Made from the note, so that the same checkpoint is the same record."""
    one = Checkpoint(stream="raw", segment=1, size=3, key="k", note="a\n3\nb\n\n— a c\n")
    two = Checkpoint(stream="raw", segment=1, size=4, key="k", note="a\n4\nb\n\n— a c\n")
    first, second = checkpoints.record(one, NOON), checkpoints.record(two, NOON)
    assert first.event.kind == "state"
    assert first.event.id != second.event.id
    assert checkpoints.record(one, NOON) == first

"""What many events say alike."""

import msgspec
import pytest

from replguard.analyser import alike
from replguard.analyser.alike import Alike
from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.fact import Actor, Context
from replguard.events.process import Process, User
from replguard.frames import Events, Resolved


def made(pid: int = 7) -> Event:
    """Make an event as a frame brings it: equal to others, and none of it theirs."""
    actor = Actor(kind="agent", id="a", principal="user:1", name="cp", pid=pid, agent=True)
    event = Event(
        timestamp=clock.now(),
        event=Meta(action="weights_copy"),
        process=Process(pid=pid, entity_id=f"e{pid}", command_line="cp one two"),
        user=User(id=1000, name="one"),
        replguard=Context(actor=actor, lineage=(f"e{pid}", "e1")),
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event)


def test_equal_events_are_made_of_the_same() -> None:
    """They say what they said, each its own time."""
    one, two, first = Alike(), made(), made()
    kept, same = one.event(first), one.event(two)
    assert (kept, same) == (first, two)
    assert kept.process is same.process
    assert kept.user is same.user
    assert kept.replguard is not None
    assert same.replguard is not None
    assert kept.replguard.actor is same.replguard.actor
    assert kept.replguard.lineage is same.replguard.lineage
    assert one.event(made(8)).process != kept.process


def test_frames_go_through_whole() -> None:
    """Those without events are none of its business."""
    one, frame, other = Alike(), Events("run", 3, (made(), made(8))), Resolved(("127.0.0.1",))
    assert one.frame(frame) == frame
    assert one.frame(other) is other


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes there are."""
    monkeypatch.setattr(alike, "MOST", 10)
    one = Alike()
    for pid in range(100):
        one.event(made(pid))
    assert len(one._known) <= 10

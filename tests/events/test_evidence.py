"""The records of the evidence stream that are neither events nor alerts."""

from datetime import UTC, datetime

import msgspec

from replguard.events import evidence, wire
from replguard.events.event import Event, Meta
from replguard.events.process import Process
from replguard.log import reader

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_a_snapshot_is_written_and_read_back():
    """It is one line, and comes back as it was."""
    taken = evidence.Taken(
        timestamp=NOON,
        event=Meta(action=evidence.SNAPSHOT, kind=evidence.STATE, id="boot-1", sequence=1),
        process=Process(pid=7, entity_id="a"),
        snapshot=evidence.Snapshot(
            alert="1",
            incident="2",
            image=evidence.Image(path="/bin/sh", sha256="00"),
            sockets=(evidence.Socket(transport="tcp", local="127.0.0.1:80", state="listen"),),
            missing=("maps: over 256 KiB",),
        ),
    )
    line = wire.encode(taken)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=evidence.Taken) == taken


def test_rules_never_see_a_state(tmp_path):
    """A replay of the evidence stream passes over snapshots, checkpoints and the lineage."""
    happened = Event(timestamp=NOON, event=Meta(action="process_exec", id="boot-1"))
    kept = evidence.Kept(
        timestamp=NOON,
        event=Meta(action=evidence.CHECKPOINT, kind=evidence.STATE),
        checkpoint=evidence.Checkpoint(stream="raw", segment=1, size=3, key="k", note="a\n3\nb\n"),
    )
    above = Event(
        timestamp=NOON, event=Meta(action=evidence.LINEAGE, kind=evidence.STATE), process=Process(pid=1, entity_id="b")
    )
    path = tmp_path / "some.jsonl"
    path.write_bytes(b"".join(wire.encode(each) + b"\n" for each in (kept, happened, above)))
    assert list(reader.events([path])) == [happened]

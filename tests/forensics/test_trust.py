"""What is known of a log from elsewhere, and what it tells of itself."""

import json
import os

import pytest
from support import logs

from replguard.errors import ReplguardError
from replguard.events import wire
from replguard.evidence import checkpoints
from replguard.forensics import trust, verify


@pytest.mark.parametrize("given_", ["x", "A" * 40, ""])
def test_what_is_neither_key_nor_checkpoint_is_refused(given_):
    """With a sentence that says what to give."""
    with pytest.raises(ReplguardError, match="neither a key nor a checkpoint"):
        trust.read(given_)


def test_a_checkpoint_is_read_as_it_is_written(tmp_path):
    """Also with a signature behind it, as others keep them."""
    kept = logs.found(logs.made(tmp_path / "log", tmp_path / "state")).checkpoint
    file = tmp_path / "kept"
    file.write_text(trust.text(kept) + "\n— witness abc=\n")
    assert trust.read(str(file)) == [kept]


def told_of(folder, state, count=40):
    """Make a log of both streams, the evidence of which tells of the other; return what was told."""
    raw, evidence = logs.writer(folder, state, limits=logs.Stream()), logs.writer(folder, state, "evidence")
    made = []
    for first in range(0, count, 10):
        logs.fill(raw, range(first, first + 10))
        assert raw.checkpoint()
        for kept in raw.checkpoints(10):
            made.append(checkpoints.record(kept, logs.NOW))
            evidence.write(made[-1], logs.NOW)
    for writer in (raw, evidence):
        writer.close(now=logs.NOW)
    return made


def findings(folder):
    """Return what is found of the raw stream by itself, and with what the evidence tells."""
    told = trust.told(folder)
    *_, found = verify.stream(folder, "raw", told=told)
    return logs.found(folder).findings, [str(each) for each in found.findings]


def test_the_evidence_tells_of_the_other_stream(tmp_path):
    """Each of its checkpoints holds, and where each stands is told."""
    made = told_of(tmp_path / "log", tmp_path / "state")
    told = trust.told(tmp_path / "log")
    assert [each.kept.size for each in told] == [each.checkpoint.size for each in made]
    assert {each.stream for each in told} == {"raw"}
    assert findings(tmp_path / "log") == ([], [])


def test_a_stream_that_is_written_anew_contradicts_the_other(tmp_path):
    """With its own keys and its own name it is whole by itself."""
    told_of(tmp_path / "log", tmp_path / "state")
    key = (tmp_path / "state" / "log-raw.key").read_bytes()
    for path in list(logs.segments(tmp_path / "log")):
        path.unlink()
    (tmp_path / "state" / "log-raw.key").unlink()
    logs.made(tmp_path / "log", tmp_path / "state", count=40)
    alone, found = findings(tmp_path / "log")
    assert (alone, len(found)) == ([], 1)
    assert "raw is not the log that this tells of" in found[0]
    assert key


def test_a_stream_that_was_cut_contradicts_the_other(tmp_path):
    """Its end is missing, and nothing in it says so."""
    told_of(tmp_path / "log", tmp_path / "state")
    (path,) = logs.segments(tmp_path / "log")
    lines = path.read_bytes().splitlines(keepends=True)
    seals = [number for number, line in enumerate(lines) if b'"seal":' in line]
    path.write_bytes(b"".join(lines[: seals[-2] + 1]))
    alone, found = findings(tmp_path / "log")
    assert alone == []
    assert len(found) == 1
    assert "raw was cut" in found[0]
    assert "evidence-000001.jsonl" in found[0]


def test_what_a_sink_wrote_is_trusted_as_it_is(tmp_path):
    """A line of alerts.jsonl, among alerts: nobody has to cut the note out of it."""
    made = told_of(tmp_path / "log", tmp_path / "state")
    file = tmp_path / "alerts.jsonl"
    file.write_bytes(b'{"event":{"kind":"alert"}}\n' + b"".join(wire.encode(each) + b"\n" for each in made) + b"{torn")
    kept = trust.read(str(file))
    assert [each.size for each in kept] == [each.checkpoint.size for each in made]
    found = logs.found(tmp_path / "log", trust=tuple(kept))
    assert (found.findings, len(found.trusted)) == ([], len(made))


def test_a_record_that_only_looks_like_one_is_none(tmp_path):
    """A program may be named like a checkpoint."""
    folder = tmp_path / "log"
    evidence = logs.writer(folder, tmp_path / "state", "evidence")
    evidence.write(logs.event(1, json.dumps({"event": {"action": "log_checkpoint"}})), logs.NOW)
    evidence.write({"event": {"action": "log_checkpoint"}, "checkpoint": {"note": 3}}, logs.NOW)
    evidence.close(now=logs.NOW)
    assert trust.told(folder) == []


def test_a_key_is_a_key_whatever_file_has_its_name(tmp_path, monkeypatch):
    """In the folder of an attacker's log a file may be called like the key that one trusts."""
    key = "b" * 43 + "="
    (tmp_path / key).write_text("A" * 43 + "=")
    monkeypatch.chdir(tmp_path)
    assert trust.read(key) == [key]


def test_what_stands_in_the_place_of_a_segment_is_told(tmp_path):
    """A link or a pipe is not read; and a stream that the other tells of is missed."""
    told_of(tmp_path / "log", tmp_path / "state")
    folder = tmp_path / "log"
    assert list(verify.lacking(folder, ["raw", "evidence"], trust.told(folder))) == []
    (folder / "raw-000009.jsonl").symlink_to("/dev/null")
    os.mkfifo(folder / "raw-000010.jsonl")
    found = [str(each) for each in verify.lacking(folder, ["raw", "evidence"])]
    assert [each.rpartition("/")[2].partition(":")[0] for each in found] == ["raw-000009.jsonl", "raw-000010.jsonl"]
    told = trust.told(folder)
    for path in folder.glob("raw-*"):
        path.unlink()
    (missed,) = verify.lacking(folder, ["evidence"], told)
    assert "raw has no segment here" in str(missed)

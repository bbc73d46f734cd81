"""What was changed in a bundle is found."""

import base64
import json
import os
import random
import zipfile
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from nacl.signing import SigningKey
from support import bundles, cases, logs

from replguard import __version__
from replguard.events import wire
from replguard.events.alert import Alert
from replguard.forensics import bundle as format_
from replguard.forensics.trust import Checkpoint
from replguard.log import chain, keys, tree
from replguard.log.names import Header


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a bundle, what is in it, and what was kept elsewhere of its log."""
    place = tmp_path_factory.mktemp("made")
    folder = cases.made(place / "log", place / "state")
    path = place / "b.zip"
    path.write_bytes(bundles.made(folder))
    found = logs.found(folder, "evidence")
    return folder, path, bundles.files(path), found.parts[0].header.by, found.checkpoint


PROVING = (format_.RECORDS, format_.PROOFS, format_.HEADERS, format_.CHECKPOINT)


def test_a_whole_one(made):
    """Says how many records are proven, by what, and what each thing that is trusted proves."""
    _, path, files, key, kept = made
    found = bundles.check(path, [key, kept])
    assert (found.findings, found.unproven, found.first_key) == ([], 0, key)
    assert found.records == files["records.jsonl"].count(b"\n")
    assert found.blocks == files["proofs.jsonl"].count(b"\n")
    assert found.trusted == [
        "the key vouches, key by key, for the one that signed the checkpoint",
        "the checkpoint is the one that was kept: nobody changed the records since",
    ]
    assert bundles.check(path).trusted == []


@pytest.mark.parametrize("name", PROVING)
def test_every_byte_that_proves_is_held(made, tmp_path_factory, name):
    """Whichever one a forger changes, with a manifest that fits."""
    _, _, files, key, _ = made
    path = tmp_path_factory.mktemp("forged") / "b.zip"
    data = files[name]

    @settings(max_examples=150)
    @given(st.integers(0, len(data) - 1), st.integers(0, 255))
    def changed(at, byte):
        if data[at] != byte:
            forged = data[:at] + bytes([byte]) + data[at + 1 :]
            bundles.put(path, {**files, name: forged}, forged=True)
            assert bundles.check(path, [key]).findings, (at, byte)

    changed()


@pytest.mark.parametrize("edge", [("zz",), ("ab",), ("é",), (), ("ab" * 32,) * 90])
def test_a_forgers_own_headers_are_none(made, tmp_path, edge):
    """Who makes a bundle up signs what he likes, also a tree that is none."""
    _, _, files, _, _ = made
    key, lines = SigningKey.generate(), []
    for line in files["headers.jsonl"].splitlines():
        header = structs.replace(msgspec.json.decode(line, type=Header), edge=edge, by=keys.public(key))
        header = structs.replace(header, key=keys.public(key))
        signature = keys.text(key.sign(chain.unsigned(header)).signature)
        lines.append(wire.encode(structs.replace(header, signature=signature)) + b"\n")
    forged = {**files, "headers.jsonl": b"".join(lines)}
    found = bundles.check(bundles.put(tmp_path / "b.zip", forged, forged=True))
    assert any("tells of no tree" in each for each in found.findings)


@pytest.mark.parametrize("name", PROVING)
def test_every_line_that_proves_is_held(made, tmp_path, name):
    """None can be left out, told twice, put elsewhere or before the others."""
    _, _, files, key, _ = made
    lines = files[name].split(b"\n")[:-1]
    rand, path = random.Random(5), tmp_path / "b.zip"
    for turn in range(40):
        some = list(lines)
        at = rand.randrange(len(some))
        if turn % 4 == 0:
            del some[at]
        elif turn % 4 == 1:
            some.insert(at, some[at])
        elif turn % 4 == 2:
            some.insert(rand.randrange(len(some)), some.pop(at))
        else:
            some.insert(at, b'{"made":"up"}')
        if some != lines and not (name == format_.HEADERS and some == lines[1:]):
            forged = b"".join(line + b"\n" for line in some)
            bundles.put(path, {**files, name: forged}, forged=True)
            assert bundles.check(path, [key]).findings, (turn, at)


def test_without_the_first_header_its_key_proves_nothing(made, tmp_path):
    """What is left vouches for itself, and not from that key on; the page names that key."""
    _, _, files, key, _ = made
    fewer = files["headers.jsonl"].split(b"\n", 1)[1]
    path = bundles.put(tmp_path / "b.zip", {**files, "headers.jsonl": fewer}, forged=True)
    for trust in ((), [key]):
        found = bundles.check(path, trust)
        assert found.findings == ["report.html or README.txt is not what the records make: it was changed"]
        assert found.trusted == []


def test_the_newest_key_signs_no_other_past(made, tmp_path):
    """Who became root has it, and may sign any tree: each header that was signed before tells what stood there then."""
    folder, _, files, first, _ = made
    last = msgspec.json.decode(files["headers.jsonl"].splitlines()[-1], type=Header)
    held = json.loads((folder.parent / "state" / "log-evidence.key").read_text())["held"]
    keys_ = [SigningKey(base64.b64decode(each["seed"])) for each in held]
    newest = next(key for key in keys_ if keys.public(key) == last.key)
    forged = files["records.jsonl"].splitlines()[0].replace(b"/models/a", b"/models/x")
    before, way = bytes(32), []
    grown = tree.Witness(0, ())
    for number in range(last.size + 1):
        mine = number == 0
        grown.append(chain.link(before, forged) if mine else os.urandom(32), way if mine else None)
    root = grown.end()
    text = chain.checkpoint(last.origin, last.size + 1, root)
    note = keys.note(text, last.origin, last.key, keys.text(newest.sign(text).signature))
    proof = format_.Proof(
        segment=1, first=2, leaf=0, lines=1, before=before.hex(), path=tuple(each.hex() for each in way)
    )
    changed = {
        **files,
        "records.jsonl": forged + b"\n",
        "proofs.jsonl": msgspec.json.encode(proof) + b"\n",
        "checkpoint": note.encode(),
    }
    found = bundles.check(bundles.put(tmp_path / "f.zip", changed, forged=True), [first])
    assert found.head is not None
    assert any("did not stand there when a later segment began" in each for each in found.findings)


@pytest.mark.parametrize("name", ["../../tmp/x", "/etc/evil", "Report.html", "rules/../x.yml"])
def test_only_what_belongs_to_a_bundle_is_in_it(made, tmp_path, name):
    """Also if the manifest names it."""
    _, _, files, _, _ = made
    found = bundles.check(bundles.put(tmp_path / "f.zip", {**files, name: b"x"}, forged=True))
    assert any(each.endswith("was put there") for each in found.findings)


def test_nothing_stands_beside_its_files(made, tmp_path):
    """No bytes before them, and no remark behind."""
    _, path, _, _, _ = made
    (tmp_path / "before.zip").write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    (tmp_path / "remark.zip").write_bytes(path.read_bytes())
    with zipfile.ZipFile(tmp_path / "remark.zip", "a") as archive:
        archive.comment = b"read me"
    for name in ("before.zip", "remark.zip"):
        assert any("holds more than its files" in each for each in bundles.check(tmp_path / name).findings)


def test_a_bundle_of_another_log_is_not_proven(made, tmp_path):
    """Whoever makes up a whole log has other keys."""
    _, _, _, key, kept = made
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    path = tmp_path / "b.zip"
    path.write_bytes(bundles.made(folder))
    assert bundles.check(path).findings == []
    for trust in ([key], [kept], [key, kept]):
        assert bundles.check(path, trust).findings == ["nothing that was given proves it: it may be made up"]


def test_a_checkpoint_of_another_time_or_content(made, tmp_path):
    """The bundle is made at the one that was kept, or says that it is not."""
    folder, path, _, _, kept = made
    before = Checkpoint(kept.origin, kept.size - 1, kept.root)
    assert "make the bundle with `replguard report --checkpoint`" in bundles.check(path, [before]).findings[0]
    assert bundles.check(path, [before, kept]).findings == []
    other = Checkpoint(kept.origin, kept.size, "A" * 43 + "=")
    assert bundles.check(path, [other]).findings == ["it is not of the log of the checkpoint: that was written anew"]
    size = logs.found(folder, "evidence").parts[-1].header.size
    roots = logs.found(folder, "evidence", (Checkpoint(kept.origin, size, "x"),)).parts[-1].roots
    earlier = Checkpoint(kept.origin, size, roots[size])
    again = tmp_path / "b.zip"
    again.write_bytes(bundles.made(folder, earlier))
    assert bundles.check(again, [earlier]).findings == []


def test_the_manifest_says_nothing_that_the_records_do_not(made, tmp_path):
    """Another sentence, incident, alert or rule is found."""
    _, _, files, _, _ = made
    for key, value in (
        ("sentence", "Nothing happened."),
        ("incident", cases.OTHER),
        ("alerts", ["a1"]),
        ("level", "low"),
        ("state", "resolved"),
        ("began", "2020-01-01T00:00:00+00:00"),
        ("host", {"name": "other"}),
        ("missing", []),
    ):
        manifest = json.dumps({**json.loads(files["manifest.json"]), key: value}).encode()
        path = bundles.put(tmp_path / "b.zip", {**files, "manifest.json": manifest})
        assert bundles.check(path).findings[0].startswith("manifest.json: "), key
    rule = next(name for name in files if name.startswith("rules/"))
    path = bundles.put(tmp_path / "b.zip", {**files, rule: b"title: other\n"}, forged=True)
    assert bundles.check(path).findings == [
        "manifest.json: the text of rule self-replication is not the one of the records"
    ]


@pytest.mark.parametrize("name", ["report.html", "README.txt"])
def test_the_page_says_nothing_that_the_records_do_not(made, tmp_path, name):
    """It is made again; one that another version made is said not to be covered, each time."""
    _, path, files, key, _ = made
    forged = {**files, name: files[name].replace(b"log", b"lag")}
    found = bundles.check(bundles.put(tmp_path / "b.zip", forged, forged=True), [key])
    assert found.findings == ["report.html or README.txt is not what the records make: it was changed"]
    other = json.dumps({**json.loads(files["manifest.json"]), "version": "0.0.7\x1b"}).encode()
    found = bundles.check(bundles.put(tmp_path / "b.zip", {**forged, "manifest.json": other}, forged=True), [key])
    assert found.findings == []
    assert found.notes == [
        f"the page is not covered by this proof: made by version 0.0.7\\x1b, and this is {__version__}"
    ]
    assert bundles.check(path).notes == []


def unproven(files, mark):
    """Move the blocks with some records to those that nothing proves."""
    manifest, records = json.loads(files["manifest.json"]), files["records.jsonl"].split(b"\n")[:-1]
    kept, steps, others, at = [], [], [], 0
    for step in files["proofs.jsonl"].splitlines():
        proof = json.loads(step)
        some = records[at : at + proof["lines"]]
        at += proof["lines"]
        if any(mark in line for line in some):
            others += some
            manifest["unproven"] += [
                {"segment": proof["segment"], "line": proof["first"] + n, "why": "not sealed"} for n in range(len(some))
            ]
        else:
            kept, steps = kept + some, [*steps, step]
    parts = {format_.RECORDS: kept, format_.PROOFS: steps, format_.UNPROVEN: others}
    data = {name: b"".join(line + b"\n" for line in lines) for name, lines in parts.items()}
    return {**files, **data, "manifest.json": json.dumps(manifest).encode()}


def test_what_is_said_to_be_unproven_proves_nothing(made, tmp_path):
    """All of it, with any sentence; the alert; a record that it names; and one that is only beside."""
    _, _, files, key, kept = made
    nothing = {**files, **dict.fromkeys(PROVING, b"")}
    nothing = unproven({**nothing, "records.jsonl": files["records.jsonl"], "proofs.jsonl": files["proofs.jsonl"]}, b"")
    nothing["unproven.jsonl"] = nothing["unproven.jsonl"].replace(b"copied llama", b"adored llama")
    nothing["manifest.json"] = nothing["manifest.json"].replace(b"copied llama", b"adored llama")
    path = tmp_path / "b.zip"
    for trust in ((), [key], [kept]):
        found = bundles.check(bundles.put(path, nothing, forged=True), trust)
        assert found.findings, trust
        assert (found.proven, found.trusted) == (None, [])
    for says, mark in (("b2", b'"id":"b2"'), ("ev-3", b'"id":"ev-3"'), ("ev-2", b'"id":"ev-2"')):
        found = bundles.check(bundles.put(path, unproven(files, mark), forged=True), [key, kept])
        assert found.trusted == []
        assert any("nothing proves" in each and says in each for each in found.findings), (says, found.findings)
    beside = unproven(files, b'"id":"ev-60"')
    beside["report.html"] = b"made anew"
    found = bundles.check(bundles.put(path, beside, forged=True), [kept])
    assert not any("nobody changed" in each for each in found.trusted)


def test_a_log_that_was_not_whole_makes_no_whole_bundle(tmp_path):
    """What was wrong with it is said, and what was changed proves nothing."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    logs.plain(folder)
    changed = next(path for path in logs.segments(folder, "evidence") if b"weights_copy" in path.read_bytes())
    changed.write_bytes(changed.read_bytes().replace(b'"size":1073741824', b'"size":1073741825'))
    path = tmp_path / "b.zip"
    path.write_bytes(bundles.made(folder))
    found = bundles.check(path, [logs.found(folder, "evidence").parts[0].header.by])
    assert any(
        "the log was not whole" in each and "this line is not what was written" in each for each in found.findings
    )
    assert found.trusted == []


def test_records_that_make_no_sense_are_no_exception(tmp_path):
    """Whoever makes up a log may sign what he likes: times at the end of all days, or of no zone."""
    for number, when in enumerate(
        (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), cases.at(0).replace(tzinfo=None))
    ):
        told = [
            structs.replace(each, replguard=structs.replace(each.replguard, first_seen=when, last_seen=when))
            if isinstance(each, Alert)
            else each
            for each in cases.records()
        ]
        folder = cases.made(tmp_path / f"log{number}", tmp_path / f"state{number}", cases.records())
        sane, whole = tmp_path / "b.zip", tmp_path / "whole.zip"
        for path in (sane, whole):
            path.write_bytes(bundles.made(folder))
        files = bundles.files(sane)
        odd = b"".join(wire.encode(each) + b"\n" for each in told if isinstance(each, Alert))
        count = odd.count(b"\n")
        manifest = json.loads(files["manifest.json"])
        manifest["unproven"] = [{"segment": 99, "line": 2 + n, "why": "not sealed"} for n in range(count)]
        forged = {**files, "unproven.jsonl": odd, "manifest.json": json.dumps(manifest).encode()}
        found = bundles.check(bundles.put(sane, forged, forged=True))
        assert found.unproven == count
        assert found.findings or found.proven.lead.message == bundles.check(whole).proven.lead.message


def test_what_is_damaged_is_named(made, tmp_path):
    """A file that was changed, is missing, or was put there, though it proves nothing."""
    _, _, files, _, _ = made
    path = tmp_path / "b.zip"
    assert bundles.check(bundles.put(path, {**files, "report.html": b"x"})).findings == ["report.html was changed"]
    assert bundles.check(bundles.put(path, {n: d for n, d in files.items() if n != "README.txt"})).findings == [
        "README.txt is missing"
    ]
    assert bundles.check(bundles.put(path, {**files, "more.exe": b"x"})).findings == ["more.exe was put there"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_bundle_is_told_as_such(made, tmp_path, monkeypatch):
    """Another file, none, a zip file of others, one that holds a file twice or too much."""
    whole, path = made[1], tmp_path / "b.zip"
    path.write_bytes(b"no zip")
    assert "it is no bundle, or damaged" in bundles.check(path).findings[0]
    assert "it is no bundle, or damaged" in bundles.check(tmp_path / "nothing").findings[0]
    assert bundles.check(bundles.put(path, {"a": b"b"})).findings == ["manifest.json is missing or was changed"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert "holds a file twice" in bundles.check(path).findings[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"1")
    assert "packed in another way" in bundles.check(path).findings[0]
    monkeypatch.setattr("replguard.forensics.check.LARGEST", 1000)
    assert "more than 1000 bytes" in bundles.check(whole).findings[0]


def test_no_bytes_are_an_exception(made, tmp_path):
    """Whatever a file is that calls itself a bundle."""
    _, whole, _, key, kept = made
    rand, data, path = random.Random(11), whole.read_bytes(), tmp_path / "b.zip"
    for _ in range(300):
        some = bytearray(data)
        for _ in range(rand.randrange(1, 6)):
            some[rand.randrange(len(some))] = rand.randrange(256)
        path.write_bytes(some[: rand.randrange(len(some))] if rand.random() < 0.2 else some)
        bundles.check(path, [key, kept])
    assert bundles.check(whole, [key, kept]).findings == []

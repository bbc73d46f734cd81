"""What was changed in a bundle is found."""

import json
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import bundles, cases, logs

from replguard.forensics import bundle as format_
from replguard.forensics.check import check
from replguard.forensics.trust import Checkpoint


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
    found = check(path, [key, kept])
    assert (found.findings, found.unproven, found.first_key) == ([], 0, key)
    assert found.records == files["records.jsonl"].count(b"\n")
    assert found.blocks == files["proofs.jsonl"].count(b"\n")
    assert found.trusted == [
        "the key vouches, key by key, for the one that signed the checkpoint",
        "the checkpoint is the one that was kept: nobody changed the records since",
    ]
    assert check(path).trusted == []


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
            assert check(path, [key]).findings, (at, byte)

    changed()


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
            assert check(path, [key]).findings, (turn, at)


def test_without_the_first_header_its_key_proves_nothing(made, tmp_path):
    """What is left vouches for itself, and not from that key on."""
    _, _, files, key, _ = made
    fewer = files["headers.jsonl"].split(b"\n", 1)[1]
    path = bundles.put(tmp_path / "b.zip", {**files, "headers.jsonl": fewer}, forged=True)
    assert check(path).findings == []
    assert check(path, [key]).findings == ["nothing that was given proves it: it may be made up"]


def test_a_bundle_of_another_log_is_not_proven(made, tmp_path):
    """Whoever makes up a whole log has other keys."""
    _, _, _, key, kept = made
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    path = tmp_path / "b.zip"
    path.write_bytes(bundles.made(folder))
    assert check(path).findings == []
    for trust in ([key], [kept], [key, kept]):
        assert check(path, trust).findings == ["nothing that was given proves it: it may be made up"]


def test_a_checkpoint_of_another_time_or_content(made, tmp_path):
    """The bundle is made at the one that was kept, or says that it is not."""
    folder, path, _, _, kept = made
    before = Checkpoint(kept.origin, kept.size - 1, kept.root)
    assert "make the bundle with `replguard report --checkpoint`" in check(path, [before]).findings[0]
    assert check(path, [before, kept]).findings == []
    other = Checkpoint(kept.origin, kept.size, "A" * 43 + "=")
    assert check(path, [other]).findings == ["it is not of the log of the checkpoint: that was written anew"]
    size = logs.found(folder, "evidence").parts[-1].header.size
    roots = logs.found(folder, "evidence", (Checkpoint(kept.origin, size, "x"),)).parts[-1].roots
    earlier = Checkpoint(kept.origin, size, roots[size])
    again = tmp_path / "b.zip"
    again.write_bytes(bundles.made(folder, earlier))
    assert check(again, [earlier]).findings == []


def test_the_manifest_says_nothing_that_the_records_do_not(made, tmp_path):
    """Another sentence, incident, alert or rule is found."""
    _, _, files, _, _ = made
    for key, value in (("sentence", "Nothing happened."), ("incident", cases.OTHER), ("alerts", ["a1"])):
        manifest = json.dumps({**json.loads(files["manifest.json"]), key: value}).encode()
        path = bundles.put(tmp_path / "b.zip", {**files, "manifest.json": manifest})
        assert check(path).findings[0].startswith("manifest.json: "), key
    rule = next(name for name in files if name.startswith("rules/"))
    path = bundles.put(tmp_path / "b.zip", {**files, rule: b"title: other\n"}, forged=True)
    assert check(path).findings == ["manifest.json: the text of rule self-replication is not the one of the records"]


def test_what_is_damaged_is_named(made, tmp_path):
    """A file that was changed, is missing, or was put there, though it proves nothing."""
    _, _, files, _, _ = made
    path = tmp_path / "b.zip"
    assert check(bundles.put(path, {**files, "report.html": b"x"})).findings == ["report.html was changed"]
    assert check(bundles.put(path, {n: d for n, d in files.items() if n != "README.txt"})).findings == [
        "README.txt is missing"
    ]
    assert check(bundles.put(path, {**files, "more.exe": b"x"})).findings == ["more.exe was put there"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_bundle_is_told_as_such(made, tmp_path, monkeypatch):
    """Another file, none, a zip file of others, one that holds a file twice or too much."""
    whole, path = made[1], tmp_path / "b.zip"
    path.write_bytes(b"no zip")
    assert "it is no bundle, or damaged" in check(path).findings[0]
    assert "it is no bundle, or damaged" in check(tmp_path / "nothing").findings[0]
    assert check(bundles.put(path, {"a": b"b"})).findings == ["manifest.json is missing or was changed"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert "holds a file twice" in check(path).findings[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"1")
    assert "packed in another way" in check(path).findings[0]
    monkeypatch.setattr("replguard.forensics.check.LARGEST", 1000)
    assert "more than 1000 bytes" in check(whole).findings[0]


def test_no_bytes_are_an_exception(made, tmp_path):
    """Whatever a file is that calls itself a bundle."""
    _, whole, _, key, kept = made
    rand, data, path = random.Random(11), whole.read_bytes(), tmp_path / "b.zip"
    for _ in range(300):
        some = bytearray(data)
        for _ in range(rand.randrange(1, 6)):
            some[rand.randrange(len(some))] = rand.randrange(256)
        path.write_bytes(some[: rand.randrange(len(some))] if rand.random() < 0.2 else some)
        check(path, [key, kept])
    assert check(whole, [key, kept]).findings == []

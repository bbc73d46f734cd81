"""What was changed in a log is found and named."""

import functools
import json
import os
import random
import shutil
import signal
import time
from itertools import pairwise

import msgspec
import pytest
import zstandard
from support import logs

from replguard.events import wire
from replguard.forensics import trust, verify
from replguard.log import archive, chain, names, reader, walk
from replguard.log.keys import Keys
from replguard.log.names import Header
from replguard.log.reader import Fault


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Give a log of at least five segments, not compressed, and the folder of its keys."""
    place = tmp_path_factory.mktemp("original")
    logs.plain(logs.made(place / "log", place / "state"))
    assert len(list(logs.segments(place / "log"))) >= 5
    return place


@pytest.fixture
def log(original, tmp_path):
    """Give a copy of it."""
    return logs.copied(original / "log", tmp_path / "log")


class Text:
    """The lines of one segment of a log, to be changed."""

    def __init__(self, folder, number):
        self.path = folder / names.name("raw", number)
        self.lines = self.path.read_bytes().splitlines()

    def save(self, end=b"\n"):
        self.path.write_bytes(b"\n".join(self.lines) + end)

    def places(self, what="record"):
        """Return where the lines of a kind are."""
        kinds = {"seal": b'{"log":"replguard","seal"', "record": b'{"@timestamp"'}
        return [place for place, line in enumerate(self.lines) if line.startswith(kinds[what])]

    def blocks(self):
        """Return the slices of the blocks, each with its seal."""
        ends = [0, *self.places("seal")]
        return [slice(start + 1, end + 1) for start, end in pairwise(ends)]


def changed(line, **values):
    """Return a line of ours with other values."""
    return json.dumps({**json.loads(line), **values}, separators=(",", ":")).encode()


def edit(what, which, how, *, named=True):
    """Return a change of one line of the third segment, which returns the line where it is to be found."""

    def change(folder):
        text = Text(folder, 3)
        place = 0 if what == "header" else text.places(what)[which]
        before = text.lines[place]
        text.lines[place] = how(before)
        assert text.lines[place] != before
        text.save()
        return place + 1 if named else None

    return change


def lines(how):
    """Return a change of the lines of the third segment; ``how`` returns where it is to be found, or None."""

    def change(folder):
        text = Text(folder, 3)
        before = list(text.lines)
        found = how(text)
        assert text.lines != before
        text.save()
        return found

    return change


def _remove(text, place):
    del text.lines[place]
    return place + 1


def _insert(text, place, line):
    text.lines.insert(place, line)
    return place + 1


def _swap(text, one, other):
    text.lines[one], text.lines[other] = text.lines[other], text.lines[one]
    return min(one, other) + 1


def _move(text, place, to):
    text.lines.insert(to, text.lines.pop(place))
    return min(place, to) + 1


def _cut(text, place):
    del text.lines[place:]


def _block(text, number, new=()):
    text.lines[text.blocks()[number]] = new


def _other(text, number):
    return Text(text.path.parent, number)


def flip(line, at=0.5):
    place = int(len(line) * at)
    return line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]


HEX, BASE = "0" * 64, "A" * 43 + "="
SIGNATURE = "A" * 86 + "=="
EDITS = {
    "a bit of the first record": edit("record", 0, flip),
    "a bit of a record": edit("record", 4, flip),
    "a bit of the last record": edit("record", -1, flip),
    "the first byte of a record": edit("record", 4, lambda line: b" " + line[1:]),
    "the last byte of a record": edit("record", 4, lambda line: line[:-1] + b" "),
    "a path, as long as before": edit("record", 5, lambda line: line.replace(b"/srv/data", b"/tmp/data")),
    "a time": edit("record", 5, lambda line: line.replace(b"2026-01-01", b"2026-01-02")),
    "a sequence number": edit("record", 5, lambda line: changed(line, sequence=1)),
    "a blank, which means nothing": edit("record", 5, lambda line: line.replace(b":", b": ", 1)),
    "the order of keys": edit("record", 5, lambda line: json.dumps(dict(reversed(json.loads(line).items()))).encode()),
    "an empty record": edit("record", 5, lambda _: b"{}"),
    "an empty line": edit("record", 5, lambda _: b""),
    "a carriage return": edit("record", 5, lambda line: line + b"\r"),
    "a NUL": edit("record", 5, lambda line: line + b"\0"),
    "another escape": edit("record", 5, lambda line: line.replace(b"/srv", b"\\/srv")),
    "the header's boot": edit("header", 0, lambda line: changed(line, boot_id="x")),
    "the header's host": edit("header", 0, lambda line: changed(line, host={"name": "gpu2"})),
    "the header's place": edit("header", 0, lambda line: changed(line, prev=HEX)),
    "the header's tree": edit("header", 0, lambda line: changed(line, size=99)),
    "the header's edge": edit("header", 0, lambda line: changed(line, edge=[HEX])),
    "the header's key": edit("header", 0, lambda line: changed(line, key=BASE)),
    "who vouches for the header": edit("header", 0, lambda line: changed(line, by=BASE)),
    "the header's signature": edit("header", 0, lambda line: changed(line, signature=SIGNATURE)),
    "the header's oldest": edit("header", 0, lambda line: changed(line, oldest=3)),
    "the header's origin": edit("header", 0, lambda line: changed(line, origin="x")),
    "a header without a key": edit("header", 0, lambda line: changed(line, key=None)),
    "a blank in the header": edit("header", 0, lambda line: line.replace(b":", b": ", 1)),
    "a seal's hash": edit("seal", 1, lambda line: changed(line, chain=HEX)),
    "a seal's marks": edit("seal", 1, lambda line: line.replace(b'"marks":"', b'"marks":"00000000'), named=False),
    "a seal's signature": edit("seal", 1, lambda line: changed(line, signature=SIGNATURE)),
    "a seal's number": edit("seal", 1, lambda line: changed(line, seal=1)),
    "a seal that is none": edit("seal", 1, lambda _: b'{"log":"replguard","seal":{}}'),
    "a blank in a seal": edit("seal", 1, lambda line: line.replace(b',"marks"', b', "marks"')),
    "a blank at the end of the last seal": edit("seal", -1, lambda line: line + b" "),
    "a record removed": lines(lambda text: _remove(text, text.places()[3])),
    "the first record removed": lines(lambda text: _remove(text, text.places()[0])),
    "the last record removed": lines(lambda text: _remove(text, text.places()[-1])),
    "a record inserted": lines(lambda text: _insert(text, 4, _other(text, 2).lines[3])),
    "a record twice": lines(lambda text: _insert(text, 4, text.lines[3])),
    "two records changed places": lines(lambda text: _swap(text, 2, 4)),
    "a record moved to another block": lines(lambda text: _move(text, 2, text.blocks()[1].stop - 2)),
    "a seal removed": lines(lambda text: _remove(text, text.places("seal")[0]) and None),
    "the last seal removed": lines(lambda text: _remove(text, text.places("seal")[-1]) and None),
    "a seal twice": lines(lambda text: _insert(text, text.places("seal")[0] + 1, text.lines[text.places("seal")[0]])),
    "two seals changed places": lines(lambda text: _swap(text, *text.places("seal")[:2]) and None),
    "a seal moved to the front": lines(lambda text: _move(text, text.places("seal")[1], 2) and None),
    "the header removed": lines(lambda text: _remove(text, 0)),
    "the header twice": lines(lambda text: _insert(text, 1, text.lines[0])),
    "a block removed": lines(lambda text: _block(text, 1)),
    "the first block removed": lines(lambda text: _block(text, 0)),
    "the last block removed": lines(lambda text: _block(text, -1)),
    "a block of another segment": lines(lambda text: _block(text, 1, (o := _other(text, 2)).lines[o.blocks()[1]])),
    "a block twice": lines(lambda text: text.lines.extend(text.lines[text.blocks()[-1]])),
    "cut behind a seal": lines(lambda text: _cut(text, text.places("seal")[1] + 1)),
    "cut behind a record": lines(lambda text: _cut(text, text.places()[3] + 1)),
    "cut to the header": lines(lambda text: _cut(text, 1)),
    "records behind the last seal": lines(lambda text: text.lines.append(text.lines[2])),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_change_is_found_and_named(log, name):
    """By its segment, and by its line where the seal tells."""
    line = EDITS[name](log)
    findings = logs.found(log).findings
    assert findings, name
    assert findings[0].path.name == names.name("raw", 3), findings
    if line is not None:
        assert findings[0].line == line, findings


def _rename(folder, one, other):
    (folder / names.name("raw", one)).rename(folder / names.name("raw", other))


def _changed_places(folder):
    _rename(folder, 2, 99)
    _rename(folder, 3, 2)
    _rename(folder, 99, 3)


def _torn(folder):
    path = folder / names.name("raw", 3)
    path.write_bytes(path.read_bytes()[:-20])


def _packed(folder, change):
    path = folder / names.name("raw", 3)
    archive.compress(path)
    packed = path.with_name(path.name + names.ZSTD)
    packed.write_bytes(change(packed.read_bytes()))


def _packed_anew(folder):
    EDITS["a bit of a record"](folder)
    archive.compress(folder / names.name("raw", 3))


def _another_log(folder):
    other = logs.made(folder.parent / "other", folder.parent / "state")
    logs.plain(other)
    shutil.copy(other / names.name("raw", 3), folder)


FILES = {
    "a segment removed": (lambda folder: (folder / names.name("raw", 3)).unlink(), "raw segment 3 is missing"),
    "two segments removed": (
        lambda folder: [(folder / names.name("raw", number)).unlink() for number in (3, 4)],
        "raw segments 3 to 4 are missing",
    ),
    "the first segments removed": (
        lambda folder: [(folder / names.name("raw", number)).unlink() for number in (1, 2)],
        "raw segments 1 to 2 are missing: the newest segment tells that they are kept",
    ),
    "two segments changed places": (_changed_places, "raw-000002.jsonl:1: this is segment 3 of raw"),
    "a segment twice": (
        lambda folder: shutil.copy(folder / names.name("raw", 3), folder / names.name("raw", 99)),
        "raw-000099.jsonl:1: this is segment 3 of raw",
    ),
    "a segment of the other stream": (
        lambda folder: (folder / names.name("raw", 3)).rename(folder / names.name("evidence", 3)),
        "raw segment 3 is missing",
    ),
    "a segment emptied": (
        lambda folder: (folder / names.name("raw", 3)).write_bytes(b""),
        "raw-000003.jsonl: is empty, and was not",
    ),
    "a segment of zeros": (lambda folder: (folder / names.name("raw", 3)).write_bytes(bytes(5000)), "raw-000003.jsonl"),
    "a line torn in the middle": (_torn, "raw-000003.jsonl"),
    "a packed segment cut": (lambda folder: _packed(folder, lambda data: data[:-50]), "raw-000003.jsonl.zst: damaged"),
    "a packed segment damaged": (
        lambda folder: _packed(folder, lambda data: flip(data, 0.6)),
        "raw-000003.jsonl.zst: damaged",
    ),
    "a packed segment changed": (_packed_anew, "raw-000003.jsonl.zst:"),
    "a segment of another log": (_another_log, "the key of the segment before does not vouch"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_files_is_found(log, name):
    """What is missing, put there, or stands in another place."""
    change, sentence = FILES[name]
    change(log)
    findings = [str(each) for each in logs.found(log).findings]
    assert any(sentence in each for each in findings), findings


def test_there_are_many_kinds_of_change():
    """At least forty, of lines and of files."""
    assert len(EDITS) + len(FILES) >= 40


def test_nothing_is_found_in_what_was_not_changed(original):
    """Whether its segments are compressed or not."""
    found = logs.found(original / "log")
    assert (found.findings, found.records, found.trusted) == ([], 120, [])


def test_no_byte_can_be_changed(log):
    """Ten thousand changes of one byte, anywhere and to anything: each is found."""
    segments = names.segments(log, "raw")
    parts, chance = [walk.part(segment) for segment in segments], random.Random(6)
    texts = [segment.path.read_bytes() for segment in segments]
    assert verify.judged("raw", parts).findings == []
    for _ in range(10_000):
        which = chance.randrange(len(segments))
        data, path = bytearray(texts[which]), segments[which].path
        at = chance.randrange(len(data))
        data[at] ^= chance.randrange(1, 256)
        path.write_bytes(data)
        found = verify.judged("raw", [*parts[:which], walk.part(segments[which]), *parts[which + 1 :]])
        is_end = which == len(segments) - 1 and at == len(data) - 1  # a crash leaves a last line without its end
        assert found.findings or (is_end and found.parts[-1].torn), (which, at)
        path.write_bytes(texts[which])


class Forger:
    """Root, who has everything that is on the host: the log, and the key in use. Writes segments anew from one on."""

    def __init__(self, folder, state):
        self.folder, self.state = folder, state

    def rewrite(self, first, drop):
        """Write the log anew from a segment on, without the records that contain some bytes."""
        keys = Keys(self.state / "log-raw.key")
        texts = [Text(self.folder, number) for number in range(1, len(list(logs.segments(self.folder))) + 1)]
        before = msgspec.json.decode(texts[first - 1].lines[0], type=Header)
        tree = chain.Tree(before.size, [bytes.fromhex(each) for each in before.edge])
        place = chain.Place(bytes.fromhex(before.prev), tree)
        held = msgspec.json.decode(texts[-1].lines[0], type=Header).key
        assert keys.open(held)
        forged = chain.Chain(keys, place, before.origin)
        for text in texts[first - 1 :]:
            header = msgspec.json.decode(text.lines[0], type=Header)
            line = forged.header(header)
            forged.begin(line)
            forged.begun()
            text.lines = [line, *self._lines(forged, text.lines[1:], drop)]
            text.save()

    @staticmethod
    def _lines(forged, old, drop):
        for line in old:
            if line.startswith(b'{"log"'):
                if forged.is_open:
                    yield forged.seal()
            elif drop not in line:
                forged.place.take(line)
                yield line


def test_root_cannot_change_what_is_older_than_the_key_in_use(original, tmp_path):
    """Without the keys that signed it: those were forgotten. The first forged segment is vouched for by nobody."""
    folder = logs.copied(original / "log", tmp_path / "log")
    Forger(folder, logs.copied(original / "state", tmp_path / "state")).rewrite(3, b"file-50")
    findings = [str(each) for each in logs.found(folder).findings]
    assert findings == [
        f"{folder}/raw-000003.jsonl:1: the key of the segment before does not vouch for the key of this one"
    ]


def test_who_writes_all_anew_is_found_by_what_was_kept_elsewhere(original, tmp_path):
    """A checkpoint or the first key; without either nobody can tell, and verify says so."""
    kept = logs.found(original / "log").checkpoint
    first = logs.found(original / "log").parts[0].header.key
    folder = logs.copied(original / "log", tmp_path / "log")
    Forger(folder, logs.copied(original / "state", tmp_path / "state")).rewrite(1, b"file-50")
    found = logs.found(folder)
    assert (found.findings, found.trusted) == ([], [])
    assert found.records < 120
    found = logs.found(folder, trust=(kept,))
    assert "it was written anew" in str(found.findings)
    assert verify.unknown([found], [first]) == [
        f"no stream here has the key {first}: what it proves was removed, or is another log"
    ]


def test_what_is_trusted_says_what_it_proves(original, tmp_path):
    """A checkpoint proves what was before it, also when the log went on; a key what follows its segment."""
    found = logs.found(original / "log")
    kept, first = found.checkpoint, found.parts[0].header.key
    folder = logs.copied(original / "log", tmp_path / "log")
    logs.made(folder, logs.copied(original / "state", tmp_path / "state"), count=20)
    found = logs.found(folder, trust=(kept, first))
    assert found.findings == []
    assert found.trusted == [
        f"the checkpoint proves all up to block {kept.size}: nobody changed it since",
        "the key proves raw-000001.jsonl.zst, what it follows, and key by key what follows it",
    ]


def test_a_log_that_was_cut_is_found_by_a_checkpoint(original, tmp_path):
    """The last segment, or the last blocks of it: nothing in the log tells."""
    kept = logs.found(original / "log").checkpoint
    folder = logs.copied(original / "log", tmp_path / "log")
    *_, last = logs.segments(folder)
    last.unlink()
    assert logs.found(folder).findings == []
    found = logs.found(folder, trust=(kept,))
    assert f"raw was cut: it has {found.parts[-1].end.tree.size} blocks, and the checkpoint is of {kept.size}" in str(
        found.findings
    )


def test_what_the_limits_removed_is_no_finding(tmp_path):
    """The newest header says from where on the log is kept, before anything is removed."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=1500)
    found = logs.found(folder)
    assert found.parts[0].header.segment > 1
    assert found.findings == []
    next(logs.segments(folder)).unlink()
    assert "missing: the newest segment tells that they are kept" in str(logs.found(folder).findings)


def test_segments_from_before_the_chain_are_left_alone(tmp_path):
    """An older version wrote them; the chain begins behind them, and cannot be left again."""
    folder = tmp_path / "log"
    folder.mkdir()
    old = wire.encode(Header(stream="raw", segment=1, boot_id="b")) + b"\n" + wire.encode(logs.event(1)) + b"\n"
    (folder / names.name("raw", 1)).write_bytes(old)
    logs.made(folder, tmp_path / "state")
    found = logs.found(folder)
    assert (found.findings, found.parts[0].header.key) == ([], None)
    after = found.parts[-1].header.segment + 1
    (folder / names.name("raw", after)).write_bytes(old.replace(b'"segment":1', b'"segment":%d' % after))
    assert "it was put there" in str(logs.found(folder).findings)


def unchained(number, *records):
    """Return a segment as a version before the chain wrote it."""
    lines = [Header(stream="raw", segment=number, boot_id="b"), *records]
    return b"".join(wire.encode(line) + b"\n" for line in lines)


def test_segments_of_before_the_chain_cannot_take_the_place_of_others(original, log):
    """Nobody needs a key for one; the next segment says what it follows, and a checkpoint proves nothing then."""
    kept = logs.found(original / "log").checkpoint
    *_, last = names.segments(log, "raw")
    for segment in names.segments(log, "raw")[:-1]:
        segment.path.write_bytes(unchained(segment.number, logs.event(1, "/forged")))
    found = logs.found(log, trust=(kept,))
    assert "it was put there" in str(found.findings)
    assert found.trusted == []
    assert last.path.exists()


def test_a_segment_that_stands_twice_is_one(log):
    """Whoever reads takes the packed one, and so does verify; another beside it is found, and other names are none."""
    path = log / names.name("raw", 3)
    genuine = path.read_bytes()
    forged = genuine.replace(b"/srv/data", b"/srv/evil")
    path.write_bytes(forged)
    archive.compress(path)
    path.write_bytes(genuine)
    findings = [str(each) for each in logs.found(log).findings]
    assert any("this line is not what was written" in each for each in findings)
    assert any("stands here twice" in each for each in findings)
    path.with_name(path.name + names.ZSTD).unlink()
    (log / "raw-0000003.jsonl").write_bytes(forged)
    assert logs.found(log).findings == []
    assert not any("evil" in record.data.decode() for record in reader.records([log]))


def test_a_record_without_an_end_is_none(log):
    """Nothing vouches for what stands behind the last line: it is told, and nobody reads it."""
    path = log / names.name("raw", 3)
    path.write_bytes(path.read_bytes() + wire.encode(logs.event(7, "/forged")))
    assert logs.found(log).parts[2].torn
    (fault,) = [each for each in reader.records([log]) if isinstance(each, Fault)]
    assert "raw-000003.jsonl" in str(fault)
    assert "has no end" in str(fault)


def test_a_key_that_signed_nothing_here_proves_nothing(original, tmp_path):
    """Its name in a header that somebody else signed is nothing but a name."""
    first = logs.found(original / "log").parts[0].header.key
    folder, state = tmp_path / "log", tmp_path / "state"
    logs.plain(logs.made(folder, state))
    *_, last = names.segments(folder, "raw")
    before = walk.part(last)
    keys = Keys(state / "log-raw.key")
    assert keys.open(before.header.key)
    told = Header(stream="raw", segment=last.number + 1, boot_id="b", origin=before.header.origin, key=first)
    told = msgspec.structs.replace(told, by=keys.public, prev=before.end.chain.hex(), size=before.end.tree.size)
    told = msgspec.structs.replace(told, edge=tuple(each.hex() for each in before.end.tree.edge))
    told = msgspec.structs.replace(told, signature=keys.sign(chain.unsigned(told)))
    (folder / names.name("raw", last.number + 1)).write_bytes(wire.encode(told) + b"\n")
    assert logs.found(folder).findings == []
    found = logs.found(folder, trust=(first,))
    assert found.trusted == []
    assert found.unproven
    assert verify.unknown([found], [first])


@pytest.mark.parametrize("claim", ["by", "origin", "prev", "size", "edge"])
def test_a_header_without_a_key_claims_nothing(original, tmp_path, claim):
    """Anybody can name a key that is known: the public half of it proves nothing."""
    kept = logs.found(original / "log")
    first = kept.parts[0].header
    claims = {"by": first.by, "origin": first.origin, "prev": "00" * 32, "size": 2**20, "edge": ("00" * 32,)}
    header = Header(stream="raw", segment=1, boot_id="b", **{claim: claims[claim]})
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / names.name("raw", 1)).write_bytes(wire.encode(header) + b"\n" + wire.encode(logs.event(1)) + b"\n")
    found = logs.found(folder, trust=(first.by, kept.checkpoint))
    assert found.findings
    assert found.trusted == []


def test_a_checkpoint_of_what_was_removed_is_told_as_such(original, tmp_path):
    """Beside a key that proves the rest: it is not passed over in silence."""
    folder = logs.copied(original / "log", tmp_path / "log")
    kept = logs.found(folder)
    sizes = [part.end.tree.size for part in kept.parts]
    roots = logs.found(folder, trust=(trust.Checkpoint(kept.checkpoint.origin, sizes[0], "x"),)).parts[0].roots
    first = trust.Checkpoint(kept.checkpoint.origin, sizes[0], roots[sizes[0]])
    for segment in names.segments(folder, "raw")[:2]:
        segment.path.unlink()
    found = logs.found(folder, trust=(kept.parts[2].header.key, first))
    assert any("is of what was removed since" in each for each in found.idle)


def test_a_made_up_start_is_not_proven(original, tmp_path):
    """A log that begins behind the checkpoint: what was given has to prove something."""
    kept = logs.found(original / "log").checkpoint
    folder = logs.copied(original / "log", tmp_path / "log")
    for segment in names.segments(folder, "raw")[:-1]:
        segment.path.unlink()
    text = Text(folder, names.segments(folder, "raw")[0].number)
    header = msgspec.json.decode(text.lines[0], type=Header)
    keys = Keys(tmp_path / "key")
    keys.open(None)
    forged = chain.Chain(keys, chain.Place(bytes(32), chain.Tree(2**20, [bytes(32)])), kept.origin)
    line = forged.header(msgspec.structs.replace(header, oldest=header.segment))
    forged.begin(line)
    forged.begun()
    text.lines = [line, *Forger._lines(forged, text.lines[1:], b"nothing")]
    text.save()
    assert logs.found(folder).findings == []
    assert logs.found(folder, trust=(kept,)).unproven


@pytest.mark.parametrize("count", [chain.BLOCK, chain.BLOCK + 1])
def test_no_more_than_a_block_is_without_a_seal(log, count):
    """A crash leaves that much; more was put there."""
    *_, last = names.segments(log, "raw")
    text = Text(log, last.number)
    text.lines = [text.lines[0], *(wire.encode(logs.event(number)) for number in range(count))]
    text.save()
    findings = [str(each) for each in logs.found(log).findings]
    assert any("no seal covers the 1024 lines" in each for each in findings) is (count > chain.BLOCK)


def test_a_bomb_is_left_at_once(log):
    """A small file that unpacks to a hundred million lines costs a block."""
    path = log / names.name("raw", 3)
    data = path.read_bytes().splitlines()[0] + b"\n" + b"\n" * 50_000_000
    path.with_name(path.name + names.ZSTD).write_bytes(zstandard.compress(data))
    path.unlink()
    began = time.thread_time()
    found = logs.found(log)
    assert time.thread_time() - began < 2
    assert 1 < len(found.findings) < 10


def test_only_files_are_segments(log):
    """A pipe under the name of one would hold up whoever opens it; a link leads elsewhere."""
    os.mkfifo(log / names.name("raw", 98))
    (log / names.name("raw", 99)).symlink_to(log / names.name("raw", 1))
    assert logs.found(log).findings == []


def test_a_log_that_is_being_written_may_change_meanwhile(log):
    """A segment is packed, or removed by the limits, between the listing and the look at it."""
    listed = names.segments(log, "raw")
    archive.compress(listed[2].path)
    listed[0].path.unlink()
    parts = [walk.part(segment) for segment in listed]
    assert parts[2].path.name.endswith(names.ZSTD)
    assert "raw segment 1 is missing" in str(verify.judged("raw", parts).findings)
    parts[-1].header = msgspec.structs.replace(parts[-1].header, oldest=2)
    assert verify.judged("raw", parts).findings == []


def test_who_is_killed_for_want_of_memory_is_done_without(log, monkeypatch):
    """What was not gone through yet is gone through here, each segment once."""
    monkeypatch.setattr(verify, "SMALL", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    whole = logs.found(log)
    monkeypatch.setattr(verify, "part", functools.partial(_killed_but_in, os.getpid()))
    found = logs.found(log)
    assert found.findings == []
    assert [part.number for part in found.parts] == [part.number for part in whole.parts]
    assert found.records == whole.records


def _killed_but_in(tester, segment, sizes):
    """Go along a segment; whoever is not the tester dies at the third."""
    if segment.number == 3 and os.getpid() != tester:
        os.kill(os.getpid(), signal.SIGKILL)
    return walk.part(segment, sizes)

import os
from datetime import UTC, datetime

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.log import reader, segments
from replguard.log.names import Header
from replguard.log.reader import Fault, Record

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def line(number):
    return (
        wire.encode(Event(timestamp=NOW, event=Meta(action="file_create", id=f"b-{number}", sequence=number))) + b"\n"
    )


def header(number):
    return wire.encode(Header(stream="raw", segment=number, boot_id="b")) + b"\n"


def read(*paths):
    return [i.event.sequence if isinstance(i, Event) else str(i) for i in reader.events(paths)]


def test_folder_in_order_compressed_or_not(tmp_path):
    """Segments follow one another by number; headers are no records."""
    (tmp_path / "raw-000002.jsonl").write_bytes(header(2) + line(3))
    (tmp_path / "raw-000001.jsonl.zst").write_bytes(zstandard.compress(header(1) + line(1) + line(2)))
    (tmp_path / "evidence-000001.jsonl").write_bytes(line(99))
    assert read(tmp_path) == [1, 2, 3]


def test_a_segment_in_both_forms_counts_once(tmp_path):
    """After a crash between compressing and removing, the segment is read once."""
    (tmp_path / "raw-000001.jsonl").write_bytes(header(1) + line(1))
    (tmp_path / "raw-000001.jsonl.zst").write_bytes(zstandard.compress(header(1) + line(1)))
    assert read(tmp_path) == [1]


def test_missing_segments_are_a_fault(tmp_path):
    """A hole in the numbers is told, and reading goes on."""
    (tmp_path / "raw-000003.jsonl").write_bytes(line(1))
    (tmp_path / "raw-000006.jsonl").write_bytes(line(2))
    assert read(tmp_path) == [1, f"{tmp_path}: raw segments 4 to 5 are missing", 2]


def test_files_need_no_header_nor_last_newline(tmp_path):
    """A file that a person wrote is read as it is."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1) + b"\n" + line(2).rstrip())
    assert read(path) == [1, 2]


def test_segments_put_together_are_one_log(tmp_path):
    """`cat` of a log leaves the header of each segment in the middle; none is an event."""
    path = tmp_path / "all.jsonl"
    path.write_bytes(header(1) + line(1) + header(2) + line(2))
    assert read(path) == [1, 2]


def test_damage_is_a_value_with_its_place(tmp_path):
    """Broken lines and a torn end are faults with file and line; what is whole is read."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1) + b"garbage\n" + line(2) + line(3)[:20])
    first, broken, second, torn = read(path)
    assert (first, second) == (1, 2)
    assert broken.startswith(f"{path}:2: not an event:")
    assert torn.startswith(f"{path}:4: not an event:")


def test_damaged_compression_is_a_fault(tmp_path):
    """A truncated or garbled segment gives what can be had, then a fault."""
    data = zstandard.compress(header(1) + b"".join(line(n) for n in range(2000)))
    (tmp_path / "raw-000001.jsonl.zst").write_bytes(data[: len(data) // 2])
    (tmp_path / "raw-000002.jsonl.zst").write_bytes(b"not zstd")
    items = list(reader.events([tmp_path]))
    faults = [item for item in items if isinstance(item, Fault)]
    assert {fault.path.name for fault in faults} == {"raw-000001.jsonl.zst", "raw-000002.jsonl.zst"}


MAGIC = b"\x50\x2a\x4d\x18"
"""How a frame begins that every reader of zstd passes over."""


@pytest.mark.parametrize(
    "behind",
    [MAGIC + b"\4\0\0\0abcd", zstandard.compress(b""), zstandard.compress(line(9)), b"x", b"\0" * 100],
    ids=["skipped", "empty", "second", "garbage", "zeros"],
)
@pytest.mark.parametrize("checksum", [True, False])
def test_a_packed_file_is_one_frame_and_nothing_else(tmp_path, behind, checksum):
    """What stands behind it, or before it, no reader of zstd would show: it is damage; what was packed is read."""
    content = line(1) + os.urandom(2**18).hex().encode() + b"\n"
    packed = zstandard.ZstdCompressor(write_checksum=checksum).compress(content)
    path = tmp_path / "events.jsonl.zst"
    path.write_bytes(packed)
    assert not [item for item in reader.records([path]) if isinstance(item, Fault)]
    path.write_bytes(packed + behind)
    first, _, *_, fault = reader.records([path])
    assert first.data + b"\n" == line(1)
    assert fault.text.startswith("damaged: ")
    path.write_bytes(MAGIC + b"\4\0\0\0abcd" + packed)
    assert isinstance(list(reader.records([path]))[-1], Fault)


@pytest.mark.parametrize("size", [None, 10**6])
@given(data=st.lists(st.sampled_from([b"a" * 5000, bytes(2**18), os.urandom(1000), b""]), max_size=5))
def test_what_zstd_packs_is_read_whole(tmp_path_factory, size, data):
    """Whatever kinds of blocks it makes of it, and whether it says how much it is."""
    content = b"".join(data) if size is None else b"".join(data)[:size].ljust(size, b"z")
    packer = zstandard.ZstdCompressor(write_content_size=size is not None)
    path = tmp_path_factory.mktemp("packed") / "x.zst"
    path.write_bytes(packer.compress(content))
    assert b"".join(reader._chunks(path)) == content
    for cut in (1, 3, 4):
        path.write_bytes(packer.compress(content)[:-cut])
        assert isinstance(list(reader.lines(path))[-1], Fault)


@pytest.mark.parametrize("suffix", ["", ".zst"])
@pytest.mark.parametrize("filling", [b"\n", b"x\n", b"x" * 1000 + b"\n"])
def test_a_segment_holds_no_more_than_the_writer_makes(tmp_path, monkeypatch, suffix, filling):
    """What has more bytes or lines is damage, and reading ends there: a few KiB could unpack to any size."""
    monkeypatch.setattr(reader, "LARGEST", 10 * reader.CHUNK)
    monkeypatch.setattr(reader, "LINES", reader.CHUNK // 2)
    data = header(1) + line(1) + filling * (20 * reader.CHUNK // len(filling))
    path, other = (tmp_path / f"{name}{suffix}" for name in ("raw-000001.jsonl", "mine.jsonl"))
    for each in (path, other):
        each.write_bytes(zstandard.compress(data) if suffix else data)
    *read, fault = reader.lines(path)
    assert fault.text.startswith("damaged: it ")
    assert "any segment" in fault.text
    assert sum(len(some) for _, some in read) <= reader.LINES
    assert sum(len(each or b"") for _, some in read for each in some) <= reader.LARGEST
    assert not [found for found in reader.lines(other) if isinstance(found, Fault)], "no segment"


def test_the_writer_stays_below_the_largest_segment():
    """The bounds hold for what a segment is closed at, a longest line above, and the shortest of records."""
    shortest = wire.encode(Event(timestamp=NOW, event=Meta(action="x", id="b-1", sequence=1)))
    assert segments.SEGMENT + segments.FLUSH + reader.MAX_LINE < reader.LARGEST
    assert reader.LARGEST // len(shortest) < reader.LINES


def test_absent_and_empty(tmp_path):
    """What is not there is a fault too."""
    assert read(tmp_path / "none.jsonl")[0].endswith("No such file or directory")
    assert read(tmp_path) == [f"{tmp_path}: holds no raw segment"]


def test_an_endless_line_stays_bounded(tmp_path, monkeypatch):
    """A line longer than the limit is skipped as a fault, and the next is read."""
    monkeypatch.setattr(reader, "MAX_LINE", 1000)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * 2_000_000 + b"\n" + line(1) + b"y" * 1_000_000)
    assert read(path) == [
        f"{path}:1: the line is longer than 1000 bytes",
        1,
        f"{path}:3: the line is longer than 1000 bytes",
    ]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(data):
    """Any bytes give lines whose joining is the input."""
    lines = [part for _, some in reader._blocks([data[i : i + 7] for i in range(0, len(data), 7)]) for part in some]
    assert b"\n".join(lines) == data.removesuffix(b"\n") or not data.strip(b"\n")


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_random_files_give_faults_only(tmp_path, suffix):
    """A file of noise is faults or records, and ends."""
    path = tmp_path / f"noise.jsonl{suffix}"
    path.write_bytes(os.urandom(100_000))
    assert all(isinstance(item, Fault | Record) for item in reader.records([path]))
    assert all(isinstance(item, Fault) for item in reader.events([path]))


def test_the_first_header_is_found(tmp_path):
    """The header tells the host of the log, in folders and files, compressed or not; without one there is none."""
    (tmp_path / "raw-000001.jsonl.zst").write_bytes(zstandard.compress(header(1) + line(1)))
    (tmp_path / "plain.jsonl").write_bytes(line(1))
    assert reader.header([tmp_path]).segment == 1
    assert reader.header([tmp_path / "plain.jsonl", tmp_path / "raw-000001.jsonl.zst"]).boot_id == "b"
    assert reader.header([tmp_path / "plain.jsonl", tmp_path / "none", tmp_path / "raw"]) is None


@pytest.mark.parametrize("count", [1, 5000, reader.CHUNK, reader.MAX_LINE + 1, 3 * reader.MAX_LINE])
@pytest.mark.parametrize("half", [b"", b'{"half'])
def test_zeros_to_the_end_are_a_torn_line(tmp_path, count, half):
    """However many: a power cut leaves them where the length of a file was kept and its end was not."""
    path = tmp_path / "raw-000001.jsonl"
    path.write_bytes(b"{1}\n" + half + bytes(count))
    lines = [line for _, some in reader.lines(path) for line in some]
    assert lines[0] == b"{1}"
    assert [type(line) for line in lines[1:]] == [reader.Torn]
    assert lines[1].startswith(half)


@pytest.mark.parametrize("end", [b"x", b"\n", b"\n{2}\n"])
def test_zeros_before_something_else_are_a_line_that_is_too_long(tmp_path, end):
    """Nothing that was written looks like that."""
    path = tmp_path / "raw-000001.jsonl"
    path.write_bytes(b"{1}\n" + bytes(2 * reader.MAX_LINE) + end)
    lines = [line for _, some in reader.lines(path) for line in some]
    assert lines[:2] == [b"{1}", None]

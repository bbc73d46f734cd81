"""Along one segment."""

from itertools import pairwise

from support import logs

from replguard.log import names, walk
from replguard.log.chain import START


def nobody(key, by):
    return False


def test_a_segment_leads_to_where_the_next_begins(tmp_path):
    """With what is in it: records, blocks, times."""
    folder = logs.made(tmp_path / "log", tmp_path / "state")
    parts = [walk.part(segment) for segment in names.segments(folder, "raw")]
    assert sum(part.records for part in parts) == 120
    assert (parts[0].since, parts[0].header.prev) == ("2026-01-01T00:00:00Z", START.hex())
    for part, following in pairwise(parts):
        assert part.end.chain.hex() == following.header.prev
        assert part.end.tree.size == following.header.size == part.header.size + part.blocks
        assert part.until < following.since
    assert all((part.open, part.torn, part.findings) == (0, False, []) for part in parts)


def test_roots_are_told_at_the_sizes_asked_for(tmp_path):
    """Also at the one with which the segment begins."""
    folder = logs.made(tmp_path / "log", tmp_path / "state")
    first, second, *_ = names.segments(folder, "raw")
    sizes = frozenset({1, 2, 10_000, walk.part(second).header.size})
    assert walk.part(first, sizes).roots.keys() == sizes - {10_000}
    assert walk.part(second, sizes).roots.keys() == {walk.part(second).header.size}


def test_what_no_seal_covers_is_counted(tmp_path):
    """The writer ended without a word: its last records, and half of one."""
    folder = tmp_path / "log"
    to = logs.writer(folder, tmp_path / "state")
    logs.fill(to, range(7))
    to.flush(logs.NOW)
    (path,) = logs.segments(folder)
    path.write_bytes(path.read_bytes()[:-10])
    (segment,) = names.segments(folder, "raw")
    part = walk.part(segment)
    assert (part.records, part.blocks, part.open, part.torn, part.findings) == (6, 1, 1, True, [])


def test_the_newest_is_where_a_start_goes_on(tmp_path):
    """The last one that tells its place; none in a folder that is not there, empty, or of an older version."""
    folder = tmp_path / "log"
    assert walk.newest(folder, "raw", nobody) is None
    folder.mkdir()
    assert walk.newest(folder, "raw", nobody) is None
    logs.made(folder, tmp_path / "state")
    assert walk.newest(folder, "evidence", nobody) is None
    last = names.segments(folder, "raw")[-1]
    (folder / names.name("raw", last.number + 1)).write_bytes(b"")
    found = walk.newest(folder, "raw", nobody)
    assert (found.number, found.header.segment) == (last.number, last.number)


def test_each_change_is_named_and_nothing_else(tmp_path):
    """A changed seal takes the lines behind it along as far as the next one, and no block after that."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=20)
    logs.plain(folder)
    path = next(logs.segments(folder))
    lines = path.read_bytes().splitlines(keepends=True)
    seals = [number for number, line in enumerate(lines) if line.startswith(walk.SEALED)]
    assert len(seals) >= 4
    for number, old, new in (
        (seals[0] - 1, b"/srv/", b"/xrv/"),
        (seals[1], b'"chain":"', b'"chain":"g'),
        (seals[3], b"=", b"A"),
    ):
        lines[number] = lines[number].replace(old, new, 1)
    path.write_bytes(b"".join(lines))
    found = walk.part(next(iter(names.segments(folder, "raw"))))
    assert [fault.line for fault in found.findings] == [seals[0], seals[1] + 1, seals[3] + 1]


def test_a_removed_block_is_named_and_nothing_else(tmp_path):
    """What comes after it is held against its own seals."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=20)
    logs.plain(folder)
    path = next(logs.segments(folder))
    lines = path.read_bytes().splitlines(keepends=True)
    seals = [number for number, line in enumerate(lines) if line.startswith(walk.SEALED)]
    path.write_bytes(b"".join(lines[: seals[0] + 1] + lines[seals[1] + 1 :]))
    found = walk.part(next(iter(names.segments(folder, "raw"))))
    assert [str(fault).partition(": ")[2] for fault in found.findings] == [
        "this seals block 2, and block 1 is due: some were removed"
    ]

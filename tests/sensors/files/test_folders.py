"""Handles become paths, as the process saw them and as we reach them, and nothing is kept open."""

import os
from pathlib import Path
from typing import ClassVar

import pytest

from replguard.kernel import fanotify
from replguard.kernel.mounts import mounts
from replguard.sensors.files.folders import Folders, View
from replguard.sensors.files.spaces import Space
from replguard.sensors.files.superblocks import Layer, Seat, Superblock, Superblocks

OURS, THEIRS = 1, 2


class Known:
    """Filesystems that are not asked for."""

    by_fsid: ClassVar[dict[bytes, list[Superblock]]] = {}


def folders() -> Folders:
    return Folders(Known(), OURS, lambda path, access: not path.startswith(b"/silent"))  # type: ignore[arg-type]


def seen(superblock: Superblock, path: bytes, space: int | None) -> tuple[bytes, bytes]:
    view = folders()._see(superblock, path, space)
    return view.path, view.access


def test_a_folder_looks_as_its_namespace_shows_it() -> None:
    """Ours by our own path; theirs by the path inside, which we reach through one of its processes or by our own."""
    ours, bound = Seat(OURS, b"", b"/data", b"/"), Seat(THEIRS, b"/proc/7/root", b"/in", b"/sub")
    both = Superblock("8:1", "ext4", [ours, bound])
    assert seen(both, b"/sub/x", OURS) == (b"/data/sub/x", b"/data/sub/x")
    assert seen(both, b"/sub/x", THEIRS) == (b"/in/x", b"/data/sub/x")
    assert seen(both, b"/else", THEIRS) == (b"/data/else", b"/data/else")
    only = Superblock("0:9", "tmpfs", [bound])
    assert seen(only, b"/sub", None) == (b"/in", b"/proc/7/root/in")
    assert seen(only, b"/hidden", None) == (b"/hidden", b"/hidden")


def test_an_upper_folder_is_seen_through_its_overlay() -> None:
    """Also when nobody knows any more who wrote: only those inside do."""
    host = Seat(OURS, b"", b"/", b"/")
    inside = Layer(b"/o/u", b"/o/w", Seat(THEIRS, b"/proc/7/root", b"/", b"/"))
    superblock = Superblock("8:1", "ext4", [host], [inside])
    assert seen(superblock, b"/o/u/m", THEIRS) == (b"/m", b"/proc/7/root/m")
    assert seen(superblock, b"/o/u/m", None) == (b"/m", b"/proc/7/root/m")
    assert seen(superblock, b"/o/u", THEIRS) == (b"/", b"/proc/7/root")
    assert seen(superblock, b"/other", None) == (b"/other", b"/other")
    superblock.layers.append(Layer(b"/o/u", None, Seat(OURS, b"", b"/merged", b"/")))
    assert seen(superblock, b"/o/u/m", THEIRS) == (b"/m", b"/merged/m")
    assert seen(superblock, b"/o/u/m", OURS) == (b"/merged/m", b"/merged/m")


def test_somebody_elses_mounts_lead_us_nowhere_while_there_are_ours() -> None:
    """They may name a path; our way to a file is our own, or that of a namespace that only root could make."""
    host, theirs = Seat(OURS, b"", b"/", b"/"), Seat(THEIRS, b"/proc/7/root", b"/m", b"/", False)
    superblock = Superblock("8:1", "ext4", [host, theirs], [Layer(b"/srv", b"/home", theirs)])
    assert seen(superblock, b"/srv/x", None) == (b"/srv/x", b"/srv/x")
    assert seen(superblock, b"/srv/x", OURS) == (b"/srv/x", b"/srv/x")
    assert seen(superblock, b"/srv/x", THEIRS)[1] == b"/srv/x"
    assert folders()._see(superblock, b"/srv/x", None).layered is False


def test_a_way_that_ended_is_noted() -> None:
    """Its process is gone: that the folder is not found says nothing of the folder."""
    handle = bytes(24)
    known = Folders(Known(), OURS, lambda path, access: True)  # type: ignore[arg-type]
    for prefix, stale in ((b"/proc/self/root", False), (b"/proc/999999999/root", True)):
        superblock = Superblock("0:9", "tmpfs", [Seat(THEIRS, prefix, b"/none/of/this", b"/")])
        known._superblocks = Known()  # type: ignore[assignment]
        known._superblocks.by_fsid = {handle[:8]: [superblock]}
        assert known.of(handle) is None
        assert known.stale is stale


def test_names_are_put_below_the_root_without_a_second_slash() -> None:
    """In both ways to see them."""
    top = View(b"/", b"/")
    assert (top.at(b"a"), top.shown(b"a")) == (b"/a", b"/a")
    assert not folders()._see(Superblock("8:1", "ext4", [Seat(OURS, b"", b"/silent", b"/")]), b"/x", OURS).told


@pytest.mark.root
def test_this_kernel_gives_paths_and_forgets_them(tmp_path: Path) -> None:
    """A renamed folder and all below it are found anew; one that is gone is None; no descriptor stays."""
    folder = tmp_path.resolve()
    (folder / "a" / "b").mkdir(parents=True)
    try:
        group = fanotify.Group(fanotify.NAMES)
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    superblocks = Superblocks(group, fanotify.CREATE)
    superblocks.arrange([Space(OURS, b"", mounts() or [])])
    known = Folders(superblocks, OURS, lambda path, access: True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    handles = {name: fanotify.handle_of(os.fsencode(folder / name)) or b"" for name in (".", "a", "a/b")}
    try:
        top, below = known.of(handles["."]), known.of(handles["a/b"])
        if top is None or below is None:
            pytest.skip("the filesystem of the temporary folder takes no mark")
        assert known.view(below, None).path == os.fsencode(folder / "a/b")
        assert known.recent()[0].path == os.fsencode(folder / "a/b")
        (folder / "a").rename(folder / "c")
        known.renamed(top, b"a")
        moved = known.of(handles["a/b"])
        assert moved is not None
        assert known.view(moved, None).path == os.fsencode(folder / "c/b")
        (folder / "c" / "b").rmdir()
        parent = known.of(handles["a"])
        assert parent is not None
        known.gone(parent, b"b")
        assert known.of(handles["a/b"]) is None
        (folder / "f").write_text("x")
        with known.opened(fanotify.handle_of(os.fsencode(folder / "f")) or b"") as opened:
            assert opened is not None
            assert opened[1] is not None
            assert opened[1].access == os.fsencode(folder / "f")
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        group.close()

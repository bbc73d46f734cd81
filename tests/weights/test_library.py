"""What the examiner knows, and how it answers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support import modelfiles
from support.fingerprints import MIB, finish, model, target

from replguard.kernel import fanotify
from replguard.kernel.mounts import Mount
from replguard.weights import store
from replguard.weights.library import Library
from replguard.weights.messages import Request, Settings
from replguard.weights.mounts import Mounts

Opened = Callable[..., Library]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Open libraries that are closed at the end."""
    libraries = []

    def make(*, keep: bool = True, **keys: object) -> Library:
        settings = Settings(str(tmp_path / "state"))
        libraries.append(Library(msgspec.structs.replace(settings, **keys), keep=keep))
        return libraries[-1]

    yield make
    for library in libraries:
        library.close()


def test_a_copy_is_told_once_its_origin_is_read(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """Before that, the answer says that the index is not ready."""
    library = opened()
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    assert library.protect([target(origin, "llama")]) == []
    early = library.examine(Request(str(copy), reason="seen"))
    assert (early.matches, early.index_ready, early.request.reason) == ((), False, "seen")
    assert library.next == str(origin)
    (done,) = finish(library)
    assert (done.state, done.reason) == ("fingerprinted", None)
    late = library.examine(Request(str(copy)))
    assert [match.model for match in late.matches] == ["llama"]
    assert (late.format, late.size, late.inode) == ("safetensors", copy.stat().st_size, copy.stat().st_ino)
    assert late.index_ready
    assert not late.changed
    assert library.next is None


def test_a_copy_is_told_while_its_origin_is_still_being_read(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """By the part that is known by then; of a large model the rest may take minutes."""
    library = opened()
    library.protect([target(origin, "llama")])
    library.work(60, 2 * MIB)
    assert not library.ready
    copy = modelfiles.write(tmp_path / "copy", b"moved" + origin.read_bytes())
    answer = library.examine(Request(str(copy)))
    assert [(match.model, match.path) for match in answer.matches] == [("llama", str(origin))]
    assert not answer.index_ready
    stranger = modelfiles.write(tmp_path / "stranger", model(7))
    assert library.examine(Request(str(stranger))).matches == ()
    finish(library)
    (match,) = library.examine(Request(str(copy))).matches
    assert match.share == pytest.approx(1.0, abs=0.02)


def test_a_restart_reads_nothing_again(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """The cache knows the file by device, inode, size and times."""
    first = opened()
    first.protect([target(origin)])
    finish(first)
    first.close()
    second = opened()
    (done,) = second.protect([target(origin)])
    assert done.state == "fingerprinted"
    assert second.ready
    assert opened(keep=False).protect([target(origin)]) == [done]


def test_a_new_link_does_not_cost_a_new_reading(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """It moves the inode's time, as new content does; a digest of 4 MiB tells the difference."""
    library = opened()
    library.protect([target(origin)])
    finish(library)
    known = library.index.get(target(origin).key)
    os.link(origin, tmp_path / "link")
    origin.chmod(0o600)
    assert library.protect([target(origin)]) == []
    finish(library)
    assert library.index.get(target(origin).key) is known


def test_new_content_is_read_again(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """The old is forgotten with it."""
    library = opened()
    library.protect([target(origin)])
    finish(library)
    old = modelfiles.write(tmp_path / "old", origin.read_bytes())
    origin.write_bytes(model(2))
    library.protect([target(origin)])
    finish(library)
    assert library.examine(Request(str(old))).matches == ()
    assert library.examine(Request(str(origin))).matches[0].share == 1.0


def test_content_of_an_origin_that_is_gone_is_still_known(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """As after a move to another filesystem."""
    library = opened()
    library.protect([target(origin)])
    finish(library)
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    key = target(origin).key
    origin.unlink()
    library.retire((key, (1, 2)))
    (match,) = library.examine(Request(str(copy))).matches
    assert not match.current


def test_a_file_retired_while_it_is_read_is_let_go(opened: Opened, origin: Path) -> None:
    """Its descriptor is closed, and the next file is read."""
    library = opened()
    library.protect([target(origin)])
    library._begin()
    library.retire((target(origin).key,))
    assert library.ready
    assert library.at_work is None


def test_files_that_cannot_be_read_are_reasons(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """Gone, replaced, or no file at all; the others are read nonetheless."""
    gone = modelfiles.write(tmp_path / "gone", model(2, 5000))
    replaced = modelfiles.write(tmp_path / "replaced", model(3, 6000))
    targets = [target(origin), target(gone), target(replaced)]
    gone.unlink()
    modelfiles.write(tmp_path / "new", model(4, 7000)).rename(replaced)
    library = opened()
    library.protect(targets)
    states = {Path(done.path).name: (done.state, done.reason or "") for done in finish(library)}
    assert states["model.safetensors"] == ("fingerprinted", "")
    assert states["gone"][0] == states["replaced"][0] == "failed"
    assert "No such file" in states["gone"][1]
    assert "another file now" in states["replaced"][1]


def test_requests_for_what_is_no_file_are_answered(opened: Opened, tmp_path: Path) -> None:
    """With a reason, and at once."""
    library = opened()
    os.mkfifo(tmp_path / "fifo")
    for name, reason in {"fifo": "FIFO", "absent": "No such file", ".": "folder"}.items():
        answer = library.examine(Request(f"{tmp_path}/{name}"))
        assert reason in (answer.error or "")
        assert (answer.matches, answer.size) == ((), None)


def test_a_file_of_one_hole_is_answered_without_a_look(
    opened: Opened, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs nothing to make, so it costs nothing to answer for; with data in it, it is looked at."""
    library = opened()
    library.protect([target(origin)])
    finish(library)
    hole = modelfiles.write(tmp_path / "hole", b"")
    os.truncate(hole, 2**33)
    with monkeypatch.context() as patch:
        patch.setattr("replguard.weights.formats.recognise", lambda _: pytest.fail("the file was read"))
        answer = library.examine(Request(str(hole)))
    assert (answer.error, answer.matches, answer.size, answer.changed) == (None, (), 2**33, False)
    with hole.open("r+b") as file:
        file.write(origin.read_bytes())
    assert library.examine(Request(str(hole))).matches[0].share == 1.0


def test_what_the_configuration_names_is_read_before_what_was_discovered(
    opened: Opened, origin: Path, tmp_path: Path
) -> None:
    """However small the files are that somebody puts into a cache; among themselves the smallest comes first."""
    library = opened()
    small = [modelfiles.write(tmp_path / f"blob{n}", model(n, 5000 + n)) for n in range(3)]
    library.protect([msgspec.structs.replace(target(path), discovered=True) for path in reversed(small)])
    library.protect([target(origin)])
    assert [done.path for done in finish(library)] == [str(origin), *map(str, small)]


def test_network_mounts_are_left_alone_unless_asked(
    opened: Opened, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may hang, cost money, or be answered by a user's program."""
    mount = Mount(1, "0:1", "/", b"/", "nfs4", "server:/x")
    monkeypatch.setattr(Mounts, "of_path", lambda *_: None)
    monkeypatch.setattr(Mounts, "of_file", lambda *_: mount)
    library = opened()
    library.protect([target(origin)])
    (done,) = finish(library)
    assert "scan_network" in (done.reason or "")
    assert "nfs4" in (library.examine(Request(str(origin))).error or "")
    asked = opened(scan_network=True, state_dir=None)
    asked.protect([target(origin)])
    assert [done.state for done in finish(asked)] == ["fingerprinted"]


def test_an_imported_index_finds_copies_and_spares_the_reading(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """A file that the index names and that is the same is taken as read, by its place on this host."""
    library = opened()
    library.protect([target(origin, "llama")])
    finish(library)
    store.save(library.index, tmp_path / "exported")
    other = opened(state_dir=None, index=(str(tmp_path / "exported"),))
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    (match,) = other.examine(Request(str(copy))).matches
    assert (match.model, match.device, match.inode) == ("llama", None, None)
    other.protect([target(origin, "llama")])
    finish(other)
    assert len(other.index) == 0
    (match,) = other.examine(Request(str(copy))).matches
    assert match.inode == origin.stat().st_ino


def test_an_index_that_cannot_be_read_is_told(opened: Opened, tmp_path: Path) -> None:
    """And the rest works."""
    library = opened(index=(str(tmp_path / "absent"),))
    assert "absent" in (library.cache_error or "")
    assert library.ready


def test_without_a_state_folder_all_works_in_memory(opened: Opened, origin: Path, tmp_path: Path) -> None:
    """The reason is kept for the health of the daemon."""
    (tmp_path / "state").write_bytes(b"a file in the way")
    library = opened()
    assert "weights.key" in (library.cache_error or "")
    library.protect([target(origin)])
    finish(library)
    assert library.examine(Request(str(origin))).matches[0].share == 1.0


def test_small_files_are_read_first(opened: Opened, tmp_path: Path) -> None:
    """They are many, and done at once."""
    large = modelfiles.write(tmp_path / "large", model(1, MIB))
    small = modelfiles.write(tmp_path / "small", model(2, 5000))
    library = opened()
    library.protect([target(large), target(small)])
    assert [Path(done.path).name for done in finish(library)] == ["small", "large"]


def test_a_file_written_to_while_it_is_read_is_told(opened: Opened, origin: Path) -> None:
    """It is listed again when it rests, and read then."""
    library = opened()
    library.protect([target(origin)])
    library._begin()
    origin.touch()
    (done,) = finish(library)
    assert done.state == "failed"
    assert "written to" in (done.reason or "")


@pytest.mark.root
def test_a_file_opened_by_its_handle_keeps_the_numbers_it_was_told_by(
    opened: Opened, origin: Path, tmp_path: Path
) -> None:
    """On an overlay the file below has others; who asked knows it by those of the overlay."""
    library = opened()
    library.protect([target(origin, "llama")])
    finish(library)
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    handle = fanotify.handle_of(os.fsencode(copy))
    if handle is None:
        pytest.skip("this filesystem has no handles")
    found = library.examine(Request("/merged/copy", 39, 7, handle=handle, mount=str(tmp_path)))
    assert (found.device, found.inode, found.error) == (39, 7, None)
    assert [match.model for match in found.matches] == ["llama"]

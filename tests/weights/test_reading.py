"""Opening and reading files that may be hostile."""

import errno
import os
import socket
from pathlib import Path

import pytest
from support import modelfiles, pagecache

from replguard.kernel import fanotify
from replguard.weights import reading, sampling
from replguard.weights.reading import Reader, Unreadable, open_handle, open_regular


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """Reads end where the file ended when it was opened."""
    path = modelfiles.write(tmp_path / "file", b"0123456789")
    with open_regular(str(path)) as reader:
        assert reader.size == 10
        assert reader.read(3, 4) == b"3456"
        assert reader.read(8, 100) == b"89"
        assert reader.read(50, 4) == b""
        assert not reader.changed()
        path.write_bytes(b"0123456789ab")
        assert reader.changed()
        assert reader.read(8, 100) == b"89"
    reader.close()
    assert reader.fd == -1


def test_what_is_no_regular_file_is_told_without_blocking(tmp_path: Path) -> None:
    """A FIFO without a writer would block an ordinary open for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for name, kind in {"fifo": "FIFO", "socket": "socket", "link": "symbolic link", ".": "folder"}.items():
        with pytest.raises(Unreadable, match=kind):
            open_regular(str(tmp_path / name))
    with pytest.raises(Unreadable, match="character device"):
        open_regular("/dev/null")
    with pytest.raises(Unreadable, match="FIFO"):
        open_regular(str(tmp_path / "link"), follow=True)


@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "No such file"), ("a\0b", "null byte"), ("x" * 300, "too long")]
)
def test_names_that_cannot_be_opened_are_a_reason(tmp_path: Path, name: str, reason: str) -> None:
    """Whatever the name."""
    with pytest.raises(Unreadable, match=reason):
        open_regular(f"{tmp_path}/{name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_others_is_a_reason(tmp_path: Path) -> None:
    """An ordinary user is told so."""
    path = modelfiles.write(tmp_path / "secret", b"x")
    path.chmod(0)
    with pytest.raises(Unreadable, match="Permission denied"):
        open_regular(str(path))


def test_a_name_of_other_bytes_is_found_as_events_show_it(tmp_path: Path) -> None:
    r"""A file called by the byte 0xff appears in events as the text \xff."""
    modelfiles.write(tmp_path / os.fsdecode(b"m\xff\xfe.bin"), b"content")
    with open_regular(f"{tmp_path}/m\\xff\\xfe.bin") as reader:
        assert reader.read(0, 7) == b"content"


def test_a_link_is_followed_where_a_person_named_it(tmp_path: Path) -> None:
    """Configured paths may be links; found files may not."""
    modelfiles.write(tmp_path / "blob", b"content")
    (tmp_path / "model").symlink_to("blob")
    with open_regular(str(tmp_path / "model"), follow=True) as reader:
        assert reader.size == 7


def test_holes_are_no_data(tmp_path: Path) -> None:
    """A sparse file's extents are its written parts; on a filesystem that does not tell, all of it."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(2**29)
        file.write(modelfiles.noise(8192))
    with open_regular(str(path)) as reader:
        extents = reader.extents()
        assert reader.holds_data()
    assert extents in ([(2**29, 2**29 + 8192)], [(0, 2**30)])


def test_a_hole_and_an_empty_file_hold_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the filesystem cannot tell, a file is taken to hold some."""
    path = tmp_path / "hole"
    for size in (0, 2**30):
        path.touch()
        os.truncate(path, size)
        with open_regular(str(path)) as reader:
            assert not reader.holds_data()

    def refuse(*_: int) -> int:
        raise OSError(errno.EINVAL, "cannot tell")

    with open_regular(str(path)) as reader:
        monkeypatch.setattr(os, "lseek", refuse)
        assert reader.holds_data()


def test_a_file_of_many_holes_costs_no_more(tmp_path: Path) -> None:
    """Behind 256 extents the rest counts as one."""
    path = tmp_path / "cheese"
    with path.open("wb") as file:
        file.truncate(2**24)
        for at in range(0, 2**24, 2**14):
            file.seek(at)
            file.write(b"x")
    with open_regular(str(path)) as reader:
        assert len(reader.extents()) <= reading.MOST_EXTENTS + 1


def test_a_filesystem_that_refuses_the_flag_is_read_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tmpfs and older kernels do; it is asked for once a file."""
    plain, flags = os.preadv, []

    def refusing(fd: int, buffers: list[memoryview], offset: int, flag: int = 0) -> int:
        flags.append(flag)
        if flag:
            raise OSError(95, "Operation not supported")
        return plain(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", refusing)
    with open_regular(str(modelfiles.write(tmp_path / "file", b"0123456789"))) as reader:
        assert reader.read(0, 4) + reader.read(4, 4) == b"01234567"
    assert flags == [reading.DONTCACHE, 0, 0]


def without_dontcache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel be one from before 6.14."""
    plain = os.preadv

    def refusing(fd: int, buffers: list[memoryview], offset: int, flag: int = 0) -> int:
        if flag == reading.DONTCACHE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return plain(fd, buffers, offset, flag)

    monkeypatch.setattr(os, "preadv", refusing)


@pytest.mark.parametrize("older", [False, True])
def test_the_page_cache_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool) -> None:
    """What was cached stays, what was not does not come in, page by page; also where the kernel lacks the flag."""
    path = modelfiles.write(tmp_path / "file", modelfiles.noise(8 * 2**20))
    pagecache.forget(path)
    if pagecache.cached(path):
        pytest.skip("this filesystem keeps its pages")
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for at in (0, 2**20, 5 * 2**20 + 4096):
            os.pread(file.fileno(), 300_000, at)
    before = pagecache.resident(path)
    assert 0 < sum(before) < len(before) / 2
    if older:
        without_dontcache(monkeypatch)
    with open_regular(str(path)) as reader:
        if not older and not reader.spares_cache():
            pytest.skip("this kernel or filesystem lacks RWF_DONTCACHE")
        assert reader.read(0, 10**9) == path_bytes(path)
    assert pagecache.resident(path) == before
    with open_regular(str(path)) as reader:
        list(sampling.windows(reader, [(0, 8 * 2**20)]))
    assert pagecache.resident(path) == before


def path_bytes(path: Path) -> bytes:
    """Return what a file holds without the page cache's help."""
    return modelfiles.noise(path.stat().st_size)


def test_an_input_error_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other errors are no reason to read plainly."""

    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", failing)
    with (
        open_regular(str(modelfiles.write(tmp_path / "file", b"0123456789"))) as reader,
        pytest.raises(OSError, match="Input"),
    ):
        reader.read(0, 4)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Neither by success nor by refusal."""
    path = modelfiles.write(tmp_path / "file", b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with open_regular(str(path)) as reader:
            assert isinstance(reader, Reader)
        with pytest.raises(Unreadable):
            open_regular(str(tmp_path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(("name", "text"), [("ä.bin", "ä.bin"), ("m\udcff", "m\\xff"), ("x\ud800", "x\\ud800")])
def test_names_are_made_valid_text(name: str, text: str) -> None:
    """They cross to another process and into the log."""
    assert reading.plain(name) == text


@pytest.mark.root
def test_a_handle_means_the_file_whatever_has_its_name(tmp_path: Path) -> None:
    """Renamed and replaced meanwhile, it is still the one that was told; gone, it cannot be read."""
    path = tmp_path / "told"
    path.write_bytes(b"told")
    handle = fanotify.handle_of(os.fsencode(path))
    if handle is None:
        pytest.skip("this filesystem has no handles")
    path.rename(tmp_path / "elsewhere")
    path.write_bytes(b"another")
    with open_handle(str(tmp_path), handle) as reader:
        assert reader.read(0, 10) == b"told"
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(Unreadable, match="cannot be opened"):
        open_handle(str(tmp_path), handle)
    folder = fanotify.handle_of(os.fsencode(tmp_path))
    assert folder is not None
    with pytest.raises(Unreadable, match="a folder"):
        open_handle(str(tmp_path), folder)

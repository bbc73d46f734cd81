"""Reads of files that may be hostile: regular files only, never blocking on open, never mapped, cache left alone."""

import errno
import os
import re
import stat
from types import TracebackType
from typing import Self

from replguard.errors import ReplguardError
from replguard.kernel import fanotify, pagecache

BLOCK = 4096
"""Bytes that are read at the least: a page."""
DONTCACHE = 0x80
"""RWF_DONTCACHE of <linux/fs.h>, Linux 6.14: pages that the read brings in are dropped, cached ones stay."""
_REFUSED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
MOST_EXTENTS = 256
"""Extents told apart in one file; what lies behind them counts as one, so that no file costs more."""

_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class Unreadable(ReplguardError):  # noqa: N818 - a state of the file, not a fault of ours
    """A file cannot be read or must not be. The message is the reason, a sentence."""


class Reader:
    """An open regular file with the size it had when it was opened. Reads never pass that size."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.stat = os.fstat(fd)
        self.size = self.stat.st_size
        self._flags = DONTCACHE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice is once."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes at ``offset``; fewer only at the end of the file. Raises OSError."""
        length = max(0, min(length, self.size - offset))
        buffer = bytearray(length)
        return bytes(buffer[: self.into(memoryview(buffer), offset)])

    def into(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from ``offset`` on and return the bytes read. Raises OSError."""
        done = 0
        while done < len(view):
            count = self._pread(view[done:], offset + done)
            if count == 0:
                break
            done += count
        return done

    def _pread(self, view: memoryview, offset: int) -> int:
        if not self._flags:
            return self._spared(view, offset)
        try:
            return os.preadv(self.fd, [view], offset, self._flags)
        except OSError as error:
            # tmpfs, older kernels and some filesystems refuse the flag; then we do it ourselves, for this file.
            if error.errno not in _REFUSED:
                raise
            self._flags = 0
            return self._spared(view, offset)

    def _spared(self, view: memoryview, offset: int) -> int:
        """Read, and let go of just what was not cached: of what others had cached nothing is evicted."""
        absent = pagecache.absent(self.fd, offset, len(view))
        count = os.preadv(self.fd, [view], offset)
        pagecache.drop(self.fd, absent)
        return count

    def spares_cache(self) -> bool:
        """Tell whether the kernel and the filesystem read without leaving anything in the page cache, by a page."""
        self.read(0, BLOCK)
        return self._flags == DONTCACHE

    def extents(self) -> list[tuple[int, int]]:
        """Return (start, end) of the parts that hold data, at most MOST_EXTENTS and a rest. Raises OSError."""
        found: list[tuple[int, int]] = []
        offset = 0
        while offset < self.size and len(found) < MOST_EXTENTS:
            try:
                start = os.lseek(self.fd, offset, os.SEEK_DATA)
                end = os.lseek(self.fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return found
                return [(0, self.size)]
            if start >= self.size or end <= start:
                return found
            found.append((start, min(end, self.size)))
            offset = end
        if offset < self.size:
            found.append((offset, self.size))
        return found

    def holds_data(self) -> bool:
        """Tell whether anything was ever written; one long hole holds nothing, however large it says it is."""
        try:
            return os.lseek(self.fd, 0, os.SEEK_DATA) < self.size
        except OSError as error:
            return error.errno != errno.ENXIO

    def changed(self) -> bool:
        """Tell whether size, contents' time or inode data moved since the file was opened."""
        now = os.fstat(self.fd)
        then = self.stat
        return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (then.st_size, then.st_mtime_ns, then.st_ctime_ns)


def clip(extents: list[tuple[int, int]], low: int, high: int) -> list[tuple[int, int]]:
    """Return the parts of extents that lie in a range."""
    parts = ((max(start, low), min(end, high)) for start, end in extents)
    return [(start, end) for start, end in parts if start < end]


def open_regular(path: str, *, follow: bool = False) -> Reader:
    """Open a regular file for reading. Raises Unreadable with the reason.

    The path is opened without access first (O_PATH), so that devices, FIFOs and sockets are told apart with no side
    effect; a file held by a lease does not block us; the access time stays where we may leave it.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = _open_path(path, flags)
    except (OSError, ValueError) as error:
        raise Unreadable(_reason(error)) from None
    return _reader(handle)


def open_handle(mount: str, handle: bytes) -> Reader:
    """Open a regular file by its handle, whatever its name is by now. Raises Unreadable with the reason.

    ``mount`` is a folder of its filesystem, opened for this moment only: an open folder would keep it busy.
    """
    try:
        folder = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = fanotify.opened(folder, handle)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    return _reader(found)


def plain(text: str) -> str:
    r"""Return a name as valid text, bytes that are no UTF-8 as \xNN: events show it so, ``open_regular`` takes it."""
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()


def _reader(handle: int) -> Reader:
    """Return a reader of what an O_PATH descriptor means, which is closed."""
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise Unreadable(f"not a regular file but {_kind(mode)}")
        return Reader(_reopen(handle))
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    finally:
        os.close(handle)


def _open_path(path: str, flags: int) -> int:
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        # Events show bytes that are no UTF-8 as \xNN; the file itself has the byte.
        raw = _ESCAPED.sub(lambda match: os.fsdecode(bytes.fromhex(match[1])), path)
        if raw == path:
            raise
        return os.open(raw, flags)


def _reopen(handle: int) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    name = f"/proc/self/fd/{handle}"
    try:
        fd = os.open(name, flags | os.O_NOATIME)
    except PermissionError:
        fd = os.open(name, flags)
    try:
        # For this descriptor only: no read-ahead around the blocks that are sampled.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    except OSError:
        pass
    return fd


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be opened: {os.strerror(error.errno)}"
    return "cannot be opened: the name holds a null byte or a character that is no text"


def _kind(mode: int) -> str:
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return names.get(stat.S_IFMT(mode), "something else")

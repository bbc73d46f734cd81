"""fanotify by ctypes: groups that tell file handles and names, their marks, and handles made into open files.

Records are parsed from bytes. A handle is kept as the kernel writes it (filesystem id, length, type, bytes): one
value that compares equal for the same inode of the same filesystem, and that ``opened`` takes back.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import NamedTuple

CLOSE_WRITE, OPEN, MOVED_FROM, MOVED_TO = 0x8, 0x20, 0x40, 0x80
CREATE, DELETE, OVERFLOW = 0x100, 0x200, 0x4000
RENAME, ON_CHILD, ONDIR = 0x1000_0000, 0x0800_0000, 0x4000_0000
REPORT_FID, REPORT_DIR, REPORT_NAME, REPORT_TARGET = 0x200, 0x400, 0x800, 0x1000
NAMES = REPORT_FID | REPORT_DIR | REPORT_NAME
"""Names with the handle of their folder, and of the file where the event concerns an open file: since 5.9."""
NAMES_AND_TARGETS = NAMES | REPORT_TARGET
"""The same with the file's handle in every record, and FAN_RENAME with both names: since 5.17."""
INODE, FILESYSTEM = 0x0, 0x100
BUFFER = 1 << 18
_CLOEXEC, _NONBLOCK = 0x1, 0x2
_EVENT_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_ADD, _REMOVE, _DONT_FOLLOW = 0x1, 0x2, 0x4
_HANDLE_ONLY = 0x200
"""AT_HANDLE_FID, since 6.5: a handle to compare, also of filesystems that cannot open by it."""
_HANDLE_BYTES = 128
_OURS = frozenset({errno.EBADF, errno.EINVAL, errno.EFAULT})
"""Errors of a read that say that the group itself, or our call, is wrong."""
_MOST_UNREADABLE = 1024
"""Events in a row that one read passes over; it is asked again for the rest."""
_FID, _FOLDER_AND_NAME, _FOLDER, _OLD, _NEW = 1, 2, 3, 10, 12
"""FAN_EVENT_INFO_TYPE_* (include/uapi/linux/fanotify.h)."""
_EVENT = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BxHQI")
"""struct fanotify_event_info_fid: type, length, filesystem id, then a file_handle that begins with its length."""
_NO_FILE = -1
_EXT4, _TMPFS = struct.pack("=Ii", 8, 1), struct.pack("=Ii", 12, 1)
_BTRFS = 0x4D
_WIDE, _WIDE_LEAST = (0x81, _BTRFS), 12


class Record(NamedTuple):
    """One event. ``pid`` is the process (0: none that we may see); ``fd`` -1 but in a group that carries descriptors.

    ``name`` is in ``folder``; ``target`` is the file itself. Of a rename ``old_folder`` and ``old_name`` are set too.
    """

    mask: int
    pid: int
    fd: int = _NO_FILE
    folder: bytes | None = None
    name: bytes = b""
    target: bytes | None = None
    old_folder: bytes | None = None
    old_name: bytes = b""


def parse(data: bytes) -> Iterator[Record]:
    """Yield the records of one read; what is cut or malformed ends it."""
    at, end = 0, len(data)
    event, part, new = _EVENT.unpack_from, _INFO.unpack_from, Record._make  # one look-up instead of one per record
    while end - at >= _EVENT.size:
        length, _, _, begin, mask, fd, pid = event(data, at)
        if length < begin or begin < _EVENT.size or at + length > end:
            return
        folder = target = old_folder = None
        name = old_name = b""
        info, stop = at + begin, at + length
        while stop - info >= _INFO.size:
            kind, size, _, count = part(data, info)
            middle, last = info + 20 + count, info + size
            if size < _INFO.size or last > stop or middle > last:
                break
            if kind == _FID:
                target = data[info + 4 : middle]
            elif kind in (_FOLDER_AND_NAME, _FOLDER, _NEW):
                folder, name = data[info + 4 : middle], data[middle:last].rstrip(b"\0")
            elif kind == _OLD:
                old_folder, old_name = data[info + 4 : middle], data[middle:last].rstrip(b"\0")
            info = last
        yield new((mask, pid, fd, folder, name, target, old_folder, old_name))
        at += length


def inode(handle: bytes) -> int | None:
    """Return the inode number that a handle holds, None where its form is not known.

    ext4 and others: 32 bits of number, then generation. tmpfs: generation, then 64 bits of number. XFS (0x81) and
    btrfs (0x4d): 64 bits of number first.
    """
    form = handle[8:16]
    if form == _EXT4:
        return int.from_bytes(handle[16:20], "little")
    if form == _TMPFS:
        return int.from_bytes(handle[20:28], "little")
    return int.from_bytes(handle[16:24], "little") if form[4] in _WIDE and form[0] >= _WIDE_LEAST else None


class Group:
    """One fanotify group with a bounded queue. Raises OSError, as every call of it.

    ``kept`` is the descriptor of one that is there already, which is its own from now on, also where it raises: with
    its marks, and with what waits in its queue.
    """

    def __init__(self, report: int, kept: int | None = None) -> None:
        self.unreadable = 0
        """Events that were lost because the kernel could not open for us what was opened: a process that has ended."""
        self.fd = kept if kept is not None else _call("fanotify_init", report | _CLOEXEC | _NONBLOCK, _EVENT_FLAGS)
        if kept is not None and reports(kept) != report:
            self.close()
            raise OSError(errno.EINVAL, "what was kept is another kind of fanotify group")

    def marked(self) -> set[str]:
        """Return the filesystems that have a mark as a whole, by their device as mountinfo writes it."""
        try:
            lines = Path(f"/proc/self/fdinfo/{self.fd}").read_text().splitlines()
            found = [int(line[14:].split()[0], 16) for line in lines if line.startswith("fanotify sdev:")]
        except (OSError, ValueError):
            return set()
        return {f"{device >> 20}:{device & 0xFFFFF}" for device in found}

    def mark(self, path: bytes | int, mask: int, kind: int = INODE) -> None:
        """Have events of an inode, or of the whole filesystem that it lies on; by path, or by a descriptor."""
        self._mark(_ADD, path, mask, kind)

    def unmark(self, path: bytes | int, mask: int) -> None:
        """Have no more events of an inode."""
        self._mark(_REMOVE, path, mask, INODE)

    def _mark(self, how: int, path: bytes | int, mask: int, kind: int) -> None:
        if isinstance(path, int):
            _call("fanotify_mark", self.fd, how | kind, mask, path, None)
        else:
            _call("fanotify_mark", self.fd, how | kind | _DONT_FOLLOW, mask, _AT_CWD, path)

    def read(self, size: int = BUFFER) -> bytes:
        """Return what waits, at most ``size`` bytes; nothing if nothing does.

        The kernel gives the error of an event's descriptor as that of the whole read, and drops that event; one that
        comes after others of the same read it drops without a sign.
        """
        for _ in range(_MOST_UNREADABLE):
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                return b""
            except OSError as error:
                if error.errno in _OURS:
                    raise
                self.unreadable += 1
        return b""

    def close(self) -> None:
        """End the group with all its marks; twice is once."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = _NO_FILE


def reports(descriptor: int) -> int | None:
    """Return what a group was made to report, None for anything but a group that is read as ours are."""
    try:
        line = Path(f"/proc/self/fdinfo/{descriptor}").read_bytes().partition(b"fanotify flags:")[2]
        flags = int(line.split()[0], 16)
    except (OSError, IndexError, ValueError):
        return None
    ours = _CLOEXEC | _NONBLOCK
    return flags & ~ours if flags & ours == ours else None


def handle_of(path: bytes) -> bytes | None:
    """Return the handle of a path itself, as records have it; None if it is gone or has none."""
    for flags in (_HANDLE_ONLY, 0):
        with contextlib.suppress(OSError, ValueError):
            buffer = ctypes.create_string_buffer(struct.pack("=Ii", _HANDLE_BYTES, 0), 8 + _HANDLE_BYTES)
            _call("name_to_handle_at", _AT_CWD, path, buffer, ctypes.byref(c_int()), flags)
            count, kind = struct.unpack_from("=Ii", buffer.raw)
            return _whole(filesystem_id(path), kind, buffer.raw[: 8 + count])
    return None


def _whole(fsid: bytes, kind: int, body: bytes) -> bytes:
    """Return a handle as events have it: of btrfs they carry the number of the whole, statfs that of a subvolume.

    btrfs_statfs mixes the subvolume's number into both halves of the id; the top one's number is 5.
    """
    if kind == _BTRFS:
        low, high, subvolume = *struct.unpack("=II", fsid), int.from_bytes(body[16:24], "little") ^ 5
        fsid = struct.pack("=II", low ^ subvolume >> 32, high ^ subvolume & 0xFFFF_FFFF)
    return fsid + body


def filesystem_id(path: bytes | int) -> bytes:
    """Return the eight bytes that stand first in the handles of a filesystem."""
    return struct.pack("=Q", os.statvfs(path).f_fsid & (1 << 64) - 1)


def opened(mount: int, handle: bytes, flags: int = os.O_PATH) -> int:
    """Return a descriptor of a handle's inode. ``mount`` is a descriptor, not O_PATH, of its filesystem.

    Raises OSError: ESTALE for an inode that is gone.
    """
    body = handle[8:]
    return _call("open_by_handle_at", mount, ctypes.create_string_buffer(body, len(body)), flags | os.O_CLOEXEC)


def handle(fsid: bytes, kind: int, body: bytes) -> bytes:
    """Return a handle of these parts."""
    return fsid + struct.pack("=Ii", len(body), kind) + body


def sentence(error: OSError) -> str:
    """Say what an error of a group means for whoever runs the daemon."""
    match error.errno:
        case errno.EPERM:
            return "fanotify needs root (CAP_SYS_ADMIN), and no system call filter (seccomp) that refuses it."
        case errno.ENOSYS:
            return "this kernel has no fanotify (CONFIG_FANOTIFY), or a system call filter (seccomp) hides it."
        case errno.EINVAL:
            return "this kernel's fanotify tells no names: Linux 5.9 or newer is needed."
        case errno.EMFILE:
            return "no fanotify group is left: raise fs.fanotify.max_user_groups, or the limit of open files."
        case _:
            return f"fanotify does not work here: {os.strerror(error.errno or 0)}."


_AT_CWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)
_ARGUMENTS = {
    "fanotify_init": (c_uint, c_uint),
    "fanotify_mark": (c_int, c_uint, c_uint64, c_int, c_char_p),
    "name_to_handle_at": (c_int, c_char_p, c_void_p, c_void_p, c_int),
    "open_by_handle_at": (c_int, c_void_p, c_int),
}


def _call(name: str, *values: object) -> int:
    function = getattr(_LIBC, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    function.argtypes = _ARGUMENTS[name]
    result = int(function(*values))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

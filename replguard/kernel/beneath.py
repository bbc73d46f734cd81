"""Opening what lies below another process's root without being led elsewhere.

Whoever owns a mount namespace decides what lies at a path in it. Followed as a path is, a symlink there may lead out to
our own root, a device may answer to its opening, and a server may never answer at all. So a path is walked inside, no
symlink is followed, and what was found is looked at before it is opened.
"""

import ctypes
import errno
import os
import re
import stat
import struct

_OPENAT2 = 437
"""The same number on every architecture; since 5.6."""
_NO_MAGICLINKS, _NO_SYMLINKS, _IN_ROOT = 0x02, 0x04, 0x10
_EMPTY_PATH, _DONT_SYNC = 0x1000, 0x4000
_LOOK = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 3
_FOREIGN = re.compile(rb"(/proc/\d+/root)(/.*)?", re.DOTALL)
_LIBC = ctypes.CDLL(None, use_errno=True)


def reach(root: bytes, path: bytes, flags: int = 0, *, links: bool = False) -> int:
    """Return a descriptor (O_PATH) of an absolute path below ``root``; with ``links`` symlinks lead on inside.

    Raises OSError: ELOOP or ENOTDIR where a symlink is on the way.
    """
    top = os.open(root or b"/", _LOOK | os.O_DIRECTORY)
    try:
        rules = _IN_ROOT | _NO_MAGICLINKS | (0 if links else _NO_SYMLINKS)
        try:
            return _openat2(top, path, flags, rules)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
        return _walk(top, path, flags)
    finally:
        os.close(top)


def entered(root: bytes, path: bytes, device: int | None) -> int:
    """Return a descriptor for reading of a folder or file below ``root``, if it lies on this filesystem (st_dev).

    Raises OSError: EXDEV if it lies on another one, EINVAL if it is neither folder nor file.
    """
    if not root and path == b"/":  # nobody puts anything else there, and most of all is asked for by way of it
        return _on(device, os.open(b"/", _READ))
    found = reach(root, path)
    try:
        mode, lies_on = identity(found)
        if device is not None and lies_on != device:
            raise OSError(errno.EXDEV, "another filesystem lies over it")
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise OSError(errno.EINVAL, "it is no folder")
        if stat.S_ISDIR(mode):
            return os.open(b".", _READ, dir_fd=found)
        return os.open(b"/proc/self/fd/%d" % found, _READ)
    finally:
        os.close(found)


def lstat(access: bytes, device: int | None = None) -> os.stat_result | None:
    """Return the lstat of a way to a file, None if it is gone, closed to us or on another filesystem (st_dev).

    Below another process's root no symlink is followed, and of a filesystem that is not the expected one nothing is
    asked: its server may hang.
    """
    foreign = parted(access)
    try:
        if foreign is None:
            found = os.lstat(access)
            return found if device is None or found.st_dev == device else None
        descriptor = reach(*foreign, os.O_NOFOLLOW)
        try:
            if device is not None and identity(descriptor)[1] != device:
                return None
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None


def parted(access: bytes) -> tuple[bytes, bytes] | None:
    """Return another process's root and the path below it; None for a way that leads through no other root."""
    found = _FOREIGN.fullmatch(access) if access.startswith(b"/proc/") else None
    return None if found is None else (found[1], found[2] or b"/")


def identity(descriptor: int) -> tuple[int, int]:
    """Return the type and the device (st_dev) of an open file, as far as known: no server is asked. Raises OSError."""
    buffer = ctypes.create_string_buffer(256)
    if _LIBC.statx(descriptor, b"", _EMPTY_PATH | _DONT_SYNC, 1, buffer) != 0:
        _fail()
    (mode,), (major, minor) = struct.unpack_from("=H", buffer, 28), struct.unpack_from("=II", buffer, 136)
    return mode, os.makedev(major, minor)


def _on(device: int | None, descriptor: int) -> int:
    if device is not None and os.fstat(descriptor).st_dev != device:
        os.close(descriptor)
        raise OSError(errno.EXDEV, "another filesystem lies over it")
    return descriptor


def _openat2(top: int, path: bytes, flags: int, rules: int) -> int:
    how = struct.pack("=QQQ", _LOOK | flags, 0, rules)
    for left in reversed(range(_TRIES)):
        found = int(_LIBC.syscall(ctypes.c_long(_OPENAT2), top, path, how, ctypes.c_size_t(len(how))))
        if found >= 0:
            return found
        if not left or ctypes.get_errno() != errno.EAGAIN:  # EAGAIN: something was renamed on the way
            break
    return _fail()


def _walk(top: int, path: bytes, flags: int) -> int:
    """Do the same one name after another, for kernels before 5.6: no symlink is followed, whatever was asked."""
    at = os.dup(top)
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    for number, name in enumerate(names):
        try:
            if name == b"..":
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            last = flags if number == len(names) - 1 else os.O_DIRECTORY
            below = os.open(name, _LOOK | os.O_NOFOLLOW | last, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def _fail() -> int:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))

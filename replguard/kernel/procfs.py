"""What ``/proc/PID`` says of one process, parsed from bytes so that a folder of fake files is a host.

psutil is the library for process lists, users and connections. These parsers stand beside it because psutil opens up
to nine files for what a poll needs from one, loses the bytes of names that are not UTF-8, and has no start time in
ticks, login uid, audit session, control group, invocation id or addresses of the argument block.

Every function returns None for a process that is gone or that we may not look at.
"""

# ruff: noqa: PTH115 - pathlib costs more than the calls it wraps, and knows no bytes

import os
from contextlib import suppress
from typing import NamedTuple

PROC = "/proc"
HELD = "/proc/self/fd"
"""As ``root``, with a descriptor of a process's folder as its pid: what is read so is never of a later process."""
ARGV_LIMIT = 256 * 1024
"""Bytes of argv that are read; the kernel allows 128 KiB an argument and about 2 MiB in all."""
DESCRIPTORS = 64
"""Of a process, how many are looked through for pipes."""
_TICKS = 13
"""Digits of a start time at most: three thousand years after the boot."""
_UNSET = 2**32 - 1
"""What the kernel writes for "no login uid" and "no audit session"."""
_KTHREAD = 0x00200000
"""PF_KTHREAD in the flags of a task (include/linux/sched.h)."""


class Stat(NamedTuple):
    """Fields of ``/proc/PID/stat``.

    ``start_ticks`` are clock ticks (10 ms) since boot; ``vsize`` bytes. ``image`` identifies the loaded image by the
    addresses of its stack and arguments: fork keeps them, exec draws new ones; None where we may not see them.
    ``reaped_faults`` are the page faults of children that ended and were waited for.
    """

    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    tty: int
    foreground: int
    kthread: bool
    start_ticks: int
    vsize: int
    image: tuple[int, int, int] | None
    reaped_faults: int = 0


class Status(NamedTuple):
    """Fields of ``/proc/PID/status``. ``ns_pids`` are the pids from our namespace down to the process's own."""

    tgid: int
    uid: int
    effective_uid: int
    ns_pids: tuple[int, ...]


class Io(NamedTuple):
    """Bytes in ``/proc/PID/io``: through read and write calls, and to and from the disk."""

    rchar: int
    wchar: int
    read_bytes: int
    write_bytes: int


def text(raw: bytes) -> str:
    """Decode any bytes to valid UTF-8 text; what is not UTF-8 becomes backslash escapes."""
    return raw.decode("utf-8", "backslashreplace")


def read(path: str | bytes, limit: int = 1 << 16) -> bytes | None:
    """Return up to ``limit`` bytes of a small file, None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = chunk = os.read(descriptor, limit)
        while chunk and len(data) < limit:
            chunk = os.read(descriptor, limit - len(data))
            data += chunk
        return data
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse_stat(data: bytes) -> Stat | None:
    """Parse a stat line; the command may hold blanks, parentheses and newlines, so the last ``)`` ends it."""
    left, right = data.find(b"("), data.rfind(b")")
    fields = data[right + 1 :].split()
    if left < 0 or right < left or len(fields) < 22 or len(fields[19]) > _TICKS:
        return None
    try:
        image = (int(fields[25]), int(fields[45]), int(fields[47])) if len(fields) >= 49 else None
        return Stat(
            comm=text(data[left + 1 : right]),
            state=text(fields[0]),
            ppid=int(fields[1]),
            pgrp=int(fields[2]),
            session=int(fields[3]),
            tty=int(fields[4]),
            foreground=int(fields[5]),
            kthread=bool(int(fields[6]) & _KTHREAD),
            start_ticks=int(fields[19]),
            vsize=int(fields[20]),
            image=image if image and all(image) else None,
            reaped_faults=int(fields[8]),
        )
    except ValueError:
        return None


def stat(pid: int, root: str = PROC) -> Stat | None:
    """Return the status fields of a process."""
    data = read(f"{root}/{pid}/stat", 4096)
    return parse_stat(data) if data else None


def waited(root: str = PROC) -> float:
    """Return the seconds that our first thread was ready to run and had no processor; 0 where nobody counts them."""
    words = (read(f"{root}/self/schedstat", 256) or b"").split()
    return int(words[1]) / 1e9 if len(words) > 1 and words[1].isdigit() else 0.0


def status(pid: int | str, root: str = PROC) -> Status | None:
    """Return thread group, user ids and pids per namespace, of a process or of one thread (``PID/task/TID``)."""
    data = read(f"{root}/{pid}/status")
    found: dict[bytes, list[bytes]] = {}
    for line in (data or b"").split(b"\n"):
        key, _, value = line.partition(b":")
        if key in (b"Tgid", b"Uid", b"NSpid"):
            found.setdefault(key, value.split())
    try:
        uids = found[b"Uid"]
        pids = tuple(int(number) for number in found.get(b"NSpid", []))
        return Status(int(found[b"Tgid"][0]), int(uids[0]), int(uids[1]), pids or (int(found[b"Tgid"][0]),))
    except (KeyError, IndexError, ValueError):
        return None


def cmdline(pid: int, root: str = PROC) -> tuple[tuple[str, ...], bool] | None:
    """Return argv and whether it was cut at ``ARGV_LIMIT``; empty for kernel threads and zombies.

    A process may rewrite its own argv; a title without separators (setproctitle) is one argument.
    """
    data = read(f"{root}/{pid}/cmdline", ARGV_LIMIT)
    if data is None:
        return None
    if not data:
        return (), False
    cut = len(data) >= ARGV_LIMIT
    body = data[:-1] if data.endswith(b"\0") else data
    return tuple(text(part) for part in body.split(b"\0")), cut


def exe(pid: int, root: str = PROC) -> tuple[str, bool] | None:
    """Return the path of the image, and whether that name was deleted since."""
    target = link(pid, "exe", root)
    if target is None:
        return None
    deleted = target.endswith(b" (deleted)")
    return text(target[: -len(b" (deleted)")] if deleted else target), deleted


def cwd(pid: int, root: str = PROC) -> str | None:
    """Return the working directory."""
    target = link(pid, "cwd", root)
    return None if target is None else text(target)


def link(pid: int, name: str, root: str = PROC) -> bytes | None:
    """Return what a magic link of a process points at."""
    try:
        return os.readlink(os.fsencode(f"{root}/{pid}/{name}"))
    except OSError:
        return None


def cgroup(pid: int, root: str = PROC) -> str | None:
    """Return the control group path that says most: the unified one, else systemd's, else the longest.

    On hybrid hosts the unified hierarchy may hold only ``/`` while ``name=systemd`` names the unit.
    """
    unified = systemd = longest = b""
    for line in (read(f"{root}/{pid}/cgroup") or b"").split(b"\n"):
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if number == b"0" and not controllers:
            unified = path
        elif controllers == b"name=systemd":
            systemd = path
        longest = max(longest, path, key=len)
    named = (path for path in (unified, systemd, longest) if len(path) > 1)
    best = next(named, unified or systemd or longest)
    return text(best) if best else None


def loginuid(pid: int, root: str = PROC) -> int | None:
    """Return the user id that logged in, kept through sudo and setsid; None if no one did."""
    return _audit(pid, "loginuid", root)


def sessionid(pid: int, root: str = PROC) -> int | None:
    """Return the audit session; None outside one."""
    return _audit(pid, "sessionid", root)


def _audit(pid: int, name: str, root: str) -> int | None:
    data = read(f"{root}/{pid}/{name}", 32)
    try:
        value = int(data) if data else _UNSET
    except ValueError:
        return None
    return None if value == _UNSET else value


def pipes(pid: int, root: str = PROC) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the inode numbers of the pipes that a process reads from, and of those that it writes to.

    Of its first descriptors; None where they are hidden from us. What a socket is connected to is not told here.
    """
    folder, ends = f"{root}/{pid}/fd", list[tuple[int, int]]()
    try:
        names = sorted(os.listdir(folder), key=len)[:DESCRIPTORS]  # noqa: PTH208
    except OSError:
        return None
    for name in names:
        with suppress(OSError):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("pipe:[") and target[6:-1].isdigit():
                ends.append((int(target[6:-1]), os.lstat(f"{folder}/{name}").st_mode))
    reads, writes = ({pipe: None for pipe, mode in ends if mode & bit} for bit in (0o400, 0o200))
    return tuple(reads), tuple(writes)


def unit_run(pid: int, root: str = PROC) -> tuple[str | None, str | None]:
    """Return systemd's id of this run of the unit, and which timer or other unit set it off (since systemd 252).

    Both are from the environment at exec; the process could have forged them.
    """
    found: dict[bytes, str] = {}
    for entry in (read(f"{root}/{pid}/environ", ARGV_LIMIT) or b"").split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name in (b"INVOCATION_ID", b"TRIGGER_UNIT") and value:
            found.setdefault(name, text(value))
    return found.get(b"INVOCATION_ID"), found.get(b"TRIGGER_UNIT")


def io(pid: int, root: str = PROC) -> Io | None:
    """Return the byte counters of a process; only its owner and root may read them."""
    found: dict[bytes, int] = {}
    for line in (read(f"{root}/{pid}/io", 4096) or b"").split(b"\n"):
        key, _, value = line.partition(b":")
        if value.strip().isdigit():
            found[key] = int(value)
    try:
        return Io(found[b"rchar"], found[b"wchar"], found[b"read_bytes"], found[b"write_bytes"])
    except KeyError:
        return None

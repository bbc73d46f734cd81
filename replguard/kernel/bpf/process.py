"""Decodes the records of process.bpf.c, which lies beside this file; a test compares the two."""

from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from replguard.events.identity import TICK
from replguard.kernel.hooks import Hook
from replguard.kernel.procfs import text

OBJECT = "process.bpf.o"
EXEC, FORK, EXIT, SIGNAL, ACCESS = KINDS = range(5)
_PORTABLE = "the portable tier stands in"
_LIST = "a list of processes every second stands in"
HOOKS = (
    Hook("process_exec", "tp_btf/sched_process_exec", (5, 17),
         "a variant without bpf_loop stands in", "names in the paths of executables and folders beyond 48"),
    Hook("process_exec_bounded", "tp_btf/sched_process_exec", (5, 8),
         _PORTABLE, "short lives are missed", better="process_exec"),
    Hook("process_fork", "tp_btf/sched_process_fork", (5, 8), _LIST, "the parent of a process that left it at once"),
    Hook("process_exit", "tp_btf/sched_process_exit", (5, 8), _LIST, "exit codes, and when exactly it ended"),
    Hook("process_signal", "tp_btf/signal_generate", (5, 11), "nothing stands in", "who signals a serving process"),
    Hook("process_access", "tp_btf/sys_exit", (5, 11), "opens of /proc/PID/mem stand in",
         "process_vm_readv and ptrace on serving processes (telling them costs some 100 ns on every system call)"),
)  # fmt: skip
MEMORY = "process_access"
"""The program that costs some 100 ns on every system call of the host."""
ARGS, PATHS, RING = 16384, 8192, 4 << 20
"""Bytes: of argv that is kept, of all paths of one record, of the ring."""
WATCHED = 16384
"""Entries of the map ``watched``: a key of ``WATCH`` (namespace and the pid in it), the host's pid as the value."""
FIRST_PIDS = 0xEFFFFFFC
"""PROC_PID_INIT_INO (include/linux/proc_ns.h): the host's own pid namespace."""
READV, TRACE = 1, 2
TICK_NS = round(TICK * 1e9)
HEAD = Struct("=IIQQQQIIII")
BODY = Struct("=20I16s")
END = Struct("=QII")
PIPES = 8
"""Ends of pipes and socket pairs that a record of an exec holds at most, and after them how many there are."""
ENDS = Struct(f"={PIPES * END.size}xI4x")
ACT = Struct("=QIII4x")
WATCH = Struct("=II")
_CACHE = 2048
"""Paths and names that are remembered decoded: programs, folders and groups come back all the time."""
_UNSET = 2**32 - 1
"""What the kernel keeps for "no login uid" and "no audit session"."""


class Head(NamedTuple):
    """What each record begins with. Times are nanoseconds since boot; ``code`` is that of wait(), of an exit."""

    kind: int
    pid: int
    when: int
    start: int
    parent_start: int
    cgroup: int
    parent: int
    uid: int
    code: int
    pad: int

    @property
    def ticks(self) -> int:
        """The start in the unit of ``/proc/PID/stat``, so that both tiers make the same entity id."""
        return self.start // TICK_NS

    @property
    def parent_ticks(self) -> int:
        return self.parent_start // TICK_NS

    @property
    def exit_code(self) -> int:
        """The exit code as shells tell it: 128 and the signal for a process that one ended."""
        signal = self.code & 0x7F
        return 128 + signal if signal else self.code >> 8 & 0xFF


class Exec(NamedTuple):
    """An exec. Paths are None where they did not fit; ``args`` is None if the kernel could not read argv.

    ``tty`` is encoded as in ``/proc/PID/stat``, None without a terminal; ``truncated`` says that argv was longer.
    Namespaces are inode numbers, ``pid_inside`` is the pid in the innermost pid namespace. ``pipes_in`` and
    ``pipes_out`` name the pipes and socket pairs that it has open for reading and for writing.
    """

    comm: str
    interp: str | None
    executable: str | None
    deleted: bool
    working_directory: str | None
    cgroup: str | None
    args: tuple[str, ...] | None
    truncated: bool
    loginuid: int | None
    audit_session: int | None
    group: int
    session: int
    tty: int | None
    foreground: int
    mount_space: int
    pid_space: int
    net_space: int
    pid_inside: int
    pipes_in: tuple[int, ...]
    pipes_out: tuple[int, ...]


class Act(NamedTuple):
    """A signal to a watched process, or an access to its memory; the head says who acts.

    ``bytes`` were read so far, ``what`` is the signal, READV or TRACE; ``kernel`` says that no process sent it.
    """

    bytes: int
    target: int
    what: int
    kernel: bool


def head(record: bytes) -> Head:
    """Return the head of a record; raises struct.error if it is too short for one."""
    return Head._make(HEAD.unpack_from(record))


def body(record: bytes) -> Exec:
    """Return the rest of an exec record; raises struct.error if it is too short."""
    (loginuid, sessionid, group, session, major, minor, foreground, links, args_total, args,
     interp, exe, cwd, cgroup, cut, tty,
     mount_space, pid_space, net_space, pid_inside, comm) = BODY.unpack_from(record, HEAD.size)  # fmt: skip
    parts = []
    at = HEAD.size + BODY.size
    pipes_in, pipes_out = _ends(record, at)
    at += ENDS.size
    for length in (interp, exe, cwd, cgroup, args):
        parts.append(record[at : at + length])
        at += length
    return Exec(
        comm=_name(comm),
        interp=_name(parts[0]) or None,
        executable=None if cut else path(parts[1]),
        deleted=links == 0,
        working_directory=None if cut else path(parts[2]),
        cgroup=None if cut else path(parts[3]) or "/",
        args=arguments(parts[4]) if args or not args_total else None,
        truncated=args_total > args,
        loginuid=None if loginuid == _UNSET else loginuid,
        audit_session=None if sessionid == _UNSET else sessionid,
        group=group,
        session=session,
        tty=(minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12) if tty else None,
        foreground=foreground,
        mount_space=mount_space,
        pid_space=pid_space,
        net_space=net_space,
        pid_inside=pid_inside,
        pipes_in=pipes_in,
        pipes_out=pipes_out,
    )


def _ends(record: bytes, at: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the pipes that a process reads from, and those that it writes to: of a socket pair the other's end."""
    (count,) = ENDS.unpack_from(record, at)
    if not count:
        return (), ()
    ends = [END.unpack_from(record, at + place * END.size) for place in range(min(count, PIPES))]
    reads = {pipe: 0 for pipe, mode, _ in ends if mode & 1}
    writes = {far or pipe: 0 for pipe, mode, far in ends if mode & 2}
    return tuple(reads), tuple(writes)


def act(record: bytes) -> Act:
    """Return the rest of a record about a signal or an access; raises struct.error if it is too short."""
    amount, target, what, kernel = ACT.unpack_from(record, HEAD.size)
    return Act(amount, target, what, bool(kernel))


def watch_key(space: int, pid: int) -> bytes:
    """Return the key of a watched process: its number in one pid namespace."""
    return WATCH.pack(pid, space)


@lru_cache(maxsize=_CACHE)
def path(names: bytes) -> str | None:
    """Return the path whose names came innermost first. The root alone came as ``/``, a memfd as one name."""
    if not names:
        return None
    parts = names.removesuffix(b"\0").split(b"\0")
    return "/" + text(b"/".join(reversed(parts))).lstrip("/")


def arguments(data: bytes) -> tuple[str, ...]:
    """Return argv; one that was cut ends in a part of an argument."""
    return tuple(text(data.removesuffix(b"\0")).split("\0")) if data else ()


@lru_cache(maxsize=_CACHE)
def _name(data: bytes) -> str:
    """Return the text up to the first NUL."""
    return text(data.partition(b"\0")[0])


@lru_cache(maxsize=_CACHE)
def absolute(asked: str | None, folder: str | None) -> str | None:
    """Return the path that was asked for, made absolute; None for a descriptor (execveat) or an unknown folder."""
    if asked is None or asked.startswith("/dev/fd/") or not (folder or asked.startswith("/")):
        return None
    return asked if asked.startswith("/") else _plain(f"{folder}/{asked}")


def _plain(path: str) -> str:
    """Return the path without dots, as its text says; links are not followed."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept[-1:] = []
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)

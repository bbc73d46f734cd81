"""The system's libbpf, as much of it as loads one object and attaches its programs.

By ctypes and fixed paths: no compiler and no development package on the user's host, and no search path that a
process with other rights could fill. The self-contained archive carries one, beside its interpreter.
"""

import ctypes
import errno
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from ctypes import CFUNCTYPE, byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from replguard.errors import Unavailable
from replguard.kernel import procfs

LIBRARY = "libbpf.so.1"
FOLDERS = (
    f"{sys.prefix}/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib64",
    "/lib",
)
BTF = "/sys/kernel/btf/vmlinux"
LOCKDOWN = "/sys/kernel/security/lockdown"
_INITIAL_PIDS = 0xEFFFFFFC
"""PROC_PID_INIT_INO (include/linux/proc_ns.h): the inode of the first pid namespace."""
_SYS_ADMIN, _PERFMON, _BPF = 21, 38, 39
"""Capabilities (include/uapi/linux/capability.h)."""
_RUN_TIME = 192
"""Where run_time_ns lies in struct bpf_prog_info (include/uapi/linux/bpf.h), whose fields never move."""
_STATS_RUN_TIME = 0
"""BPF_STATS_RUN_TIME (include/uapi/linux/bpf.h)."""
_MESSAGE = 1024
_BATCH = 256
"""Entries that are read at once: more than any bucket of a hash holds."""
_PRINT = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_mem": (c_void_p, (c_char_p, c_size_t, c_void_p)),
    "bpf_object__next_program": (c_void_p, (c_void_p, c_void_p)),
    "bpf_program__name": (c_char_p, (c_void_p,)),
    "bpf_program__set_autoload": (c_int, (c_void_p, c_bool)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_program__attach": (c_void_p, (c_void_p,)),
    "bpf_program__attach_cgroup": (c_void_p, (c_void_p, c_int)),
    "bpf_link__fd": (c_int, (c_void_p,)),
    "bpf_iter_create": (c_int, (c_int,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
    "bpf_object__find_map_fd_by_name": (c_int, (c_void_p, c_char_p)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_map_lookup_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    "bpf_map_lookup_batch": (c_int, (c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "bpf_map_delete_elem": (c_int, (c_int, c_void_p)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_enable_stats": (c_int, (c_int,)),
    "libbpf_set_print": (c_void_p, (_PRINT,)),
}


def check(btf: str = BTF, lockdown: str = LOCKDOWN, proc: str = procfs.PROC) -> None:
    """Raise Unavailable with what to do, if programs cannot work on this host at all."""
    if sys.byteorder != "little":
        raise Unavailable("the eBPF programs are built for little-endian machines only.")
    held = _capabilities(proc)
    if not held >> _SYS_ADMIN & 1 and not (held >> _BPF & 1 and held >> _PERFMON & 1):
        raise Unavailable("eBPF needs root, or the capabilities CAP_BPF and CAP_PERFMON: give the service these.")
    if not Path(btf).exists():
        raise Unavailable(f"the kernel does not describe its types ({btf} is missing): it needs CONFIG_DEBUG_INFO_BTF.")
    if b"[confidentiality]" in (procfs.read(lockdown, 256) or b""):
        raise Unavailable("the kernel is locked down (confidentiality): eBPF may not read what processes do.")
    try:
        inode = Path(f"{proc}/self/ns/pid").stat().st_ino
    except OSError:
        inode = 0
    if inode != _INITIAL_PIDS:
        raise Unavailable("this is a container with pids of its own: run it with the host's (docker: --pid=host).")


def _capabilities(proc: str) -> int:
    for line in (procfs.read(f"{proc}/self/status") or b"").split(b"\n"):
        if line.startswith(b"CapEff:"):
            return int(line[7:], 16)
    return 0


def find(folders: tuple[str, ...] = FOLDERS) -> str:
    """Return the path of the library; raises Unavailable if there is none."""
    for folder in folders:
        path = f"{folder}/{LIBRARY}"
        if Path(path).exists():
            return path
    raise Unavailable(f"{LIBRARY} is not installed (Debian and Ubuntu: apt-get install libbpf1; Fedora: libbpf).")


class _Notes(threading.local):
    """What libbpf said of the last calls of this thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []


_notes = _Notes()
_format = ctypes.CDLL(None).vsnprintf
_format.argtypes = (c_char_p, c_size_t, c_char_p, c_void_p)


def _note(level: int, form: bytes, values: int) -> int:
    if level == 0:  # LIBBPF_WARN
        text = ctypes.create_string_buffer(_MESSAGE)
        _format(text, _MESSAGE, form, values)
        _notes.lines = [*_notes.lines[-9:], procfs.text(text.value).strip()]
    return 0


_print = _PRINT(_note)
"""Kept for ever: libbpf has one for the whole process, and calls it in every thread, whoever set it."""


class Library:
    """libbpf, with what it complains of kept instead of printed."""

    def __init__(self, folders: tuple[str, ...] = FOLDERS) -> None:
        path = find(folders)
        try:
            self.calls = ctypes.CDLL(path, use_errno=True)
            for name, (result, arguments) in _SIGNATURES.items():
                call = getattr(self.calls, name)
                call.restype, call.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise Unavailable(f"{path} cannot be used: {error}.") from error
        self.calls.libbpf_set_print(_print)

    def reason(self) -> str:
        """Return the error of this thread's last call and the first line of what was said of it, and forget both."""
        words = os.strerror(ctypes.get_errno())
        lines = [note.split("\n")[0].removeprefix("libbpf: ") for note in _notes.lines]
        _notes.lines = []
        return f"{words}: {lines[0]}" if lines else words


class Programs:
    """The programs of one object, running from ``attach`` to ``close``.

    ``left`` names those that are not wanted, with the reason. ``missing`` names them and those that this kernel
    refuses; the others run without them.
    """

    def __init__(self, image: bytes, library: Library | None = None, left: Mapping[str, str] | None = None) -> None:
        self._image = image
        self._left = dict(left or {})
        self._library = library or Library()
        self._calls = self._library.calls
        self._object: int | None = None
        self._links: dict[str, int] = {}
        self.missing: dict[str, str] = dict(self._left)
        try:
            self._object = self._load()
        except BaseException:
            self.close()
            raise

    def _open(self) -> int:
        found = self._calls.bpf_object__open_mem(self._image, len(self._image), None)
        if not found:
            raise Unavailable(f"libbpf cannot open the eBPF object: {self._library.reason()}.")
        return int(found)

    def _programs(self, opened: int) -> Iterator[tuple[str, int]]:
        program = self._calls.bpf_object__next_program(opened, None)
        while program:
            yield self._calls.bpf_program__name(program).decode(), program
            program = self._calls.bpf_object__next_program(opened, program)

    def _load(self) -> int:
        opened = self._open()
        names = [name for name, _ in self._programs(opened) if name not in self._left]
        self._calls.bpf_object__close(opened)
        loaded = self._try(set(names)) if len(names) > 1 else None
        if loaded is not None:
            return loaded
        for name in names:
            one = self._try({name})
            if one is not None:
                self._calls.bpf_object__close(one)
        left = set(names) - self.missing.keys()
        loaded = self._try(left) if left else None
        if loaded is None:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
            raise Unavailable(f"the kernel refuses the eBPF programs ({reasons or self._library.reason()}).")
        return loaded

    def _try(self, names: set[str]) -> int | None:
        opened = self._open()
        for name, program in self._programs(opened):
            self._calls.bpf_program__set_autoload(program, name in names)
        if self._calls.bpf_object__load(opened) == 0:
            return opened
        reason = self._library.reason()
        if len(names) == 1:
            self.missing[next(iter(names))] = reason
        self._calls.bpf_object__close(opened)
        return None

    def attach(self) -> None:
        """Let the programs run; one that cannot be attached is ``missing``. Raises Unavailable if none can."""
        assert self._object is not None  # noqa: S101 - the constructor raised otherwise
        for name, program in self._programs(self._object):
            if name in self.missing:
                continue
            link = self._calls.bpf_program__attach(program)
            if link:
                self._links[name] = link
            else:
                self.missing[name] = self._library.reason()
        if not self._links:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
            raise Unavailable(f"the eBPF programs cannot be attached ({reasons}).")

    def attach_below(self, name: str, group: int) -> None:
        """Let a program run for all processes of a control group, by its descriptor; if it can, it is not ``missing``.

        ``attach`` cannot: such a program has no place of its own.
        """
        program = next((found for known, found in self._programs(self._object or 0) if known == name), None)
        link = self._calls.bpf_program__attach_cgroup(program, group)
        if link:
            self._links[name] = link
            self.missing.pop(name, None)
        else:
            self.missing[name] = self._library.reason()

    def walk(self, name: str) -> None:
        """Let an iterator's program see everything that it iterates over, in the namespaces of this thread, once.

        Raises OSError.
        """
        descriptor = int(self._calls.bpf_iter_create(self._calls.bpf_link__fd(self._links[name])))
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "bpf_iter_create")
        try:
            while os.read(descriptor, 1 << 16):
                pass
        finally:
            os.close(descriptor)

    def map(self, name: str) -> int:
        """Return the descriptor of a map; it is closed with the programs."""
        descriptor = int(self._calls.bpf_object__find_map_fd_by_name(self._object, name.encode()))
        if descriptor < 0:
            raise Unavailable(f"the eBPF object has no map {name}.")
        return descriptor

    def number(self, descriptor: int, index: int) -> int:
        """Return the 64-bit number at an index of an array map."""
        value = c_uint64()
        if self._calls.bpf_map_lookup_elem(descriptor, byref(c_uint32(index)), byref(value)) != 0:
            raise OSError(ctypes.get_errno(), "bpf_map_lookup_elem")
        return value.value

    def run_time(self) -> int:
        """Return the nanoseconds that the programs have run while anybody measured (see ``measure``)."""
        assert self._object is not None  # noqa: S101 - closed programs do not run
        total = 0
        for name, program in self._programs(self._object):
            if name not in self.missing:
                info, size = ctypes.create_string_buffer(_RUN_TIME + 8), c_uint32(_RUN_TIME + 8)
                if self._calls.bpf_obj_get_info_by_fd(self._calls.bpf_program__fd(program), info, byref(size)) == 0:
                    total += int.from_bytes(info.raw[_RUN_TIME:], sys.byteorder)
        return total

    def measure(self) -> int:
        """Let the kernel measure how long programs run, as long as the descriptor that is returned is open.

        Costs every run of every program on the host some 20 ns. Raises OSError without the right to (CAP_SYS_ADMIN).
        """
        descriptor = int(self._calls.bpf_enable_stats(_STATS_RUN_TIME))
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "bpf_enable_stats")
        return descriptor

    def put(self, descriptor: int, key: bytes, value: bytes) -> None:
        """Set an entry of a map. Raises OSError, with ENOSPC or E2BIG if the map is full."""
        if self._calls.bpf_map_update_elem(descriptor, key, value, 0) != 0:
            raise OSError(ctypes.get_errno(), "bpf_map_update_elem")

    def entries(self, descriptor: int, key: int, value: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of a hash map, whose keys and values have these sizes, many for each call to the kernel.

        Raises OSError on a kernel before 5.6.
        """
        keys, values = ctypes.create_string_buffer(key * _BATCH), ctypes.create_string_buffer(value * _BATCH)
        place, after, count = None, ctypes.create_string_buffer(max(key, 4)), c_uint32(_BATCH)
        done = False
        while not done:
            count.value = _BATCH
            if self._calls.bpf_map_lookup_batch(descriptor, place, after, keys, values, byref(count), None) != 0:
                if ctypes.get_errno() != errno.ENOENT:  # the end
                    raise OSError(ctypes.get_errno(), "bpf_map_lookup_batch")
                done = True
            found, held = keys.raw, values.raw
            for index in range(count.value):
                yield found[index * key : (index + 1) * key], held[index * value : (index + 1) * value]
            place = after

    def remove(self, descriptor: int, key: bytes) -> None:
        """Remove an entry of a map, if it is there."""
        self._calls.bpf_map_delete_elem(descriptor, key)

    def close(self) -> None:
        """Take the programs out of the kernel. Their end with ours is certain: a link lives as its descriptor."""
        while self._links:
            self._calls.bpf_link__destroy(self._links.popitem()[1])
        if self._object is not None:
            self._calls.bpf_object__close(self._object)
            self._object = None

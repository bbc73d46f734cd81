"""The ways to copy weights, and what is told of each: the tests play the rows, the reference shows them."""

from dataclasses import dataclass
from typing import Literal

Hidden = Literal["access", "copy", "who"]
By = Literal["kernel", "lineage", "inferred"]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A technique. ``access`` is the mode of the use that is told, ``copy`` how the copy is known; None: not told.

    ``access_by`` and ``copy_by`` say how it is known whose act it was: by the kernel, by looking who has the
    file, or by a likely guess. None: by chance, which no test judges.

    ``command`` has the words {source}, {target}, {to} (the target's folder) and {a program's name}; None where a test
    of its own plays the way. ``source`` and ``target`` name filesystems of the ground, ``tensors`` is the size in
    pieces of 4 MiB. With ``child`` a child of what is started acts. A program with ``until`` ends with its input, which
    has to stay open until that is told. ``lost`` says what is not told with the hooks of
    5.15, ``note`` what else there is to know.
    """

    name: str
    technique: str
    command: tuple[str, ...] | None = None
    source: str = "disk"
    target: str = "disk"
    file: str = "taken"
    tensors: int = 6
    child: bool = False
    until: Literal["access", "copy"] | None = None
    access_by: By | None = "kernel"
    copy_by: By | None = "kernel"
    access: str | None = "read"
    copy: str | None = "content"
    made: str = "copy"
    lost: frozenset[Hidden] = frozenset()
    note: str = ""


def _shell(text: str) -> tuple[str, ...]:
    return ("sh", "-ec", text, "sh", "{source}", "{target}", "{to}")


COMMANDS = (
    Way(name="cat", technique="`cat`", command=_shell('exec cat "$1" > "$2"')),
    Way(name="dd", technique="`dd`", command=("dd", "if={source}", "of={target}", "bs=1M", "status=none")),
    Way(name="readwrite", technique="read and write", command=("{piece}", "{source}", "{target}", "0", "-1")),
    Way(
        name="cp-xfs",
        technique="`cp` on XFS (reflink)",
        command=("cp", "{source}", "{target}"),
        source="xfs",
        access=None,
    ),
    Way(
        name="cp-btrfs",
        technique="`cp` on btrfs (reflink)",
        command=("cp", "{source}", "{target}"),
        source="btrfs",
        access=None,
    ),
    Way(name="range", technique="`copy_file_range` on ext4", command=("{range}", "{source}", "{target}")),
    Way(
        name="range-xfs",
        technique="`copy_file_range` on XFS (reflink)",
        command=("{range}", "{source}", "{target}"),
        source="xfs",
        access=None,
    ),
    Way(name="sendfile", technique="`sendfile`", command=("{sendfile}", "{source}", "{target}")),
    Way(name="splice", technique="`splice` through a pipe", command=("{splice}", "{source}", "{target}")),
    Way(
        name="map-late",
        technique="`mmap` to `mmap`, held",
        command=("{map}", "{source}", "{target}", "late"),
        until="access",
        access="map",
        access_by="lineage",
    ),
    Way(
        name="map-early",
        technique="`mmap` to `mmap`, over at once",
        command=("{map}", "{source}", "{target}", "early"),
        access="map",
        access_by=None,
    ),
    Way(name="ring", technique="io_uring", command=("{ring}", "{source}", "{target}", "inline")),
    Way(
        name="ring-poll",
        technique="io_uring, submitted by a kernel thread (SQPOLL)",
        command=("{ring}", "{source}", "{target}", "poll"),
    ),
    Way(name="unnamed", technique="`O_TMPFILE`, then `linkat`", command=("{unnamed}", "{source}", "{target}")),
    Way(
        name="direct",
        technique="`O_DIRECT`, read and written",
        command=("dd", "if={source}", "of={target}", "bs=1M", "iflag=direct", "oflag=direct", "status=none"),
    ),
    Way(
        name="hardlink",
        technique="hard link",
        command=("ln", "{source}", "{target}"),
        access=None,
        copy="link",
        made="hardlink",
    ),
    Way(
        name="symlink",
        technique="symlink",
        command=("ln", "-s", "{source}", "{target}"),
        access=None,
        copy="link",
        made="symlink",
    ),
    Way(
        name="rename",
        technique="rename",
        command=("mv", "{source}", "{target}"),
        access=None,
        copy="link",
        made="rename",
    ),
    Way(name="to-tmpfs", technique="`cp` to a tmpfs", command=("cp", "{source}", "{target}"), target="tmpfs"),
    Way(
        name="from-tmpfs",
        technique="`cp` from a tmpfs",
        command=("cp", "{source}", "{target}"),
        source="tmpfs",
        access_by="lineage",
        note="what is read there is not counted: the open is the use",
    ),
    Way(
        name="through-bind",
        technique="`cp` through a bind mount of the folder",
        command=("cp", "{bound}", "{target}"),
        note="the use is told with the path that was taken",
    ),
    Way(
        name="mount-namespace",
        technique="`cp` to a tmpfs of its own mount namespace",
        command=("unshare", "-m", *_shell('mount -t tmpfs t "$3"; cp "$1" "$2"; exec cat')),
        child=True,
        until="copy",
        copy_by=None,
    ),
    Way(
        name="pid-namespace",
        technique="`cp` in a pid namespace",
        command=("unshare", "-p", "-f", "--mount-proc", "cp", "{source}", "{target}"),
        child=True,
        note="told with the pid of the host",
    ),
)  # fmt: skip
"""Played by one test over all."""

OWN = (
    Way(name="control", technique="`cp` on ext4 (`copy_file_range`)"),
    Way(name="progress", technique="a copy that is being written, and never closed", tensors=8),
    Way(name="killed", technique="a copy that is killed half-way", tensors=8),
    Way(name="resumed", technique="a copy that is resumed by another process", tensors=8),
    Way(name="throttled", technique="a copy of 8 MiB a second", tensors=8),
    Way(name="two-writers", technique="two processes that write one half each", tensors=8),
    Way(name="pipe", technique="`cat` to another process that writes", note="the second process is the maker"),
    Way(name="adapter", technique="an adapter of 4 MiB, by a child of an agent that lives a millisecond", tensors=1),
    Way(name="bind", technique="bind mount", access=None, copy="link", made="bind"),
    Way(name="copy-up", technique="overlay copy-up", note="told by its path in the overlay"),
    Way(
        name="memfd",
        technique="into a memfd, held",
        copy_by="lineage",
        copy="derived",
        made="transform",
        note="one that is let go of at once is not told",
    ),
    Way(
        name="peek",
        technique="`process_vm_readv` of a server",
        access=None,
        note="the use is told with `sensors.memory_access: true`",
    ),
    Way(
        name="mem",
        technique="`/proc/PID/mem` of a server",
        access="memory",
        note="`process_access` names the server too",
    ),
    Way(
        name="loop",
        technique="a loop device over the file, and `dd` of that",
        access_by="inferred",
        note="a thread of the kernel reads: the use is given to who laid the device, the copy to `dd`",
    ),
    Way(
        name="raw",
        technique="the block device below the filesystem (`debugfs`)",
        source="ext4",
        access="device",
        note="told at the open of the device, for each model that lies on it",
    ),
)  # fmt: skip
"""Each played by a test of its own."""

ALL = {way.name: way for way in (*COMMANDS, *OWN)}


def table() -> list[str]:
    """Return the rows of the reference: technique, what is told of the use and of the copy, what 5.15 loses."""
    return [_row(way) for way in ALL.values()]


def _row(way: Way) -> str:
    access = f"`{way.access}`{_BY[way.access_by]}" if way.access else "not told"
    made = "" if way.made == "copy" else f", `{way.made}`"
    copy = f"`{way.copy}`{made}{_BY[way.copy_by]}" if way.copy else "not told"
    lost = ", ".join(_LOST[what] for what in sorted(way.lost)) or "–"
    return f"| {way.technique} | {access} | {copy} | {lost} | {way.note or '–'} |"


_BY: dict[By | None, str] = {"kernel": "", "lineage": ", by a look", "inferred": ", inferred", None: ", by chance"}
_LOST: dict[Hidden, str] = {"access": "the use", "copy": "the copy", "who": "who"}

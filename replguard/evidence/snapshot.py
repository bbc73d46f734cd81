"""What one process is at this moment, read within a second. It is never stopped, traced or written to.

Everything is read below one held descriptor of ``/proc/PID``, which never becomes another process; what vanishes first
or matters most is read first, and what the process itself can make us wait for is read last.
"""

# ruff: noqa: PTH115 - pathlib knows no bytes

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from replguard.events import clock, wire
from replguard.events.evidence import Descriptor, Snapshot, Taken
from replguard.evidence import descriptors, image, memory
from replguard.evidence.image import Note
from replguard.kernel import procfs
from replguard.kernel.procfs import HELD, PROC, Stat

MOUNTS, DESCRIPTORS, SOCKETS, MAPS, IMAGE, ENVIRONMENT = 0.1, 0.15, 0.15, 0.15, 0.2, 0.1
"""Seconds that each part of a look has, whatever those before it took: nobody blinds us to his files by his mounts."""
HASHED_BY = 0.7
"""Seconds after its beginning to which the image may be hashed where the parts before it left time over."""
MOST = 256 * 2**10
"""Bytes of a record, as a line of JSON; one of a usual process has 2 to 10 KiB."""
_LISTS = ("maps", "descriptors", "sockets", "environment")
_LONG = ("maps", "descriptors", "environment")
_THREADS = 1024
_ENDED = ("Z", "X")

Seen = TypeVar("Seen")


class Look:
    """A look at one process. What it has found so far can be taken at any time, also when it hangs at something."""

    def __init__(self, pid: int, start: int, root: str = PROC) -> None:
        """``start`` are the clock ticks of `procfs.Stat`: another process that has the pid by now is not looked at."""
        self._folder, self._start = f"{root}/{pid}", start
        self._found: dict[str, Any] = {}
        self._missing: list[str] = []
        self._at = "process"
        self._began = clock.monotonic()
        self.seconds: float | None = None

    def run(self) -> None:
        """Look at everything. Raises nothing that the process could bring about."""
        held = self._part("process", lambda _: os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        if held is not None:
            try:
                self._process(held)
            finally:
                os.close(held)
        self.seconds = round(clock.monotonic() - self._began, 4)

    def snapshot(self, alert: str, incident: str) -> Snapshot:
        """Return what was found so far."""
        missing = tuple(self._missing)
        if self.seconds is None:
            missing = (*missing, f"{self._at}: did not answer, and what comes after it was not asked for")
        found = dict(self._found)
        return Snapshot(alert=alert, incident=incident, **found, missing=missing, seconds=self.seconds)

    def _process(self, held: int) -> None:
        stat = procfs.stat(held, HELD)
        if stat is None or stat.start_ticks != self._start:
            self._note("process")("it had ended" if stat is None else "it had ended, and another one has its pid")
            return
        if stat.kthread:
            self._note("process")("it is a thread of the kernel, which has nothing of what is looked for")
        elif stat.state in _ENDED:
            with _living(held) as thread:
                if thread is None:
                    self._note("process")("it had ended, and its parent did not take notice yet")
                else:
                    self._note("process")("its first thread had ended: this is told by another one")
                    self._parts(thread)
        else:
            self._parts(held)
        self._after(held, stat)

    def _after(self, held: int, before: Stat) -> None:
        """Say what became of the process meanwhile."""
        after = procfs.stat(held, HELD)
        if after is None or (after.state in _ENDED and before.state not in _ENDED):
            self._note("process")("it ended meanwhile")
        elif after.image != before.image:
            self._note("process")("it executed another program meanwhile: parts may be of either")

    def _parts(self, held: int) -> None:
        began, found = self._began, self._found
        self._places(held)
        program = self._part("image", lambda note: image.opened(held, note, _in(MOUNTS)))
        try:
            if program is not None:
                found["image"] = program.shown
            self._handles(held)
            found["maps"] = self._part("maps", lambda note: memory.maps(held, note, _in(MAPS))) or ()
            if program is not None:
                whole = self._part(
                    "image", lambda note: image.hashed(program, note, max(began + HASHED_BY, _in(IMAGE)))
                )
                found["image"] = whole or program.shown
        finally:
            if program is not None and program.descriptor is not None:
                os.close(program.descriptor)
        names = self._part("environment", lambda note: memory.environment(held, note, _in(ENVIRONMENT)))
        found["environment"] = names or ()

    def _handles(self, held: int) -> None:
        found = self._found
        has = self._part("descriptors", lambda note: descriptors.descriptors(held, note, _in(DESCRIPTORS)))
        if has is None:
            return
        found["descriptors"] = (*has.descriptors, *_unnamed(has.sockets))
        told = self._part("sockets", lambda note: descriptors.sockets(held, has.sockets, note, _in(SOCKETS))) or {}
        left = {inode: fd for inode, fd in has.sockets.items() if inode not in told}
        found["sockets"] = tuple(told.values())
        found["descriptors"] = (*has.descriptors, *_unnamed(left))

    def _places(self, held: int) -> None:
        """Note where the process stands: its control group, its root and its working directory."""
        found = self._found
        group = procfs.cgroup(held, HELD)
        found["cgroup"] = None if group is None else image.shown(group.encode())
        found["root"] = self._part("root", lambda _: _leads(held, "root"))
        found["working_directory"] = self._part("working_directory", lambda _: _leads(held, "cwd"))

    def _part(self, name: str, look: Callable[[Note], Seen]) -> Seen | None:
        """Look at a part; None where it cannot be looked at, which is noted."""
        self._at = name
        note = self._note(name)
        try:
            return look(note)
        except (OSError, ValueError) as error:
            note(_why(error))
            return None

    def _note(self, name: str) -> Note:
        return lambda what: self._missing.append(f"{name}: {what}")


def take(pid: int, start: int, root: str = PROC) -> Look:
    """Return a look at a process that is done. It may hang: what must not wait gives it a thread (see ``witness``)."""
    look = Look(pid, start, root)
    look.run()
    return look


def fit(taken: Taken, most: int = MOST) -> Taken:
    """Return a record that has at most so many bytes: the longest lists lose their latter halves."""
    while len(wire.encode(taken)) > most:
        sizes = {name: len(wire.encode(getattr(taken.snapshot, name))) for name in _LISTS}
        name = max(_LISTS, key=lambda each: sizes[each])
        entries = getattr(taken.snapshot, name)
        if not entries:
            break  # what is left is bounded: an alert's process, and a few paths
        missing = (
            *taken.snapshot.missing,
            f"{name}: {len(entries) - len(entries) // 2} more, left out for their length",
        )
        cut: dict[str, Any] = {name: entries[: len(entries) // 2], "missing": missing}
        taken = msgspec.structs.replace(taken, snapshot=msgspec.structs.replace(taken.snapshot, **cut))
    return taken


def lean(taken: Taken) -> Taken:
    """Return a record without its longest parts: what it runs, where it stands and its sockets are left."""
    left = [name for name in _LONG if getattr(taken.snapshot, name)]
    missing = (*taken.snapshot.missing, *(f"{name}: left out, there was too much evidence of late" for name in left))
    given: dict[str, Any] = {**dict.fromkeys(left, ()), "missing": missing}
    return msgspec.structs.replace(taken, snapshot=msgspec.structs.replace(taken.snapshot, **given))


@contextlib.contextmanager
def _living(held: int) -> Iterator[int | None]:
    """Hold another thread of a process whose first one has ended: all that they share is told by each of them."""
    with contextlib.ExitStack() as keeps:
        yield next(_threads(held, keeps), None)


def _threads(held: int, keeps: contextlib.ExitStack) -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(f"{HELD}/{held}/task") as threads:
        for _, thread in zip(range(_THREADS), threads, strict=False):
            stat = procfs.stat(int(thread.name), f"{HELD}/{held}/task")
            if stat is not None and stat.state not in _ENDED:
                one = os.open(thread.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                keeps.callback(os.close, one)
                yield one


def _unnamed(sockets: dict[int, int]) -> list[Descriptor]:
    some = list(sockets.items())[: descriptors.SOCKETS]
    return [Descriptor(fd=fd, path=f"socket:[{inode}]") for inode, fd in some]


def _in(seconds: float) -> float:
    return clock.monotonic() + seconds


def _leads(held: int, link: str) -> str:
    return image.shown(os.readlink(f"{HELD}/{held}/{link}".encode()))


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "the kernel tells it in a form that is not known"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "closed to us: it is another user's, or protected from us"
    if error.errno in (errno.ENOENT, errno.ESRCH):
        return "there is none, or it ended meanwhile"
    return (error.strerror or "it cannot be read").lower()

"""What is mounted here and in other namespaces, kept watched as it changes."""

import contextlib
import errno
from collections import deque
from collections.abc import Callable

from replguard.errors import Unavailable
from replguard.events import clock
from replguard.kernel import beneath, fanotify
from replguard.kernel.fanotify import Group
from replguard.kernel.mounts import PSEUDO
from replguard.sensors.files.folders import Folders
from replguard.sensors.files.spaces import Spaces
from replguard.sensors.files.superblocks import Superblocks, join
from replguard.sensors.files.verdicts import Verdicts

EVERY, SOON = 5.0, 0.5
"""Seconds between looks for other mount namespaces, and the same once a process from an unknown one was met."""
AT_ONCE, WITHIN, REST, LONGEST = 8, 8.0, 20, 30.0
"""So many changes within so many seconds are taken in at once; then they wait, and always for so many times what the
last one took of the processor, but not ``LONGEST``: anyone may mount and unmount without end in a user namespace."""
_MOST_NAMED = 5

_NEWEST = fanotify.CREATE | fanotify.DELETE | fanotify.CLOSE_WRITE | fanotify.RENAME | fanotify.ONDIR
_OLDER = _NEWEST & ~fanotify.RENAME | fanotify.MOVED_FROM | fanotify.MOVED_TO


def begin(*, older: bool) -> tuple[Group, int]:
    """Return a group for names, and what to ask of a filesystem: as since 5.17, or as before. Raises Unavailable."""
    if not older:
        try:
            return Group(fanotify.NAMES_AND_TARGETS), _NEWEST
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise Unavailable(fanotify.sentence(error)) from error
    try:
        return Group(fanotify.NAMES), _OLDER
    except OSError as error:
        raise Unavailable(fanotify.sentence(error)) from error


class Mounted:
    """The namespaces, the filesystems with their marks in one group, and the folders on them."""

    def __init__(
        self, group: Group, mask: int, told: Callable[[bytes, bytes], bool], verdicts: Verdicts | None = None
    ) -> None:
        """Mark everything, and note in ``verdicts`` what is watched.

        Raises Unavailable if the host's own root cannot be watched.
        """
        self.spaces = Spaces()
        self._verdicts = verdicts or Verdicts()
        try:
            self.superblocks = Superblocks(group, mask)
            self.folders = Folders(self.superblocks, self.spaces.own, told)
            self.refused: list[str] = []
            self.skip: frozenset[bytes] = frozenset()
            """Mount points that a walk must not enter: their server may hang it, or the kernel makes them up."""
            self._due = self._rest = 0.0
            self._waits = False
            self._taken: deque[float] = deque(maxlen=AT_ONCE)
            self.arrange()
            if not self.superblocks.watches_root(next(self.spaces.all())) and self.spaces.look():
                self.arrange()  # in a container: only the engine's namespace shows where its overlay writes to
            self._check()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor that has an exceptional condition (POLLPRI) when our own mounts change."""
        return self.spaces.fileno()

    def close(self) -> None:
        """Let go of everything."""
        self.spaces.close()

    def changed(self) -> bool:
        """Look whether anything was mounted or unmounted, and it is time to take it in.

        Namespaces of others are looked for now and then.
        """
        now = clock.monotonic()
        self._waits = self.spaces.changed() or self._waits
        soon = self.spaces.unknown or self.folders.stale
        if now >= max(self._due - (EVERY - SOON if soon else 0.0), self._rest):
            self.folders.stale = False
            before = clock.cpu()
            self._waits = self.spaces.look() or self._waits
            cost = clock.cpu() - before
            self._due = now + min(max(EVERY, cost * REST), LONGEST)
        many = len(self._taken) == AT_ONCE and now - self._taken[0] < WITHIN
        return self._waits and not many and now >= self._rest

    def arrange(self) -> list[bytes]:
        """Mark what is mounted; return where the filesystems are that were not there before."""
        before, self._waits = clock.cpu(), False
        self._taken.append(clock.monotonic())
        spaces = list(self.spaces.all())
        fresh = self.superblocks.arrange(spaces)
        self.folders.forget()
        self.skip = frozenset(
            space.prefix + m.path for space in spaces for m in space.mounts if m.remote or m.kind in PSEUDO
        )
        self._verdicts.judge(spaces, self.superblocks)
        self.refused = self.superblocks.refused() + sorted(self.spaces.left_out)
        self._rest = clock.monotonic() + min((clock.cpu() - before) * REST, LONGEST)
        return [superblock.seats[0].prefix + superblock.seats[0].path for superblock in fresh]

    def folder(self, handle: bytes) -> str | None:
        """Return a folder of the filesystem that a handle is of; may be asked by another thread.

        None where only another user's namespace shows it: whoever opens a path there may be led elsewhere.
        """
        for superblock in self.superblocks.by_fsid.get(handle[:8], ()):
            for seat in superblock.seats:
                with contextlib.suppress(UnicodeDecodeError):
                    if seat.trusted:
                        return join(seat.prefix, seat.path).decode()
        return None

    def inside(self, access: bytes) -> bytes:
        """Return the path in its own namespace of what we reach through a process there."""
        there = beneath.parted(access)
        return there[1] if there is not None else access

    def unwatched(self) -> str | None:
        """Say which filesystems are not watched, None if all are."""
        if not self.refused:
            return None
        more = len(self.refused) - _MOST_NAMED
        named = "; ".join(self.refused[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return f"not watched for names: {named}."

    def _check(self) -> None:
        if not self.superblocks.watches_root(next(self.spaces.all())):
            raise Unavailable(
                f"the filesystem at / takes no fanotify mark ({'; '.join(self.refused[:3]) or 'overlay'})."
            )
        handle = fanotify.handle_of(b"/")
        known = handle is not None and handle[:8] in self.superblocks.by_fsid
        if handle is not None and known and self.folders.of(handle) is None:
            raise Unavailable(
                "file handles cannot be opened: the service needs CAP_DAC_READ_SEARCH besides CAP_SYS_ADMIN."
            )

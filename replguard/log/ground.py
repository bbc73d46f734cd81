"""What has to be on the disk before a segment begins, and what is done once it has begun."""

import contextlib
import errno
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from replguard import ownership, wholefile
from replguard.events.text import printable
from replguard.log import names, reader, walk
from replguard.log.archive import Archive
from replguard.log.chain import Chain, Place
from replguard.log.keys import Keys
from replguard.log.opened import Opened
from replguard.log.reader import Torn
from replguard.log.walk import Part

TAKEN = 1000
"""Names of segments that are tried one after the other, where others lie there."""
Tell = Callable[[Any, str], None]


class Ground:
    """What a stream stands on. ``number`` is its newest segment (0 for none), ``oldest`` the first one that is kept.

    ``prepare`` and ``settle`` belong to the thread that waits for the disk; the rest is for others while that rests.
    """

    def __init__(
        self,
        folder: Path,
        stream: str,
        keys: Keys,
        archive: Archive,
        tell: Tell,
        doubt: Callable[[Path], str | None] = ownership.doubt,
    ) -> None:
        self._folder, self._stream, self._keys, self._archive, self._tell = folder, stream, keys, archive, tell
        self._doubt = doubt
        self._is_known = False
        self.chain = Chain(keys, Place(), None)
        self.number, self.oldest = 0, 1
        self.trouble: OSError | None = None

    def prepare(self, now: datetime) -> None:
        """Have all on the disk that the header of the next segment tells of. ``trouble`` is why it cannot begin."""
        self.trouble = None
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            if (why := self._doubt(self._folder)) is not None:
                raise PermissionError(errno.EPERM, why)
            if not self._is_known:
                self._go_on()
                self._is_known = True
            # What one header told stays true: while segments are being packed more of them would seem to fit.
            self.oldest = max(self.oldest, self._archive.oldest(self.number + 1, now.timestamp()))
        except OSError as error:
            self.trouble = error
            return
        self._keys.prepare()

    def open(self) -> Opened:
        """Open a new segment under the next name that is free. Raises OSError.

        Who may write here may have taken some, even all that a listing would lead to: each is told and left alone.
        """
        for number in range(self.number + 1, self.number + TAKEN):
            path = self._folder / names.name(self._stream, number)
            try:
                if os.path.lexists(packed := f"{path}{names.ZSTD}"):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), packed)
                return Opened(path, number)
            except FileExistsError as error:
                self._tell("degraded", f"{printable(str(error.filename))} was there already, and is none of the log")
        raise FileExistsError(errno.EEXIST, f"{TAKEN} names of segments to come are taken: remove what is not the log")

    def begun(self, opened: Opened) -> None:
        """Sign by the key of a segment from now on: its header is written."""
        self.number = opened.number
        self.chain.begun()

    def settle(self, opened: Opened) -> None:
        """Forget the key of the segment before once the header that tells of the new one is on the disk.

        And remove what it says is not kept. Raises OSError.
        """
        opened.sync()
        with contextlib.suppress(FileNotFoundError):  # the next tick tells that it is gone
            wholefile.settle(self._folder)
        self._keys.forget()
        self._keys.prepare()
        if self.number > 1:
            self._archive.tidy(self.number, self.oldest)
        if self._keys.trouble is not None:
            self._tell("degraded", f"its key cannot be kept, and nobody vouches for the next: {self._keys.trouble}")

    def _go_on(self) -> None:
        """Take up the chain where its newest segment ends, before the first one of ours. Raises OSError."""
        last = walk.newest(self._folder, self._stream, self._keys.knows)
        header = last.header if last is not None else None
        if last is not None and header is not None:
            # Who wrote it may have been killed: what is to be followed has to stay.
            _keep(last)
            wholefile.settle(self._folder)
            self.number = last.number
            while _is_left(self._folder / names.name(self._stream, self.number + 1)):
                self.number += 1
        else:
            there = [each.number for each in names.segments(self._folder, self._stream)]
            self.number = max((each for each in there if each <= names.MOST), default=0)
        known = last is not None and header is not None and last.vouched and self._keys.knows(header.key, header.by)
        held = self._keys.are_there
        self._keys.open(header.key if known and header is not None else None)
        # Where nobody knows who says what is kept, all of it is.
        self.oldest = header.oldest if known and header is not None else 1
        if known and last is not None:
            self._tell("started", _followed(last))
        else:
            self._tell_beginning(is_new=header is None, held=held)
        origin = header.origin if known and header is not None else None
        self.chain = Chain(self._keys, last.end if last is not None else Place(), origin)

    def _tell_beginning(self, *, is_new: bool, held: bool) -> None:
        """Say why nobody vouches for what is written from now on."""
        if held:
            self._tell(
                "degraded",
                "the segment that its key signs is not there or is not what was signed: it was removed or changed, or"
                " the keys are those of another log; nobody vouches for what follows",
            )
        elif not is_new:
            self._tell("degraded", "the key that signed it last is lost: nobody vouches for what follows")
        if is_new:
            told = f"its first key is {self._keys.public}: note it on another machine, for `replguard verify --trust`"
            self._tell("started", told)


def _followed(last: Part) -> str:
    """Return how the segment ended that is gone on from: on record, and signed by the new key."""
    told = f"it goes on behind {last.path.name}, block {last.end.tree.size}"
    told += f"; {last.open} records of it were not sealed" if last.open else ""
    return told + ("; its last line is torn" if last.torn else "")


def _is_left(path: Path) -> bool:
    """Whether a file is what a writer leaves that ends before its first line is whole."""
    if path.is_symlink() or not path.is_file():
        return False
    first = next(reader.lines(path), None)
    return first is None or (isinstance(first, tuple) and isinstance(first[1][0], Torn))


def _keep(last: Part) -> None:
    """Wait until a segment is on the disk. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):  # it was packed a moment ago, and is there then
        descriptor = os.open(last.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

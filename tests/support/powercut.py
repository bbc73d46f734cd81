"""Power cuts, without one: what a disk holds at a moment is kept, and mounted as after a cut at that moment.

The filesystem under test lies in a file on another one (XFS) that can copy files at once, by sharing their blocks. Such
a copy holds what the filesystem had written to its disk by then, in whatever order, and nothing that was in memory
alone. What this does not show is a disk that loses what it said it keeps: its own cache.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from support.filesystems import Mounts, made

FICLONE = 0x40049409
OPTIONS = {"xfs": ["-o", "nouuid"]}
"""What mounts a filesystem of which another copy is known."""


class Disk:
    """A filesystem, mounted at ``place`` until it is ``gone``; ``images`` are the copies, in order."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._kind, self._folder = kind, folder
        self._outer, self._inner = Mounts(folder / "outer"), Mounts(folder / "inner")
        self.images: list[Path] = []
        self.place = folder

    def __enter__(self) -> Self:
        for mounts in (self._outer, self._inner):
            mounts.folder.mkdir()
            mounts.__enter__()
        outer, _ = self._outer.image("xfs", 2000)
        self._image = made(self._kind, outer / "disk")
        self.place = self._inner.mount(self._folder / "disk", ["-t", self._kind, self._inner.loop(self._image)])
        return self

    def cut(self) -> None:
        """Keep what the disk holds now."""
        image = self._image.with_name(f"cut-{len(self.images)}")
        with self._image.open("rb") as source, image.open("wb") as target:
            fcntl.ioctl(target, FICLONE, source.fileno())
        self.images.append(image)

    def gone(self) -> None:
        """Unmount the filesystem: some cannot be mounted beside a copy."""
        self._inner.__exit__(None, None, None)

    @contextmanager
    def after(self, image: Path) -> Iterator[Path]:
        """Mount a copy, as the next boot does."""
        with Mounts(self._folder) as mounts:
            words = ["-t", self._kind, *OPTIONS.get(self._kind, []), mounts.loop(image)]
            yield mounts.mount(self._folder / "after", words)

    def __exit__(self, *_: object) -> None:
        self.gone()
        self._outer.__exit__(None, None, None)

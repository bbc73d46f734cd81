"""What is remembered of one protected file, and what is said of one that holds content of it."""

import msgspec

RAW = "raw"
"""The stream of a file's own bytes; the others are its values re-typed, by the name of the type."""
FOREIGN = -1
"""Device of files that an imported index names: they have none on this host."""


class Target(msgspec.Struct, frozen=True):
    """A protected file as the inventory lists it; sizes in bytes, times in nanoseconds since the epoch.

    ``discovered`` tells that no path of the configuration leads to it.
    """

    path: str
    model: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    format: str | None = None
    scaffold: bool = False
    discovered: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """The file's identity on this host."""
        return self.device, self.inode

    def same(self, other: "Target") -> bool:
        """Whether the other is this file with the content it had: by its size and times."""
        mine = self.size, self.mtime_ns, self.ctime_ns
        return mine == (other.size, other.mtime_ns, other.ctime_ns)


class Stream(msgspec.Struct):
    """Anchors of a file's bytes, or of its values in another type.

    ``every`` is of how many units one was looked at, ``spacing`` the bytes from anchor to anchor. ``keys`` (u64,
    little-endian, ascending) are their entries; an index keeps them in its own tables, and then they are empty here.
    """

    kind: str
    every: int
    spacing: int
    count: int
    keys: bytes = b""


class Fingerprint(msgspec.Struct):
    """What is remembered of a file. ``payload`` is the bytes of its tensors.

    ``read`` is how far an unfinished one has come, in bytes; None when it is done.
    """

    target: Target
    payload: int
    identity: bytes | None
    streams: list[Stream]
    current: bool = True
    seen: float = 0.0
    read: int | None = None

    @property
    def entries(self) -> int:
        """How many anchors are remembered."""
        return sum(stream.count for stream in self.streams)


class Match(msgspec.Struct, frozen=True):
    """Content of a protected file found in another.

    ``share`` (0..1) is how much of the origin the file holds, estimated from the ``hits`` among the ``samples``
    anchors that were looked at. ``device`` and ``inode`` are None for an origin from an imported index.
    ``current`` is False where the origin itself is gone or was replaced since.
    """

    model: str
    path: str
    device: int | None
    inode: int | None
    share: float
    hits: int
    samples: int
    size: int
    scaffold: bool = False
    current: bool = True


class Changed(Exception):  # noqa: N818 - a state of the file, not a fault of ours
    """The file was written to while it was read."""

"""What the daemon and its examiner say to each other, in frames."""

from datetime import datetime
from typing import Literal

import msgspec

from replguard.weights.fingerprint import Match, Target

Rank = Literal["toucher", "agent", "other"]


class Request(msgspec.Struct, frozen=True):
    """A wish to have a file examined. ``reason`` is free text of the asker, given back with the answer.

    ``rank`` is who made the file: somebody who touched weights, an agent, or anybody else. ``uid`` is the owner of the
    file, None if unknown: requests of one rank wait in fair shares by it. ``again`` marks a request that was
    refused before; refused once more, it is not counted once more. ``handle`` is the file itself, on the filesystem
    that ``mount`` lies on: a name may mean another file by the time that it is opened.
    """

    path: str
    device: int | None = None
    inode: int | None = None
    reason: str = ""
    uid: int | None = None
    again: bool = False
    rank: Rank = "other"
    handle: bytes | None = None
    mount: str | None = None


class Examination(msgspec.Struct, frozen=True, tag="examination"):
    """What a file holds; a protected file holds itself.

    ``device``, ``inode`` and ``size`` (bytes) are those found, None if the file could not be opened.
    ``traces`` are origins of which less was found than makes a match: parts that tell nothing alone, and add up.
    ``error`` is the reason why there is no answer (then ``matches`` is empty); ``changed`` tells that the file was
    written to meanwhile, ``index_ready`` False that some protected files had no fingerprint yet: ask again later.
    """

    request: Request
    time: datetime
    path: str
    device: int | None = None
    inode: int | None = None
    size: int | None = None
    format: str | None = None
    matches: tuple[Match, ...] = ()
    traces: tuple[Match, ...] = ()
    error: str | None = None
    changed: bool = False
    index_ready: bool = False


class Indexed(msgspec.Struct, frozen=True, tag="indexed"):
    """What became of the fingerprint of one protected file."""

    path: str
    device: int
    inode: int
    size: int
    state: str
    reason: str | None = None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """A sign of life while fingerprints are made; ``path`` is the file at work, None when there is none left."""

    path: str | None
    pending: int
    cache_error: str | None = None


class Settings(msgspec.Struct, frozen=True, tag="settings"):
    """The examiner's part of the configuration. ``rate`` in bytes per second; 0 is no limit."""

    state_dir: str | None
    index: tuple[str, ...] = ()
    rate: int = 200 * 2**20
    scan_network: bool = False


class Protect(msgspec.Struct, frozen=True, tag="protect"):
    """Protected files to know of besides those told before."""

    targets: tuple[Target, ...]


class Retire(msgspec.Struct, frozen=True, tag="retire"):
    """Protected files that are gone or replaced; their content stays known for 30 days."""

    keys: tuple[tuple[int, int], ...]


class Examine(msgspec.Struct, frozen=True, tag="examine"):
    """One request; the next is sent when its answer came."""

    request: Request


Order = Settings | Protect | Retire | Examine
Answer = Examination | Indexed | Progress

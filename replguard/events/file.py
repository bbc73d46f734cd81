"""A file, as ECS names its parts."""

import msgspec


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One file name and the inode behind it.

    ``path`` is the path as the acting process saw it; ``previous`` the name before a rename. ``device`` and
    ``inode`` are st_dev and st_ino; ``size`` is in bytes; ``type`` is file, symlink, dir, device, fifo or socket;
    ``target_path`` is what a symlink points at.
    """

    path: str
    previous: str | None = None
    name: str | None = None
    device: int | None = None
    inode: int | None = None
    size: int | None = None
    links: int | None = None
    uid: int | None = None
    type: str | None = None
    target_path: str | None = None

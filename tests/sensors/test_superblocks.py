"""Each filesystem gets one mark; what refuses is named; overlays are layers of what they write to."""

import os
from pathlib import Path

import pytest

from replguard.kernel import fanotify
from replguard.kernel.mounts import Mount, mounts
from replguard.sensors.spaces import Space
from replguard.sensors.superblocks import Superblocks, below, join


class Marks:
    """A group that takes marks, or refuses them."""

    def __init__(self, refuse: int | None = None) -> None:
        self.refuse = refuse
        self.marked: list[int] = []

    def mark(self, path: int, mask: int, kind: int) -> None:
        if self.refuse is not None:
            raise OSError(self.refuse, "refused")
        self.marked.append(os.fstat(path).st_dev)


def number(path: Path) -> str:
    device = path.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def here(place: Path, kind: str = "ext4", **more: object) -> Mount:
    given = {
        "id": 1,
        "device": number(place),
        "root": "/",
        "path": os.fsencode(place),
        "kind": kind,
        "source": "x",
        "top": b"/",
    }
    return Mount(**given | more)  # type: ignore[arg-type]


def test_each_filesystem_is_marked_once_and_told_once(tmp_path: Path) -> None:
    """However often it is mounted; the network and what the kernel makes up are left out."""
    marks, folder = Marks(), tmp_path.resolve()
    (folder / "b").mkdir()
    mounted = [
        here(folder),
        here(folder / "b", top=b"/sub"),
        here(folder / "b", kind="nfs4", path=b"/net", device="0:99"),
        here(folder / "b", kind="proc", path=b"/p", device="0:98"),
    ]
    superblocks = Superblocks(marks, 1)  # type: ignore[arg-type]
    (found,) = superblocks.arrange([Space(1, b"", mounted)])
    assert marks.marked == [folder.stat().st_dev]
    assert [seat.top for seat in found.seats] == [b"/", b"/sub"]
    assert found.alone
    assert superblocks.by_fsid[found.fsid] == [found]
    assert superblocks.refused() == ["/net (nfs4)"]
    assert superblocks.arrange([Space(1, b"", mounted)]) == []
    assert not superblocks.watches_root(Space(1, b"", mounted))


def test_what_refuses_is_named(tmp_path: Path) -> None:
    """With the kernel's reason; a mount that lies below another cannot be reached."""
    superblocks = Superblocks(Marks(95), 1)  # type: ignore[arg-type]
    hidden = here(tmp_path, device="0:77", path=os.fsencode(tmp_path))
    assert superblocks.arrange([Space(1, b"", [hidden])]) == []
    assert superblocks.refused() == [f"{tmp_path} (ext4: another filesystem lies over it)"]
    superblocks.arrange([Space(1, b"", [here(tmp_path)])])
    assert superblocks.refused() == [f"{tmp_path} (ext4: {os.strerror(95)})"]


def test_an_overlay_is_a_layer_of_what_it_writes_to(tmp_path: Path) -> None:
    """Seen from the namespace that it is mounted in, its folders from ours."""
    folder = tmp_path.resolve()
    for name in ("u", "w"):
        (folder / name).mkdir()
    options = b"lowerdir=/l,upperdir=%s/u,workdir=%s/w" % (os.fsencode(folder), os.fsencode(folder))
    overlay = here(folder, kind="overlay", device="0:90", path=b"/", options=options)
    superblocks = Superblocks(Marks(), 1)  # type: ignore[arg-type]
    (found,) = superblocks.arrange([Space(1, b"", [here(folder)]), Space(2, b"/proc/7/root", [overlay])])
    (layer,) = found.layers
    assert (layer.upper, layer.work, layer.seat.space, layer.seat.path) == (b"/u", b"/w", 2, b"/")
    assert not found.alone


def test_paths_are_taken_apart_and_joined() -> None:
    """Folders that only begin alike are not one below the other."""
    assert [below(path, b"/a") for path in (b"/a", b"/a/b", b"/ab", b"/")] == [b"", b"/b", None, None]
    assert [below(path, b"/") for path in (b"/", b"/b")] == [b"", b"/b"]
    assert [join(b"/", b""), join(b"/", b"/b"), join(b"/a", b""), join(b"/a", b"/b")] == [b"/", b"/b", b"/a", b"/a/b"]


@pytest.mark.root
def test_the_root_of_this_host_is_watched() -> None:
    """Or it says why not."""
    try:
        group = fanotify.Group(fanotify.NAMES)
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    superblocks, space = Superblocks(group, fanotify.CREATE), Space(1, b"", mounts() or [])
    superblocks.arrange([space])
    group.close()
    assert superblocks.watches_root(space) or superblocks.refused()

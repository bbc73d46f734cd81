"""Each filesystem gets one mark; what refuses is named; overlays are layers of what they write to."""

import os
from pathlib import Path

import pytest

from replguard.kernel import fanotify
from replguard.kernel.mounts import Mount, mounts
from replguard.sensors.files.spaces import Space
from replguard.sensors.files.superblocks import MOST_OWN_SEATS, MOST_SEATS, Superblocks, above, below, join


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
    assert found.alone(b"/any")
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
    overlay = here(folder, kind="overlay", device="0:90", path=b"/m", options=options)
    superblocks = Superblocks(Marks(), 1)  # type: ignore[arg-type]
    spaces = [Space(1, b"", [here(folder)]), Space(2, b"/proc/self/root", [here(folder), overlay], trusted=True)]
    (found,) = superblocks.arrange(spaces)
    (layer,) = found.layers
    assert (layer.upper, layer.work, layer.seat.space, layer.seat.path) == (b"/u", b"/w", 2, b"/m")
    inside = here(folder, kind="overlay", device="0:91", path=b"/", options=options)
    (found,) = superblocks.arrange([Space(2, b"/proc/self/root", [inside, here(folder)], trusted=True)]) or [found]
    assert not superblocks.by_fsid[found.fsid][0].layers
    assert not found.alone(b"/u/x")
    assert found.alone(b"/x")


def test_what_an_overlay_of_somebody_elses_claims_is_not_believed(tmp_path: Path) -> None:
    """Anyone may name any folder of the host as upperdir and workdir in a user namespace; nor are relative ones."""
    folder = tmp_path.resolve()
    for name in ("u", "w"):
        (folder / name).mkdir()
    options = b"upperdir=%s/u,workdir=%s/w" % (os.fsencode(folder), os.fsencode(folder))
    claimed = here(folder, kind="overlay", device="0:90", path=b"/m", options=options)
    loose = here(folder, kind="overlay", device="0:91", path=b"/n", options=b"upperdir=u,workdir=w")
    superblocks = Superblocks(Marks(), 1)  # type: ignore[arg-type]
    theirs = [here(folder), claimed, loose]
    (found,) = superblocks.arrange([Space(1, b"", [here(folder)]), Space(2, b"/proc/self/root", theirs)])
    assert found.layers == []
    assert not found.works(b"/w/x")
    superblocks.arrange([Space(1, b"", [here(folder), loose])])
    assert next(iter(superblocks.by_device.values())).layers == []
    (found,) = superblocks.by_fsid[found.fsid]
    superblocks.arrange([Space(1, b"", [here(folder), claimed]), Space(2, b"/proc/self/root", theirs)])
    (found,) = superblocks.by_fsid[found.fsid]
    assert [(layer.upper, layer.seat.trusted) for layer in found.layers] == [(b"/u", True), (b"/u", False)]


def test_copies_of_our_mounts_are_no_other_view(tmp_path: Path) -> None:
    """Also parts of them at their own place; what root shows under another path is one, and all below it."""
    folder = tmp_path.resolve()
    (folder / "usr").mkdir()
    base = os.fsencode(folder)
    own, part = here(folder), here(folder, path=base + b"/usr", top=b"/usr")
    moved = here(folder, path=base + b"/tmp", top=b"/tmp/private")
    superblocks = Superblocks(Marks(), 1)  # type: ignore[arg-type]
    (found,) = superblocks.arrange([Space(1, b"", [own]), Space(2, b"/proc/7/root", [own, part, moved])])
    assert found.alone(b"/tmp/private")
    superblocks = Superblocks(Marks(), 1)  # type: ignore[arg-type]
    (found,) = superblocks.arrange([Space(1, b"", [own]), Space(2, b"/proc/7/root", [own, part, moved], trusted=True)])
    assert [found.alone(path) for path in (b"/", b"/usr/x", b"/tmp", b"/tmp/private", b"/tmp/private/x")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_many_mounts_of_one_filesystem_cost_few_seats(tmp_path: Path) -> None:
    """Our own come first, whole filesystems before their parts."""
    folder = tmp_path.resolve()
    many = [here(folder, path=b"/m%d" % number, top=b"/sub/%d" % number) for number in range(1000)]
    superblocks = Superblocks(Marks(), 1)  # type: ignore[arg-type]
    (found,) = superblocks.arrange([Space(1, b"", [here(folder)]), Space(2, b"/proc/7/root", [*many, here(folder)])])
    assert [len(found.seats_in(space)) for space in (1, 2, 3, None)] == [1, MOST_SEATS, 0, 0]
    assert (found.seats[0].space, found.seats_in(2)[0].top) == (1, b"/")
    (found,) = superblocks.arrange([Space(1, b"", many)]) or [next(iter(superblocks.by_device.values()))]
    assert len(found.seats) == MOST_OWN_SEATS


def test_what_is_mounted_below_a_server_is_left_alone(tmp_path: Path) -> None:
    """To go there would be to ask the server, in whichever namespace it is."""
    folder = tmp_path.resolve()
    (folder / "local").mkdir()
    net = here(folder, kind="fuse.sshfs", device="0:99")
    local = here(folder, path=os.fsencode(folder / "local"))
    marks = Marks()
    superblocks = Superblocks(marks, 1)  # type: ignore[arg-type]
    assert superblocks.arrange([Space(1, b"", [net, local])]) == []
    assert marks.marked == []
    assert superblocks.refused() == [
        f"{folder} (fuse.sshfs)",
        f"{folder}/local (ext4, below a remote mount)",
    ]


def test_a_mount_point_that_became_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """What it leads to is not opened."""
    folder = tmp_path.resolve()
    os.mkfifo(folder / "pipe")
    (folder / "m").symlink_to(folder / "pipe")
    (folder / "n").symlink_to(folder)
    for name in ("m", "n"):
        superblocks, mount = Superblocks(Marks(), 1), here(folder, path=os.fsencode(folder / name))  # type: ignore[arg-type]
        assert superblocks.arrange([Space(2, b"/proc/self/root", [mount])]) == []
        assert superblocks.refused() != []


def test_paths_are_taken_apart_and_joined() -> None:
    """Folders that only begin alike are not one below the other."""
    assert [below(path, b"/a") for path in (b"/a", b"/a/b", b"/ab", b"/")] == [b"", b"/b", None, None]
    assert [below(path, b"/") for path in (b"/", b"/b")] == [b"", b"/b"]
    assert list(above(b"/a/b")) == [b"/a/b", b"/a", b"/"]
    assert list(above(b"/")) == [b"/"]
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

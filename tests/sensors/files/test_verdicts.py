"""Which mounts are watched and why others are not, by tables of mounts and by a real one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from replguard.kernel.mounts import Mount
from replguard.sensors.files.places import Root
from replguard.sensors.files.spaces import Space
from replguard.sensors.files.superblocks import Layer, Seat, Superblock, Superblocks
from replguard.sensors.files.verdicts import WHY, Verdict, Verdicts, lying, unwatched

PLACES = """
import os, subprocess, sys
base = sys.argv[1]
for name in ("ram", "tmp", "over"):
    os.mkdir(f"{base}/{name}")
run = lambda *words: subprocess.run(words, check=True)
run("mount", "--make-rprivate", "/")
run("mount", "-t", "ramfs", "none", f"{base}/ram")
run("mount", "-t", "tmpfs", "none", f"{base}/tmp")
for name in ("lower", "upper", "work"):
    os.mkdir(f"{base}/tmp/{name}")
at = f"{base}/tmp"
layers = f"lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work"
run("mount", "-t", "overlay", "none", "-o", layers, f"{base}/over")
sys.exit(subprocess.call([sys.executable, "-m", "replguard", "doctor", "--json", "-c", f"{base}/c.yaml"]))
"""


def mount(path: str, kind: str, device: str) -> Mount:
    return Mount(1, device, "/", os.fsencode(path), kind, "x", top=b"/")


OURS = [
    mount("/", "ext4", "8:1"),
    mount("/proc", "proc", "0:1"),
    mount("/models", "nfs4", "0:2"),
    mount("/models/cache", "ext4", "8:2"),
    mount("/data", "zfs", "0:3"),
    mount("/snap/core", "squashfs", "7:1"),
    mount("/run/ram", "ramfs", "0:4"),
    mount("/var/merged", "overlay", "0:5"),
    mount("/var/lost", "overlay", "0:6"),
    mount("/mnt/s3", "fuse.whatever-i-like", "0:7"),
]


def judged(roots: list[Root], *others: Space) -> dict[tuple[bool, str], str | None]:
    """Return the reasons by whether the mount is ours, and path, of a host whose filesystems were marked."""
    root, zfs = Superblock("8:1", "ext4", fsid=b"1"), Superblock("0:3", "zfs", refused="Operation not supported")
    root.layers.append(Layer(b"/up", None, Seat(1, b"", b"/var/merged", b"/")))
    superblocks = Superblocks(None, 0)  # type: ignore[arg-type]
    superblocks.by_device = {"8:1": root, "0:3": zfs}
    verdicts = Verdicts(roots)
    verdicts.judge([Space(1, b"", OURS), *others], superblocks)
    assert all(
        each.why == (WHY.get(each.reason or "")) or "not supported" in (each.why or "") for each in verdicts.told
    )
    return {(each.own, each.path.decode()): each.reason for each in verdicts.told}


def test_each_mount_has_its_reason() -> None:
    """What the kernel makes up is no mount that could be watched."""
    assert judged([]) == {
        (True, "/"): None,
        (True, "/models"): "remote",
        (True, "/models/cache"): "below_remote",
        (True, "/data"): "refused",
        (True, "/snap/core"): "image",
        (True, "/run/ram"): "memory",
        (True, "/var/merged"): None,
        (True, "/var/lost"): "overlay",
        (True, "/mnt/s3"): "remote",
    }


def test_of_other_namespaces_counts_what_ours_does_not_show() -> None:
    """Each filesystem once, however many containers have it."""
    inside = [mount("/", "ext4", "8:1"), mount("/share", "ceph", "0:20")]
    found = judged([], Space(2, b"/proc/5/root", inside), Space(3, b"/proc/6/root", inside))
    assert [key for key in found if not key[0]] == [(False, "/share")]
    assert found[False, "/share"] == "remote"


def test_with_folders_of_choice_other_mounts_are_outside() -> None:
    """A mount counts that lies in such a folder, or that such a folder lies on."""
    found = judged([Root(b"/var/merged/srv", recursive=True), Root(b"/snap", recursive=True)])
    assert (found[True, "/var/merged"], found[True, "/"], found[True, "/snap/core"]) == (None, None, "image")
    found = judged([Root(b"/data/x", recursive=True)])
    assert (found[True, "/var/merged"], found[True, "/data"]) == ("outside", "refused")


def test_the_portable_tier_says_where_it_looks() -> None:
    """The mount on which a folder lies, those below it, and no network mount."""
    verdicts = Verdicts([Root(b"/var", recursive=True), Root(b"/models", recursive=True)])
    verdicts.look(OURS)
    found = {each.path: each.reason for each in verdicts.told}
    assert found[b"/"] is None
    assert found[b"/var/lost"] is None
    assert found[b"/models/cache"] is None
    assert (found[b"/models"], found[b"/run/ram"]) == ("remote", "outside")


def test_protected_files_are_counted_where_they_lie() -> None:
    """By the innermost mount of ours; each kind that is not watched is there at 0, and a program's own name is not."""
    told = [
        Verdict(b"/", "ext4"),
        Verdict(b"/models", "nfs4", "remote", ""),
        Verdict(b"/models/local", "ext4"),
        Verdict(b"/s3", "fuse.mine", "remote", ""),
        Verdict(b"/", "ceph", "remote", "", own=False),
    ]
    paths = ["/models/a/1", "/models/a/2", "/models/local/3", "/models.txt", "relative"]
    assert lying(told, paths) == {("nfs4", "remote"): 2, ("fuse", "remote"): 0}
    assert lying(told, []) == {("nfs4", "remote"): 0, ("fuse", "remote"): 0}


def test_an_image_is_nothing_to_name() -> None:
    """Nobody can write there. Those of ours come first."""
    told = [
        Verdict(b"/a", "ceph", "remote", "", own=False),
        Verdict(b"/i", "squashfs", "image", ""),
        Verdict(b"/n", "nfs4", "remote", ""),
        Verdict(b"/", "ext4"),
    ]
    assert [each.path for each in unwatched(told)] == [b"/n", b"/a"]


@pytest.mark.root
def test_doctor_names_real_mounts(tmp_path: Path) -> None:
    """In a mount namespace of its own: tmpfs and the overlay on it are watched, ramfs is not."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting needs root and unshare")
    (tmp_path / "c.yaml").write_text("weights: {discover: false}\nsensors: {process: off, network: off, gpu: off}\n")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", PLACES, tmp_path], capture_output=True, text=True, check=False
    )
    if "only root can mount" in done.stderr or not done.stdout:
        pytest.skip(f"mounting is not allowed here: {done.stderr[-200:]}")
    told = msgspec.json.decode(done.stdout)
    rows = {row["path"]: row for row in told["mounts"] if row["namespace"] == "own"}
    if not any(row["sensor"] == "names" for row in told["sensors"] if row["mode"] == "kernel"):
        pytest.skip("fanotify does not work here")
    assert rows[f"{tmp_path}/tmp"]["watched"]
    assert rows[f"{tmp_path}/over"]["watched"]
    assert (rows[f"{tmp_path}/ram"]["watched"], rows[f"{tmp_path}/ram"]["reason"]) == (False, "memory")

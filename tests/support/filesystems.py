"""Filesystems for tests: images on loop devices, tmpfs, overlays and bind mounts, all undone again in the end."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from support.programs import Lacking

SIZES = {"xfs": 400, "btrfs": 400, "ext4": 200}
"""MiB of an image; sparse, so that it takes only what is written."""
_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN."""
PATIENCE = 10.0
"""Seconds that a mount may stay busy before it is detached all the same."""


class Mounts:
    """What was mounted and attached, undone in reverse when the block is left, also after a failure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._undo: list[list[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._undo:
            _undone(self._undo.pop())

    def image(self, kind: str, mebibytes: int | None = None) -> tuple[Path, str]:
        """Make a filesystem on a loop device and return where it is mounted, and the device. Raises Lacking."""
        image = made(kind, self.folder / f"{kind}.img", mebibytes)
        device = self.loop(image)
        return self.mount(self.folder / kind, ["-t", kind, device]), device

    def loop(self, file: Path) -> str:
        """Attach a loop device to a file and return its node. Raises Lacking."""
        device = _run(["losetup", "--find", "--show", str(file)]).strip()
        self._undo.append(["losetup", "--detach", device])
        return device

    def mount(self, place: Path, words: list[str]) -> Path:
        """Mount at a place, which is made if it is not there, and return it. Raises Lacking."""
        place.mkdir(parents=True, exist_ok=True)
        _run(["mount", *words, str(place)])
        self._undo.append(["umount", str(place)])
        return place

    def tmpfs(self, place: Path) -> Path:
        return self.mount(place, ["-t", "tmpfs", "-o", "size=200m", "tmpfs"])

    def bind(self, original: Path, place: Path) -> Path:
        return self.mount(place, ["--bind", str(original)])

    def overlay(self, lower: Path, place: Path) -> Path:
        """Mount an overlay; what changes in it is kept beside it."""
        upper, scratch = place.with_name(place.name + "-upper"), place.with_name(place.name + "-work")
        for folder in (upper, scratch):
            folder.mkdir(parents=True)
        return self.mount(place, ["-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={scratch}", "o"])


def fill(folder: Path) -> Path:
    """Write until nothing more fits, and return the file that took it all."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def die(folder: Path) -> None:
    """Have an ext4 filesystem answer nothing but input/output errors from now on."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", 2))
    finally:
        os.close(descriptor)


def mount_again(folder: Path, device: str) -> None:
    """Take a disk away from whoever holds it, and mount it as it is now."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    subprocess.run(["mount", device, str(folder)], check=True)


def made(kind: str, image: Path, mebibytes: int | None = None) -> Path:
    """Make a filesystem in a file, and return it. Raises Lacking."""
    if shutil.which(f"mkfs.{kind}") is None:
        raise Lacking(f"no mkfs.{kind} here")
    with image.open("wb") as file:
        file.truncate((mebibytes or SIZES[kind]) * 2**20)
    _run([f"mkfs.{kind}", "-q", str(image)])
    return image


def _run(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    except OSError as error:
        raise Lacking(f"no {words[0]} here") from error
    if done.returncode:
        raise Lacking(f"{' '.join(words[:3])} is refused here: {done.stderr.strip()}")
    return done.stdout


def _undone(words: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Lacking):
            _run(words)
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if words[0] == "umount":
        _run(["umount", "--lazy", *words[1:]])
    raise AssertionError(f"{' '.join(words)} was refused for {PATIENCE:.0f} s")

"""A mount whose server stops answering: FUSE, served from here, with one file in its folder. Needs root.

What is written to the file is taken and forgotten.
"""

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_HEADER = struct.Struct("<IIQQIIIHH")
_SETATTR, _WRITE, _STATFS = 4, 16, 17
_ATTRIBUTES = struct.Struct("<6Q10I")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE, _FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _BATCH_FORGET = (
    1, 2, 3, 14, 15, 18, 25, 26, 27, 28, 29, 42,
)  # fmt: skip
_FILE = 2
_FORCE, _DETACH = 1, 2
NAME = "model.safetensors"


class Server:
    """Answers for a folder with one file. After ``after`` bytes were read it answers nothing any more."""

    def __init__(self, device: int, content: bytes, after: int, mode: int = 0o644) -> None:
        self._device, self._content, self._left, self._mode = device, content, after, mode
        self.dead = threading.Event()
        threading.Thread(target=self._serve, name="dead mount", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 2**20 + 4096)
            except OSError:
                return  # unmounted
            _, code, unique, node, *_ = _HEADER.unpack_from(request)
            if code == _READ and not self._may_read(request):
                self.dead.set()
            if self.dead.is_set() or code in (_FORGET, _BATCH_FORGET):
                continue
            body = self._answer(code, node, request[_HEADER.size :])
            error = -errno.ENOSYS if body is None else -errno.ENOENT if body == b"none" else 0
            body = b"" if error else body or b""
            try:
                os.write(self._device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
            except OSError:
                continue

    def _may_read(self, request: bytes) -> bool:
        _, _, length = struct.unpack_from("<QQI", request, _HEADER.size)
        self._left -= length
        return self._left >= 0

    def _answer(self, code: int, node: int, body: bytes) -> bytes | None:
        """Return what a request is answered with: ``none`` for a file that is not there, None for what we cannot."""
        if code == _READ:
            _, offset, length = struct.unpack_from("<QQI", body)
            return self._content[offset : offset + length]
        if code == _WRITE:
            _, _, length = struct.unpack_from("<QQI", body)
            return struct.pack("<II", length, 0)
        if code == _READDIR:
            _, offset, _ = struct.unpack_from("<QQI", body)
            entry = struct.pack("<QQII", _FILE, 1, len(NAME), stat.S_IFREG >> 12) + NAME.encode()
            return b"" if offset else entry + bytes(-len(entry) % 8)
        if code == _LOOKUP and body.rstrip(b"\0") != NAME.encode():
            return b"none"
        opened = struct.pack("<QII", 1, 0, 0)
        return {
            _INIT: struct.pack("<IIIIHHIIHHI7I", 7, 31, 2**20, 0, 16, 12, 2**20, 1, 256, 0, 0, *[0] * 7),
            **dict.fromkeys((_GETATTR, _SETATTR), struct.pack("<QII", 1, 0, 0) + self._attributes(node)),
            _LOOKUP: struct.pack("<QQQQII", _FILE, 0, 1, 1, 0, 0) + self._attributes(_FILE),
            **dict.fromkeys((_OPEN, _OPENDIR), opened),
            _STATFS: struct.pack("<5Q10I", 0, 0, 0, 0, 0, 4096, 255, 4096, *[0] * 7),
            **dict.fromkeys((_RELEASE, _RELEASEDIR, _FLUSH), b""),
        }.get(code)

    def _attributes(self, node: int) -> bytes:
        mode, size = (stat.S_IFREG | self._mode, len(self._content)) if node == _FILE else (stat.S_IFDIR | 0o755, 4096)
        return _ATTRIBUTES.pack(node, size, size // 512, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


@contextmanager
def mounted(
    folder: Path, content: bytes = b"", *, after: int = 0, source: str = "dead", mode: int = 0o644
) -> Iterator[Server]:
    """Mount a folder that answers until ``after`` bytes were read of its file; with 0, not even a look at it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error.strerror}")
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(parents=True, exist_ok=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(source.encode(), os.fsencode(folder), b"fuse", 6, options) != 0:
        os.close(device)
        pytest.skip(f"cannot mount FUSE here: {os.strerror(ctypes.get_errno())}")
    server = Server(device, content, after, mode)
    if not after:
        server.dead.set()
    try:
        yield server
    finally:
        # Forced, so that whoever still hangs in a look is let go, our own threads among them.
        libc.umount2(os.fsencode(folder), _FORCE | _DETACH)
        for thread in threading.enumerate():
            if thread.name in {"look", "dead mount"}:
                thread.join(20)
        os.close(device)

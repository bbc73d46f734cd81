"""Fingerprints on disk: the key of this install, the cache of its index, and indexes made elsewhere."""

import os
import sys
from pathlib import Path

import msgspec

from replguard.errors import ReplguardError
from replguard.weights.fingerprint import FOREIGN, Fingerprint
from replguard.weights.index import Index

KEY = "weights.key"
CACHE = "weights.index"
KEY_BYTES = 32
MOST = 2**30
"""Bytes of an index file at most; 1 GiB is the index of about 20 TiB of weights."""
KEEP = 30 * 86400.0
"""Seconds for which the content of a protected file that is gone stays known: the ledger's 30 days."""
_VERSION = 1


class StoreError(ReplguardError):
    """An index or key cannot be read or written. The message names the path and what to do."""


class _Stored(msgspec.Struct):
    """An index file. ``byteorder`` is that of the arrays within."""

    version: int
    byteorder: str
    key: bytes
    files: list[Fingerprint]


_decoder = msgspec.msgpack.Decoder(_Stored)


def key(folder: Path, *, make: bool = True) -> bytes:
    """Return the key of this install, made on first use (mode 0600) if it may be. Raises StoreError."""
    path = folder / KEY
    try:
        found = path.read_bytes() if path.exists() else b""
        if len(found) != KEY_BYTES:
            found = os.urandom(KEY_BYTES)
            if make:
                folder.mkdir(parents=True, exist_ok=True, mode=0o750)
                write(path, found)
        return found
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be used: {error.strerror}; make the folder writable or set state_dir"
        ) from None


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def save(index: Index, path: Path, *, only: set[tuple[int, int]] | None = None) -> None:
    """Write an index with its key, or only some of its files by (device, inode). Raises StoreError."""
    files = [file for file in index if only is None or file.target.key in only]
    stored = _Stored(_VERSION, sys.byteorder, index.key, files)
    try:
        write(path, msgspec.msgpack.encode(stored))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; make its folder writable") from None


def load(path: Path, *, foreign: bool = False) -> Index:
    """Return the index of a file. Raises StoreError. Files of a foreign one have no device or inode here."""
    try:
        if path.stat().st_size > MOST:
            raise StoreError(
                f"{path}: larger than an index can be; make it again with `replguard weights scan --export`"
            )
        stored = _decoder.decode(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(
            f"{path}: is no index of weights ({error}); make it again with `replguard weights scan`"
        ) from None
    if stored.version != _VERSION or stored.byteorder != sys.byteorder or len(stored.key) != KEY_BYTES:
        raise StoreError(
            f"{path}: was made by another version or kind of machine; make it again with `replguard weights scan`"
        )
    index = Index(stored.key)
    for number, file in enumerate(stored.files):
        if foreign:
            file.target = msgspec.structs.replace(file.target, device=FOREIGN, inode=number)
            file.current = True
        if len(file.hashes) % 8 or len(file.hashes) != 2 * len(file.places):
            raise StoreError(f"{path}: is damaged; make it again with `replguard weights scan`")
        index.add(file)
    return index


def cached(folder: Path, now: float, *, make: bool = True) -> Index:
    """Return the index that this install left here, without what it has not seen for 30 days; else a new one.

    A cache that cannot be read is made again, which costs time and nothing else. Raises StoreError if there is no
    place for a key that is to be made. ``now`` is in seconds since the epoch.
    """
    mine = key(folder, make=make)
    path = folder / CACHE
    fresh = Index(mine)
    if not path.exists():
        return fresh
    try:
        found = load(path)
    except StoreError:
        return fresh
    if found.key != mine:
        return fresh
    for file in list(found):
        file.current = False
        if file.seen < now - KEEP:
            found.remove(file.target.key)
    return found

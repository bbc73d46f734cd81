"""Fingerprints on disk: the key of this install, the cache of its index, and indexes made elsewhere."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import zstandard

from replguard import wholefile
from replguard.errors import ReplguardError
from replguard.weights.anchors import CHECK, SPACINGS
from replguard.weights.casts import KINDS
from replguard.weights.fingerprint import FOREIGN, RAW, Fingerprint, Stream
from replguard.weights.index import Index

KEY = "weights.key"
CACHE = "weights.index"
KEY_BYTES = 32
MOST = 2**30
"""Bytes of an index file at most; 1 GiB is the index of about 12 TB of weights."""
KEEP = 30 * 86400.0
"""Seconds for which the content of a protected file that is gone stays known: the ledger's 30 days."""
_VERSION = 2
_LEVEL = 3


class StoreError(ReplguardError):
    """An index or key cannot be read or written. The message names the path and what to do."""


class _Stored(msgspec.Struct):
    """An index file. ``unfinished`` are fingerprints whose making was interrupted."""

    version: int
    key: bytes
    files: list[Fingerprint]
    unfinished: list[Fingerprint] = []


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
                wholefile.write(path, found, flush=True)
        return found
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be used: {error.strerror}; make the folder writable or set state_dir"
        ) from None


def save(
    index: Index, path: Path, *, only: set[tuple[int, int]] | None = None, unfinished: Iterable[Fingerprint] = ()
) -> None:
    """Write an index with its key, or only some of its files by (device, inode). Raises StoreError."""
    files = [_packed(file) for file in index.whole() if only is None or file.target.key in only]
    stored = _Stored(_VERSION, index.key, files, [_packed(file) for file in unfinished])
    try:
        wholefile.write(path, msgspec.msgpack.encode(stored), flush=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; make its folder writable") from None


def load(path: Path, *, foreign: bool = False) -> tuple[Index, list[Fingerprint]]:
    """Return the index of a file, and what is unfinished. Raises StoreError.

    Files of a foreign one have no device or inode here.
    """
    stored = _read(path)
    index = Index(stored.key)
    for number, file in enumerate(stored.files):
        if foreign:
            file.target = msgspec.structs.replace(file.target, device=FOREIGN, inode=number)
            file.current = True
        _unpack(path, file)
        index.add(file)
    for file in stored.unfinished:
        _unpack(path, file)
    return index, [] if foreign else stored.unfinished


def _read(path: Path) -> _Stored:
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
    if stored.version != _VERSION or len(stored.key) != KEY_BYTES:
        raise StoreError(f"{path}: was made by another version; make it again with `replguard weights scan`")
    return stored


def _packed(file: Fingerprint) -> Fingerprint:
    """Return a fingerprint as it is written: the heads of entries in order are short steps, which can be compressed."""
    packer = zstandard.ZstdCompressor(_LEVEL)
    streams = []
    for stream in file.streams:
        keys = np.frombuffer(stream.keys, "<u8")
        steps = np.diff((keys >> np.uint64(32)).astype("<u4"), prepend=np.uint32(0)).astype("<u4")
        # The n-th bytes of all steps together: those that are always zero take no room.
        planes = steps.view(np.uint8).reshape(-1, 4).T.tobytes()
        checks = keys.view(np.uint8).reshape(-1, 8)[:, :CHECK].tobytes()
        packed = msgspec.msgpack.encode((packer.compress(planes), checks))
        streams.append(msgspec.structs.replace(stream, keys=packed))
    return msgspec.structs.replace(file, streams=streams)


def _unpack(path: Path, file: Fingerprint) -> None:
    for stream in file.streams:
        try:
            stream.keys = _entries(stream)
        except (msgspec.MsgspecError, zstandard.ZstdError, ValueError):
            raise StoreError(f"{path}: is damaged; make it again with `replguard weights scan`") from None


def _entries(stream: Stream) -> bytes:
    """Return the entries of a stream that was read. Raises ValueError where they do not fit, and what decoding does."""
    packed, checks = msgspec.msgpack.decode(stream.keys, type=tuple[bytes, bytes])
    known = (stream.kind == RAW or stream.kind in KINDS) and stream.spacing in SPACINGS and stream.every > 0
    if not known or (len(checks), zstandard.frame_content_size(packed)) != (CHECK * stream.count, 4 * stream.count):
        raise ValueError("the parts do not fit together")
    planes = zstandard.ZstdDecompressor().decompress(packed, max_output_size=max(1, 4 * stream.count))
    steps = np.frombuffer(planes, np.uint8).reshape(4, stream.count).T
    heads = np.cumsum(np.ascontiguousarray(steps).view("<u4").ravel(), dtype=np.uint64)
    entries = (heads << np.uint64(32)).astype("<u8")
    entries.view(np.uint8).reshape(-1, 8)[:, :CHECK] = np.frombuffer(checks, np.uint8).reshape(-1, CHECK)
    return entries.tobytes()


def cached(folder: Path, now: float, *, make: bool = True) -> tuple[Index, list[Fingerprint]]:
    """Return the index that this install left here, without what it has not seen for 30 days; else a new one.

    With it comes what was unfinished. A cache that cannot be read is made again, which costs time and nothing else.
    Raises StoreError if there is no place for a key that is to be made. ``now`` is in seconds since the epoch.
    """
    mine = key(folder, make=make)
    path = folder / CACHE
    try:
        found, unfinished = load(path) if path.exists() else (Index(mine), [])
    except StoreError:
        return Index(mine), []
    if found.key != mine:
        return Index(mine), []
    for file in found:
        file.current = False
        if file.seen < now - KEEP:
            found.remove(file.target.key)
    return found, unfinished

"""The protected files: what the configuration names, what well-known caches hold, and what was discovered."""

# ruff: noqa: PTH111, PTH113, PTH114, PTH116, PTH119, PTH120 - paths stay text: pathlib would drop a trailing dot and cost more than the listing

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePath
from typing import Literal

import msgspec

from replguard.config import Weights
from replguard.weights import caches, formats, naming, walk
from replguard.weights.fingerprint import Target
from replguard.weights.messages import Indexed
from replguard.weights.patience import Patience
from replguard.weights.reading import Unreadable, open_regular, plain

State = Literal["listed", "fingerprinted", "failed", "missing"]
Key = tuple[int, int]
Stamp = tuple[int, int, int]
_LATE = "does not answer: a server or disk that is gone, or slow; what was known there stays protected"
_CACHES, _DISCOVERED = "the caches of other programs", "discovered files"


class Protected(msgspec.Struct, frozen=True):
    """A protected file. ``path`` is the name it is known by, ``target`` the file itself where that is a link to it.

    ``device``, ``inode`` and ``size`` (bytes) are None while it is missing. ``reason`` says why it failed.
    ``discovered`` tells that no path of the configuration leads to it.
    """

    path: str
    model: str
    device: int | None = None
    inode: int | None = None
    size: int | None = None
    format: str | None = None
    state: State = "listed"
    reason: str | None = None
    scaffold: bool = False
    target: str | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    discovered: bool = False

    @property
    def key(self) -> Key | None:
        """The file's identity on this host, None while it is missing."""
        return None if self.device is None or self.inode is None else (self.device, self.inode)

    def as_target(self) -> Target | None:
        """Return what the examiner needs to know of it."""
        known = self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns
        if any(value is None for value in known):
            return None
        device, inode, size, mtime_ns, ctime_ns = (value or 0 for value in known)
        place = self.target or self.path
        times = mtime_ns, ctime_ns
        return Target(place, self.model, device, inode, size, *times, self.format, self.scaffold, self.discovered)


Listing = tuple[dict[Key, Protected], list[Protected]]
"""Protected files by their inodes, and what is missing."""


class Changes(msgspec.Struct, frozen=True):
    """What a refresh found: files that came, that were written to, and that went (as they were)."""

    added: tuple[Protected, ...] = ()
    changed: tuple[Protected, ...] = ()
    gone: tuple[Protected, ...] = ()

    @property
    def targets(self) -> list[Target]:
        """The files to tell the examiner of."""
        return [target for file in (*self.added, *self.changed) if (target := file.as_target())]


class Inventory:
    """All protected files. ``refresh`` reads headers only; ``homes`` limits discovery to some home folders."""

    def __init__(self, config: Weights, *, homes: list[str] | None = None) -> None:
        self._config = config
        self._homes = homes
        self._patience = Patience()
        self._last: dict[str, Listing] = {}
        self._files: dict[Key, Protected] = {}
        self._missing: dict[str, Protected] = {}
        self._added: dict[str, str | None] = {}
        self._formats: dict[Key, tuple[Stamp, str | None, str | None]] = {}
        self._paths: dict[str, Key] = {}
        self.guests: list[str] = []
        """Folders that are protected for now, besides those of the configuration."""
        self.leaving: Callable[[Protected], None] = lambda _: None

    def files(self) -> list[Protected]:
        """Return every protected file, the missing ones last."""
        return [*self._files.values(), *self._missing.values()]

    def by_inode(self, device: int | None, inode: int | None) -> Protected | None:
        """Return the protected file with this identity."""
        return None if device is None or inode is None else self._files.get((device, inode))

    def by_path(self, path: str) -> Protected | None:
        """Return the protected file known by this path or lying there."""
        key = self._paths.get(path)
        return None if key is None else self._files.get(key)

    def model_size(self, model: str) -> int | None:
        """Return the bytes of all files of a model, None if it has none here."""
        sizes = [file.size for file in self._files.values() if file.model == model and file.size is not None]
        return sum(sizes) if sizes else None

    def bytes_by_state(self) -> dict[str, int]:
        """Return the protected bytes per state; the missing have none that we could know."""
        total = {"listed": 0, "fingerprinted": 0, "failed": 0}
        for file in self._files.values():
            total[file.state] += file.size or 0
        return total

    def mark(self, indexed: Indexed) -> Protected | None:
        """Note what the examiner says of a file's fingerprint; returns the file as it stands now."""
        file = self._files.get((indexed.device, indexed.inode))
        if file is None or file.size != indexed.size:
            return file
        state: State = "fingerprinted" if indexed.state == "fingerprinted" else "failed"
        file = msgspec.structs.replace(file, state=state, reason=indexed.reason)
        self._files[indexed.device, indexed.inode] = file
        return file

    def add(self, path: str, model: str | None = None) -> Protected | None:
        """Protect a discovered file; None if it is none we can read, too small, or of no weights format.

        It stays protected until it is gone.
        """
        listed = self._listing()
        self._consider(listed, walk.files(path, follow=False), model=model, smallest=int(self._config.min_size))
        for key, file in listed.items():
            self._added[path] = model
            if key not in self._files:
                self._keep(key, file)
            return self._files[key]
        return None

    def refresh(self) -> Changes:
        """List everything anew: headers of what is new or changed are read, nothing else. Never raises, nor hangs.

        What does not answer stays as it was, and is listed as missing besides.
        """
        listed = self._listing()
        self._missing = {}
        looks: list[tuple[str, Callable[[], Listing]]]
        paths = [*self._config.paths, *self.guests]
        looks = [(path, partial(self._configured, path, scaffold=False)) for path in paths]
        looks += [(path, partial(self._configured, path, scaffold=True)) for path in self._config.scaffolds]
        looks += [(_CACHES, self._cached)] if self._config.discover else []
        looks += [(_DISCOVERED, self._discovered)] if self._added else []
        for path, look in looks:
            found = self._patience.look(path, look)
            if found is None:
                found = self._last.get(path, ({}, []))
                self._missing[path] = Protected(
                    path, naming.model_of(path, None, alone=True), state="missing", reason=_LATE
                )
            self._last[path] = found
            for file in found[0].values():
                _put(listed, file)
            self._missing |= {file.path: file for file in found[1]}
        return self._replace(listed)

    def _cached(self) -> Listing:
        """List what well-known caches hold."""
        listed = self._listing()
        smallest = int(self._config.min_size)
        for found, model in caches.blobs(smallest, self._homes):
            self._consider(listed, [found], model=model, smallest=smallest)
        return listed, []

    def _discovered(self) -> Listing:
        """List what was added one by one."""
        listed = self._listing()
        for path, model in list(self._added.items()):
            before = len(listed)
            self._consider(listed, walk.files(path, follow=False), model=model, smallest=0)
            if len(listed) == before and not os.path.lexists(path):
                del self._added[path]
        return listed, []

    @staticmethod
    def _listing() -> dict[Key, Protected]:
        return {}

    def _configured(self, path: str, *, scaffold: bool) -> Listing:
        """List what a configured path leads to, and the path itself where that is nothing."""
        listed = self._listing()
        path = os.path.normpath(Path(os.path.expanduser(path)).absolute())
        found = list(walk.files(path, skip=walk.THIRD_PARTY if scaffold else frozenset()))
        self._consider(listed, found, alone=os.path.isfile(path), scaffold=scaffold, root=path)
        reason = None
        if len(found) >= walk.MOST_FILES:
            reason = f"holds more than {walk.MOST_FILES} files; those behind them are not protected: name its folders"
        elif not listed:
            reason = _why_nothing(path)
        if reason is None:
            return listed, []
        name = naming.model_of(path, None, alone=True)
        return listed, [Protected(path, name, state="missing", reason=reason, scaffold=scaffold)]

    def _consider(
        self,
        listed: dict[Key, Protected],
        found: Iterable[walk.Found],
        *,
        alone: bool = False,
        scaffold: bool = False,
        root: str = "",
        model: str | None = None,
        smallest: int = 0,
    ) -> None:
        """Add those of the files that are to be protected."""
        folders: dict[str, list[tuple[walk.Found, str | None, str | None]]] = defaultdict(list)
        for one in found:
            if one.stat.st_size >= max(1, smallest):
                folders[os.path.dirname(one.path)].append((one, *self._format(one)))
        for members in folders.values():
            known = {os.path.basename(one.path): form for one, form, _ in members if form}
            for one, form, fault in members:
                kind = form or naming.belongs(os.path.basename(one.path), known)
                if not (kind or fault or alone or scaffold):
                    continue
                name = model or (PurePath(root).name if scaffold else naming.model_of(one.path, kind, alone=alone))
                file = _protected(one, plain(name), kind, fault, scaffold=scaffold)
                _put(listed, msgspec.structs.replace(file, discovered=not root))

    def _format(self, found: walk.Found) -> tuple[str | None, str | None]:
        """Return (format, fault) of a file; read again only when it changed."""
        key, stamp = (found.stat.st_dev, found.stat.st_ino), _stamp(found.stat)
        known = self._formats.get(key)
        if known is None or known[0] != stamp:
            known = self._formats[key] = (stamp, *_recognise(found.path))
        return known[1], known[2]

    def _replace(self, listed: dict[Key, Protected]) -> Changes:
        before, files = dict(self._files), dict[Key, Protected]()
        added, changed = [], []
        for key, file in listed.items():
            old = before.pop(key, None)
            if old is None:
                added.append(file)
            elif not _same(old, file):
                changed.append(file)
            keep = old if old is not None and _same(old, file) else file
            files[key] = msgspec.structs.replace(file, state=keep.state, reason=keep.reason)
        # Another thread asks meanwhile: it must never meet a table that is half full, nor a file that is in neither.
        for file in before.values():
            self.leaving(file)
        self._paths = {path: key for key, file in files.items() for path in (file.path, file.target) if path}
        self._files = files
        self._formats = {key: value for key, value in self._formats.items() if key in self._files}
        return Changes(tuple(added), tuple(changed), tuple(before.values()))

    def _keep(self, key: Key, file: Protected) -> None:
        self._files[key] = file
        for path in filter(None, (file.path, file.target)):
            self._paths[path] = key


def _put(listed: dict[Key, Protected], file: Protected) -> None:
    """Take a file in once, by its most telling path: a blob's name is a hash, the link to it says what it is."""
    key = file.key
    if key is None:
        return
    old = listed.get(key)
    if old is None or ("blobs" in PurePath(old.path).parts and "blobs" not in PurePath(file.path).parts):
        listed[key] = msgspec.structs.replace(file, discovered=file.discovered and (old is None or old.discovered))


def _protected(found: walk.Found, model: str, form: str | None, fault: str | None, *, scaffold: bool) -> Protected:
    real = os.path.realpath(found.path)
    return Protected(
        path=plain(found.path),
        model=model,
        device=found.stat.st_dev,
        inode=found.stat.st_ino,
        size=found.stat.st_size,
        format=form,
        reason=fault,
        scaffold=scaffold,
        target=plain(real) if real != found.path else None,
        mtime_ns=found.stat.st_mtime_ns,
        ctime_ns=found.stat.st_ctime_ns,
    )


def _why_nothing(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "is a link to something that is not there" if os.path.islink(path) else "is not there yet"
    except (OSError, ValueError) as error:
        return f"cannot be reached: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return "holds no model file that we can read" if os.access(path, os.R_OK | os.X_OK) else "cannot be read"
    return "is empty" if stat.S_ISREG(mode) else "is neither a file nor a folder"


def _recognise(path: str) -> tuple[str | None, str | None]:
    try:
        with open_regular(path, follow=True) as reader:
            verdict = formats.recognise(reader)
    except (Unreadable, OSError) as error:
        return None, f"cannot be read: {error}"
    if isinstance(verdict, formats.FormatError):
        return None, f"{verdict.name}: {verdict.reason}"
    return (verdict.name if verdict else None), None


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _same(old: Protected, new: Protected) -> bool:
    def about(file: Protected) -> tuple[object, ...]:
        return file.path, file.model, file.size, file.mtime_ns, file.ctime_ns, file.format

    return about(old) == about(new)

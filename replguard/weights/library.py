"""All that the examiner knows: its index and imported ones, the files still to be read, and how to answer a request."""

import os
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path

import msgspec

from replguard.events import clock
from replguard.weights import formats, identity, index, store
from replguard.weights.building import Building
from replguard.weights.fingerprint import Changed, Fingerprint, Match, Target
from replguard.weights.index import MOST_MATCHES, Index
from replguard.weights.messages import Examination, Indexed, Request, Settings
from replguard.weights.mounts import Mounts, remote_reason
from replguard.weights.reading import Reader, Unreadable, open_handle, open_regular

SAVE_EVERY = 10.0
"""Seconds between writes of the cache while fingerprints are made; what is lost in between is read again."""
PART_EVERY = 2.0
"""Seconds for which requests see the same part of a fingerprint that is being made."""
_SAVE_COSTS = 20.0  # times what the last one took: a large cache is written less often


class Library:
    """Fingerprints and what is still to be done. Every method answers; none raises for what a file holds.

    While ``thorough`` is set, files are examined whole instead of in samples.
    """

    def __init__(self, settings: Settings, *, keep: bool = True) -> None:
        """Load what the state folder and the imported indexes hold; without ``keep`` nothing is written there."""
        self._keep = keep
        self.settings = settings
        self.thorough = False
        self.cache_error: str | None = None
        self.todo: dict[tuple[int, int], Target] = {}
        self.at_work: Target | None = None
        self._job: Building | None = None
        self._pieces: Iterator[int] = iter(())
        self._reader: Reader | None = None
        self._part: tuple[float, Index] | None = None
        self._dirty = False
        self._saved, self._save_every = clock.monotonic(), SAVE_EVERY
        self._mounts = Mounts()
        self.index, unfinished = self._cached()
        self._unfinished = {one.target.key: one for one in unfinished}
        self.imported = [index for path in settings.index if (index := self._import(path)) is not None]

    def close(self) -> None:
        """Write what is not yet written, and let go of every file."""
        self.save(force=True)
        self._drop_job()
        self._mounts.close()

    def _cached(self) -> tuple[Index, list[Fingerprint]]:
        if self.settings.state_dir is not None:
            try:
                return store.cached(Path(self.settings.state_dir), clock.now().timestamp(), make=self._keep)
            except store.StoreError as error:
                self.cache_error = str(error)
        return Index(os.urandom(store.KEY_BYTES)), []

    def _import(self, path: str) -> Index | None:
        try:
            return store.load(Path(path), foreign=True)[0]
        except store.StoreError as error:
            self.cache_error = str(error)
            return None

    @property
    def next(self) -> str | None:
        """The path that is read, or will be read next; None if nothing is left."""
        target = self.at_work or next(iter(self.todo.values()), None)
        return None if target is None else target.path

    @property
    def ready(self) -> bool:
        """Whether every protected file has been dealt with."""
        return not self.todo

    def save(self, *, force: bool = False) -> None:
        """Write the cache if it changed and 10 s have passed, with how far the file at work is."""
        if not self._dirty or not self._keep or self.settings.state_dir is None:
            return
        began = clock.monotonic()
        if not force and began - self._saved < self._save_every:
            return
        self._dirty = False
        for file in self.index:
            if file.current:
                file.seen = clock.now().timestamp()
        self._note_progress()
        try:
            folder = Path(self.settings.state_dir)
            store.save(self.index, folder / store.CACHE, unfinished=self._unfinished.values())
        except store.StoreError as error:
            self.cache_error = str(error)
        self._saved = clock.monotonic()
        self._save_every = max(SAVE_EVERY, _SAVE_COSTS * (self._saved - began))

    def _note_progress(self) -> None:
        if self._job is not None and self.at_work is not None:
            begun = self._job.so_far()
            if begun is not None:
                self._unfinished[self.at_work.key] = begun

    def protect(self, targets: Iterable[Target]) -> list[Indexed]:
        """Take protected files in; returns those whose fingerprint is known already. The others are worked off."""
        done = []
        for target in targets:
            known = self.index.get(target.key)
            if known is not None and known.target.same(target):
                self._take(known, target)
                done.append(_told(target, "fingerprinted"))
            else:
                self.todo[target.key] = target
        # Whoever fills a cache with small files must not keep what the configuration names waiting.
        self.todo = dict(sorted(self.todo.items(), key=lambda item: (item[1].discovered, item[1].size)))
        return done

    def retire(self, keys: tuple[tuple[int, int], ...]) -> None:
        """Mark files as gone; what is known of them is kept."""
        for key in keys:
            self.todo.pop(key, None)
            self._unfinished.pop(key, None)
            if self.at_work is not None and self.at_work.key == key:
                self._drop_job()
            known = self.index.get(key)
            if known is not None:
                known.current = False

    def _take(self, known: Fingerprint, target: Target) -> None:
        known.target, known.current, known.seen = target, True, clock.now().timestamp()
        self._dirty = True

    def work(self, seconds: float, most: float = inf) -> tuple[int, list[Indexed]]:
        """Make fingerprints for about this long, so many bytes, or until one is done.

        Returns the bytes read and what was done.
        """
        until, read = clock.monotonic() + seconds, 0
        done: list[Indexed] = []
        while self.todo and not done and read < most and clock.monotonic() < until:
            try:
                if self._job is None:
                    self._begin()
                count = 0 if self._job is None else next(self._pieces, 0)
                read, self._dirty = read + count, True
                if not count:
                    done.append(self._finish())
            except Changed:
                done.append(self._end("failed", "written to while it was read; it is read again when it rests"))
            except Unreadable as error:
                done.append(self._end("failed", str(error)))
            except OSError as error:
                done.append(self._end("failed", f"cannot be read: {error.strerror}"))
        self.save(force=not self.todo)
        return read, done

    def _begin(self) -> None:
        """Open the next file and plan its reading; no job afterwards means that its fingerprint was known."""
        target = self.at_work = next(iter(self.todo.values()))
        self._reader = self._open(target.path, follow=True)
        found = self._reader.stat
        if (found.st_dev, found.st_ino, found.st_size) != (target.device, target.inode, target.size):
            raise Unreadable("is another file now; it is read when it is listed again")
        known = self.index.get(target.key)
        if known is not None and self._only_touched(known, target, self._reader):
            self._take(known, target)
            return
        if not self._adopted(target, self._reader):
            begun = self._unfinished.get(target.key)
            if begun is not None and not begun.target.same(target):
                begun = None
            self._job = Building(self._reader, target, self.index.scheme, begun)
            self._pieces = self._job.pieces()

    def _finish(self) -> Indexed:
        """Take in what was made, if it was not known already. Raises OSError, and Changed."""
        if self._job is not None:
            made = self._job.done()
            self.index.add(made)
            self._take(self.index.get(made.target.key) or made, made.target)
        return self._end("fingerprinted")

    def _only_touched(self, known: Fingerprint, target: Target, reader: Reader) -> bool:
        """Whether nothing but links or mode changed: they move ctime as content does; a digest tells which it was."""
        if known.identity is None or (known.target.mtime_ns, known.target.size) != (target.mtime_ns, target.size):
            return False
        return identity.of(reader, self.index.key) == known.identity

    def _adopted(self, target: Target, reader: Reader) -> bool:
        """Whether an imported index holds this very file already; then it is named by its place on this host."""
        for imported in self.imported:
            same = next((file for file in imported if file.target.size == target.size), None)
            digest = None if same is None else identity.of(reader, imported.key)
            for file in imported if digest is not None else ():
                if file.target.size == target.size and file.identity == digest:
                    imported.move(file.target.key, msgspec.structs.replace(file, target=target, current=True))
                    return True
        return False

    def _end(self, state: str, reason: str | None = None) -> Indexed:
        target = self.at_work
        self._drop_job()
        if target is None:
            raise RuntimeError("no file is at work")
        self.todo.pop(target.key, None)
        self._unfinished.pop(target.key, None)
        return _told(target, state, reason)

    def _drop_job(self) -> None:
        self._job = self.at_work = self._part = None
        self._pieces = iter(())
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def abandon(self) -> Target | None:
        """Leave the file at work to the thread that hangs in it: to close it would hang too. Returns what it was."""
        target = self.at_work
        self.todo.clear()
        self._job = self.at_work = self._reader = None
        return target

    def _open(self, path: str, *, follow: bool = False) -> Reader:
        if not self.settings.scan_network and (reason := remote_reason(self._mounts.of_path(path))):
            raise Unreadable(reason)
        reader = open_regular(path, follow=follow)
        if not self.settings.scan_network and (reason := remote_reason(self._mounts.of_file(reader.fd))):
            reader.close()
            raise Unreadable(reason)
        return reader

    def examine(self, request: Request) -> Examination:
        """Say what a file holds."""
        try:
            reader, key = self._asked(request)
            with reader:
                return msgspec.structs.replace(self._examine(request, reader), device=key[0], inode=key[1])
        except Unreadable as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        return Examination(request, clock.now(), request.path, error=reason, index_ready=self.ready)

    def _asked(self, request: Request) -> tuple[Reader, tuple[int, int]]:
        """Open the file that is meant, by its handle where that is known, else by its name; return what it is too.

        A handle is of the filesystem below an overlay, where the file has other numbers than those it was told by.
        """
        if request.handle is None or request.mount is None:
            return self._named(request)
        if not self.settings.scan_network and (reason := remote_reason(self._mounts.of_path(request.mount))):
            raise Unreadable(reason)
        try:
            reader = open_handle(request.mount, request.handle)
        except Unreadable:  # the mount may be gone, and not the file; what else has its name is told apart by its inode
            return self._named(request)
        if request.device is None or request.inode is None:
            return reader, (reader.stat.st_dev, reader.stat.st_ino)
        return reader, (request.device, request.inode)

    def _named(self, request: Request) -> tuple[Reader, tuple[int, int]]:
        reader = self._open(request.path)
        return reader, (reader.stat.st_dev, reader.stat.st_ino)

    def _examine(self, request: Request, reader: Reader) -> Examination:
        if not reader.holds_data():
            # Zeros are nobody's weights. Such files cost nothing to make, so they must cost nothing to answer for.
            return self._answered(request, reader, None, [], [])
        look = index.search if self.thorough else index.sample
        matches, traces = look([self.index, *self.imported, *self._begun()], reader)
        verdict = formats.recognise(reader)
        form = verdict.name if isinstance(verdict, formats.Format) else None
        return self._answered(request, reader, form, matches, traces)

    def _begun(self) -> list[Index]:
        """Return an index of what is known so far of the file at work: of a large one that is worth much already."""
        if self._job is None or self.at_work is None:
            return []
        if self._part is None or clock.monotonic() - self._part[0] > PART_EVERY:
            begun = self._job.so_far()
            if begun is None:
                return []
            index = Index(self.index.key)
            index.add(begun)
            self._part = clock.monotonic(), index
        return [self._part[1]]

    def _answered(
        self, request: Request, reader: Reader, form: str | None, matches: list[Match], traces: list[Match]
    ) -> Examination:
        return Examination(
            request,
            clock.now(),
            request.path,
            device=reader.stat.st_dev,
            inode=reader.stat.st_ino,
            size=reader.size,
            format=form,
            matches=tuple(matches[:MOST_MATCHES]),
            traces=tuple(traces),
            changed=reader.changed(),
            index_ready=self.ready,
        )


def _told(target: Target, state: str, reason: str | None = None) -> Indexed:
    return Indexed(target.path, target.device, target.inode, target.size, state, reason)

"""Other names for protected content: hard links, symlinks, renames and bind mounts. No content needs to be read."""

import os
from collections.abc import Callable, Iterable

import msgspec

from replguard.events.event import Event
from replguard.events.file import File
from replguard.provenance.halves import Halves
from replguard.provenance.ledger import Artefact, Ledger, paths
from replguard.provenance.making import Makings
from replguard.provenance.outline import Outline
from replguard.provenance.processes import Proc
from replguard.weights.inventory import Protected

Linked = Callable[[Event, File, Proc | None, Protected | Artefact, str], Event]
"""Makes the fact of another name: of the event, the name, who made it, what is known by it, and how."""


class Links:
    """Tells which names are names of protected content; what is a new file goes on to ``make``."""

    def __init__(
        self,
        ledger: Ledger,
        outline: Outline,
        files: Callable[[], Iterable[Protected]],
        makings: Makings,
        make: Callable[[Event, File, Proc | None], None],
        linked: Linked,
    ) -> None:
        self._ledger = ledger
        self._outline = outline
        self._files = files
        self._makings = makings
        self._make = make
        self._linked = linked
        self._halves = Halves()

    def named(self, event: Event, proc: Proc | None) -> list[Event]:
        """Return the facts of an event that gives protected content another name, or begins a file."""
        file = event.file
        if file is None:
            return []
        if event.action == "file_rename":
            return self._renamed(event, file, proc)
        if file.type == "symlink":
            return self._symlinked(event, file, proc)
        if file.type in ("file", None):
            return self._file(event, file, proc)
        return []

    def _file(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        known = self._protected(file) or self._ledger.artefact(file)
        if isinstance(known, Artefact) and event.action == "file_create" and _anew(known, file):
            self._ledger.replaced(known.inode)
            known = None
        if known is not None and file.path not in paths(known) and (file.links or 1) > 1:
            return [] if self._told(file) else [self._linked(event, file, proc, known, "hardlink")]
        moved = self._ledger.retired(file) if known is None else known
        elsewhere = event.action == "file_create" and moved is not None and file.path not in paths(moved)
        if elsewhere and isinstance(moved, Protected) and self._halves.found(event, file, moved):
            return [self._linked(event, file, proc, moved, "rename")]
        if known is None or event.action != "file_create":
            self._make(event, file, proc)
        return []

    def deleted(self, event: Event) -> list[Event]:
        """Forget a name; return the fact of a rename if the file stands under another one, which was found before."""
        file = event.file
        if file is None:
            return []
        self._ledger.gone(file)
        known = self._protected(file) or self._ledger.retired(file)
        found = self._halves.went(file, known) if known is not None else None
        if known is None or found is None or found.file is None:
            return []
        return [self._linked(found, found.file, None, known, "rename")]

    def _protected(self, file: File) -> Protected | None:
        """Return the protected file that a name stands for. The number of one that is gone is soon another file's."""
        known = self._ledger.protected(file)
        if known is None or file.size in (None, known.size):
            return known
        return known if {file.path, file.previous or file.path} & set(paths(known)) else None

    def _told(self, file: File) -> bool:
        """Whether a link is known by this name: it is made once, however many events tell of it."""
        name = self._ledger.name(file.path)
        return name is not None and name.inode == (file.device, file.inode)

    def _symlinked(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        found = None if self._told(file) else self._ledger.behind_symlink(file, self._outline)
        return [self._linked(event, file, proc, found[0], "symlink")] if found else []

    def mounted(self, event: Event, proc: Proc | None) -> list[Event]:
        """Return the fact of a bind mount: a folder or file has another name, though nothing was written."""
        if event.file is None or event.file.target_path is None:
            return []
        # The inode shown at the mount point is that of the original, which it stays.
        file = msgspec.structs.replace(event.file, device=None, inode=None)
        found = self._ledger.behind_symlink(file, self._outline)
        return [self._linked(event, file, proc, found[0], "bind")] if found else []

    def _renamed(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        if file.type == "dir" and file.previous:
            prefix = file.previous.rstrip("/") + "/"
            self._moved_making(prefix, file.path)
            known_files: list[Protected | Artefact] = [*self._files(), *self._ledger.artefacts()]
            inside = [k for k in known_files if k.path.startswith(prefix)]
            return [
                self._linked(event, self._moved(file, known, prefix), proc, known, "rename")
                for known in inside
            ]  # fmt: skip
        known = self._protected(file) or self._ledger.artefact(file) or self._ledger.retired(file)
        if known is None and file.type == "symlink":
            return self._symlinked(event, file, proc)  # renamed before anybody looked at it, as `ln -sf` does
        if known is None:
            self._make(event, file, proc)
            return []
        if file.path in paths(known):
            return []
        if isinstance(known, Artefact) and _settling(known.path, file.path):
            self._ledger.moved(known, file.path)
            return []
        return [self._linked(event, file, proc, known, "rename")]

    def _moved_making(self, prefix: str, folder: str) -> None:
        """Let files in the making, which the examiner may still be reading, follow their folder to its new name."""
        for making in self._makings:
            file = making.last.file
            if file is not None and file.path.startswith(prefix):
                moved = msgspec.structs.replace(file, path=os.path.join(folder, file.path[len(prefix) :]))
                making.last = msgspec.structs.replace(making.last, file=moved)

    def _moved(self, file: File, known: Protected | Artefact, prefix: str) -> File:
        inode = known.inode if isinstance(known, Artefact) else (known.device, known.inode)
        path = os.path.join(file.path, known.path[len(prefix) :])
        return File(
            path=path, previous=known.path, name=os.path.basename(path), device=inode[0], inode=inode[1], type="file"
        )


def _anew(known: Artefact, file: File) -> bool:
    """Whether a file that begins has the inode of an artefact that is gone: unseen, or seen to lose its name."""
    return known.nameless or (file.path != known.path and (file.links or 1) == 1)


def _settling(before: str, after: str) -> bool:
    """A download or a safe save writes beside its final name and renames: no new act."""
    return os.path.dirname(before) == os.path.dirname(after) and before.startswith(
        (after, os.path.dirname(after) + "/.")
    )

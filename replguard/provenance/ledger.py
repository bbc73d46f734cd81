"""What is known of content: which inode is which model, who touched it, and which files were made from it."""

import posixpath
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from replguard.events.fact import FileRef
from replguard.events.file import File
from replguard.events.identity import short_hash
from replguard.fair import Fair
from replguard.provenance import entry
from replguard.provenance.outline import Outline, folders
from replguard.provenance.processes import Proc
from replguard.weights.inventory import Protected

TOUCH_HOLDS = timedelta(hours=24)
"""How long a touch counts for correlation (meanings: Touched)."""
TOUCHERS = 4096
"""Processes that are remembered as touchers of one model: each actor pushes out its own."""
OPEN_BEFORE = timedelta(seconds=3)
"""An unattributed open of the origin this long before a copy's first byte, or later, belongs to the copy."""

EVERYBODYS = frozenset("/ /home /root /tmp /var/tmp /dev/shm /srv /data /opt /mnt /models /usr /var /var/lib".split())

Inode = tuple[int, int]


@dataclass(slots=True)
class Artefact:
    """A file made from protected content, or another name for it.

    ``nameless``: its last name is gone. Whoever has it open has it still, and shows the name that it had.
    ``derived``: it shares no bytes with its origin; who made it says what it is.
    """

    id: str
    model: str
    path: str
    origin: FileRef
    inode: Inode
    technique: str
    maker: Proc | None
    arrived: bool = False
    nameless: bool = False
    derived: bool = False


class Ledger:
    """Answers what an inode is and who touched which model. Bounded; the oldest entries are dropped and counted."""

    def __init__(self, by_inode: Callable[[int, int], Protected | None], limit: int = 20_000) -> None:
        self._protected = by_inode
        self._limit = limit
        self._artefacts: OrderedDict[Inode, Artefact] = OrderedDict()
        self._names: OrderedDict[str, Artefact] = OrderedDict()
        self._paths: dict[str, Inode] = {}
        self._touches: dict[str, Fair[str, tuple[Proc, datetime]]] = {}
        self._touchers: OrderedDict[str, datetime] = OrderedDict()
        self._opens: deque[tuple[datetime, Inode, Proc | None]] = deque(maxlen=4096)
        self._below: dict[str, dict[Inode, None]] = {}
        self._retired: OrderedDict[Inode, Protected] = OrderedDict()
        self.evicted = 0
        self.touching: Callable[[Proc, str, datetime, datetime], object] = lambda *_: None
        """Told of each touch, and since when there may have been one."""

    def retire(self, file: Protected) -> None:
        """Remember a file that has just left the inventory: the event of its renaming may still be under way."""
        if file.key is not None:
            self._retired[file.key] = file
            while len(self._retired) > self._limit:
                self._retired.popitem(last=False)

    def retired(self, file: File) -> Protected | None:
        """Return what a file was while it was protected, if its inode and all that is told of it fit."""
        known = self._retired.get((file.device or 0, file.inode or 0))
        if known is None or file.size not in (None, known.size) or file.previous not in (None, known.path):
            return None
        return known

    def protected(self, file: File | None) -> Protected | None:
        """Return the protected file that has this inode."""
        if file is None or file.device is None or file.inode is None:
            return None
        return self._protected(file.device, file.inode)

    def artefact(self, file: File | None) -> Artefact | None:
        """Return the artefact that has this inode."""
        if file is None or file.device is None or file.inode is None:
            return None
        known = self._artefacts.get((file.device, file.inode))
        return None if known is not None and known.nameless and known.path != file.path else known

    def name(self, path: str) -> Artefact | None:
        """Return the link or new name that was made at a path."""
        return self._names.get(path)

    def artefacts(self) -> Iterator[Artefact]:
        """Yield every artefact that has a name."""
        yield from [known for known in self._artefacts.values() if not known.nameless]

    def model_of(self, file: File | None) -> str | None:
        """Return the model whose content an inode holds, None for a stranger."""
        known = self.protected(file) or self.artefact(file)
        return known.model if known else None

    def made(
        self, file: File, origin: FileRef, model: str, technique: str, maker: Proc | None, *, arrived: bool,
        derived: bool = False,
    ) -> Artefact:  # fmt: skip
        """Remember what was made from ``origin``: a file with its own inode, or another name for one that was there."""
        inode = (file.device or 0, file.inode or 0)
        content = technique == "copy" and file.inode is not None
        known = Artefact(
            short_hash("artefact", *inode) if content else short_hash("artefact", file.path),
            model, file.path, origin, inode, technique, maker, arrived, derived=derived,
        )  # fmt: skip
        if not content:
            self._names[file.path] = known
            while len(self._names) > self._limit:
                self._names.popitem(last=False)
                self.evicted += 1
        first = self._artefacts.get(inode)
        if first is not None and not content:
            if technique == "rename":
                self.moved(first, file.path)
        elif file.inode is not None:
            self.replaced(inode)
            self._artefacts[inode] = known
            self._place(file.path, inode)
            while len(self._artefacts) > self._limit:
                self.replaced(next(iter(self._artefacts)))
                self.evicted += 1
        return known

    def moved(self, known: Artefact, path: str) -> None:
        """Note that an artefact has another path now."""
        self._unplace(known.path)
        known.path = path
        self._place(path, known.inode)

    def gone(self, file: File) -> None:
        """Forget a name. An artefact without any lives on in who has it open, until its inode is another file's."""
        self._names.pop(file.path, None)
        inode = self._paths.get(file.path)
        if inode is not None and not file.links and not any(name.inode == inode for name in self._names.values()):
            self._artefacts[inode].nameless = True
            self._unplace(file.path)

    def replaced(self, inode: Inode) -> None:
        """Forget what an inode held: it was found to hold something else."""
        known = self._artefacts.pop(inode, None)
        if known is not None and self._paths.get(known.path) == inode:
            self._unplace(known.path)

    def touch(self, proc: Proc, model: str, when: datetime, since: datetime | None = None) -> None:
        """Note that a process touched a model: at a time, or since another where it is told late."""
        touches = self._touches.setdefault(model, Fair(min(self._limit, TOUCHERS)))
        actor = entry.find(proc).proc.entity
        before = touches.evicted
        touches.put(proc.entity, (proc, when), actor)
        self.evicted += touches.evicted - before
        self._touchers[actor] = when
        self._touchers.move_to_end(actor)
        while len(self._touchers) > self._limit:
            self._touchers.popitem(last=False)
        self.touching(proc, model, when, since or when)

    def toucher(self, actor: Proc) -> bool:
        """Whether an actor was heard to touch anything: a quick answer, which a label that comes later may change."""
        return actor.entity in self._touchers

    def models_of(self, actor: Proc) -> frozenset[str]:
        """Return the models that an actor was heard to touch."""
        if not self.toucher(actor):
            return frozenset()
        return frozenset(
            model
            for model, touches in self._touches.items()
            if any(entry.find(toucher).proc is actor for toucher, _ in touches.values())
        )

    def opened(self, inode: Inode, when: datetime, proc: Proc | None = None) -> None:
        """Note an open of a protected inode, and the process where a source names it."""
        self._opens.append((when, inode, proc))

    def opener(self, inode: Inode) -> Proc | None:
        """Return who was seen to open the inode last."""
        return next((who for _, which, who in reversed(self._opens) if which == inode and who is not None), None)

    def opened_by(self, proc: Proc, inode: Inode, began: datetime, entry: Callable[[Proc], Proc]) -> bool:
        """Whether the actor of ``proc`` was seen to open the inode while it was making a file, or just before."""
        mine = entry(proc)
        return any(
            which == inode and began - OPEN_BEFORE <= when and who is not None and entry(who) is mine
            for when, which, who in self._opens
        )

    def touched(self, proc: Proc, model: str | None, now: datetime, entry: Callable[[Proc], Proc]) -> bool:
        """Whether the actor of ``proc`` touched ``model`` (None: any) in the last 24 h.

        The actor is asked anew for each toucher: a label that came later moves old touches with it.
        """
        mine = entry(proc)
        names = [model] if model is not None else list(self._touches)
        return any(
            now - when <= TOUCH_HOLDS and any(p is mine for p in toucher.chain()) and entry(toucher) is mine
            for name in names
            for toucher, when in (self._touches[name].values() if name in self._touches else ())
        )

    def opened_around(self, inode: Inode, began: datetime, ended: datetime, *, anybody: bool = False) -> bool:
        """Whether somebody unseen, or anybody at all, opened the inode while a file was being made."""
        return any(
            which == inode and began - OPEN_BEFORE <= when <= ended and (anybody or who is None)
            for when, which, who in self._opens
        )

    def behind_symlink(self, file: File, outline: Outline) -> tuple[Protected | Artefact, str] | None:
        """Return what a symlink leads to, when that is protected or an artefact, by the text of its target.

        A link to a folder leads to the files in it, unless the folder is so high up that it leads to everything. Links
        inside one Hugging Face cache folder are its own layout.
        """
        if file.target_path is None:
            return None
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), file.target_path))
        cache = _cache_folder(target)
        if cache is not None and cache == _cache_folder(file.path):
            return None
        found = outline.at(target) or self._at(self._paths.get(target))
        if found is None and not everybodys(target):
            found = outline.below(target) or self._at(next(iter(self._below.get(target, ())), None))
        return (found, target) if found is not None else None

    def _at(self, inode: Inode | None) -> Artefact | None:
        return self._artefacts.get(inode) if inode is not None else None

    def _place(self, path: str, inode: Inode) -> None:
        self._unplace(path)
        self._paths[path] = inode
        for folder in folders(path):
            self._below.setdefault(folder, {})[inode] = None

    def _unplace(self, path: str) -> None:
        inode = self._paths.pop(path, None)
        for folder in folders(path) if inode is not None else ():
            inside = self._below.get(folder, {})
            inside.pop(inode or (0, 0), None)
            if not inside:
                self._below.pop(folder, None)


def paths(known: Protected | Artefact) -> tuple[str | None, ...]:
    """Return the names a file is known by: its path, and where that is a link, the file itself."""
    return (known.path,) if isinstance(known, Artefact) else (known.path, known.target)


def everybodys(folder: str) -> bool:
    """Whether a folder is one that is named without meaning the files in it."""
    return folder in EVERYBODYS or posixpath.dirname(folder) == "/home"


def _cache_folder(path: str) -> str | None:
    """Return the ``models--…`` folder of a Hugging Face cache that a path lies in."""
    head, found, tail = path.partition("/models--")
    return head + found + tail.partition("/")[0] if found else None

"""Uses of protected content: who opened, read or mapped it, and who therefore touched or holds it."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Context, FileRef
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import entry
from replguard.provenance.authority import Authority
from replguard.provenance.derived import Derived, Origin
from replguard.provenance.early import Early
from replguard.provenance.facts import fact
from replguard.provenance.instances import Held, Instances
from replguard.provenance.ledger import Artefact, Inode, Ledger
from replguard.provenance.parts import LATE, Parts
from replguard.provenance.pipes import program
from replguard.provenance.processes import Proc
from replguard.weights.inventory import Protected

ACCESS_AGAIN = timedelta(hours=1)
"""A use of weights is told again after none for this long."""
TOUCH_BYTES, TOUCH_SHARE = 16 * 2**20, 0.1
"""A read of less of a file does not touch it, where a source tells how much (meanings: Touched)."""
HELD_SHARE = 0.5
"""The part of a file that a process has read when it holds it (meanings: Holds)."""
WHOLE = 0.9
"""Below this share of a file, what was read of it again counts once."""
MAX_RECENT = 20_000
FED_WITHIN = timedelta(seconds=10)
"""How long after it listens it is looked whether a program was fed weights."""
MOST_LEFT = 256
"""Processes that ended last, of which is known what they held: that their memory was opened may be told after."""


class Uses:
    """Turns opens and mappings of protected files and their copies into touches, holds and `weights_access`."""

    def __init__(
        self,
        ledger: Ledger,
        instances: Instances,
        authority: Authority,
        watch: Callable[[Hint], None],
        counted: Callable[[int, int], bool],
        files: Callable[[], Iterable[Protected]],
        derived: Derived,
        early: Early,
    ) -> None:
        """``counted`` tells of a file whether a source adds up what is read of it, ``files`` what is protected."""
        self._derived, self._early = derived, early
        self._ledger = ledger
        self._instances = instances
        self._authority = authority
        self._watch = watch
        self._counted = counted
        self._files = files
        self._accesses: dict[tuple[str, str, str | None], datetime] = {}
        self._readers: dict[str, dict[Inode, Held]] = {}
        self._left: dict[str, dict[Inode, Held]] = {}
        self._listened: deque[tuple[Proc, datetime]] = deque(maxlen=MOST_LEFT)
        self._parts, self._forks = Parts(), Parts(lambda proc: program(proc).entity)

    def opened(self, event: Event, proc: Proc | None) -> list[Event]:
        """A watched file was opened, or the disk that protected files lie on."""
        if event.replguard is not None and event.replguard.mode == "device":
            return self._device(event, proc)
        return self.used(event, proc)

    def used(self, event: Event, proc: Proc | None) -> list[Event]:
        """A protected file, or a copy of one, was opened, read or mapped."""
        file = event.file
        known = self._ledger.protected(file) or self._ledger.artefact(file)
        if known is None or file is None or file.device is None or file.inode is None:
            self._early.used(event, proc)
            return []
        given = event.replguard
        if given is None or given.bytes is None:
            self._ledger.opened((file.device, file.inode), event.timestamp, proc)
        elif proc is None and (proc := self._ledger.opener((file.device, file.inode))) is not None:
            # A thread of the kernel reads for a loop device: for whoever laid it over the file.
            given = msgspec.structs.replace(given, attribution="inferred")
            event = msgspec.structs.replace(event, process=None, replguard=given)
        if proc is None:
            return []
        if event.action == "file_open":
            self._watch(Hint(kind="opener", pid=proc.pid, entity_id=proc.entity))
        inode = (file.device, file.inode)
        mode = given.mode if given and given.mode else ("map" if event.action == "file_map" else "read")
        amount = given.bytes if given else None
        self._read_of(proc, known, file, mode, given, event.timestamp)
        touching = _touching(file.size)
        read = int(_share(given, file) * (file.size or 0))
        together = self._forks.read(proc, inode, mode, read, event.timestamp)
        if amount is not None and self._parts.read(proc, inode, mode, amount, event.timestamp) < touching:
            return []
        made = self._ledger.name(file.path) or known
        held = Held(known.model, known.path, made.id if isinstance(made, Artefact) else None)
        if amount is None and mode == "read" and self._counted(*inode):
            self._note(proc, inode, held)
            return []  # an open alone says nothing where what is read of it will be told
        late = given is not None and given.read_time if amount is None else amount < touching
        self._ledger.touch(proc, known.model, event.timestamp, event.timestamp - LATE if late else None)
        self._hold(proc, inode, held, file, given, mode, together)
        return self._access(event, proc, known, file, mode)

    def _hold(
        self, proc: Proc, inode: Inode, held: Held, file: File, given: Context | None, mode: str, together: int
    ) -> None:
        """Note what a process holds by now; ``together`` are the bytes that all forks of its program have read."""
        if not (proc.alive or program(proc).alive):
            return
        amount = given.bytes if given else None
        mapped = mode in ("map", "memory") and (amount is None or amount >= _touching(file.size))
        if proc.alive and (mapped or (amount is not None and _share(given, file) >= HELD_SHARE)):
            self._instances.hold(proc, inode, held)
        elif mode == "read":
            if amount is not None and together >= HELD_SHARE * (file.size or 1) and program(proc).alive:
                self._instances.hold(program(proc), inode, held)
            self._read(proc, inode, held, file)

    def _read_of(
        self, proc: Proc, known: Protected | Artefact, file: File, mode: str, given: Context | None, when: datetime
    ) -> None:
        """Remember how much a process read: it may write something derived. An open alone counts for all."""
        if getattr(known, "scaffold", False):
            return
        made = known if isinstance(known, Artefact) and known.derived else None
        inode, size = (file.device or 0, file.inode or 0), file.size or (0 if made else _size(known) or 0)
        place = FileRef(path=known.path, device=inode[0], inode=inode[1], size=size)
        origin = Origin(known.model, place, made.id if made else None)
        told, share = (given.bytes, given.share) if given is not None else (None, None)
        if told is None and mode == "read" and self._counted(*inode):
            if made is not None:
                self._derived.opened(proc, inode, origin, when)
            return
        read = size if told is None else told if share is None or share >= WHOLE else min(told, int(share * size))
        self._derived.read(proc, inode, origin, mode, read, when)

    def listening(self, proc: Proc, when: datetime) -> None:
        """Note who accepts clients: he may hold what another fed to him, see `fed`."""
        self._listened.append((proc, when))

    def fed(self, now: datetime) -> bool:
        """Note that a listener holds what was written to it by one that read it and has ended; whether any does.

        A server may be fed its weights by ``zstd -d``, which ends a moment after that listens, and whose input may be
        known for a copy only then. One that still runs and holds them is another, and told itself.
        """
        while self._listened and now - self._listened[0][1] > FED_WITHIN:
            self._listened.popleft()
        found = False
        for proc, _ in self._listened:
            for taint in self._derived.left_by(proc, now) if proc.alive else ():
                origin, inode = taint.origin, (taint.origin.file.device or 0, taint.origin.file.inode or 0)
                if taint.read >= HELD_SHARE * taint.whole and inode not in self._instances.held_by(proc):
                    self._instances.hold(proc, inode, Held(origin.model, origin.file.path, origin.id))
                    found = True
        return found

    def accessed(self, event: Event, proc: Proc | None, target: Proc | None) -> list[Event]:
        """The memory of a process that holds protected content was read, or may be read from now on.

        Ranks of one instance read each other's; what a profiler takes of a stack is no weights.
        """
        amount = event.replguard.bytes if event.replguard else None
        if proc is None or target is None:
            return []
        live = self._instances.of(target)
        if live is not None and proc.entity in live.members:
            return []
        facts = []
        for (device, inode), held in (self._instances.held_by(target) or self._left.get(target.entity, {})).items():
            file = File(path=held.path, device=device, inode=inode)
            known = self._ledger.protected(file) or self._ledger.artefact(file)
            if known is not None and (amount is None or amount >= _touching(_size(known))):
                self._ledger.touch(proc, known.model, event.timestamp)
                facts += self._access(event, proc, known, file, "memory")
        return facts

    def _device(self, event: Event, proc: Proc | None) -> list[Event]:
        """A disk was opened past the filesystem: every model on it can be read, and nothing tells how much is.

        Of other devices only GPUs are watched.
        """
        origin = event.replguard.origin if event.replguard else None
        if proc is not None and origin is None:
            self._watch(Hint(kind="gpu", pid=proc.pid, entity_id=proc.entity))
        if proc is None or event.file is None or origin is None:
            return []
        models = {known.model: known for known in self._files() if known.device == origin.device}
        facts = []
        for known in models.values():
            self._ledger.touch(proc, known.model, event.timestamp)
            facts += self._access(event, proc, known, event.file, "device")
        return facts

    def _read(self, proc: Proc, inode: Inode, held: Held, file: File) -> None:
        """Note an open for reading. How much was read nobody says on this tier; what the reader keeps tells later."""
        self._note(proc, inode, held)
        self._watch(
            Hint(kind="reader", pid=proc.pid, entity_id=proc.entity, path=file.path, device=file.device,
                 inode=file.inode, size=file.size)
        )  # fmt: skip

    def _note(self, proc: Proc, inode: Inode, held: Held) -> None:
        self._readers.setdefault(proc.entity, {})[inode] = held
        while len(self._readers) > MAX_RECENT:
            del self._readers[next(iter(self._readers))]

    def _access(self, event: Event, proc: Proc, known: Protected | Artefact, file: File, mode: str) -> list[Event]:
        found = entry.find(proc)
        key = (f"{found.principal}#{found.proc.entity}", known.path, mode)
        last = self._accesses.pop(key, None)
        self._accesses[key] = event.timestamp
        if last is not None and event.timestamp - last < ACCESS_AGAIN:
            return []
        if len(self._accesses) > MAX_RECENT:
            del self._accesses[next(iter(self._accesses))]
        self._learn(proc, found, known.model, event.timestamp)
        allowed = self._authority.act(proc, found, "access", known.path, known.model, event.timestamp)
        artefacts = (known.id,) if isinstance(known, Artefact) else ()
        return [
            fact("weights_access", event, proc, authorised=allowed, model=known.model, mode=mode,
                 precision=_precision(event, mode), bytes=event.replguard.bytes if event.replguard else None,
                 share=event.replguard.share if event.replguard else None, artefacts=artefacts,
                 file=msgspec.structs.replace(file, path=file.path or known.path))
        ]  # fmt: skip

    def _learn(self, proc: Proc, found: entry.Entry, model: str, now: datetime) -> None:
        """Take who used a model before the daemon first came into the baseline: it is what the day looks like here."""
        baseline = self._authority.baseline
        if found.kind != "agent" and baseline.collecting(now) and baseline.before(proc.since):
            baseline.take(found.principal, model, 0, now)

    def gone(self, proc: Proc) -> None:
        """Forget what an ended process had read."""
        self._readers.pop(proc.entity, None)
        if held := self._instances.held_by(proc):
            self._left[proc.entity] = held
            while len(self._left) > MOST_LEFT:
                del self._left[next(iter(self._left))]

    def on_device(self, proc: Proc) -> None:
        """Note that a reader has device memory: what it read and moved there is held, though its file is closed."""
        for inode, held in self._readers.get(proc.entity, {}).items():
            self._instances.hold(proc, inode, held)


def _share(given: Context | None, file: File) -> float:
    """Return how much of a file was read: by its parts where a source tells them, else by the bytes."""
    if given is None or given.bytes is None:
        return 0.0
    return given.share if given.share is not None else given.bytes / (file.size or 1)


def _precision(event: Event, mode: str) -> str:
    told = event.replguard.precision if event.replguard else None
    return told or ("mapped" if mode == "map" else "open")


def _touching(size: int | None) -> int:
    """Return the bytes of a file that have to be read to touch it."""
    return int(min(TOUCH_BYTES, TOUCH_SHARE * (size or 0)))


def _size(known: Protected | Artefact) -> int | None:
    return known.origin.size if isinstance(known, Artefact) else known.size

"""Uses of protected content: who opened, read or mapped it, and who therefore touched or holds it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import entry
from replguard.provenance.authority import Authority
from replguard.provenance.facts import fact
from replguard.provenance.instances import Held, Instances
from replguard.provenance.ledger import Artefact, Inode, Ledger
from replguard.provenance.processes import Proc
from replguard.weights.inventory import Protected

ACCESS_AGAIN = timedelta(hours=1)
"""A use of weights is told again after none for this long."""
TOUCH_BYTES, TOUCH_SHARE = 16 * 2**20, 0.1
"""A read of less of a file does not touch it, where a source tells how much (meanings: Touched)."""
MAX_RECENT = 20_000


class Uses:
    """Turns opens and mappings of protected files and their copies into touches, holds and `weights_access`."""

    def __init__(
        self, ledger: Ledger, instances: Instances, authority: Authority, watch: Callable[[Hint], None]
    ) -> None:
        self._ledger = ledger
        self._instances = instances
        self._authority = authority
        self._watch = watch
        self._accesses: dict[tuple[str, str, str | None], datetime] = {}
        self._readers: dict[str, dict[Inode, Held]] = {}

    def used(self, event: Event, proc: Proc | None) -> list[Event]:
        """A protected file, or a copy of one, was opened or mapped."""
        file = event.file
        known = self._ledger.protected(file) or self._ledger.artefact(file)
        if known is None or file is None or file.device is None or file.inode is None:
            return []
        self._ledger.opened((file.device, file.inode), event.timestamp, seen=proc is not None)
        if proc is None:
            return []
        given = event.replguard
        mode = given.mode if given and given.mode else ("map" if event.action == "file_map" else "read")
        amount = given.bytes if given else None
        if amount is not None and amount < min(TOUCH_BYTES, TOUCH_SHARE * (file.size or 0)):
            return []
        self._ledger.touch(proc, known.model, event.timestamp)
        made = self._ledger.name(file.path) or known
        artefact = made.id if isinstance(made, Artefact) else None
        inode, held = (file.device, file.inode), Held(known.model, known.path, artefact)
        if mode in ("map", "memory") or (amount is not None and amount >= (file.size or 0) / 2):
            self._instances.hold(proc, inode, held)
        elif mode == "read":
            self._read(proc, inode, held, file)
        return self._access(event, proc, known, file, mode)

    def _read(self, proc: Proc, inode: Inode, held: Held, file: File) -> None:
        """Note an open for reading. How much was read nobody says on this tier; what the reader keeps tells later."""
        self._readers.setdefault(proc.entity, {})[inode] = held
        while len(self._readers) > MAX_RECENT:
            del self._readers[next(iter(self._readers))]
        self._watch(
            Hint(kind="reader", pid=proc.pid, entity_id=proc.entity, path=file.path, device=file.device,
                 inode=file.inode, size=file.size)
        )  # fmt: skip

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
                 precision="mapped" if mode == "map" else "open", artefacts=artefacts,
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

    def on_device(self, proc: Proc) -> None:
        """Note that a reader has device memory: what it read and moved there is held, though its file is closed."""
        for inode, held in self._readers.get(proc.entity, {}).items():
            self._instances.hold(proc, inode, held)

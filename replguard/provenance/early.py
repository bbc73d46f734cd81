"""Files that are probably copies, before anybody knows: watched from then on, and who uses one meanwhile is remembered.

A small copy is recognised a moment after it was made, and what is derived a second after: whoever reads it at once, and
keeps what he read, holds it all the same.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from replguard.events.event import Event
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance.ledger import Artefact, Inode
from replguard.provenance.processes import Proc

KEPT = timedelta(seconds=60)
"""How long a file is watched that is not recognised."""
MOST, USES = 512, 64
"""Files that are watched so at a time, and uses of each that are remembered; of more the oldest are let go."""


class _File(NamedTuple):
    hint: Hint
    since: datetime
    uses: OrderedDict[tuple[str, str], tuple[Event, Proc]]


class Early:
    """Remembers what was used before it was known to be worth telling."""

    def __init__(self, watch: Callable[[Hint], None]) -> None:
        self._watch = watch
        self._files: OrderedDict[Inode, _File] = OrderedDict()
        self._found: list[tuple[Event, Proc]] = []

    def made(self, key: Inode, hint: Hint, when: datetime) -> None:
        """Have a file watched that is probably a copy."""
        if key in self._files:
            return
        self._watch(hint)
        self._files[key] = _File(hint, when, OrderedDict())
        if len(self._files) > MOST:
            self._drop(next(iter(self._files)))

    def used(self, event: Event, proc: Proc | None) -> None:
        """Remember that a process used a file, if it is one of these: the last that is told of each way."""
        file = event.file
        known = self._files.get((file.device or 0, file.inode or 0)) if file is not None else None
        if known is None or proc is None:
            return
        mode = event.replguard.mode if event.replguard is not None else None
        way = proc.entity, mode or event.action
        known.uses.pop(way, None)
        known.uses[way] = event, proc
        if len(known.uses) > USES:
            known.uses.popitem(last=False)

    def found(self, key: Inode, hint: Hint) -> None:
        """Have a file watched that was recognised, as what it is now; what it was used for before is due."""
        known = self._files.pop(key, None)
        if known is None or known.hint != hint:
            self._watch(hint)
        if known is not None:
            self._found += known.uses.values()

    def due(self) -> list[tuple[Event, Proc]]:
        """Return the uses of files that were recognised since the last call."""
        found, self._found = self._found, []
        return found

    def tick(self, now: datetime) -> None:
        """Once a second: let go of what was not recognised."""
        while self._files and now - next(iter(self._files.values())).since > KEPT:
            self._drop(next(iter(self._files)))

    def _drop(self, key: Inode) -> None:
        self._watch(msgspec.structs.replace(self._files.pop(key).hint, drop=True))


def hint(file: File, path: str, host_path: str | None = None) -> Hint:
    """Return what has a file watched."""
    return Hint(
        kind="inode", path=path, host_path=host_path, device=file.device, inode=file.inode, size=file.size or None
    )


def host_path(made: Artefact, event: Event) -> str | None:
    """Return our way to what was made by an act in another namespace, on a file or on a folder that it lies in."""
    there, here = event.file.path if event.file else None, event.replguard.host_path if event.replguard else None
    if there is None or here is None or not (made.path + "/").startswith(there + "/"):
        return None
    return here + made.path[len(there) :]

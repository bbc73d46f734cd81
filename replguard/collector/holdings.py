"""What is protected, kept in step with the disk: the list of weights, and the examiner that reads for us."""

import select
import threading
import time
from collections.abc import Callable

import msgspec

from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.provenance import copies
from replguard.provenance.outline import Outline
from replguard.sensors.runner import Runner
from replguard.stage import health
from replguard.weights.examiner import Examination, Examiner, Request, settings_of
from replguard.weights.inventory import Inventory

LISTED = 10.0
"""Seconds that who brings a folder waits for it to be listed."""
FULL = 0.05
"""Seconds between attempts to hand over an examination while the pipeline is full."""


class Holdings:
    """``put`` takes what is to be carried through, and is False while there is no room."""

    def __init__(self, config: Config, put: Callable[[Event | Examination], bool]) -> None:
        self.inventory = Inventory(config.weights)
        self.examiner = Examiner(settings_of(config))
        self.sizes = Outline(self.inventory.files, copies.part)
        self._put = put
        self._unknown: set[str] = set()
        self._restarted = 0

    def refresh(self, watch: Callable[[Hint], None]) -> None:
        """Note what came to and went from the protected files, and tell sensors and examiner."""
        changes = self.inventory.refresh()
        self.sizes.stale()
        for file in (*changes.added, *changes.changed):
            watch(
                Hint(kind="inode", path=file.target or file.path, device=file.device, inode=file.inode, size=file.size)
            )
        self.examiner.protect(changes.targets)
        self.examiner.retire(key for file in changes.gone if (key := file.key) is not None)
        for indexed in self.examiner.indexed():
            self.inventory.mark(indexed)
        unknown = {file.path: file.reason for file in self.inventory.files() if file.state in ("missing", "failed")}
        for path in sorted(unknown.keys() - self._unknown):
            self._put(health("weights", "degraded", f"{path} {unknown[path]}; looking again every few seconds"))
        for path in sorted(self._unknown - unknown.keys()):
            self._put(health("weights", "recovered", f"{path} is there and can be read now"))
        self._unknown = set(unknown)

    def guest(self, folder: str, there: bool) -> None:  # noqa: FBT001 - the two are handed on as they are
        """Protect a folder as well, or no more; waits some seconds until what lies in it is listed. From any thread."""
        guests = [each for each in self.inventory.guests if each != folder]
        self.inventory.guests = [*guests, folder] if there else guests
        end = clock.monotonic() + LISTED
        while there and clock.monotonic() < end:
            if any(file.path.startswith(f"{folder}/") for file in self.inventory.files()):
                return
            time.sleep(FULL)

    def look_after(self) -> None:
        """Say that the examiner's process was lost, or flooded: by a hostile file, or who has something to hide."""
        restarted = self.examiner.counts.restarted
        if restarted > self._restarted:
            times = restarted - self._restarted
            self._put(health("examiner", "degraded", f"its process was lost {times}x and is started again"))
            self._restarted = restarted
        if lost := self.examiner.untold():
            self._put(health("examiner", "loss", "full: files are made faster than they are read", lost=lost))

    def examine(self, request: Request, runner: Runner) -> bool:
        """Have a file examined: the file itself where a sensor knows its handle, not what has its name by then."""
        known = runner.place(request.device or 0, request.inode or 0)
        if known is not None:
            request = msgspec.structs.replace(request, mount=known[0], handle=known[1])
        return self.examiner.submit(request)

    def carry(self, stop: threading.Event) -> None:
        """Hand over what the examiner found, until told to stop."""
        poller = select.poll()
        poller.register(self.examiner.fileno(), select.POLLIN)
        while not stop.is_set():
            if poller.poll(500):
                for result in self.examiner.results():
                    while not self._put(result) and not stop.wait(FULL):
                        pass  # nobody would ask for it again: it waits until there is room

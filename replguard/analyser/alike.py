"""What many events say alike is kept once: a process does much, and each frame brings its description anew.

Rules remember thousands of events of one process; three quarters of their memory were copies of it (measured in a flood
of listeners).
"""

from typing import Any, TypeVar

import msgspec

from replguard.events.event import Event
from replguard.frames import Events, Told

MOST = 4_096
"""Sections that are remembered; then it begins anew."""

Section = TypeVar("Section")


class Alike:
    """Asked by one thread."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def frame(self, frame: Told) -> Told:
        """Return an equal frame, made of what was met before where that is equal."""
        if isinstance(frame, Events):
            return msgspec.structs.replace(frame, events=tuple(map(self.event, frame.events)))
        return frame

    def event(self, event: Event) -> Event:
        """Return an equal event, made of what was met before where that is equal."""
        about = event.replguard
        if about is not None and (about.actor is not None or about.lineage):
            about = msgspec.structs.replace(about, actor=self._one(about.actor), lineage=self._one(about.lineage))
        return msgspec.structs.replace(
            event, process=self._one(event.process), user=self._one(event.user), replguard=about
        )

    def _one(self, section: Section) -> Section:
        if len(self._known) >= MOST:
            self._known.clear()
        known: Section = self._known.setdefault(section, section)
        return known

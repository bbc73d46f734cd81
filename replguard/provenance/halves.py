"""Renames of which a sensor saw each end by itself: a name that went, and the same file found under another.

A new folder is not watched yet: what is moved into it leaves by an event, and is found there by a look.
"""

from collections import OrderedDict
from typing import TypeVar

from replguard.events.event import Event
from replguard.events.file import File
from replguard.weights.inventory import Protected

MOST = 1024
"""Files of which one end is kept; of more, the oldest is let go. They are protected files, which are few."""

Inode = tuple[int, int]
T = TypeVar("T")


class Halves:
    """Puts the two ends together. One of them alone says nothing: a bind mount shows a file under other names too."""

    def __init__(self) -> None:
        self._went: OrderedDict[Inode, str] = OrderedDict()
        self._found: OrderedDict[Inode, Event] = OrderedDict()

    def found(self, event: Event, file: File, known: Protected) -> bool:
        """Take in that a protected file stands under another name; True if the name that it had is gone."""
        if file.previous is not None or not file.size or file.size != known.size or known.key is None:
            return False
        if self._went.pop(known.key, None) == known.path:
            return True
        _keep(self._found, known.key, event)
        return False

    def went(self, file: File, known: Protected) -> Event | None:
        """Take in that the name of a protected file is gone; return the event by which another was found."""
        if known.key is None or file.path not in (known.path, known.target):
            return None
        event = self._found.pop(known.key, None)
        if event is None:
            _keep(self._went, known.key, known.path)
        return event


def _keep(where: OrderedDict[Inode, T], key: Inode, value: T) -> None:
    where[key] = value
    where.move_to_end(key)
    while len(where) > MOST:
        where.popitem(last=False)

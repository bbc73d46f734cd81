"""Looks at disks that may not answer: in a thread, within a deadline. One that hangs costs that thread and no more.

A server that is gone holds whoever asks for its files in the kernel, where no signal but the last one reaches.
"""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

ANSWER = 2.0
"""Seconds for one look at a path; a folder that is slow and not dead is taken in when it has answered."""

Found = TypeVar("Found")


class Patience:
    """Looks by name, of each name one at a time. Not safe for threads itself."""

    def __init__(self, seconds: float = ANSWER) -> None:
        self._seconds = seconds
        self._looks: dict[str, _Look[Any]] = {}

    def look(self, name: str, ask: Callable[[], Found]) -> Found | None:
        """Return what a look finds, None if it does not answer in time; the next call takes its answer if it came.

        Raises what the look raises.
        """
        begun = self._looks.get(name)
        found: _Look[Found] = begun or _Look(ask)
        if not found.done.wait(0.0 if begun else self._seconds):
            self._looks[name] = found
            return None
        self._looks.pop(name, None)
        if found.error is not None:
            raise found.error
        return found.answer


class _Look(Generic[Found]):
    def __init__(self, ask: Callable[[], Found]) -> None:
        self._ask = ask
        self.done = threading.Event()
        self.answer: Found | None = None
        self.error: Exception | None = None
        threading.Thread(target=self._run, name="look", daemon=True).start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            self.error = error
        self.done.set()

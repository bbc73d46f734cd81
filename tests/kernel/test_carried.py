"""Up to when all is in the log is known to the next start, where somebody keeps it."""

import os
from collections.abc import Mapping
from datetime import timedelta

from replguard.events import clock
from replguard.kernel.carried import OWNER, PART, Carried
from replguard.kernel.keep import Kept


class Memory(Kept):
    """Keeps a descriptor in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, int] = {}

    def keep(self, owner: str, form: str, parts: Mapping[str, int]) -> None:
        self.given |= {f"{owner} {form} {part}": os.dup(descriptor) for part, descriptor in parts.items()}

    def adopt(self, owner: str, form: str) -> dict[str, int]:
        found = self.given.get(f"{owner} {form} {PART}")
        return {} if found is None else {PART: os.dup(found)}


def test_the_next_start_knows() -> None:
    """The first has none before it, nor has one whose time was never noted."""
    kept, when = Memory(), clock.now() - timedelta(seconds=9)
    first, second, third = Carried(), Carried(), Carried()
    first.begin(kept)
    assert (first.before, kept.adopted) == (None, set())
    second.begin(kept)
    assert (second.before, kept.adopted) == (None, {OWNER})
    second.until(when)
    third.begin(kept)
    assert third.before is not None
    assert abs(third.before - when) < timedelta(seconds=1)
    for one in (first, second, third):
        assert one._beat is not None
        one._beat.close()
    os.close(kept.given.popitem()[1])


def test_before_it_begins_nothing_is_noted() -> None:
    """As in the verbs that run no daemon."""
    carried = Carried()
    carried.until(clock.now())
    assert carried.before is None

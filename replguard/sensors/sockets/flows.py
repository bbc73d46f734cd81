"""How many bytes of each flow were told and how many were not: the kernel adds up, this says when to tell.

A large amount is told as the kernel reports it; the rest once it has stopped growing, so that the sums are exact.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from replguard.kernel.told import Told

LARGE = 64 << 10
"""Bytes that a sweep tells of a flow that is still growing."""
RESTS = 5
"""Sweeps without growth after which the kernel's sum is removed."""
KEPT = 65_536


class Amount(NamedTuple):
    """Bytes of one flow since it was last told, and altogether."""

    key: bytes
    new: int
    total: int


@dataclass(slots=True)
class _Flow:
    """``before`` was counted in sums that the kernel no longer holds, ``told`` is of the one that it holds."""

    before: int = 0
    told: int = 0
    seen: int = 0
    rested: int = 0


class Flows:
    """The flows of one object. The oldest are forgotten first: then their total begins again."""

    def __init__(self) -> None:
        self._flows: OrderedDict[bytes, _Flow] = OrderedDict()
        self._resting: list[bytes] = []
        self._noted: Told | None = None

    def restart(self, noted: Told | None = None) -> None:
        """Note that the kernel begins at nothing, and where from now on it is noted what was told."""
        self._noted = noted
        for flow in self._flows.values():
            _begin(flow)

    def went_on(self, key: bytes, told: int) -> None:
        """Note that the kernel went on with a sum of which so much was told."""
        flow = self._flow(key)
        flow.told = flow.seen = told

    def passed(self, key: bytes, total: int) -> Amount | None:
        """Take the kernel's sum of a flow. Returns what there is to tell, None if that was told already."""
        flow = self._flow(key)
        new = total - flow.told
        if new <= 0:
            return None
        flow.told = total
        if self._noted is not None:
            self._noted.note(key, total)
        return Amount(key, new, flow.before + total)

    def alone(self, key: bytes, new: int) -> Amount:
        """Take bytes that the kernel had no room to add up."""
        flow = self._flow(key)
        flow.before += new
        return Amount(key, new, flow.before + flow.told)

    def sweep(self, sums: Iterable[tuple[bytes, int]]) -> Iterator[Amount]:
        """Take all of the kernel's sums and yield what there is to tell. See ``resting`` afterwards."""
        self._resting = []
        for key, total in sums:
            flow = self._flow(key)
            grew, flow.seen = total != flow.seen, total
            flow.rested = 0 if grew else flow.rested + 1
            if not grew or total - flow.told >= LARGE:
                amount = self.passed(key, total)
                if amount is not None:
                    yield amount
            if flow.rested >= RESTS:
                self._resting.append(key)

    def resting(self) -> list[bytes]:
        """Return the flows whose sum the kernel may forget, and take note that it does."""
        for key in self._resting:
            _begin(self._flows[key])
            if self._noted is not None:
                self._noted.forget(key)
        return self._resting

    def _flow(self, key: bytes) -> _Flow:
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow()
            if len(self._flows) > KEPT:
                self._flows.popitem(last=False)
        else:
            self._flows.move_to_end(key)
        return flow


def _begin(flow: _Flow) -> None:
    flow.before += flow.told
    flow.told = flow.seen = flow.rested = 0

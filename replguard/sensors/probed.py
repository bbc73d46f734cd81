"""What the sensors on eBPF share: one object, its ring, its losses, its hooks and its cost."""

import contextlib
import os
import struct
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol, TypeVar

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.kernel import adopted, bpf, hooks, libbpf, told
from replguard.kernel.adopted import Adopted
from replguard.kernel.carried import CARRIED
from replguard.kernel.hooks import Hook
from replguard.kernel.keep import KEPT
from replguard.kernel.procfs import PROC
from replguard.kernel.ringbuf import MOST, Ring
from replguard.kernel.told import Told
from replguard.sensors.base import WENT_ON, Readable

LOOK = 0.05
"""Seconds from a record to the reading of the ring: a wake-up per record costs three times the CPU."""
CHECK = 1.0
"""Seconds between readings of the counts of what was lost."""
MEASURE, EVERY = 1.0, 20.0
"""Seconds for which the kernel measures how long the programs run, and from one such measure to the next: measuring
makes each run of each program some 20 ns dearer."""
KERNEL = Context(tier="kernel", attribution="kernel")
SMALLEST = 48
"""Bytes that the smallest record takes in a ring."""
WRITTEN = 2.0
"""Seconds after which what was read is written, unless the host is far too busy."""
RECONCILE = 60.0
"""Seconds after which what the run before had watched, and this one was not asked to, is watched no more."""
_REFUSED = "the kernel refused it when the programs were loaded, which an earlier start did"


_WHEN = struct.Struct("=8xQ")
"""The time of a record, which stands at the same place in all of them."""
Decoded = TypeVar("Decoded")
Tried = TypeVar("Tried", bound="Probed")


class Records(Protocol):
    """A decoder module of ``kernel/bpf``, as far as its object goes."""

    OBJECT: str
    RING: int

    @property
    def KINDS(self) -> range:  # noqa: N802 - a constant of the module
        """Its kinds of records."""

    @property
    def HOOKS(self) -> tuple[Hook, ...]:  # noqa: N802
        """Its programs and where they stand."""


class Probed(Readable):
    """A sensor that reads the ring of one object. Kernel times become wall-clock times by ``at``.

    Its programs go on while the daemon does not run, where a service manager keeps them: ``told_key`` and ``most_told``
    are the size of the keys, and the most of them, of what it tells in sums that go on as well.
    """

    mode = "kernel"
    told_key, most_told = 8, 64
    period = CHECK
    gather = LOOK
    records: Records

    def __init__(self, config: Config | None = None, root: str = PROC) -> None:
        super().__init__()
        self.config = config or Config()
        self._root = root
        self._programs: libbpf.Programs | None = None
        self._ring: Ring | None = None
        self._checked = 0.0
        self._cost = _Cost()
        self._lost: list[int] = []
        self._booted = clock.now() - timedelta(seconds=clock.since_boot())
        self._noted: Told | None = None
        self._reconciles: float | None = None
        self._positions: deque[tuple[float, int]] = deque()
        self._new = False

    def left(self) -> dict[str, str]:
        """Return the programs that are not wanted, with the reason; '' for one that a better one replaces."""
        return hooks.refused(self.records.HOOKS, self.config.sensors.hooks)

    def start(self) -> None:
        libbpf.check(proc=self._root)
        programs = self._programs = self._kept() or self._loaded()
        self._noted = self._noted or Told(programs, self.told_key, self.most_told)
        self._ring = Ring(programs.map("records"), self.records.RING)
        self._losses_at = programs.map("lost")
        self.prepare(programs, self._noted)
        if not programs.adopted:
            programs.attach()
        self.require(programs)
        self.because(" ".join(hooks.lost(self.records.HOOKS, programs.missing)) or None)
        before = self._noted.amounts()
        self._lost = [before.get(self._noted.counter(b"los", at), 0) for at in range(2 * len(self.records.KINDS))]
        self._new = True
        self._positions.clear()
        self._reconciles = clock.monotonic() + RECONCILE if programs.adopted else None
        # What happened meanwhile comes before what others find now.
        self.early = type(self).early or programs.adopted
        self.went_on = WENT_ON if programs.adopted else None

    def _form(self) -> str:
        """Return what the programs and their maps are made from: what is kept of another form does not fit."""
        left = ",".join(sorted(self.left()))
        return f"{sha256(bpf.image(self.records.OBJECT)).hexdigest()} {self.told_key} {self.most_told} {left}"

    def _kept(self) -> libbpf.Programs | None:
        """Return the programs that went on while nobody read, None where there are none that fit."""
        library, left = libbpf.Library(), self.left()
        parts = KEPT.adopt(self.name, self._form())
        if not parts:
            return None
        noted = parts.pop(told.NAME, -1)
        missing = {hook.program: _REFUSED for hook in self.records.HOOKS if hook.program not in parts} | left
        missing |= hooks.spared(self.records.HOOKS, missing)
        programs = None
        try:
            programs = Adopted(parts, library, missing)
            programs.require("records", adopted.RINGBUF, self.records.RING)
            programs.fits(noted, adopted.LRU_HASH, self.told_key, self.most_told)
        except (Unavailable, OSError) as error:
            KEPT.refuse(self.name, str(error))
            if programs is not None:
                programs.close()
            if noted >= 0:
                os.close(noted)
            return None
        self._noted = Told(programs, self.told_key, self.most_told, noted)
        return programs

    def _keep(self, programs: libbpf.Programs) -> None:
        """Have the service manager keep what collects for us, at the first look; a trial has none."""
        if programs.adopted:
            KEPT.adopted.add(self.name)
            return
        parts = programs.links()
        if self._noted is not None and self._noted.descriptor >= 0:
            KEPT.keep(self.name, self._form(), {**parts, told.NAME: self._noted.descriptor})

    def _loaded(self) -> libbpf.Programs:
        """Load the programs; what stands in for one that the kernel refuses only if it does."""
        library, image, left = libbpf.Library(), bpf.image(self.records.OBJECT), self.left()
        while True:
            spared = hooks.spared(self.records.HOOKS, left)
            programs = libbpf.Programs(image, library, left=spared | left)
            refused = {hook.better for hook in self.records.HOOKS if hook.program in spared}
            if not refused & programs.missing.keys():
                return programs
            left |= {name: why for name, why in programs.missing.items() if name not in spared}
            programs.close()

    def prepare(self, programs: libbpf.Programs, noted: Told) -> None:
        """Fill maps before the programs run; those that ran while nobody read hold what was there."""

    def require(self, programs: libbpf.Programs) -> None:
        """Raise Unavailable if a program is missing without which the portable tier is better."""

    def stop(self) -> None:
        self._cost.close()
        if self._ring is not None:
            self._ring.close()
        if self._noted is not None:
            self._noted.close()
        if self._programs is not None:
            self._programs.close()
        self._ring = self._programs = self._noted = None

    def unused(self) -> dict[str, str]:
        """Return the programs that do not run, between start and stop, each with the reason; '' for not needed."""
        return dict(self.programs.missing)

    @abstractmethod
    def decoded(self, taken: list[bytes]) -> Iterable[Event]:
        """Return the events of these records."""

    @property
    def programs(self) -> libbpf.Programs:
        """The programs; between start and stop only."""
        assert self._programs is not None  # noqa: S101 - the runner asks between start and stop
        return self._programs

    def fileno(self) -> int:
        return self.programs.map("records")

    def tick(self) -> Iterable[Event]:
        """Read the ring; once a second, what was lost. At first all of what was kept."""
        if self._new:
            self._new = False
            self._keep(self.programs)
            yield from self.begin(self._waiting())
        yield from self.read()
        now = clock.monotonic()
        if now - self._checked >= CHECK * 0.9:
            self._checked = now
            self._note_position(now)
            if self._reconciles is not None and now >= self._reconciles:
                self._reconciles = None
                self.reconcile()
            self.counters.kernel_seconds += self._cost.look(self.programs, now)
            yield from self._losses()
            yield from self.check()

    def _waiting(self) -> list[bytes]:
        """Take all that lies in the ring by now: what was kept, or what came since the programs were attached."""
        self._booted = clock.now() - timedelta(seconds=clock.since_boot())
        taken = self._read_again()
        for _ in range(1 + self.records.RING // (MOST * SMALLEST)):
            more = list(self._ring.read()) if self._ring is not None else []
            taken += more
            if len(more) < MOST:
                break
        return taken

    def _read_again(self) -> list[bytes]:
        """Return what the run before had taken last, and had not told by its end."""
        ring, noted, told_by = self._ring, self._noted, CARRIED.before
        if ring is None or noted is None or told_by is None or not self.programs.adopted:
            return []
        before, position = ring.position, noted.amounts().get(noted.counter(b"pos"))
        if position is None or not ring.rewind(position):
            return []
        taken: list[bytes] = []
        while ring.position < before and (more := list(ring.read(until=before))):
            taken += more
        return [data for data in taken if len(data) >= _WHEN.size and self.at(_WHEN.unpack_from(data)[0]) > told_by]

    def _note_position(self, now: float) -> None:
        """Note up to where the ring had been read some seconds ago: what came before is in the log by now."""
        if self._ring is None or self._noted is None:
            return
        self._positions.append((now, self._ring.position))
        while len(self._positions) > 1 and self._positions[1][0] <= now - WRITTEN:
            self._positions.popleft()
        if self._positions[0][0] <= now - WRITTEN:
            self._noted.note(self._noted.counter(b"pos"), self._positions[0][1])

    def begin(self, taken: list[bytes]) -> Iterable[Event]:
        """Return the events of the first look; these records were there before it."""
        return self.decoded(taken)

    def reconcile(self) -> None:
        """Take out of the maps what the run before had put there, and nobody asked for again."""

    def check(self) -> Iterable[Event]:
        """Look once a second after what else there is."""
        return ()

    def read(self) -> Iterable[Event]:
        now, since = clock.now(), clock.since_boot()
        self._booted = now - timedelta(seconds=since)
        yield from self.decoded(list(self._ring.read()) if self._ring is not None else [])
        if self._ring is not None and self._ring.empty():
            self.told_until = now

    def quiet(self) -> bool:
        ring = self._ring
        try:
            return ring is not None and ring.empty()
        except ValueError:  # closed meanwhile
            return False

    def parsed(self, parse: Callable[[bytes], Decoded], taken: Iterable[bytes]) -> Iterator[Decoded]:
        """Yield the records as a decoder reads them; one that it cannot read is counted."""
        for data in taken:
            try:
                yield parse(data)
            except struct.error:
                self.counters.lose("decode", "malformed")

    def at(self, nanoseconds: int) -> datetime:
        """Return the wall-clock time of a kernel time (since boot)."""
        return self._booted + timedelta(microseconds=nanoseconds // 1000)

    def _losses(self) -> Iterator[Event]:
        """Count and tell what did not fit into the ring."""
        kinds, before = len(self.records.KINDS), self._lost
        self._lost = [self.programs.number(self._losses_at, place) for place in range(2 * kinds)]
        more = [now - then for now, then in zip(self._lost, before, strict=True)]
        for place, now in enumerate(self._lost):
            if more[place] and self._noted is not None:
                self._noted.note(self._noted.counter(b"los", place), now)
        for reason, lost in (("ring full", sum(more[:kinds])), ("ring busy", sum(more[kinds:]))):
            if lost:
                self.counters.lose("kernel", reason, lost)
                yield self.health("loss", reason, stage="kernel", lost=lost)
        if any(more):
            yield from self.after_loss()

    def after_loss(self) -> Iterable[Event]:
        """Look in another way for what the lost records would have told."""
        return ()


def tried(sensor: Tried) -> Tried:
    """Start and stop a sensor, and return it: whoever asks learns at once whether it works. Raises Unavailable."""
    try:
        sensor.start()
    except OSError as error:
        raise Unavailable(f"eBPF does not work here: {error}.") from error
    finally:
        sensor.stop()
    return sensor


class _Cost:
    """Samples how long programs run, and takes each sample for all the time until the next."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._began: float | None = None
        self._before = 0

    def look(self, programs: libbpf.Programs, now: float) -> float:
        """Return the seconds that have been found to come on top; begin or end a measure where it is time to."""
        began = self._began
        if self._descriptor is not None and began is not None:
            if now - began < MEASURE:
                return 0.0
            used = programs.run_time() - self._before
            self.close()
            return used / 1e9 / (now - began) * EVERY
        if began is None or now - began >= EVERY:
            self._began = now
            with contextlib.suppress(OSError):  # without the right to measure, nothing is added
                self._descriptor = programs.measure()
                self._before = programs.run_time()
        return 0.0

    def close(self) -> None:
        """End a measure."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

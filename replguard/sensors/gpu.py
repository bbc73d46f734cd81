"""Device memory by process: NVIDIA's library and what other drivers write to fdinfo, once a second.

NVIDIA's library is open only while another process holds a GPU: from when a program that computes opens one, or
another has held one for ten seconds, until a second after the last has let go. So nothing of ours is in the way of a
new driver, a reset or a change of MIG on a device that nobody uses.
What it cannot see: a claim that begins and ends between two looks; that of a process older than half a minute whose
open nobody told (the portable tier) for four seconds; memory per process where the driver does not tell it (MIG without
root, some virtual devices, below an MPS server: bytes are unknown then, not 0); a device node under another name;
processes of other users, without root; devices whose driver speaks neither. NVML's pids are the host's: inside a
container they may name no process.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.gpu import Gpu
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.kernel import drm_fdinfo, nvml
from replguard.kernel.nvml import Nvml
from replguard.kernel.procfs import PROC, read
from replguard.sensors.base import Timed
from replguard.sensors.gpus.nodes import DRM, Nodes
from replguard.sensors.gpus.nvidia import Holders, Nvidia
from replguard.sensors.processes.who import Who

AREA = "gpu"
CHANGE = 0.10
"""Share of the last told amount by which memory must change to be told again."""
HELD = Context(tier="portable", attribution="lineage", read_time=True)
_NODES = ("dri/renderD*", "dri/card*", "accel/accel*")
_VENDOR, _DISPLAY = b"0x10de", b"0x03"

Key = tuple[str, str | None]


@dataclass(slots=True)
class _Holding:
    gpu: Gpu
    process: Process
    told: int | None


class GpuSensor(Timed):
    """Makes gpu_usage: when a process first holds memory, when that changes by a tenth, and when it ends (0 bytes)."""

    name = "gpu"
    area = AREA
    period = 1.0
    blind = (
        "a claim that is given back within 1 s; memory that the driver does not tell by process (MIG, MPS): unknown."
    )

    def __init__(
        self, nvidia: Callable[[], Nvml] | None, *, drm: bool, root: str = PROC, why: str | None = None
    ) -> None:
        super().__init__()
        self._why = why
        self.because(why)
        self._nvidia = Nvidia(nvidia) if nvidia is not None else None
        self._drm, self._root = drm, root
        self._nodes = Nodes(root)
        self._holding: dict[Key, _Holding] = {}
        self._trouble: str | None = None
        self._first = True

    def start(self) -> None:
        self._who = Who(self._root)

    def stop(self) -> None:
        if self._nvidia is not None:
            self._nvidia.close()

    def watch(self, hint: Hint) -> None:
        if hint.kind == "gpu" and hint.pid is not None:
            self._nodes.name(hint.pid)

    def poll(self) -> Iterable[Event]:
        kind = "state" if self._first else "event"
        holders = self._nodes.look()
        now: dict[Key, _Holding] = {}
        for pid, gpu in (*self._of_nvidia(holders), *self._other(holders)):
            process = self._who.process(pid)
            if process is None or process.entity_id is None:
                self.counters.skip()  # a pid of another namespace, or gone
                continue
            now[process.entity_id, gpu.id] = _Holding(gpu, process, gpu.memory_bytes)
        self._first = False
        yield from self._ended(now, holders, kind)
        for key, holding in now.items():
            before = self._holding.get(key)
            if before is None or _changed(before.told, holding.told):
                self._holding[key] = holding
                yield self._told(holding.gpu, holding.process, kind)
        yield from self._news()

    def _ended(self, now: dict[Key, _Holding], holders: Holders, kind: str) -> Iterator[Event]:
        """Tell what is held no more. What only nobody can tell any more is unknown, and becomes part of ``now``."""
        trouble = self._nvidia.trouble if self._nvidia is not None else None
        for key in self._holding.keys() - now.keys():
            gpu, process = self._holding[key].gpu, self._holding[key].process
            holds = process.pid in holders
            if holds and trouble is not None and gpu.driver == "nvidia":
                gpu = msgspec.structs.replace(gpu, memory_bytes=None, memory_unknown=trouble)
                now[key] = _Holding(gpu, process, None)
                continue
            del self._holding[key]
            if not holds or gpu.id is not None:
                gpu = msgspec.structs.replace(gpu, memory_bytes=0, memory_unknown=None)
                yield self._told(gpu, process, kind)

    def _of_nvidia(self, holders: Holders) -> Iterator[tuple[int, Gpu]]:
        if self._nvidia is not None:
            yield from self._nvidia.uses(holders)

    def _other(self, holders: Holders) -> Iterator[tuple[int, Gpu]]:
        if not self._drm:
            return
        pids = sorted(pid for pid, nodes in holders.items() if any(node.startswith(DRM) for node in nodes))
        held: dict[tuple[int, str, str], int | None] = {}
        for pid, client in drm_fdinfo.clients(pids, self._root):
            if client.driver == "nvidia" and self._nvidia is not None:
                continue
            key = (pid, client.device, client.driver)
            before = held.get(key)
            held[key] = client.memory if before is None else before + (client.memory or 0)
        for (pid, device, driver), memory in held.items():
            yield pid, Gpu(id=device, driver=driver, memory_bytes=memory)

    def _news(self) -> Iterator[Event]:
        """Tell once what does not work, and once that it does again."""
        trouble = self._nvidia.trouble if self._nvidia is not None else None
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self.because(" ".join(part for part in (self._why, trouble and f"{trouble}.") if part) or None)
        if trouble is None:
            yield self.health("recovered", "NVML tells device memory again, or nobody holds a GPU.")
        else:
            yield self.health("degraded", f"{trouble}; the memory that it tells of is unknown, it is tried again.")

    def _told(self, gpu: Gpu, process: Process, kind: str) -> Event:
        return self.event("gpu_usage", clock.now(), kind=kind, process=process, gpu=gpu, replguard=HELD)


def _changed(before: int | None, now: int | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) >= max(1, before * CHANGE)


def open(config: Config, dev: str = "/dev", sys: str = "/sys") -> GpuSensor:  # noqa: A001, ARG001 - all alike
    """Return the sensor. Raises Unavailable where there is no device that tells. No device is opened."""
    drm = any(next(Path(dev).glob(pattern), None) is not None for pattern in _NODES)
    if not (next(Path(dev).glob("nvidia*"), None) or any(map(_is_nvidia, Path(sys, "bus/pci/devices").glob("*")))):
        if not drm:
            raise Unavailable(f"no NVIDIA GPU, and no DRM device below {dev}/dri or {dev}/accel.")
        return GpuSensor(None, drm=True, why="there is no NVIDIA GPU: only DRM devices are seen.")
    if absent := nvml.missing():
        absent = f"NVML is not there ({absent}): what lies on NVIDIA's GPUs is unknown until it is installed."
    return GpuSensor(Nvml, drm=drm, why=absent)


def _is_nvidia(device: Path) -> bool:
    """Whether a PCI device is a GPU of NVIDIA's, with or without a driver."""
    vendor, kind = (read(str(device / name), 16) or b"" for name in ("vendor", "class"))
    return vendor.startswith(_VENDOR) and kind.startswith(_DISPLAY)

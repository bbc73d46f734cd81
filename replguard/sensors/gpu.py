"""Device memory by process: NVIDIA's library and what other drivers write to fdinfo, once a second.

What it cannot see: a claim that begins and ends between two looks; memory per process where the driver does not tell
it (MIG without root, some virtual devices: bytes are unknown then, not 0); processes of other users' fdinfo, without
root; devices whose driver speaks neither. NVML's pids are the host's: inside a container they may name no process.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.gpu import Gpu
from replguard.events.process import Process
from replguard.kernel import drm_fdinfo, machine
from replguard.kernel.nvml import Nvml
from replguard.kernel.procfs import PROC
from replguard.sensors.base import Timed
from replguard.sensors.processes.who import Who

AREA = "gpu"
CHANGE = 0.10
"""Share of the last told amount by which memory must change to be told again."""
DRM_EVERY = 4
"""Looks between searches of all processes for DRM clients; those known are looked at each time."""
HELD = Context(tier="portable", attribution="lineage", read_time=True)
_NODES = ("dri/renderD*", "dri/card*", "accel/accel*")


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
    blind = "a claim that is given back within 1 s, and memory that the driver does not tell by process."

    def __init__(self, nvml: Callable[[], Nvml] | None, *, drm: bool, root: str = PROC, why: str | None = None) -> None:
        super().__init__()
        self.because(why)
        self._open, self._drm, self._root = nvml, drm, root
        self._nvml: Nvml | None = None
        self._holding: dict[tuple[str, str | None], _Holding] = {}
        self._drm_pids: set[int] = set()
        self._looks = 0

    def start(self) -> None:
        self._who = Who(self._root)
        self._nvml = self._open() if self._open is not None else None

    def stop(self) -> None:
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            nvml.close()

    def poll(self) -> Iterable[Event]:
        kind = "state" if self._looks == 0 else "event"
        now: dict[tuple[str, str | None], _Holding] = {}
        for pid, gpu in (*self._nvidia(), *self._other()):
            process = self._who.process(pid)
            if process is None or process.entity_id is None:
                self.counters.skip()  # a pid of another namespace, or gone
                continue
            now[process.entity_id, gpu.id] = _Holding(gpu, process, gpu.memory_bytes)
        self._looks += 1
        for key in self._holding.keys() - now.keys():
            ended = self._holding.pop(key)
            gpu = Gpu(id=ended.gpu.id, name=ended.gpu.name, driver=ended.gpu.driver, memory_bytes=0)
            yield self._told(gpu, ended.process, kind)
        for key, holding in now.items():
            before = self._holding.get(key)
            if before is None or _changed(before.told, holding.told):
                self._holding[key] = holding
                yield self._told(holding.gpu, holding.process, kind)

    def _nvidia(self) -> Iterator[tuple[int, Gpu]]:
        for use in self._nvml.uses() if self._nvml is not None else ():
            yield use.pid, Gpu(id=use.device, name=use.name, driver="nvidia", memory_bytes=use.memory)

    def _other(self) -> Iterator[tuple[int, Gpu]]:
        if not self._drm:
            return
        everyone = self._looks % DRM_EVERY == 0
        held: dict[tuple[int, str, str], int | None] = {}
        pids = machine.pids(self._root) if everyone else sorted(self._drm_pids)
        for pid, client in drm_fdinfo.clients(pids, self._root):
            if client.driver == "nvidia" and self._nvml is not None:
                continue
            key = (pid, client.device, client.driver)
            before = held.get(key)
            held[key] = client.memory if before is None else before + (client.memory or 0)
        self._drm_pids = {pid for pid, _, _ in held}
        for (pid, device, driver), memory in held.items():
            yield pid, Gpu(id=device, driver=driver, memory_bytes=memory)

    def _told(self, gpu: Gpu, process: Process, kind: str) -> Event:
        return self.event("gpu_usage", clock.now(), kind=kind, process=process, gpu=gpu, replguard=HELD)


def _changed(before: int | None, now: int | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) >= max(1, before * CHANGE)


def open(config: Config, dev: str = "/dev") -> GpuSensor:  # noqa: A001, ARG001 - the registry calls all alike
    """Return the sensor. Raises Unavailable where there is no device that tells."""
    drm = any(next(Path(dev).glob(pattern), None) is not None for pattern in _NODES)
    try:
        Nvml().close()
    except OSError as error:
        if not drm:
            raise Unavailable(f"no NVIDIA driver ({error}) and no DRM device below {dev}/dri or {dev}/accel.") from None
        return GpuSensor(None, drm=True, why=f"NVML is not there ({error}), so only DRM devices are seen.")
    return GpuSensor(Nvml, drm=drm)

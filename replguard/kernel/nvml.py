"""Device memory by process, from NVIDIA's management library (nvidia-ml-py)."""

import contextlib
import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_UNKNOWN = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE as an unsigned 64-bit number; newer bindings give None instead."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one process holds on one device. ``memory`` is in bytes, None when the driver does not say (WDDM, MIG)."""

    pid: int
    device: str
    name: str | None
    memory: int | None


class Nvml:
    """The library, opened. Raises OSError with the library's own words if it cannot be."""

    def __init__(self, library: Any = None) -> None:
        self._library = importlib.import_module("pynvml") if library is None else library
        try:
            self._library.nvmlInit()
        except self._library.NVMLError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Let go of the driver."""
        with contextlib.suppress(self._library.NVMLError):
            self._library.nvmlShutdown()

    def uses(self) -> list[Use]:
        """Return what every process holds on every device; raises OSError when the driver is lost."""
        try:
            count = self._library.nvmlDeviceGetCount()
            return [use for index in range(count) for use in self._device(index)]
        except self._library.NVMLError as error:
            raise OSError(str(error)) from error

    def _device(self, index: int) -> Iterator[Use]:
        handle = self._library.nvmlDeviceGetHandleByIndex(index)
        device = _text(self._library.nvmlDeviceGetUUID(handle))
        name = _text(self._library.nvmlDeviceGetName(handle))
        held: dict[int, int | None] = {}
        for listing in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in self._processes(listing, handle):
                memory = process.usedGpuMemory
                known = None if memory is None or memory >= _UNKNOWN else int(memory)
                # One that computes and draws is in both lists with all its memory: the larger number, not the sum.
                before = held.get(process.pid)
                held[process.pid] = known if before is None else max(before, known or 0)
        for pid, memory in held.items():
            yield Use(pid, device or f"nvidia{index}", name, memory)

    def _processes(self, listing: str, handle: Any) -> Iterable[Any]:
        try:
            return list(getattr(self._library, listing)(handle))
        except (self._library.NVMLError, AttributeError):
            return []  # a list that this driver or device does not keep


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value

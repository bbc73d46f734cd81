"""NVIDIA's management library (through nvidia-ml-py): what each process holds on each device.

While it is open the driver cannot be unloaded, and a change of MIG waits. So it is opened for as long as it is needed
and let go of whole: its descriptors, and the library itself, for a driver of another version needs that version's.
"""

import _ctypes
import contextlib
import ctypes
import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from replguard.kernel import handles

LIBRARY = "libnvidia-ml.so.1"
NODES = b"/dev/nvidia"
"""How the paths of the driver's device nodes begin."""
_UNKNOWN = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE as an unsigned 64-bit number; newer bindings give None instead."""
_NOT_KEPT = (3, 13)
"""Not supported, function not found (nvml.h): a list that this driver or device does not keep."""
_NOTHING_WORKS = (1, 9, 12, 18)
"""Uninitialised, driver not loaded, library not found, driver of another version: the library has to be opened anew."""
_LISTS = tuple(f"nvmlDeviceGet{kind}RunningProcesses" for kind in ("Compute", "Graphics", "MPSCompute"))
_VERSIONS = ("_v3", "_v2")
"""Those of a list's call, the newest first: drivers before 510 have no third."""
_NO_MIG = "NVML does not tell it by process"


@dataclass(frozen=True, slots=True)
class Use:
    """What one process holds on one device.

    ``memory`` is in bytes, None when the driver does not say: then ``unknown`` says why (MIG, some virtual devices).
    """

    pid: int
    device: str
    name: str | None
    memory: int | None
    unknown: str | None = None


class Nvml:
    """The library, opened. Raises OSError with the library's own words if it cannot be.

    ``troubles`` are those of single devices at the last look, such as one that fell off the bus.
    """

    def __init__(self, library: Any = None) -> None:
        self.troubles: list[str] = []
        self._ours = library is None
        self._library = _loaded() if library is None else library
        try:
            self._library.nvmlInit()
        except self._library.NVMLError as error:
            self._let_go()
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Let go of the driver, and of the library."""
        with contextlib.suppress(self._library.NVMLError):
            self._library.nvmlShutdown()
        self._let_go()

    def _let_go(self) -> None:
        if self._ours:
            _unload(self._library)

    def uses(self) -> list[Use]:
        """Return what every process holds on every device; raises OSError when nothing works any more."""
        self.troubles = []
        try:
            return [use for index in range(self._library.nvmlDeviceGetCount()) for use in self._told(index)]
        except self._library.NVMLError as error:
            raise OSError(str(error)) from error

    def _told(self, index: int) -> list[Use]:
        """Return what is held on one device; its trouble is not that of the others."""
        try:
            return list(self._device(index))
        except self._library.NVMLError as error:
            if error.value in _NOTHING_WORKS:
                raise
            self.troubles.append(f"GPU {index}: {error}")
            return []

    def _device(self, index: int) -> Iterator[Use]:
        handle = self._library.nvmlDeviceGetHandleByIndex(index)
        device = _text(self._library.nvmlDeviceGetUUID(handle))
        name = _text(self._library.nvmlDeviceGetName(handle))
        held: dict[int, int | None] = {}
        for listing in _LISTS:
            for process in self._processes(listing, handle):
                memory = process.usedGpuMemory
                known = None if memory is None or memory >= _UNKNOWN else int(memory)
                # One that computes and draws is in both lists with all its memory: the larger number, not the sum.
                before = held.get(process.pid)
                held[process.pid] = known if before is None else max(before, known or 0)
        why = self._why(handle) if None in held.values() else None
        for pid, memory in held.items():
            yield Use(pid, device or f"nvidia{index}", name, memory, why if memory is None else None)

    def _processes(self, listing: str, handle: Any) -> Iterable[Any]:
        for version in _VERSIONS:
            call = getattr(self._library, listing + version, None)
            try:
                return list(call(handle)) if call is not None else []
            except self._library.NVMLError as error:
                if error.value not in _NOT_KEPT:
                    raise
        return []

    def _why(self, handle: Any) -> str:
        try:
            current, _ = self._library.nvmlDeviceGetMigMode(handle)
        except self._library.NVMLError:
            return _NO_MIG
        return f"MIG is on, and {_NO_MIG}" if current else _NO_MIG


def missing() -> str | None:
    """Return why the library cannot be loaded, None if it can. No device is touched."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    _ctypes.dlclose(library._handle)  # noqa: SLF001 - ctypes has no other way
    return None


def _loaded() -> Any:
    """Return the binding with the library that lies on disk now. Raises OSError if there is none."""
    binding: Any = importlib.import_module("pynvml")
    binding.nvmlLib = ctypes.CDLL(LIBRARY)
    return binding


def _unload(binding: Any) -> None:
    """Close what the library left open, and the library; the binding would keep both as long as we live."""
    library, binding.nvmlLib = binding.nvmlLib, None
    binding._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001 - the functions of a library that goes
    for fd in handles.fds(os.getpid()):
        if fd.target.startswith(NODES):
            with contextlib.suppress(OSError):
                os.close(fd.number)
    if library is not None:
        _ctypes.dlclose(library._handle)  # noqa: SLF001 - ctypes has no other way


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value

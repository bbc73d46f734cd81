"""A stand-in for pynvml."""

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As the real one: every failure of the library."""


class FakeNvml:
    """One device; ``compute`` and ``graphics`` hold (pid, bytes)."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.compute: list[tuple[int, int | None]] = []
        self.graphics: list[tuple[int, int | None]] | None = None
        self.open = 0
        self.broken = False

    def nvmlInit(self) -> None:  # noqa: N802 - the library's own names
        if self.broken:
            raise NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if self.broken:
            raise NVMLError("GPU is lost")
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:  # noqa: N802
        return b"GPU-%d" % handle

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "NVIDIA H100"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in self.compute]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        if self.graphics is None:
            raise NVMLError("Not Supported")
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in self.graphics]

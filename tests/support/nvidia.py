"""A stand-in for pynvml, and one for libnvidia-ml.so that is compiled."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, NOT_LOADED, NOT_FOUND, LOST, MISMATCH = 1, 3, 4, 9, 13, 15, 18
_WORDS = {1: "Uninitialized", 3: "Not Supported", 4: "Insufficient Permissions", 9: "Driver Not Loaded"}
_WORDS |= {13: "Function Not Found", 15: "GPU is lost", 18: "RM has detected an NVML/RM version mismatch."}


class NVMLError(Exception):
    """As the real one: every failure of the library, with its code."""

    def __init__(self, value: int) -> None:
        super().__init__(_WORDS[value])
        self.value = value


class FakeNvml:
    """Devices; ``compute``, ``graphics`` and ``mps`` hold (pid, bytes) of the first, None where it keeps no such list.

    ``fails`` holds the code with which a call ends, by its name; ``calls`` counts openings, ``open`` those that last.
    """

    NVMLError = NVMLError

    def __init__(self, devices: int = 1, *, mig: bool = False) -> None:
        self.compute: list[tuple[int, int | None]] = []
        self.graphics: list[tuple[int, int | None]] | None = None
        self.mps: list[tuple[int, int | None]] | None = None
        self.fails: dict[str, int] = {}
        self.open = self.calls = 0
        self._devices, self._mig = devices, mig

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *given: self._call(name, *given)

    def _call(self, name: str, *given: Any) -> Any:
        if name in self.fails:
            raise NVMLError(self.fails[name])
        return getattr(self, "_" + name.removeprefix("nvml").removesuffix("_v3").removesuffix("_v2"))(*given)

    def _Init(self) -> None:  # noqa: N802 - the library's own names
        self.open, self.calls = self.open + 1, self.calls + 1

    def _Shutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def _DeviceGetCount(self) -> int:  # noqa: N802
        return self._devices

    def _DeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if f"device {index}" in self.fails:
            raise NVMLError(self.fails[f"device {index}"])
        return index

    def _DeviceGetUUID(self, handle: int) -> bytes:  # noqa: N802
        return b"GPU-%d" % handle

    def _DeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "NVIDIA H100"

    def _DeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        return [int(self._mig), int(self._mig)]

    def _DeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return self._list(self.compute if handle == 0 else [])

    def _DeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return self._list(self.graphics)

    def _DeviceGetMPSComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return self._list(self.mps)

    @staticmethod
    def _list(held: list[tuple[int, int | None]] | None) -> list[Any]:
        if held is None:
            raise NVMLError(NOT_SUPPORTED)
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in held]


_LIBRARY = r"""
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } info;
static int held = -1;
int nvmlInit_v2(void) { held = open("/dev/nvidiactl", O_RDONLY); return MISMATCH; }
int nvmlInitWithFlags(unsigned int f) { return nvmlInit_v2(); }
int nvmlShutdown(void) { if (!LEAKS) close(held); return 0; }
const char *nvmlErrorString(int r) { return "stand-in"; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { *h = (void *)1; return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned int n) { strncpy(s, "GPU-stand-in", n); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned int n) { strncpy(s, NAME, n); return 0; }
int nvmlDeviceGetMigMode(void *h, unsigned int *now, unsigned int *later) { return 3; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned int *n, info *p) {
    if (!p || *n < 1) { *n = 1; return 7; }
    *n = 1; p[0].pid = getpid(); p[0].used = 1073741824ULL; return 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned int *n, info *p) { return 3; }
"""


def library(folder: Path, name: str = "Stand-in", *, leaks: bool = False, mismatch: bool = False) -> Path:
    """Compile a libnvidia-ml.so.1 of one device, called ``name``, or skip the test where nothing compiles."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in libnvidia-ml.so")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nvml.c").write_text(_LIBRARY)
    made = folder / "libnvidia-ml.so.1"
    given = [f'-DNAME="{name}"', f"-DLEAKS={int(leaks)}", f"-DMISMATCH={MISMATCH if mismatch else 0}"]
    subprocess.run(
        [compiler, "-shared", "-fPIC", *given, "-Wl,-soname,libnvidia-ml.so.1", "-o", made, folder / "nvml.c"],
        check=True,
    )
    return made

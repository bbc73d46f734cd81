"""Device memory, by a stand-in for NVIDIA's library and fake fdinfo."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.host import FakeHost
from support.nvidia import FakeNvml

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.kernel.nvml import Nvml
from replguard.sensors import gpu as module
from replguard.sensors.gpu import GpuSensor

GIB = 2**30
STAND_IN = r"""
#include <stddef.h>
#include <unistd.h>
#include <string.h>
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } info;
int nvmlInitWithFlags(unsigned int f) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int r) { return "stand-in"; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { *h = (void *)1; return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned int n) { strncpy(s, "GPU-stand-in", n); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned int n) { strncpy(s, "Stand-in", n); return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned int *n, info *p) {
    if (!p || *n < 1) { *n = 1; return 7; }
    *n = 1; p[0].pid = getpid(); p[0].used = 1073741824ULL; return 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned int *n, info *p) { return 3; }
"""
PROBE = """
import ctypes, sys
real = ctypes.CDLL
ctypes.CDLL = lambda name, *a, **k: real(sys.argv[1] if 'nvidia-ml' in str(name) else name, *a, **k)
from replguard.kernel.nvml import Nvml
import os
(use,) = Nvml().uses()
assert (use.pid, use.device, use.name, use.memory) == (os.getpid(), 'GPU-stand-in', 'Stand-in', 2**30), use
"""


def seen(sensor: GpuSensor) -> list[tuple[str, int | None, int | None]]:
    return [
        (e.event.kind, e.process.pid, e.gpu.memory_bytes)
        for e in sensor.poll()
        if e.process is not None and e.gpu is not None
    ]


def test_first_a_tenth_and_the_end_are_told(tmp_path: Path) -> None:
    """Small changes are not; unknown memory stays unknown; the end is 0 bytes."""
    host, library = FakeHost(tmp_path), FakeNvml()
    host.process(10)
    host.process(11)
    sensor = GpuSensor(lambda: Nvml(library), drm=False, root=host.root)
    sensor.start()
    library.compute = [(10, GIB), (11, None), (99, GIB)]
    assert seen(sensor) == [("state", 10, GIB), ("state", 11, None)]
    assert sensor.counters.filtered == 1
    library.compute = [(10, GIB + 1), (11, None)]
    assert seen(sensor) == []
    library.compute = [(10, 2 * GIB), (11, GIB)]
    assert seen(sensor) == [("event", 10, 2 * GIB), ("event", 11, GIB)]
    library.compute = [(11, GIB)]
    assert seen(sensor) == [("event", 10, 0)]
    sensor.stop()
    assert library.open == 0


def test_drm_clients_of_a_process_add_up(tmp_path: Path) -> None:
    """Two clients on one device are one amount; a device that NVML tells of is not told twice."""
    host = FakeHost(tmp_path)
    host.process(10)
    (tmp_path / "10" / "fd").mkdir()
    for number, driver in ((3, b"amdgpu"), (4, b"amdgpu"), (5, b"nvidia")):
        data = b"drm-driver: %b\ndrm-client-id: %d\ndrm-pdev: 0000:03:00.0\ndrm-memory-vram: 1024 MiB\n"
        host.write(f"10/fdinfo/{number}", data % (driver, number))
        (tmp_path / "10" / "fd" / str(number)).symlink_to("/dev/dri/renderD128")
    sensor = GpuSensor(lambda: Nvml(FakeNvml()), drm=True, root=host.root)
    sensor.start()
    assert seen(sensor) == [("state", 10, 2 * GIB)]
    assert seen(sensor) == []
    shutil.rmtree(tmp_path / "10" / "fd")
    assert seen(sensor) == [("event", 10, 0)]
    sensor.stop()


def test_a_host_without_a_device_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which driver is missing, and where a device was looked for; with DRM alone it works and says what is missing."""

    def no_driver() -> Nvml:
        library = FakeNvml()
        library.broken = True
        return Nvml(library)

    monkeypatch.setattr(module, "Nvml", no_driver)
    with pytest.raises(Unavailable, match=r"no NVIDIA driver \(Driver Not Loaded\)"):
        module.open(Config(), str(tmp_path))
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "renderD128").touch()
    sensor = module.open(Config(), str(tmp_path))
    assert "only DRM devices" in (sensor.why or "")


def test_the_real_binding_reads_a_stand_in_library(tmp_path: Path) -> None:
    """nvidia-ml-py, its structures and calling convention, against a compiled libnvidia-ml.so."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in libnvidia-ml.so")
    (tmp_path / "nvml.c").write_text(STAND_IN)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "nvml.c")], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(library)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr

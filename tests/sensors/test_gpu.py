"""Device memory, by a stand-in for NVIDIA's library and fake fdinfo."""

import shutil
from pathlib import Path

import pytest
from support import nvidia
from support.host import FakeHost
from support.nvidia import FakeNvml

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel import nvml
from replguard.kernel.nvml import Nvml
from replguard.sensors import gpu as module
from replguard.sensors.gpu import GpuSensor

GIB = 2**30


def computes(host: FakeHost, *pids: int) -> None:
    for pid in pids:
        host.process(pid)
        Path(host.root, str(pid), "fd").mkdir()
        Path(host.root, str(pid), "fd", "3").symlink_to("/dev/nvidia-uvm")


def usage(events: list[Event]) -> list[tuple[str, int | None, int | None]]:
    return [
        (e.event.kind, e.process.pid, e.gpu.memory_bytes) for e in events if e.process is not None and e.gpu is not None
    ]


def seen(sensor: GpuSensor) -> list[tuple[str, int | None, int | None]]:
    return usage(list(sensor.poll()))


def test_first_a_tenth_and_the_end_are_told(tmp_path: Path) -> None:
    """Small changes are not; unknown memory stays unknown; the end is 0 bytes, and then the driver is free."""
    host, library = FakeHost(tmp_path), FakeNvml()
    computes(host, 10, 11)
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
    host.end(10)
    host.end(11)
    assert seen(sensor) == [("event", 11, 0)]
    assert library.open == 0
    sensor.stop()


def test_a_library_that_fails_makes_memory_unknown_and_not_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event says why, a health event too, once, and both say when it is known again; an end is an end."""
    now = [clock.monotonic()]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    host, library = FakeHost(tmp_path), FakeNvml()
    computes(host, 10, 11)
    sensor = GpuSensor(lambda: Nvml(library), drm=False, root=host.root)
    sensor.start()
    library.compute = [(10, GIB), (11, GIB)]
    assert len(seen(sensor)) == 2
    library.fails["nvmlDeviceGetCount"] = nvidia.UNINITIALIZED
    host.end(11)
    told = list(sensor.poll())
    assert sorted(usage(told), key=str) == [("event", 10, None), ("event", 11, 0)]
    reason = next(e.gpu.memory_unknown for e in told if e.gpu is not None and e.gpu.memory_bytes is None)
    assert reason == "NVML: Uninitialized"
    health = [e.health for e in told if e.health is not None]
    assert [h.state for h in health] == ["degraded"]
    assert "Uninitialized" in (sensor.why or "")
    assert not any(e.health is not None for e in sensor.poll())
    library.fails, library.compute = {}, [(10, GIB)]
    now[0] += 60
    told = list(sensor.poll())
    assert ("event", 10, GIB) in usage(told)
    assert [e.health.state for e in told if e.health is not None] == ["recovered"]
    assert "Uninitialized" not in (sensor.why or "")


def test_a_process_that_is_named_is_looked_at_next_time(tmp_path: Path) -> None:
    """The kernel tells the open of a device at once: its process need not wait until all are searched."""
    host, library = FakeHost(tmp_path), FakeNvml()
    host.process(10)
    sensor = GpuSensor(lambda: Nvml(library), drm=False, root=host.root)
    sensor.start()
    for _ in range(33):
        assert seen(sensor) == []
    host.end(10)
    computes(host, 10)
    library.compute = [(10, GIB)]
    sensor.watch(Hint(kind="gpu", pid=10))
    assert seen(sensor) == [("event", 10, GIB)]
    sensor.stop()


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
    """Where a device was looked for; with DRM alone it works and says what is missing."""
    with pytest.raises(Unavailable, match="no NVIDIA GPU"):
        module.open(Config(), str(tmp_path), str(tmp_path))
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "renderD128").touch()
    assert "only DRM devices" in (module.open(Config(), str(tmp_path), str(tmp_path)).why or "")
    pci = tmp_path / "bus/pci/devices/0000:01:00.0"
    pci.mkdir(parents=True)
    (pci / "vendor").write_text("0x10de\n")
    (pci / "class").write_text("0x030200\n")
    monkeypatch.setattr(nvml, "LIBRARY", "libnvidia-ml-none-such.so.1")
    assert "NVML is not there" in (module.open(Config(), str(tmp_path), str(tmp_path)).why or "")

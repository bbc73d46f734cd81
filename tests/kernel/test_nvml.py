"""NVIDIA's library, by a stand-in for the binding, and the binding by a stand-in for the library."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import nvidia
from support.nvidia import FakeNvml

from replguard.kernel import nvml
from replguard.kernel.nvml import Nvml, Use

PROBE = """
import os, sys
from replguard.kernel import nvml

def held():
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return [os.readlink(l) for l in links if os.path.islink(l) and os.readlink(l).startswith("/dev/nvidia")]

def mapped():
    return "libnvidia-ml" in open("/proc/self/maps").read()

first, second, broken = sys.argv[1:]
nvml.LIBRARY = first
assert nvml.missing() is None and not mapped() and not held()
library = nvml.Nvml()
assert held() == ["/dev/nvidiactl"], held()
(use,) = library.uses()
assert (use.pid, use.device, use.name, use.memory) == (os.getpid(), "GPU-stand-in", "first driver", 2**30), use
library.close()
assert not mapped() and not held(), held()
nvml.LIBRARY = broken
try:
    nvml.Nvml()
except OSError as error:
    assert "version mismatch" in str(error), error
assert not mapped() and not held(), held()
nvml.LIBRARY = second
again = nvml.Nvml()
assert again.uses()[0].name == "second driver"
again.close()
assert not mapped()
"""
PRIVATE = (
    "mount --make-rprivate / && mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/nvidiactl c 1 3"
    ' && mknod /dev/urandom c 1 9 && exec "$@"'
)


def test_memory_by_process_and_unknown_is_none() -> None:
    """All lists count, the larger number for one in two; N/A is None with a reason and never a number."""
    library = FakeNvml()
    library.compute = [(10, 2**30), (11, None), (12, 2**64 - 1)]
    library.graphics, library.mps = [(10, 2**20), (13, 5)], [(14, 6)]
    held = Nvml(library)
    why = "NVML does not tell it by process"
    assert held.uses() == [
        Use(10, "GPU-0", "NVIDIA H100", 2**30),
        Use(11, "GPU-0", "NVIDIA H100", None, why),
        Use(12, "GPU-0", "NVIDIA H100", None, why),
        Use(13, "GPU-0", "NVIDIA H100", 5),
        Use(14, "GPU-0", "NVIDIA H100", 6),
    ]
    held.close()
    assert library.open == 0


def test_mig_is_said() -> None:
    """Where MIG is on and hides the numbers, that is the reason."""
    library = FakeNvml(mig=True)
    library.compute = [(10, None)]
    assert Nvml(library).uses()[0].unknown == "MIG is on, and NVML does not tell it by process"


def test_a_list_that_is_not_kept_is_empty_and_an_older_call_is_made() -> None:
    """A device without graphics still tells what computes; one without the third version is asked by the second."""
    library = FakeNvml()
    library.compute = [(10, 7)]
    assert [use.pid for use in Nvml(library).uses()] == [10]
    library.fails["nvmlDeviceGetComputeRunningProcesses_v3"] = nvidia.NOT_FOUND
    assert [use.pid for use in Nvml(library).uses()] == [10]


def test_one_lost_device_is_not_all() -> None:
    """Those beside it go on telling, and its trouble is kept, also where we may not ask."""
    library = FakeNvml(devices=2)
    library.compute = [(10, 7)]
    library.fails["device 1"] = nvidia.LOST
    held = Nvml(library)
    assert [use.pid for use in held.uses()] == [10]
    assert held.troubles == ["GPU 1: GPU is lost"]
    library.fails = {"nvmlDeviceGetComputeRunningProcesses_v3": nvidia.NO_PERMISSION}
    assert held.uses() == []
    assert held.troubles == ["GPU 0: Insufficient Permissions", "GPU 1: Insufficient Permissions"]


@pytest.mark.parametrize("code", [nvidia.UNINITIALIZED, nvidia.NOT_LOADED, nvidia.MISMATCH])
def test_trouble_of_the_library_is_an_oserror(code: int) -> None:
    """No driver, or one of another version, in the library's own words."""
    library = FakeNvml()
    held = Nvml(library)
    library.fails["device 0"] = code
    with pytest.raises(OSError, match=str(nvidia.NVMLError(code))):
        held.uses()
    library.fails["nvmlInit"] = code
    with pytest.raises(OSError, match=str(nvidia.NVMLError(code))):
        Nvml(library)


def test_a_library_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name; it is no exception of another kind."""
    monkeypatch.setattr(nvml, "LIBRARY", "libnvidia-ml-none-such.so.1")
    assert "libnvidia-ml-none-such.so.1" in (nvml.missing() or "")
    with pytest.raises(OSError, match="none-such"):
        Nvml()


def test_nothing_of_it_stays_and_the_next_driver_has_its_own_library(tmp_path: Path) -> None:
    """The real binding with compiled libraries, one of which leaves a descriptor open.

    The library is mapped no more either, so that one of another version under the same name is what is loaded next.
    """
    first = nvidia.library(tmp_path / "1", "first driver", leaks=True)
    second = nvidia.library(tmp_path / "2", "second driver")
    broken = nvidia.library(tmp_path / "3", "other driver", mismatch=True)
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("device nodes of a test's own need root and unshare")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", PRIVATE, "sh", sys.executable, "-c", PROBE, first, second, broken],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr

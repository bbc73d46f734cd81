"""What DRM drivers write to fdinfo."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.host import FakeHost

from replguard.kernel import drm_fdinfo
from replguard.kernel.drm_fdinfo import Client

AMD = (
    b"pos:\t0\nflags:\t02100002\ndrm-driver:\tamdgpu\ndrm-client-id:\t%d\ndrm-pdev:\t0000:03:00.0\n"
    b"drm-memory-vram:\t2048 KiB\ndrm-memory-gtt:\t1024 KiB\ndrm-engine-gfx:\t12 ns\n"
)


def open_device(host: FakeHost, pid: int, number: int, data: bytes) -> None:
    """Give a fake process an open device file."""
    host.write(f"{pid}/fdinfo/{number}", data)
    link = Path(host.root) / str(pid) / "fd" / str(number)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/dev/dri/renderD128")


def test_memory_on_the_device_counts() -> None:
    """Device regions are summed in bytes; the host's own memory is left out."""
    assert drm_fdinfo.parse(AMD % 7) == Client("amdgpu", "0000:03:00.0", "7", 2 * 2**20)


def test_resident_memory_goes_first() -> None:
    """Newer drivers tell what lies on the device now; an integrated one has only the host's."""
    both = b"drm-driver: xe\ndrm-client-id: 1\ndrm-total-vram0: 9 MiB\ndrm-resident-vram0: 4 MiB\n"
    assert drm_fdinfo.parse(both) == Client("xe", "xe", "1", 4 * 2**20)
    integrated = b"drm-driver: i915\ndrm-resident-system0: 3 KiB\n"
    assert drm_fdinfo.parse(integrated) == Client("i915", "i915", "", 3 * 2**10)


def test_unknown_is_none() -> None:
    """No region and no unit that is known give no number; another file is no client."""
    parsed = drm_fdinfo.parse(b"drm-driver: panfrost\ndrm-memory-x: 5 parsecs\n")
    assert parsed is not None
    assert parsed.memory is None
    assert drm_fdinfo.parse(b"pos: 0\nflags: 02\n") is None


@given(st.binary(max_size=200))
def test_any_fdinfo_gives_a_value(data: bytes) -> None:
    """Garbage never raises."""
    parsed = drm_fdinfo.parse(b"drm-driver: x\n" + data)
    assert parsed is not None
    assert parsed.memory is None or parsed.memory >= 0


def test_descriptors_of_one_client_count_once(tmp_path: Path) -> None:
    """A duplicated descriptor is the same client."""
    host = FakeHost(tmp_path)
    for number, client in ((3, 7), (4, 7), (5, 8)):
        open_device(host, 20, number, AMD % client)
    found = list(drm_fdinfo.clients([20, 21], host.root))
    assert sorted((pid, client.client) for pid, client in found) == [(20, "7"), (20, "8")]

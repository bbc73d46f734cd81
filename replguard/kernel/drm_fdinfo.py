"""Device memory by process, from what DRM drivers (amdgpu, xe, i915 …) write to ``/proc/PID/fdinfo``.

Keys are those of Documentation/gpu/drm-usage-stats.rst.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replguard.kernel import handles
from replguard.kernel.procfs import PROC, read, text

_UNITS = {b"": 1, b"B": 1, b"KiB": 2**10, b"MiB": 2**20, b"GiB": 2**30}
_SYSTEM = (b"system", b"gtt", b"cpu")
"""Memory regions that are the host's own memory."""
_NODES = (b"/dev/dri/", b"/dev/accel/")
_DIGITS = 20
"""Of a number at most; Python refuses to read one of thousands."""


@dataclass(frozen=True, slots=True)
class Client:
    """One open device file. Descriptors with one ``client`` on one ``device`` share it. ``memory`` is in bytes."""

    driver: str
    device: str
    client: str
    memory: int | None


def parse(data: bytes) -> Client | None:
    """Parse one fdinfo file; None if it is not that of a DRM client.

    ``drm-resident-*`` is what lies on the device now; older drivers only have ``drm-memory-*``. Without a region on
    the device (integrated graphics) the system regions count.
    """
    keys: dict[bytes, bytes] = {}
    for line in data.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.startswith(b"drm-"):
            keys[name[4:]] = value.strip()
    if b"driver" not in keys:
        return None
    return Client(
        driver=text(keys[b"driver"]),
        device=text(keys.get(b"pdev", keys[b"driver"])),
        client=text(keys.get(b"client-id", b"")),
        memory=_memory(keys),
    )


def clients(pids: Iterable[int], root: str = PROC) -> Iterator[tuple[int, Client]]:
    """Yield (pid, client) once for each client that a process holds."""
    for pid in pids:
        known: set[tuple[str, str]] = set()
        for fd in handles.fds(pid, root):
            if not fd.target.startswith(_NODES):
                continue
            client = parse(read(f"{root}/{pid}/fdinfo/{fd.number}", 1 << 16) or b"")
            if client is None:
                continue
            key = (client.device, client.client or f"fd{fd.number}")
            if key not in known:
                known.add(key)
                yield pid, client


def _memory(keys: dict[bytes, bytes]) -> int | None:
    for prefix in (b"resident-", b"memory-", b"total-"):
        found = {name[len(prefix) :]: _bytes(value) for name, value in keys.items() if name.startswith(prefix)}
        regions = {region: size for region, size in found.items() if size is not None}
        if regions:
            device = [size for region, size in regions.items() if not region.startswith(_SYSTEM)]
            return sum(device) if device else sum(regions.values())
    return None


def _bytes(value: bytes) -> int | None:
    number, _, unit = value.partition(b" ")
    if not number.isdigit() or len(number) > _DIGITS or unit.strip() not in _UNITS:
        return None
    return int(number) * _UNITS[unit.strip()]

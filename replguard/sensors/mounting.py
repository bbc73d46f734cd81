"""The host, with who mounts: as the portable sensor does, and the process that the kernel names (Linux 6.14).

What it cannot see: a shutdown by a direct call to the kernel, or without systemd; mounts in other mount namespaces; who
mounted something that is gone again within a second, and of mounts beyond the kernel's queue, which is told.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator

from replguard import hostroot
from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events.event import Event
from replguard.events.process import Process
from replguard.kernel import mountwatch
from replguard.kernel.mounts import Mount
from replguard.kernel.mountwatch import MountGroup
from replguard.sensors.base import AT_ONCE
from replguard.sensors.host import HostSensor
from replguard.sensors.losses import Losses
from replguard.sensors.processes.who import Who

AREA = "host"
TIER = "kernel"
REPLACES = frozenset({"host"})
_REMEMBERED = 1024


class MountingSensor(HostSensor):
    """Makes host_shutdown and host_mount, the latter with the process that mounted."""

    name = "mounting"
    mode = "kernel"
    told_until = AT_ONCE
    blind = "what schedules a shutdown without systemd, and mounts in other mount namespaces."

    def __init__(self) -> None:
        super().__init__()
        self._group: MountGroup | None = None
        self._mounters: OrderedDict[int, Process] = OrderedDict()
        self._losses = Losses(self)

    def start(self) -> None:
        self._who = Who()
        self._group = MountGroup()
        self._group.watch(f"/proc/{hostroot.pid()}/ns/mnt")

    def stop(self) -> None:
        if self._group is not None:
            self._group.close()
            self._group = None

    def poll(self) -> Iterator[Event]:
        yield from super().poll()
        yield from self._losses.tell()

    def mounter(self, mount: Mount) -> Process | None:
        """Return the process that the kernel named for a mount."""
        for told in self._group.read() if self._group is not None else ():
            if told.lost:
                self._losses.add("kernel", "who mounts: fanotify overflow")
            elif told.attached and told.pid > 0:
                self._mounters[told.mount] = self._who.process(told.pid) or Process(pid=told.pid)
        while len(self._mounters) > _REMEMBERED:
            self._mounters.popitem(last=False)
        number = mountwatch.unique_id(os.fsencode(hostroot.Host.root) + mount.path) if not mount.remote else None
        return self._mounters.get(number) if number is not None else None


def open(config: Config) -> MountingSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor, after a trial. Raises Unavailable where the kernel does not tell who mounts."""
    sensor = MountingSensor()
    try:
        sensor.start()
    except OSError as error:
        raise Unavailable(
            f"the kernel does not tell us who mounts ({error.strerror}): Linux 6.14 does, to root."
        ) from error
    finally:
        sensor.stop()
    return sensor

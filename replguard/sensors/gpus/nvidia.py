"""NVIDIA's library, open only while another process holds a GPU; its troubles are told, and it is tried again."""

from collections.abc import Callable, Iterator

from replguard.events import clock
from replguard.events.gpu import Gpu
from replguard.kernel.nvml import Nvml
from replguard.sensors.gpus.nodes import NVIDIA

UVM = b"/dev/nvidia-uvm"
"""What only programs hold that compute. Whoever asks or sets up a device, as nvidia-smi does, opens the others."""
SETTLED = 10.0
"""Seconds after which whoever holds another node counts too: a reset of the device by nvidia-smi must not meet us."""
UNLISTED = 5.0
"""Seconds for which a program that computes may have nothing on the device yet."""
FIRST_PAUSE, LAST_PAUSE = 5.0, 60.0
"""Seconds until it is tried again, more each time."""
_BY_ANOTHER = "NVML lists nothing for this process: an MPS server may hold it"

Holders = dict[int, frozenset[bytes]]


class Nvidia:
    """``trouble`` says what does not work now, None if all does, or nobody needs it."""

    def __init__(self, open_library: Callable[[], Nvml]) -> None:
        self.trouble: str | None = None
        self._open = open_library
        self._nvml: Nvml | None = None
        self._since: dict[int, float] = {}
        self._computing: dict[int, float] = {}
        self._retry, self._pause = 0.0, FIRST_PAUSE

    @property
    def is_open(self) -> bool:
        """Whether we hold the driver ourselves."""
        return self._nvml is not None

    def close(self) -> None:
        """Let go of the driver."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            nvml.close()

    def uses(self, holders: Holders) -> Iterator[tuple[int, Gpu]]:
        """Yield what each process holds on each device. What nobody says is unknown, never 0."""
        now = clock.monotonic()
        nodes = {pid: mine for pid, held in holders.items() if (mine := {n for n in held if n.startswith(NVIDIA)})}
        self._since = {pid: self._since.get(pid, now) for pid in nodes}
        self._computing = {pid: self._computing.get(pid, now) for pid, held in nodes.items() if UVM in held}
        if not self._computing and not any(now - since >= SETTLED for since in self._since.values()):
            self.close()
            self.trouble, self._retry, self._pause = None, 0.0, FIRST_PAUSE
            return
        listed = set()
        for pid, gpu in self._told(now):
            listed.add(pid)
            yield pid, gpu
        for pid, since in self._computing.items():
            if pid not in listed and now - since >= UNLISTED:
                yield pid, Gpu(driver="nvidia", memory_unknown=self.trouble or _BY_ANOTHER)

    def _told(self, now: float) -> list[tuple[int, Gpu]]:
        if self._nvml is None and now < self._retry:
            return []
        try:
            self._nvml = self._nvml or self._open()
            uses = self._nvml.uses()
        except OSError as error:
            self.close()  # a library that is of no use must not hold the driver
            self.trouble = f"NVML: {error}"
            self._retry, self._pause = now + self._pause, min(2 * self._pause, LAST_PAUSE)
            return []
        self._retry, self._pause = 0.0, FIRST_PAUSE
        self.trouble = f"NVML: {'; '.join(self._nvml.troubles)}" if self._nvml.troubles else None
        return [
            (
                use.pid,
                Gpu(id=use.device, name=use.name, driver="nvidia", memory_bytes=use.memory, memory_unknown=use.unknown),
            )
            for use in uses
        ]

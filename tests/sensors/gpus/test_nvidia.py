"""NVIDIA's library is open when it has to be, by a stand-in and a clock of the test's own."""

import pytest
from support import nvidia
from support.nvidia import FakeNvml

from replguard.events import clock
from replguard.events.gpu import Gpu
from replguard.kernel.nvml import Nvml
from replguard.sensors.gpus.nvidia import FIRST_PAUSE, SETTLED, UNLISTED, UVM, Nvidia

SERVER = frozenset({UVM, b"/dev/nvidia0", b"/dev/nvidiactl"})
TOOL = frozenset({b"/dev/nvidiactl", b"/dev/nvidia0"})


class Clock:
    now = 1000.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    return made


def test_it_is_open_only_while_somebody_computes(time: Clock) -> None:
    """From the first look at which a program that computes holds a GPU to the first at which none does."""
    library = FakeNvml()
    held = Nvidia(lambda: Nvml(library))
    assert list(held.uses({})) == []
    assert list(held.uses({9: frozenset({b"/dev/dri/card0"})})) == []
    assert library.calls == 0
    library.compute = [(10, 5)]
    assert list(held.uses({10: SERVER})) == [(10, Gpu(id="GPU-0", name="NVIDIA H100", driver="nvidia", memory_bytes=5))]
    assert list(held.uses({10: SERVER}))
    assert (library.calls, library.open, held.is_open) == (1, 1, True)
    assert list(held.uses({})) == []
    assert (library.open, held.is_open) == (0, False)


def test_a_tool_that_resets_a_device_does_not_meet_us(time: Clock) -> None:
    """Whoever only asks or sets up counts when it stays, as one that draws does."""
    library = FakeNvml()
    held = Nvidia(lambda: Nvml(library))
    list(held.uses({9: TOOL}))
    time.now += SETTLED - 1
    list(held.uses({9: TOOL}))
    assert library.calls == 0
    time.now += 2
    list(held.uses({8: TOOL}))
    assert library.calls == 0
    time.now += SETTLED
    list(held.uses({8: TOOL}))
    assert library.open == 1


def test_who_computes_and_is_not_listed_has_unknown_memory(time: Clock) -> None:
    """Below an MPS server it is the server that is listed; the clients are not said to hold nothing."""
    library = FakeNvml()
    library.compute = [(20, 7)]
    held = Nvidia(lambda: Nvml(library))
    assert [pid for pid, _ in held.uses({20: SERVER, 21: SERVER})] == [20]
    time.now += UNLISTED
    client = dict(held.uses({20: SERVER, 21: SERVER}))[21]
    assert client.memory_bytes is None
    assert "MPS" in (client.memory_unknown or "")


def test_trouble_is_told_the_driver_let_go_and_it_is_tried_again(time: Clock) -> None:
    """At first after five seconds, then more seldom; once it works nothing is left of the trouble."""
    library = FakeNvml()
    library.compute, library.fails = [(10, 5)], {"nvmlInit": nvidia.MISMATCH}
    held = Nvidia(lambda: Nvml(library))
    assert list(held.uses({10: SERVER})) == []
    assert "version mismatch" in (held.trouble or "")
    library.fails = {"nvmlDeviceGetCount": nvidia.UNINITIALIZED}
    list(held.uses({10: SERVER}))
    assert library.calls == 0
    time.now += FIRST_PAUSE
    unknown = dict(held.uses({10: SERVER}))[10]
    assert (unknown.memory_bytes, unknown.memory_unknown) == (None, "NVML: Uninitialized")
    assert (library.calls, library.open) == (1, 0)
    library.fails = {}
    time.now += FIRST_PAUSE
    list(held.uses({10: SERVER}))
    assert library.calls == 1
    time.now += FIRST_PAUSE
    assert [gpu.memory_bytes for _, gpu in held.uses({10: SERVER})] == [5]
    assert (held.trouble, library.open) == (None, 1)


def test_a_lost_device_does_not_end_the_looks_at_others(time: Clock) -> None:
    """It is said, and the library stays open."""
    library = FakeNvml(devices=2)
    library.compute, library.fails = [(10, 5)], {"device 1": nvidia.LOST}
    held = Nvidia(lambda: Nvml(library))
    assert [gpu.memory_bytes for _, gpu in held.uses({10: SERVER})] == [5]
    assert (held.trouble, library.open) == ("NVML: GPU 1: GPU is lost", 1)

"""What every sensor on eBPF has: what stands in for a program, its losses, its times and its cost."""

import os
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.host import until

from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.kernel import bpf, libbpf
from replguard.kernel.bpf import process
from replguard.kernel.hooks import Hook
from replguard.sensors import probed
from replguard.sensors.probed import Probed


class Probe(Probed):
    """Makes nothing of the records of the process probe but their number."""

    name = "probe"
    area = "process"
    records = process

    def decoded(self, taken: list[bytes]) -> Iterable[Event]:
        self.counters.skip(len(taken))
        return ()


class Fake:
    """Programs that are said to run, without a kernel."""

    def __init__(self, refused: set[str]) -> None:
        self.refused = refused
        self.loads: list[set[str]] = []

    def __call__(self, image: bytes, library: object, left: dict[str, str]) -> Any:
        names = {hook.program for hook in process.HOOKS}
        self.loads.append(names - left.keys() - self.refused)
        missing = dict.fromkeys(self.refused & names - left.keys(), "unknown func") | left
        return SimpleNamespace(missing=missing, close=lambda: None)


def loaded(monkeypatch: pytest.MonkeyPatch, refused: set[str], hooks: Any = "auto") -> tuple[Fake, dict[str, str]]:
    """Load with some programs refused by the kernel; return what was tried and what is missing in the end."""
    fake = Fake(refused)
    monkeypatch.setattr(libbpf, "Programs", fake)
    monkeypatch.setattr(libbpf, "Library", lambda: None)
    probe = Probe(msgspec.structs.replace(Config(), sensors=Sensors(hooks=hooks)))
    return fake, probe._loaded().missing


def test_what_stands_in_is_left_alone_where_the_better_one_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """One load is enough."""
    fake, missing = loaded(monkeypatch, set())
    assert len(fake.loads) == 1
    assert missing == {"process_exec_bounded": ""}


def test_what_stands_in_is_loaded_where_the_kernel_refuses_the_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of the refusal is kept."""
    fake, missing = loaded(monkeypatch, {"process_exec"})
    assert len(fake.loads) == 2
    assert "process_exec_bounded" in fake.loads[1]
    assert missing == {"process_exec": "unknown func"}


def test_a_profile_chooses_what_stands_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known to be needed."""
    fake, missing = loaded(monkeypatch, set(), "5.15")
    assert len(fake.loads) == 1
    assert "process_exec_bounded" not in missing
    assert "5.15" in missing["process_exec"]


class Meter:
    """Programs that ran a tenth of the time."""

    def __init__(self, allowed: bool = True) -> None:
        self.allowed = allowed
        self.ran = 0
        self.descriptor: int | None = None

    def measure(self) -> int:
        if not self.allowed:
            raise PermissionError
        self.descriptor = os.open("/dev/null", os.O_RDONLY)
        return self.descriptor

    def run_time(self) -> int:
        return self.ran


def test_a_sample_of_the_cost_stands_for_all_the_time() -> None:
    """One second in twenty is measured; the descriptor is given back each time."""
    cost, meter = probed._Cost(), Meter()
    assert cost.look(meter, 100.0) == 0.0  # type: ignore[arg-type]
    meter.ran = 50_000_000
    assert cost.look(meter, 100.5) == 0.0  # type: ignore[arg-type]
    meter.ran = 100_000_000
    assert cost.look(meter, 101.0) == pytest.approx(2.0)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(meter.descriptor or -1)
    assert cost.look(meter, 110.0) == 0.0  # type: ignore[arg-type]
    first = meter.descriptor
    meter.descriptor = None
    assert first is not None
    assert cost.look(meter, 120.0) == 0.0  # type: ignore[arg-type]
    assert meter.descriptor is not None
    cost.close()
    cost.close()


def test_without_the_right_to_measure_nothing_is_added() -> None:
    """The programs run all the same."""
    cost, meter = probed._Cost(), Meter(allowed=False)
    for second in range(60):
        assert cost.look(meter, float(second)) == 0.0  # type: ignore[arg-type]


@pytest.fixture
def probe() -> Iterable[Probe]:
    made = Probe()
    try:
        made.start()
    except Unavailable as error:
        made.stop()
        pytest.skip(str(error))
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.root
def test_what_was_told_until_and_kernel_times_are_wall_clock_times(probe: Probe) -> None:
    """Everything before the look was delivered."""
    before = clock.now()
    list(probe.tick())
    assert probe.told_until is not None
    assert before <= probe.told_until <= clock.now()
    apart = probe.at(int(clock.since_boot() * 1e9)) - clock.now()
    assert abs(apart.total_seconds()) < 0.1
    assert probe.fileno() >= 0


@pytest.mark.root
def test_the_kernel_tells_how_long_programs_ran(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork of ours is enough."""
    monkeypatch.setattr(probed, "CHECK", 0.0)
    monkeypatch.setattr(probed, "MEASURE", 0.05)
    list(probe.tick())
    if probe._cost._descriptor is None:
        pytest.skip("measuring is not allowed here")

    def measured() -> bool:
        pid = os.posix_spawn("/bin/true", ["/bin/true"], {})
        os.waitpid(pid, 0)
        list(probe.tick())
        return probe.counters.kernel_seconds > 0

    assert until(measured)


@pytest.mark.root
def test_a_loss_is_counted_and_told_once(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its number."""
    monkeypatch.setattr(probed, "CHECK", 0.0)
    probe._lost = [-3] + [0] * (2 * len(process.KINDS) - 1)
    told = [event.health for event in probe.tick() if event.health is not None]
    assert [(h.state, h.stage, h.lost) for h in told] == [("loss", "kernel", 3)]
    assert not list(probe.tick())
    assert probe.counters.dropped["kernel", "ring full"] == 3
    probe._lost = [0] * len(process.KINDS) + [-2] + [0] * (len(process.KINDS) - 1)
    (busy,) = [event.health for event in probe.tick() if event.health is not None]
    assert (busy.reason, busy.lost) == ("ring busy", 2)
    assert probe.counters.dropped["kernel", "ring busy"] == 2


def test_programs_of_which_one_replaces_another_are_hooks_of_one_place() -> None:
    """Else both would be needed."""
    by_name: dict[str, Hook] = {hook.program: hook for hook in process.HOOKS}
    for hook in process.HOOKS:
        if hook.better is not None:
            assert by_name[hook.better].point == hook.point
            assert by_name[hook.better].since > hook.since
    assert bpf.image(process.OBJECT)

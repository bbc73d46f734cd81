"""Sensors register by being there; what cannot work says why."""

import importlib
import pkgutil
from typing import Any

import msgspec
import pytest

from replguard import sensors as package
from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.sensors import exec as kernel_process
from replguard.sensors import gpu, network, registry
from replguard.sensors import tcp as kernel_network
from replguard.sensors.registry import open_all


def modules() -> dict[str, Any]:
    """Return every module that is a sensor."""
    found = (info.name for info in pkgutil.iter_modules(package.__path__))
    loaded = {name: importlib.import_module(f"{package.__name__}.{name}") for name in found}
    return {name: module for name, module in loaded.items() if hasattr(module, "open")}


def test_every_area_has_its_sensors_or_a_reason() -> None:
    """What is open, what is absent and what a better one replaces are all that there is; early ones come first."""
    sensors, absent = open_all(Config())
    names, every = [sensor.name for sensor in sensors], modules()
    assert every.keys() >= {"endpoint", "exec", "file", "gpu", "host", "network", "process", "use"}
    replaced = {old for name in names for old in getattr(every[name], "REPLACES", ()) if old not in names}
    assert sorted([*names, *(one.name for one in absent), *replaced]) == sorted(every)
    assert names[0] in ("exec", "process")
    assert all(one.reason.endswith(".") for one in absent)


def test_off_is_refused_with_the_key() -> None:
    """The reason names the key that decided, for both tiers."""
    config = msgspec.structs.replace(Config(), sensors=Sensors(network="off"))
    sensors, absent = open_all(config)
    reasons = {one.name: one.reason for one in absent}
    assert not [sensor.name for sensor in sensors if sensor.area == "network"]
    assert "sensors.network" in reasons["endpoint"]


def test_the_kernel_tier_takes_the_place_of_the_portable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, and processes are not told twice; the portable one runs where it is asked for, and says so."""
    made = kernel_process.ExecSensor()
    monkeypatch.setattr(kernel_process, "open", lambda config: made)
    sensors, absent = open_all(Config())
    assert sensors[0] is made
    assert "process" not in {sensor.name for sensor in sensors} | {one.name for one in absent}
    config = msgspec.structs.replace(Config(), sensors=Sensors(process="portable"))
    sensors, absent = open_all(config)
    portable = next(sensor for sensor in sensors if sensor.name == "process")
    assert "sensors.process" in (portable.why or "")
    assert "exec" not in {sensor.name for sensor in sensors} | {one.name for one in absent}


@pytest.mark.parametrize("mode", ["auto", "kernel"])
def test_a_kernel_tier_that_cannot_work_leaves_the_portable_one(monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    """Its reason is told twice: of the absent sensor, and of the one that stands in."""

    def unavailable(config: Config) -> None:
        raise Unavailable("libbpf is not installed.")

    monkeypatch.setattr(kernel_process, "open", unavailable)
    sensors, absent = open_all(msgspec.structs.replace(Config(), sensors=Sensors(process=mode)))
    portable = next(sensor for sensor in sensors if sensor.name == "process")
    assert portable.fallen == "libbpf is not installed."
    assert (portable.why or "").endswith("the kernel tier does not work here: libbpf is not installed.")
    fallen = [one for one in absent if one.area == "process"]
    assert [(one.name, one.tier, one.reason) for one in fallen] == [("exec", "kernel", "libbpf is not installed.")]


def test_what_stands_in_for_a_sensor_is_opened_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that it replaced, with the reason that was given."""
    made = kernel_process.ExecSensor()
    monkeypatch.setattr(kernel_process, "open", lambda config: made)
    open_all(Config())
    assert made.instead is not None
    (portable,) = made.instead("it broke.")
    assert (portable.name, portable.fallen) == ("process", "it broke.")
    assert "it broke." in (portable.why or "")


def test_what_runs_beside_the_kernel_tier_says_so_until_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is opened a second time; it has its whole job again, and its blind spots."""
    made = kernel_network.TcpSensor()
    monkeypatch.setattr(kernel_network, "open", lambda config: made)
    sensors = {sensor.name: sensor for sensor in open_all(Config())[0]}
    network = sensors["network"]
    assert "told by the sensor tcp" in (network.blind or "")
    assert "endpoint" in sensors
    assert made.instead is not None
    assert made.instead("it broke.") == []
    assert network.blind == type(network).blind
    assert network.fallen == "it broke."


def test_off_switches_every_tier_off() -> None:
    """No process sensor, and one reason."""
    config = msgspec.structs.replace(Config(), sensors=Sensors(process="off"))
    sensors, absent = open_all(config)
    assert not {"exec", "process"} & {sensor.name for sensor in sensors}
    assert [one.name for one in absent if one.area == "process"] == ["process"]
    assert all(one.tier == "portable" for one in absent if one.area == "process")


def test_one_that_cannot_open_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason is told, a fault too, and the rest is there."""

    def unavailable(config: Config) -> None:
        raise Unavailable("no devices at all.")

    def broken(config: Config) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(gpu, "open", unavailable)
    monkeypatch.setattr(network, "open", broken)
    sensors, absent = registry.open_all(msgspec.structs.replace(Config(), sensors=Sensors(network="portable")))
    reasons = {one.name: one.reason for one in absent}
    assert reasons["gpu"] == "no devices at all."
    assert "ValueError: odd" in reasons["network"]
    assert {"exec", "process"} & {sensor.name for sensor in sensors}

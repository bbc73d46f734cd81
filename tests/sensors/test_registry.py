"""Sensors register by being there; what cannot work says why."""

import importlib
import pkgutil

import msgspec
import pytest

from replguard import sensors as package
from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.sensors import exec as kernel_process
from replguard.sensors import host, network, registry
from replguard.sensors.registry import open_all


def test_every_area_has_its_sensors_or_a_reason() -> None:
    """What is open and what is absent are together all that there is; early ones come first."""
    sensors, absent = open_all(Config())
    names = [sensor.name for sensor in sensors]
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    with_open = {name for name in modules if hasattr(importlib.import_module(f"{package.__name__}.{name}"), "open")}
    assert sorted([*names, *(one.name for one in absent)]) == sorted(with_open - {"exec"})  # opt-in
    assert with_open >= {"endpoint", "file", "gpu", "host", "network", "process", "use"}
    assert names[0] == "process"
    assert all(one.reason.endswith(".") for one in absent)


def test_off_and_kernel_are_refused_with_the_key() -> None:
    """The reason names the key that decided."""
    config = msgspec.structs.replace(Config(), sensors=Sensors(network="off", file="kernel"))
    sensors, absent = open_all(config)
    reasons = {one.name: one.reason for one in absent}
    assert not {"network", "endpoint", "file", "use"} & {sensor.name for sensor in sensors}
    assert "sensors.network" in reasons["endpoint"]
    assert "kernel tier" in reasons["use"]


KERNEL = msgspec.structs.replace(Config(), sensors=Sensors(process="kernel"))


def test_the_kernel_tier_takes_the_place_of_the_portable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it was asked for: processes are not told twice. Without, the portable sensor says how to."""
    made = kernel_process.ExecSensor()
    monkeypatch.setattr(kernel_process, "open", lambda config: made)
    sensors, absent = open_all(KERNEL)
    assert sensors[0] is made
    assert "process" not in {sensor.name for sensor in sensors} | {one.name for one in absent}
    portable = next(sensor for sensor in open_all(Config())[0] if sensor.name == "process")
    assert "sensors.process: kernel" in (portable.why or "")


def test_a_kernel_tier_that_cannot_work_leaves_the_portable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason is told twice: of the absent sensor, and of the one that stands in."""

    def unavailable(config: Config) -> None:
        raise Unavailable("libbpf is not installed.")

    monkeypatch.setattr(kernel_process, "open", unavailable)
    sensors, absent = open_all(KERNEL)
    portable = next(sensor for sensor in sensors if sensor.name == "process")
    assert portable.why == "sensors.process: kernel was asked for, but libbpf is not installed."
    assert [(one.name, one.reason) for one in absent if one.area == "process"] == [("exec", "libbpf is not installed.")]


def test_off_switches_every_tier_off() -> None:
    """No process sensor, and one reason."""
    config = msgspec.structs.replace(Config(), sensors=Sensors(process="off"))
    sensors, absent = open_all(config)
    assert not {"exec", "process"} & {sensor.name for sensor in sensors}
    assert [one.name for one in absent if one.area == "process"] == ["process"]


def test_one_that_cannot_open_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason is told, a fault too, and the rest is there."""

    def unavailable(config: Config) -> None:
        raise Unavailable("no network at all.")

    def broken(config: Config) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(network, "open", unavailable)
    monkeypatch.setattr(host, "open", broken)
    sensors, absent = registry.open_all(Config())
    reasons = {one.name: one.reason for one in absent}
    assert reasons["network"] == "no network at all."
    assert "ValueError: odd" in reasons["host"]
    assert "process" in {sensor.name for sensor in sensors}

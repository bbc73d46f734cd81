"""Sensors register by being there; what cannot work says why."""

import importlib
import pkgutil

import msgspec
import pytest

from replguard import sensors as package
from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.sensors import host, network, registry
from replguard.sensors.registry import open_all


def test_every_area_has_its_sensors_or_a_reason() -> None:
    """What is open and what is absent are together all that there is; early ones come first."""
    sensors, absent = open_all(Config())
    names = [sensor.name for sensor in sensors]
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    with_open = {name for name in modules if hasattr(importlib.import_module(f"{package.__name__}.{name}"), "open")}
    assert sorted([*names, *(one.name for one in absent)]) == sorted(with_open)
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

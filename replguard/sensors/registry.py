"""Which sensors there are: every module here that has an ``open`` is one, and registers by being there."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.sensors.base import Sensor

_PACKAGE = "replguard.sensors"


@dataclass(frozen=True, slots=True)
class Absent:
    """A sensor that does not run here, and why, as a sentence."""

    name: str
    area: str
    reason: str


def open_all(config: Config) -> tuple[list[Sensor], list[Absent]]:
    """Return the sensors that can work here, early ones first, and those that cannot."""
    found: list[Sensor] = []
    absent: list[Absent] = []
    for name, module in _modules():
        area = str(module.AREA)
        refusal = _refused(config, area)
        if refusal is None:
            try:
                found.append(module.open(config))
                continue
            except Unavailable as error:
                refusal = str(error)
            except Exception as error:  # noqa: BLE001 - one broken sensor must not cost the others
                refusal = f"it failed to open: {type(error).__name__}: {error}"
        absent.append(Absent(name, area, refusal))
    return sorted(found, key=lambda sensor: not sensor.early), absent


def _modules() -> list[tuple[str, Any]]:
    package = importlib.import_module(_PACKAGE)
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    modules = ((name, importlib.import_module(f"{_PACKAGE}.{name}")) for name in names)
    return [(name, module) for name, module in modules if hasattr(module, "open") and hasattr(module, "AREA")]


def _refused(config: Config, area: str) -> str | None:
    mode = getattr(config.sensors, area, "auto")
    if mode == "off":
        return f"switched off by the configuration (sensors.{area})."
    if mode == "kernel":
        return f"the configuration asks for the kernel tier (sensors.{area}: kernel), which this version does not have."
    return None

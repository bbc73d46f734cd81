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
    """Return the sensors that can work here, early ones first, and those that cannot.

    A module whose TIER is "kernel" takes the place of its area's others where the configuration asks for that tier.
    If it cannot, the others run and say why: an area is never left without a sensor for having asked for a better one.
    """
    found: list[Sensor] = []
    absent: list[Absent] = []
    taken: set[str] = set()
    fallen: dict[str, str] = {}
    modules = sorted(_modules(), key=lambda named: not _kernel(named[1]))
    better = {str(module.AREA) for _, module in modules if _kernel(module)}
    for name, module in modules:
        area = str(module.AREA)
        mode = getattr(config.sensors, area, "auto")
        if area in taken or (_kernel(module) and mode != "kernel"):
            continue
        sensor, refusal = _opened(module, config, None if area in better and mode == "kernel" else _refused(mode, area))
        if sensor is None:
            absent.append(Absent(name, area, refusal))
            fallen |= {area: refusal} if _kernel(module) else {}
            continue
        found.append(sensor)
        if _kernel(module):
            taken.add(area)
        elif area in fallen:
            sensor.why = f"sensors.{area}: kernel was asked for, but {fallen[area]}"
    return sorted(found, key=lambda sensor: not sensor.early), absent


def _opened(module: Any, config: Config, refusal: str | None) -> tuple[Sensor | None, str]:
    if refusal is not None:
        return None, refusal
    try:
        return module.open(config), ""
    except Unavailable as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - one broken sensor must not cost the others
        return None, f"it failed to open: {type(error).__name__}: {error}"


def _kernel(module: Any) -> bool:
    return getattr(module, "TIER", "portable") == "kernel"


def _modules() -> list[tuple[str, Any]]:
    package = importlib.import_module(_PACKAGE)
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    modules = ((name, importlib.import_module(f"{_PACKAGE}.{name}")) for name in names)
    return [(name, module) for name, module in modules if hasattr(module, "open") and hasattr(module, "AREA")]


def _refused(mode: str, area: str) -> str | None:
    if mode == "off":
        return f"switched off by the configuration (sensors.{area})."
    if mode == "kernel":
        return f"the configuration asks for the kernel tier (sensors.{area}: kernel), which this version does not have."
    return None

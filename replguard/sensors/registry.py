"""Which sensors there are: every module here that has an ``open`` is one, and registers by being there."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from replguard import hostroot
from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events.catalogue import PORTABLE
from replguard.events.fact import Tier
from replguard.sensors.base import Sensor

_PACKAGE = "replguard.sensors"


@dataclass(frozen=True, slots=True)
class Absent:
    """A sensor that does not run here, and why, as a sentence."""

    name: str
    area: str
    reason: str
    tier: Tier = "portable"


def open_all(config: Config) -> tuple[list[Sensor], list[Absent]]:
    """Return the sensors that can work here, early ones first, and those that cannot.

    A module whose TIER is "kernel" takes the place of those that it names in REPLACES, unless the configuration asks
    for the portable tier. If it cannot work, the others run and say why: an area is never left without a sensor. Those
    that it names in KEEPS as well run beside it, with less to do.
    """
    hostroot.use(config.host_root)
    found: list[Sensor] = []
    absent: list[Absent] = []
    taken: set[str] = set()
    fallen: dict[str, str] = {}
    beside: dict[str, str] = {}
    for name, module in sorted(_modules(), key=lambda named: not _kernel(named[1])):
        mode = getattr(config.sensors, str(module.AREA), "auto")
        if name in taken or (_kernel(module) and mode in ("portable", "off")):
            continue
        sensor, refusal = _opened(module, config, _refused(mode, str(module.AREA)))
        if sensor is None:
            absent.append(Absent(name, str(module.AREA), refusal, "kernel" if _kernel(module) else "portable"))
            fallen |= dict.fromkeys(module.REPLACES, refusal) if _kernel(module) else {}
            continue
        found.append(sensor)
        if _kernel(module):
            kept: frozenset[str] = getattr(module, "KEEPS", frozenset())
            taken |= module.REPLACES - kept
            beside |= dict.fromkeys(kept, name)
            sensor.instead = partial(_instead, config, module.REPLACES, found)
        elif mode == "portable":
            sensor.because(f"the configuration asks for the portable tier (sensors.{module.AREA}).")
        elif name in fallen:
            _fallen(sensor, fallen[name])
        elif name in beside:
            sensor.blind = (
                f"what comes and goes is told by the sensor {beside[name]}; this one looks for what that leaves."
            )
    return sorted(found, key=lambda sensor: not sensor.early), absent


def _fallen(sensor: Sensor, reason: str) -> None:
    sensor.fallen = reason
    sensor.because(f"the kernel tier does not work here: {reason}")


def _instead(config: Config, names: frozenset[str], running: list[Sensor], reason: str) -> list[Sensor]:
    """Return the sensors that take the place of one that has failed; those that cannot work either are left out.

    One that runs beside it already has its whole job again.
    """
    beside = [sensor for sensor in running if sensor.name in names]
    for sensor in beside:
        sensor.blind = type(sensor).blind
    missing = names - {sensor.name for sensor in beside}
    opened = [_opened(module, config, None)[0] for name, module in _modules() if name in missing]
    found = [sensor for sensor in opened if sensor is not None]
    for sensor in (*beside, *found):
        _fallen(sensor, reason)
    return found


class Opening:
    """The sensors of a configuration, opened when they are first asked for, and only then: a trial costs time."""

    def __init__(self) -> None:
        self._opened: tuple[list[Sensor], list[Absent]] | None = None

    def all(self, config: Config) -> tuple[list[Sensor], list[Absent]]:
        """Return those that can work here and those that cannot."""
        self._opened = self._opened or open_all(config)
        return self._opened

    def makes(self, config: Config) -> frozenset[str]:
        """Return the kinds of events that are made here."""
        return makes(self.all(config)[0])


def makes(sensors: Iterable[Sensor]) -> frozenset[str]:
    """Return the kinds of events that these sensors make, and the facts that follow from them."""
    return PORTABLE.union(*(sensor.makes for sensor in sensors))


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
    return f"switched off by the configuration (sensors.{area})." if mode == "off" else None

"""The configuration: every key, its default and its check. Bad configuration is an error with file and line."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from replguard import yamlfile
from replguard.errors import ConfigError, Problem

DEFAULT_PATH = Path("/etc/replguard/replguard.yaml")
Mode = Literal["auto", "kernel", "portable", "off"]
Level = Literal["informational", "low", "medium", "high", "critical"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_MOST_BYTES = 2**63
_LONGEST = 1000 * 366 * 86400.0
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class Bytes(int):
    """A size in bytes, written ``32MiB`` or ``200MiB/s`` (per second where the key is a rate)."""

    @classmethod
    def parse(cls, value: object) -> "Bytes":
        """Return the size. Raises ValueError with the forms that are understood."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B?)(?:/s)?", str(value).strip(), re.IGNORECASE)
        unit = match[2].upper() if match else ""
        unit += "B" if unit in {"K", "M", "G", "T", "KI", "MI", "GI", "TI"} else ""
        if not match or unit not in _UNITS:
            raise ValueError(f"'{value}' is not a size; write for example 32MiB or 2GiB")
        size = float(match[1]) * _UNITS[unit]
        if size >= _MOST_BYTES:
            raise ValueError(f"'{value}' is more than any disk holds")
        return cls(int(size))


class Seconds(float):
    """A time span in seconds, written ``10m``, ``2h`` or ``400d``."""

    @classmethod
    def parse(cls, value: object) -> "Seconds":
        """Return the span. Raises ValueError with the forms that are understood."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?", str(value).strip())
        if isinstance(value, bool) or not match:
            raise ValueError(f"'{value}' is not a time span; write for example 30s, 10m, 2h or 400d")
        span = float(match[1]) * _SECONDS[match[2] or ""]
        if span > _LONGEST:
            raise ValueError(f"'{value}' is longer than a thousand years")
        return cls(span)


def dec_hook(kind: type, value: Any) -> Any:
    """Decode our own scalar types for msgspec."""
    if kind in (Bytes, Seconds):
        return kind.parse(value)
    raise ValueError(f"cannot read a {kind.__name__}")


def _check_networks(entries: tuple[str, ...]) -> None:
    """Raise ValueError for an entry that is meant as a network and is none; it would never match anything."""
    for entry in entries:
        if "/" in entry:
            ipaddress.ip_network(entry, strict=False)


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is protected. ``min_size`` limits discovery only; ``scan_rate`` is bytes per second."""

    paths: tuple[str, ...] = ()
    discover: bool = True
    min_size: Bytes = Bytes(32 * 2**20)
    scaffolds: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    scan_rate: Bytes = Bytes(200 * 2**20)
    scan_network: bool = False


class Watch(msgspec.Struct, frozen=True):
    """Folders that the file sensor watches; empty means the defaults of its tier."""

    paths: tuple[str, ...] = ()


class Agents(msgspec.Struct, frozen=True):
    """Inference endpoints besides the local instances: names, addresses, CIDRs, ``builtin``."""

    endpoints: tuple[str, ...] = ("builtin",)

    def __post_init__(self) -> None:
        _check_networks(self.endpoints)


class Egress(msgspec.Struct, frozen=True):
    """Bytes off the host that an actor may send after touching weights, and destinations that do not count."""

    limit: Bytes = Bytes(50 * 2**20)
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_networks(self.ignore)


class Rules(msgspec.Struct, frozen=True):
    """Rules besides the shipped ones, those switched off, and levels changed, by rule id or file stem."""

    paths: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    levels: dict[str, Level] = {}


class Sensors(msgspec.Struct, frozen=True):
    """The mode asked for in each area."""

    process: Mode = "auto"
    file: Mode = "auto"
    network: Mode = "auto"
    gpu: Mode = "auto"


class Stream(msgspec.Struct, frozen=True):
    """Limits of one stream of the log."""

    max_size: Bytes = Bytes(2 * 2**30)
    max_age: Seconds = Seconds(400 * 86400)


class Log(msgspec.Struct, frozen=True):
    """Where the event log lies, and how large each stream may grow."""

    dir: str = "/var/log/replguard"
    raw: Stream = Stream()
    evidence: Stream = Stream(max_size=Bytes(2**30))


class Alerts(msgspec.Struct, frozen=True):
    """What leaves the host: the lowest level, how long repeats fold, and how many an hour before a summary."""

    min_level: Level = "low"
    fold: Seconds = Seconds(600)
    max_per_hour: Annotated[int, msgspec.Meta(ge=1)] = 120


class Metrics(msgspec.Struct, frozen=True):
    """The metrics page. ``listen`` is address:port, or empty for none."""

    listen: str = "127.0.0.1:10947"

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if self.listen and not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
            raise ValueError(f"'listen': '{self.listen}' is not address:port, for example 127.0.0.1:10947")


class Config(msgspec.Struct, frozen=True):
    """The whole configuration. Every key is optional."""

    state_dir: str = "/var/lib/replguard"
    weights: Weights = Weights()
    watch: Watch = Watch()
    agents: Agents = Agents()
    egress: Egress = Egress()
    manifest: str = "/etc/replguard/manifest.yaml"
    rules: Rules = Rules()
    mode: Literal["enforce", "observe"] = "enforce"
    sensors: Sensors = Sensors()
    log: Log = Log()
    alerts: Alerts = Alerts()
    sinks: dict[str, dict[str, Any]] = msgspec.field(
        default_factory=lambda: {"jsonl": {"path": "/var/log/replguard/alerts.jsonl"}}
    )
    metrics: Metrics = Metrics()


def load(path: Path | None) -> Config:
    """Return the configuration of a file and its ``conf.d/*.yaml``, later files winning key by key.

    Without a path the default one is read if it exists, else every key has its default. Raises ConfigError with
    all problems.
    """
    if path is None:
        path = DEFAULT_PATH
        if not os.path.lexists(path):
            return Config()
    problems: list[Problem] = []
    merged: dict[str, Any] = {}
    for file in (path, *_drop_ins(path.parent / "conf.d", problems)):
        try:
            documents = yamlfile.read(file)
        except ConfigError as error:
            problems += error.problems
            continue
        for document in documents:
            if document.value is None:
                continue
            if yamlfile.convert(document, Config, problems, dec_hook=dec_hook) is not None:
                _merge(merged, document.value)
    made = (
        None
        if problems
        else yamlfile.convert(yamlfile.Document(str(path), merged), Config, problems, dec_hook=dec_hook)
    )
    if made is None:
        raise ConfigError(problems)
    return made


def _drop_ins(folder: Path, problems: list[Problem]) -> list[Path]:
    """Return the files of a ``conf.d`` by name. One that cannot be listed is a problem, not an empty one."""
    try:
        found = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(Problem(str(folder), 0, f"cannot be read: {error.strerror}"))
        return []
    return [file for file in found if file.suffix == ".yaml" and not file.name.startswith(".")]


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value

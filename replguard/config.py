"""The configuration: every key, its default, its check and its sentence in the reference.

Bad configuration is an error with file and line, never a default.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from replguard import yamlfile
from replguard.errors import ConfigError, Problem
from replguard.masking import house

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


class Hooks(str):
    """The kernel whose eBPF hooks may be used, or ``auto``. A bare 5.15 is a number to YAML, and means the same."""

    __slots__ = ()
    KNOWN = ("auto", "5.15", "6.1", "6.8", "6.12")

    @classmethod
    def parse(cls, value: object) -> "Hooks":
        """Return the choice. Raises ValueError with those that there are."""
        if isinstance(value, bool) or str(value) not in cls.KNOWN:
            raise ValueError(f"'{value}' is none of {', '.join(cls.KNOWN)}")
        return cls(value)


class Expression(str):
    """An expression for `log.mask`, as RE2 knows it."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Expression":
        """Return the expression. Raises ValueError that says what is wrong with it."""
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is no text; put the expression in quotes")  # noqa: TRY004 - as all of these
        return cls(house.check(value))


def dec_hook(kind: type, value: Any) -> Any:
    """Decode our own scalar types for msgspec."""
    if kind in (Bytes, Seconds, Hooks, Expression):
        return kind.parse(value)
    raise ValueError(f"cannot read a {kind.__name__}")


def _check_networks(entries: tuple[str, ...]) -> None:
    """Raise ValueError for an entry that is meant as a network and is none; it would never match anything."""
    for entry in entries:
        if "/" in entry:
            ipaddress.ip_network(entry, strict=False)


def enc_hook(value: Any) -> Any:
    """Encode our own scalar types as the plain values that they are."""
    plain = str if isinstance(value, (Hooks, Expression)) else int if isinstance(value, Bytes) else float
    return plain(value)


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is protected. ``min_size`` limits discovery only; ``scan_rate`` is bytes per second."""

    paths: tuple[str, ...] = ()
    """What is protected, whatever its size: a file that is named, and of a folder the files that are models by their
    content (safetensors, GGUF, PyTorch, NumPy …). One that is not there yet is awaited."""
    discover: bool = True
    """Also protect large model files that serving processes hold, and those in well-known caches."""
    min_size: Bytes = Bytes(32 * 2**20)
    """The smallest file that discovery takes for weights. Does not apply to `paths`."""
    scaffolds: tuple[str, ...] = ()
    """An agent's own code, prompts and keys: copied and started elsewhere they are a replica without weights."""
    index: tuple[str, ...] = ()
    """Index files that `replguard weights scan --export` made, loaded instead of reading the weights."""
    scan_rate: Bytes = Bytes(200 * 2**20)
    """The most that background reading takes from the disks, in bytes per second."""
    scan_network: bool = False
    """Read weights on network and FUSE mounts in bulk. Off: their header and samples only."""


class Watch(msgspec.Struct, frozen=True):
    """Folders that the file sensor watches; empty means the defaults of its tier."""

    paths: tuple[str, ...] = ()
    """Folders that the file sensor watches. Empty: home, temporary, service and data folders."""


class Agents(msgspec.Struct, frozen=True):
    """Inference endpoints besides the local instances: names, addresses, CIDRs, ``builtin``."""

    endpoints: tuple[str, ...] = ("builtin",)
    """Where language models answer: names, addresses, networks. `builtin` is the shipped list of model APIs."""

    def __post_init__(self) -> None:
        _check_networks(self.endpoints)


class Egress(msgspec.Struct, frozen=True):
    """Bytes off the host that an actor may send after touching weights, and destinations that do not count."""

    limit: Bytes = Bytes(50 * 2**20)
    """Bytes that an actor may send to one destination after touching weights."""
    ignore: tuple[str, ...] = ()
    """Addresses and networks that do not count, such as a backup server."""

    def __post_init__(self) -> None:
        _check_networks(self.ignore)


class Rules(msgspec.Struct, frozen=True):
    """Rules besides the shipped ones, those switched off, and levels changed, by rule id or file stem."""

    paths: tuple[str, ...] = ()
    """Files and folders of your own rules, besides the shipped ones."""
    disable: tuple[str, ...] = ()
    """Rules that are switched off, by id or file stem."""
    levels: dict[str, Level] = {}
    """Levels that replace those of the rules, by id or file stem."""


class Sensors(msgspec.Struct, frozen=True):
    """The mode asked for in each area."""

    process: Mode = "auto"
    """Which programs run."""
    file: Mode = "auto"
    """Which names and contents appear."""
    network: Mode = "auto"
    """Who listens and who connects."""
    gpu: Mode = "auto"
    """Who holds device memory."""
    hooks: Hooks = Hooks("auto")
    """Which eBPF hooks may be used: all that this kernel has, or only those that a kernel of that version has."""
    memory_access: bool = False
    """Also tell `process_vm_readv` and `ptrace` on serving processes. Costs some 100 ns on every system call."""


class Stream(msgspec.Struct, frozen=True):
    """Limits of one stream of the log."""

    max_size: Bytes = Bytes(2 * 2**30)
    """Bytes on disk, after compression. The oldest segments go first."""
    max_age: Seconds = Seconds(400 * 86400)
    """The longest that a segment is kept."""
    sync: Seconds = Seconds(5)
    """The disk is made to keep what was written after this time: what a power cut can take, and a second or so."""


class Evidence(Stream, frozen=True):
    """Limits of the evidence stream."""

    max_size: Bytes = Bytes(2**30)
    """Bytes on disk, after compression. The oldest segments go first."""
    max_age: Seconds = Seconds(400 * 86400)
    """The longest that a segment is kept."""
    sync: Seconds = Seconds(1)
    """The disk is made to keep what was written after this time, of evidence sooner."""


class Log(msgspec.Struct, frozen=True):
    """Where the event log lies, and how large each stream may grow."""

    dir: str = "/var/log/replguard"
    """The folder of the event log. Taken again as soon as it can be written."""
    raw: Stream = Stream()
    """What the rules were fed: about a day at 100 new processes a second."""
    evidence: Evidence = Evidence()
    """Facts, alerts, health, and every event that they name."""
    mask: tuple[Expression, ...] = ()
    """What is masked in arguments besides the credentials that are known: regular expressions (RE2) for tokens of your
    own, such as `corp_[a-z0-9]{32}`."""


class Alerts(msgspec.Struct, frozen=True):
    """What leaves the host: the lowest level, how long repeats fold, and how many an hour before a summary."""

    min_level: Level = "low"
    """Alerts below this level are logged and counted, and not sent."""
    fold: Seconds = Seconds(600)
    """Repeats of one rule, actor and model within this span are counted in one alert."""
    snapshot: Literal["informational", "low", "medium", "high", "critical", "off"] = "high"
    """From this level on the acting processes are looked at within a second, and what they are is kept as evidence."""
    max_per_hour: Annotated[int, msgspec.Meta(ge=1)] = 120
    """More alerts than this within an hour fold into one summary; so do high and critical ones, counted apart."""


class Metrics(msgspec.Struct, frozen=True):
    """The metrics page. ``listen`` is address:port, or empty for none."""

    listen: str = "127.0.0.1:10947"
    """Address and port of the page, or empty for none. A port that is taken is tried again."""

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
        if self.listen and (bare or not (host and port.isascii() and port.isdigit() and int(port) < 2**16)):
            raise ValueError(f"'listen': '{self.listen}' is not address:port, for example 127.0.0.1:10947")


class Config(msgspec.Struct, frozen=True):
    """The whole configuration. Every key is optional."""

    state_dir: str = "/var/lib/replguard"
    """What survives a restart: baseline, ledger, fingerprints, the last good configuration."""
    host_root: str = ""
    """In a container with the host's pids: what leads to the root of the host, `/proc/1/root`. Empty on the host."""
    weights: Weights = Weights()
    """What is protected."""
    watch: Watch = Watch()
    """Where the file sensor looks."""
    agents: Agents = Agents()
    """Who is an agent."""
    egress: Egress = Egress()
    """What may leave the host."""
    manifest: str = "/etc/replguard/manifest.yaml"
    """What is supposed to happen here, with `manifest.d/*.yaml` beside it. May be absent: then nothing is."""
    rules: Rules = Rules()
    """What is told."""
    mode: Literal["enforce", "observe"] = "enforce"
    """`observe` sends every alert at most low and keeps its real level in it, for the first days."""
    sensors: Sensors = Sensors()
    """How each area is watched: `auto` takes the best mode that works here."""
    log: Log = Log()
    """The event log."""
    alerts: Alerts = Alerts()
    """What is sent, and how often."""
    sinks: dict[str, dict[str, Any]] = msgspec.field(
        default_factory=lambda: {"jsonl": {"path": "/var/log/replguard/alerts.jsonl"}}
    )
    """Where alerts go: one key for each sink, its options below it. Given, it replaces the default."""
    metrics: Metrics = Metrics()
    """The Prometheus page."""


def load(path: Path | None) -> Config:
    """Return the configuration of a file and its ``conf.d/*.yaml``, later files winning key by key.

    Without a path the default one is read if it exists, else every key has its default. Raises ConfigError with
    all problems.
    """
    if path is None:
        path = DEFAULT_PATH
        if not yamlfile.is_there(path):
            return Config()
    problems: list[Problem] = []
    merged: dict[str, Any] = {}
    for file in (path, *yamlfile.drop_ins(path.parent / "conf.d", problems)):
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
    whole = yamlfile.Document(str(path), merged)
    made = None if problems else yamlfile.convert(whole, Config, problems, dec_hook=dec_hook)
    if made is None:
        raise ConfigError(problems)
    return made


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value

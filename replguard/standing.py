"""How things stand: what the daemon tells of itself at start, to `replguard status`, and in its status file."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from replguard import wholefile, yamlfile
from replguard.config import DEFAULT_PATH
from replguard.errors import ReplguardError
from replguard.events.overview import Overview
from replguard.events.standing import SensorLine, Serves
from replguard.kernel import own
from replguard.kernel.keep import KEPT
from replguard.kernel.procfs import text
from replguard.log.ending import Kept
from replguard.masking.mask import mask
from replguard.sensors.files.verdicts import Verdict, lying, unwatched

if TYPE_CHECKING:
    from replguard.sensors.registry import Absent
    from replguard.sensors.runner import Runner
    from replguard.weights.inventory import Inventory

FILE = "status.json"
MOST_NAMED = 5
"""Mounts that a sentence names."""
_log = structlog.get_logger(__name__)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the running daemon says of itself, in ``state_dir/status.json``, written every few seconds."""

    version: str
    pid: int
    started: datetime
    written: datetime
    sensors: list[SensorLine]
    protecting: str
    judging: str
    problems: list[str]
    metrics: str
    guarded: bool = False
    """The page asks who wants it."""
    serving: list[Serves] = []
    control: str | None = None
    maintenance: str | None = None
    overview: Overview | None = None
    mounts: str = ""


def alone(state_dir: Path) -> int | None:
    """Take a state folder for this process, until it ends; return the descriptor that holds it.

    None where the folder cannot be written: that is told elsewhere. Raises ReplguardError if another daemon has it:
    two would write one log, and each would take the other's doings for somebody's.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        held = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(held, 0)
        os.pwrite(held, f"{own.first()}\n".encode(), 0)
    except BlockingIOError:
        pid = os.pread(held, 20, 0).decode("ascii", "replace").strip()
        os.close(held)
        raise ReplguardError(
            f"already running as pid {pid or 'unknown'}, with the same state folder {state_dir}: end that one first"
            " (`systemctl stop replguard`), or give this one a `state_dir` and a `log.dir` of its own"
        ) from None
    except OSError:  # a filesystem without locks
        os.close(held)
        return None
    return held


class StatusFile:
    """The file in ``state_dir``. One that cannot be written is told once, not every few seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._unwritten: OSError | None = None

    def write(self, status: Status) -> None:
        """Write it whole or not at all. A problem may quote the address of a sink, which is a secret."""
        status = msgspec.structs.replace(status, problems=[mask(problem) for problem in status.problems])
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                wholefile.write(self._folder / FILE, msgspec.json.encode(status))
        except OSError as error:
            if self._unwritten is None:
                _log.warning("status cannot be written; `state_dir` has to be a writable folder", reason=str(error))
            self._unwritten = error
        else:
            self._unwritten = None

    def remove(self) -> None:
        """Remove it: nobody runs any more. Whatever became of the folder, that is no trouble."""
        with contextlib.suppress(OSError):
            (self._folder / FILE).unlink(missing_ok=True)


def lines(runner: "Runner", absent: "Iterable[Absent]") -> list[SensorLine]:
    """Return a line for each sensor, those that cannot work here included."""
    found = [
        SensorLine(s.name, s.area, s.mode if runner.up(s.name) else "failed", s.why, s.blind) for s in runner.sensors
    ]
    return found + [SensorLine(a.name, a.area, "off", a.reason, None) for a in absent]


def kept(runner: "Runner") -> Kept:
    """Return what the kernel kept for whom while no daemon ran, and what it had no room for."""
    going = [sensor for sensor in runner.sensors if runner.up(sensor.name)]
    read = {sensor.name for sensor in going if sensor.name in KEPT.adopted}
    lost = sum(
        count
        for sensor in going
        if sensor.name in read
        for (stage, _), count in list(sensor.counters.dropped.items())
        if stage == "kernel"
    )
    unfit = [f"{owner}: {reason}" for owner, reason in KEPT.unfit.items()]
    return Kept(read, {sensor.name for sensor in going} - read, lost, unfit)


def configured(path: str | None) -> str:
    """Return which file says how to watch, in a sentence."""
    if path is None and not yamlfile.is_there(DEFAULT_PATH):
        return f"{DEFAULT_PATH} is not there: every key has its default (-c FILE names another)"
    return path or str(DEFAULT_PATH)


def protecting(inventory: "Inventory") -> str:
    """Return what is protected, in a sentence."""
    every = inventory.files()
    files = [file for file in every if file.state != "missing"]
    missing = sorted((file.path, file.reason or "is not there yet") for file in every if file.state == "missing")
    absent = " ".join(missing[0]) if missing else ""
    others = len(missing) - 1
    absent += f", and {others} more {'path' if others == 1 else 'paths'} with trouble" if others > 0 else ""
    if not files:
        return f"nothing yet; {absent or 'name your model folders in weights.paths'}"
    models = len({file.model for file in files})
    size = sum(file.size or 0 for file in files)
    counted = f"{len(files)} file{'s' * (len(files) > 1)} of {models} model{'s' * (models > 1)}"
    return f"{counted}, {size / 2**30:.2f} GiB" + (f"; {absent}" if absent else "")


def watching(told: Iterable[Verdict], inventory: "Inventory") -> str:
    """Return which mounts are watched and which are not, in a sentence; '' where no sensor tells."""
    every = list(told)
    if not every:
        return ""
    left = [f"{text(one.path)} ({one.kind})" for one in unwatched(every)]
    named = ", ".join(left[:MOST_NAMED]) + (f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else "")
    files = sum(lying(every, (file.target or file.path for file in inventory.files())).values())
    lost = f"; {files} protected file{'s lie' if files > 1 else ' lies'} on such a mount" if files else ""
    watched = f"{sum(one.reason is None for one in every)} watched"
    return watched + (f", not watched: {named} (`replguard doctor` says why){lost}" if left else lost)


def alerting(sinks: dict[str, dict[str, Any]], *, console: bool) -> str:
    """Return where alerts go, in a sentence, and which file cannot be written."""
    ways = [f"{name} ({_file(str(to['path']))})" if "path" in to else name for name, to in sinks.items()]
    ways += ["console"] * (console and "console" not in sinks)
    return ", ".join(ways) or "nowhere; `sinks` is empty"


def _file(path: str) -> str:
    """Return the path of a file, and whether we may write it; one that is not there is made, and its folders."""
    there = next((one for one in (Path(path), *Path(path).absolute().parents) if os.path.lexists(one)), Path("/"))
    return path if os.access(there, os.W_OK) else f"{path}, which we may NOT write"

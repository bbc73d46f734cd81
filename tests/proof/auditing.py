"""What the kernel's audit tells with the rules of others: auditd for the length of a trial, and its log read back.

Only what descends from those who act is counted: other work runs on the machine, and our own daemon as well.
"""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.host import Lacking

RULES = "PROVE_RULES"
"""The environment variable that names the folder of what is fetched: ``auditd`` and ``zircolite``."""
EXECS = "-a always,exit -F arch=b64 -S execve,execveat -k exec"
"""Each program that is started, which the rules of Sigma for processes are about and the rule set leaves out."""
SECONDS = 30.0
_CONF = """\
local_events = yes
write_logs = yes
log_file = {folder}/audit.log
log_format = RAW
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 4000
max_log_file_action = IGNORE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = {folder}/plugins.d
"""
_WORD = re.compile(r"(\w+)=(\"[^\"]*\"|\S+)")
_ARGUMENT = re.compile(r"a\d+(?:\[\d+\])?$")
_SERVER_OF_OURS = ("-m", "replguard", "run")


@dataclass
class Record:
    """What one act left: its ``lines`` in the log, and what was read of them.

    ``key`` is that of the rule, ``args`` those of a program that was started, ``time`` in seconds since the epoch.
    """

    time: float
    pid: int
    ppid: int
    exe: str = ""
    key: str = ""
    cwd: str = ""
    args: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def rules() -> Path:
    """Return the folder of what is fetched. Raises Lacking."""
    folder = Path(os.environ.get(RULES) or "-")
    if not (folder / "auditd" / "audit.rules").exists() or not (folder / "zircolite" / "zircolite.py").exists():
        raise Lacking(
            f"{RULES} names no folder with clones of Neo23x0/auditd (auditd) and wagga40/Zircolite (zircolite)"
        )
    if missing := [name for name in ("auditd", "auditctl") if shutil.which(name) is None]:
        raise Lacking(f"{missing[0]} is not installed")
    return folder


@contextlib.contextmanager
def audited(folder: Path) -> Iterator[Path]:
    """Have auditd write to a folder with the rule set loaded; yield its log. Raises Lacking."""
    status = _control("-s")
    if "\npid 0\n" not in status or "enabled 0" not in status:
        raise Lacking(f"somebody else has the kernel's audit: {status.splitlines()[:3]}")
    (folder / "plugins.d").mkdir(parents=True)
    (folder / "auditd.conf").write_text(_CONF.format(folder=folder))
    for path in (folder, folder / "auditd.conf"):
        path.chmod(0o700)
    words, nowhere = ["auditd", "-n", "-c", str(folder)], subprocess.DEVNULL
    with subprocess.Popen(words, stdin=nowhere, stdout=nowhere, stderr=nowhere) as one:
        try:
            _until(lambda: f"\npid {one.pid}\n" in _control("-s") or one.poll() is not None)
            if one.poll() is not None:
                raise Lacking("auditd ends at once")
            _control("-R", str(rules() / "auditd" / "audit.rules"))
            _control(*EXECS.split())
            yield folder / "audit.log"
            time.sleep(1.0)  # what is queued is written
        finally:
            _control("-D")
            _control("-e", "0")
            one.terminate()


def _control(*words: str) -> str:
    done = subprocess.run(["auditctl", *words], capture_output=True, text=True, check=False)
    return done.stdout


def _until(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not come():
        if time.monotonic() > deadline:
            raise Lacking("auditd does not come up")
        time.sleep(0.05)


def records(log: Path, begins: Callable[[list[str]], bool]) -> list[Record]:
    """Return in order the acts of programs whose arguments say that they act, and of what descends from these.

    On a busy machine a log has gigabytes of others: most lines are looked at for where they belong, and no further.
    """
    tree = _tree(log, begins)
    found: dict[str, Record] = {}
    with log.open(errors="replace") as lines:
        for line in lines:
            serial = _serial(line)
            if line.startswith("type=SYSCALL"):
                ppid, pid = _pids(line)
                if tree.has(pid):
                    found[serial] = Record(float(serial.partition(":")[0]), pid, ppid)
            if (record := found.get(serial)) is not None:
                record.lines.append(line)
                _read(record, line)
    return list(found.values())


class _Tree:
    """Who descends from whom, and of whom it is known whether he acts."""

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}
        self.acts: dict[int, bool] = {}

    def has(self, pid: int) -> bool:
        for _ in range(64):
            if pid in self.acts:
                return self.acts[pid]
            if pid not in self.parents:
                return False
            pid = self.parents[pid]
        return False


def _tree(log: Path, begins: Callable[[list[str]], bool]) -> _Tree:
    tree, last = _Tree(), 0
    with log.open(errors="replace") as lines:
        for line in lines:
            if line.startswith("type=SYSCALL"):
                ppid, last = _pids(line)
                if ' key="exec"' in line or last not in tree.parents:
                    tree.parents[last] = ppid
            elif line.startswith("type=EXECVE"):  # of the same act: its records follow one another
                args = _arguments(line)
                if tuple(args[1:4]) == _SERVER_OF_OURS:
                    tree.acts[last] = False
                elif begins(args):
                    tree.acts[last] = True
    return tree


def _serial(line: str) -> str:
    return line.partition("msg=audit(")[2].partition(")")[0]


def _pids(line: str) -> tuple[int, int]:
    """Return the parent and the process that made a call."""
    at = line.find(" ppid=")
    parent, _, own = line[at + 6 : at + 40].partition(" pid=")
    return int(parent), int(own.partition(" ")[0])


def _read(record: Record, line: str) -> None:
    if line.startswith("type=SYSCALL"):
        words = {name: value.strip('"') for name, value in _WORD.findall(line)}
        record.exe, record.key = words.get("exe", ""), words.get("key", "").replace("(null)", "")
    elif line.startswith("type=CWD"):
        record.cwd = line.rpartition("cwd=")[2].strip().strip('"')
    elif line.startswith("type=EXECVE"):
        record.args += _arguments(line)


def _arguments(line: str) -> list[str]:
    return [_argument(value) for name, value in _WORD.findall(line) if _ARGUMENT.match(name)]


def _argument(value: str) -> str:
    """Return an argument as it was: what has a space or a quote in it is written in hexadecimal digits."""
    if value.startswith('"'):
        return value.strip('"')
    with contextlib.suppress(ValueError):
        return bytes.fromhex(value).decode(errors="replace")
    return value

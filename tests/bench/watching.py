"""Who watches while something is measured: nobody, replguard with a configuration of its own, or raw auditd."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.host import Lacking, below, cpu_of, need, pss_of

from replguard.drill.stage import Stage
from replguard.drill.watcher import Watcher
from replguard.log import reader

SETTLE = 3.0
"""Seconds that a watcher is left alone after its start, so that only its work is measured."""


class Guard:
    """A running daemon: its metrics, its processes, its log."""

    def __init__(self, watcher: Watcher, port: int) -> None:
        self.watcher, self._port = watcher, port
        self.log, self.alerts = watcher.log_dir, watcher.alerts_file
        self.folder = watcher.folder

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self.watcher.process is not None
        return self.watcher.process.pid

    def cpu(self) -> float:
        """Return the CPU seconds of the daemon and its examiner."""
        return cpu_of(below(self.pid))

    def pss(self) -> float:
        """Return the MiB of memory of the daemon and its examiner, shared pages by share."""
        return pss_of(below(self.pid))

    def metrics(self) -> dict[str, float]:
        """Return the page of metrics: name with labels, value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def dropped(self) -> dict[str, float]:
        """Return what was lost so far, by sensor, stage and reason."""
        return {k: v for k, v in self.metrics().items() if k.startswith("replguard_events_dropped_total") and v}

    def settled(self, seconds: float = 120.0) -> None:
        """Wait until everything that was told has passed the pipeline."""
        time.sleep(1.5)
        deadline = time.monotonic() + seconds
        while self.metrics()["replguard_pipeline_queue_length"] > 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(1.5)

    def records(self) -> Iterator[bytes]:
        """Yield the lines of the raw log."""
        for record in reader.records([self.log], "raw"):
            if isinstance(record, reader.Record):
                yield record.data


@contextlib.contextmanager
def guard(**settings: Any) -> Iterator[Guard]:
    """Run a daemon of its own until the block ends. Raises Lacking where the kernel tier does not work."""
    need()
    port = _free_port()
    with Stage() as stage:
        watcher = Watcher(stage, stage.folder / "daemon", {"metrics": {"listen": f"127.0.0.1:{port}"}} | settings)
        watcher.start()
        try:
            running = Guard(watcher, port)
            if running.metrics().get('replguard_sensor_up{mode="kernel",sensor="exec"}') != 1.0:
                raise Lacking("the kernel tier does not work here; `replguard doctor` says why")
            time.sleep(SETTLE)
            yield running
        finally:
            watcher.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Audit:
    """A running auditd: its CPU seconds, and those of the kernel's thread for it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self.log = process, log

    def cpu(self) -> float:
        """Return the CPU seconds of auditd and kauditd."""
        return cpu_of([self._process.pid, *_named("kauditd")])


@contextlib.contextmanager
def audit(folder: Path) -> Iterator[Audit]:
    """Run auditd as Debian sets it up, with a rule for every exec; afterwards the kernel is as it was."""
    need("auditd", "auditctl")
    before = _audit_status()
    rules = _control("-l")
    if before["pid"] != "0" or "No rules" not in rules:
        raise Lacking("the audit system is in use on this machine")
    config = folder / "audit"
    config.mkdir(mode=0o750)
    (config / "plugins.d").mkdir()
    (config / "auditd.conf").write_text(_CONFIG.format(folder=config))
    (config / "auditd.conf").chmod(0o640)
    process = subprocess.Popen(
        ["auditd", "-n", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while _audit_status()["pid"] != str(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Lacking("auditd does not start here")
            time.sleep(0.1)
        _control("-b", "8192")
        _control("-a", "always,exit", "-F", "arch=b64", "-S", "execve", "-S", "execveat")
        _control("-e", "1")
        time.sleep(SETTLE)
        yield Audit(process, config / "audit.log")
    finally:
        _control("-D")
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        if process.poll() is None:
            process.kill()
            process.wait()
        _control("-b", before["backlog_limit"])
        _control("-e", before["enabled"])


_CONFIG = """\
local_events = yes
write_logs = yes
log_file = {folder}/audit.log
log_group = root
log_format = RAW
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 512
num_logs = 2
max_log_file_action = IGNORE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
priority_boost = 4
name_format = NONE
plugin_dir = {folder}/plugins.d
q_depth = 2000
overflow_action = IGNORE
"""
"""Debian's defaults, with the log in a folder of ours and room enough."""


def _audit_status() -> dict[str, str]:
    return dict(line.split()[:2] for line in _control("-s").splitlines() if len(line.split()) >= 2)


def _control(*arguments: str) -> str:
    return subprocess.run(["auditctl", *arguments], capture_output=True, text=True, check=False).stdout


def _named(name: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == name:
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Nobody watches; the machine is left alone as long as a watcher would be."""
    os.sync()
    time.sleep(SETTLE)
    yield None

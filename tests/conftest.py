"""What holds for every test: it leaves nothing running, needs root only if it says so, and a skip is counted aloud."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from replguard.log import segments

OURS = ("replguard", "watchdog")
"""Packages whose threads a test must end; anything else that is a daemon thread belongs to a library."""
ALONE = ("tests/scenarios/", "tests/drill/", "tests/install/")
"""Tests whose daemons hear of whatever the host does."""
GRACE = 3.0
"""Seconds that something told to end may take to be gone."""
HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
"""Processes that the standard library keeps until the interpreter ends."""

settings.register_profile(
    "same", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root when we are not."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in a row, and all scenarios: a daemon that watches the host would tell of another's."""
    from xdist.scheduler import LoadScopeScheduling

    class Rooms(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "scenarios" if nodeid.startswith(ALONE) else nodeid.split("::", 1)[0]

    return Rooms(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End the run with how many tests were skipped, and why."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    terminalreporter.section("skipped by reason")
    terminalreporter.line(f"skipped {reasons.total()} in all")
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"skipped {count}: {reason}")


@pytest.fixture(autouse=True)
def leaves_nothing_running() -> Iterator[None]:
    """Fail a test that leaves a child process or a thread of ours behind; the child is ended first."""
    processes, threads = _children(), set(threading.enumerate())
    yield
    deadline = time.monotonic() + GRACE
    while left := _left(processes, threads):
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    for pid in _children() - processes:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    if left:
        pytest.fail(f"left running: {', '.join(left)}", pytrace=False)


def _left(processes: set[int], threads: set[threading.Thread]) -> list[str]:
    found = [f"process {pid} ({_shown(pid)})" for pid in sorted(_children() - processes)]
    return found + [f"thread {t.name}" for t in threading.enumerate() if t not in threads and _is_judged(t)]


def _is_judged(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    modules = (type(thread).__module__, getattr(target, "__module__", None) or "")
    return not thread.daemon or any(module.split(".")[0] in OURS for module in modules)


def _children() -> set[int]:
    """Return the pids of our living children; a zombie no longer runs, and the helpers of multiprocessing stay."""
    me, found = os.getpid(), set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            found |= {int(pid) for pid in task.read_text().split()}
        except OSError:
            continue
    return {pid for pid in found if _lives(pid, me) and not any(name in _command(pid) for name in HELPERS)}


def _lives(pid: int, parent: int) -> bool:
    try:
        state, ppid = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return state not in "ZX" and int(ppid) == parent


def _shown(pid: int) -> str:
    return _command(pid).replace(b"\0", b" ").decode(errors="backslashreplace")[:120]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(autouse=True)
def waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a log wait for the disk where it begins a segment: tests read at once, and a busy disk is no failure."""
    monkeypatch.setattr(segments, "PATIENCE", 30.0)

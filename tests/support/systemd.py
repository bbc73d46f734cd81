"""A real systemd for tests: a manager of its own that runs units with all their restrictions, whatever PID 1 is.

It is a user manager of root in a mount namespace of its own: it sees the host's processes and mounts, has the host's
pids, and applies a unit's sandbox as the system's manager does. State and log folders of units lie below the test's.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAM = next(
    (path for path in map(Path, ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")) if path.exists()), None
)
PATIENCE = 60.0
_START = """
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
ln -s "$XDG_RUNTIME_DIR/systemd/inaccessible" /run/systemd/inaccessible
umount -R -l /sys/fs/cgroup || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
exec "$2" --user --log-target=console
"""
"""$1 is a control group of the test's own. The host sees neither of the mounts."""


def unavailable() -> str | None:
    """Return why no systemd can be started here, None if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if PROGRAM is None or not all(map(shutil.which, ("systemctl", "unshare", "nsenter", "bash"))):
        return "needs systemd, unshare and nsenter (Debian and Ubuntu: apt-get install systemd util-linux)"
    return None


class Manager:
    """A running manager, whose units are files in ``units``; ``folder`` is where their state and log folders lie."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self._process = folder, process
        self.units = folder / "units"

    def ctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl with these words, and return what it says."""
        command = ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", "systemctl", "--user", "--no-pager", *words]
        environment = _environment(self.folder)
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert not check or ended.returncode == 0, f"{words}: {ended.stderr}\n{self.said()}"
        return ended.stdout

    def show(self, unit: str, key: str) -> str:
        """Return a property of a unit."""
        return self.ctl("show", "--value", f"--property={key}", unit).strip()

    def pid(self, unit: str) -> int:
        """Return the main process of a unit; 0 if it has none."""
        return int(self.show(unit, "MainPID"))

    def said(self) -> str:
        """Return the last of what the manager and its units said."""
        return (self.folder / "said").read_text(errors="replace")[-4000:]

    def until(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for something; fail with what was said."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.said()
            time.sleep(0.1)


@contextlib.contextmanager
def manager(folder: Path) -> Iterator[Manager]:
    """Run a manager until the block ends; nothing of it stays."""
    group = Path(f"replguard-test-{os.getpid()}")
    (folder / "units").mkdir()
    command = ["unshare", "--mount", "--propagation", "slave", "bash", "-c", _START, "-", str(group), str(PROGRAM)]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            command,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    one = Manager(folder, process)
    try:
        one.until(lambda: process.poll() is not None or one.ctl("list-units", check=False))
        assert process.poll() is None, one.said()
        yield one
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        process.kill()
        process.wait(10)
        _remove(group)


def _environment(folder: Path) -> dict[str, str]:
    places = dict.fromkeys(
        ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME"), str(folder)
    )
    return {
        "PATH": os.environ["PATH"],
        "XDG_RUNTIME_DIR": "/run/user/0",
        "SYSTEMD_UNIT_PATH": f"{folder}/units:",  # and below it what systemd itself needs
        **places,
    }


def _remove(group: Path) -> None:
    """Remove the test's control groups, wherever the host has them mounted."""
    for top in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        for inner in sorted((top / group).rglob("*"), reverse=True):
            if inner.is_dir():
                with contextlib.suppress(OSError):
                    inner.rmdir()
        with contextlib.suppress(OSError):
            (top / group).rmdir()

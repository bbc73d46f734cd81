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
PATIENCE = 30.0
_GROUP = """
set -e
umount -R -l /sys/fs/cgroup || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
"""
"""A control group of the test's own, $1. The host sees neither this mount nor those below."""
_USER = """
mount -t tmpfs none /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
ln -s "$XDG_RUNTIME_DIR/systemd/inaccessible" /run/systemd/inaccessible
exec "$2" --user --log-target=console
"""
_SYSTEM = """
exec unshare --cgroup --pid --net --ipc --uts --mount --fork --kill-child bash -e -c '
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" none "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount --rbind --make-rslave /dev dev
mount -t tmpfs none run
mount -t cgroup2 none sys/fs/cgroup
rm -rf etc/systemd/system etc/replguard var/lib/replguard var/log/replguard
mkdir -p etc/systemd/system run/lock
for target in sysinit basic shutdown local-fs network multi-user; do
  printf "[Unit]\\nDefaultDependencies=no\\n" > etc/systemd/system/$target.target
done
exec chroot . "$1" --system --unit=multi-user.target --log-target=console --show-status=no
' - "$2" "$3"
"""
"""Its root is what lies over the host's; of the host's units none is there, so that none is started."""


def unavailable() -> str | None:
    """Return why no systemd can be started here, None if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if PROGRAM is None or not all(map(shutil.which, ("systemctl", "unshare", "nsenter", "bash"))):
        return "needs systemd, unshare and nsenter (Debian and Ubuntu: apt-get install systemd util-linux)"
    return None


class Manager:
    """A running manager; ``folder`` is where state and log folders of a user manager's units lie."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], *, user: bool) -> None:
        self.folder, self._process, self._user = folder, process, user
        self.units = folder / "units"

    def enter(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command where the manager is, and return what became of it."""
        inside = (
            [f"--mount=/proc/{self._process.pid}/ns/mnt"]
            if self._user
            else [f"--target={self.inner()}", "-a", "-r", "-w"]
        )
        assert self._user or self.inner(), f"not there any more: {self.said()}"  # else the host would be meant
        command, environment = ["nsenter", *inside, *words], _environment(self.folder, user=self._user)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def ctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl with these words, and return what it says."""
        ended = self.enter("systemctl", *["--user"] * self._user, "--no-pager", *words)
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

    def inner(self) -> str | None:
        """Return the process that is number one to itself, once it is there."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            command = Path(f"/proc/{children[0]}/cmdline").read_bytes() if children else b""
            return children[0] if command.startswith(os.fsencode(str(PROGRAM))) else None
        return None


@contextlib.contextmanager
def manager(folder: Path, *, user: bool = True) -> Iterator[Manager]:
    """Run a manager until the block ends; nothing of it stays.

    A user manager runs units among the host's processes; the system's is the first process of a system of its own,
    which has the host's files until it changes them.
    """
    group = Path(f"replguard-test-{os.getpid()}")
    (folder / "units").mkdir()
    script = _GROUP + (_USER if user else _SYSTEM)
    words = ["unshare", "--mount", "--propagation", "slave", "bash", "-c", script, "-", str(group), str(PROGRAM)]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [*words, str(folder / "units")],
            env=_environment(folder, user=user),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    one = Manager(folder, process, user=user)
    try:
        one.until(lambda: process.poll() is not None or user or one.inner())
        one.until(lambda: process.poll() is not None or one.ctl("list-units", check=False))
        assert process.poll() is None, one.said()
        yield one
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGTERM if user else signal.SIGKILL)
            process.wait(30)
        process.kill()
        process.wait(10)
        _remove(group)


def _environment(folder: Path, *, user: bool) -> dict[str, str]:
    if not user:
        return {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": "/etc/systemd/system", "container": "test"}
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
    end = time.monotonic() + 5
    tops = [top / group for top in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))]
    while any(top.exists() for top in tops) and time.monotonic() < end:
        for top in tops:
            for inner in sorted([top, *(path for path in top.rglob("*") if path.is_dir())], reverse=True):
                with contextlib.suppress(OSError):
                    inner.rmdir()
        time.sleep(0.1)

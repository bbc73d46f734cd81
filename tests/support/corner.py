"""A corner of the host: a mount namespace with a cron, an atd, an sshd and terminals of its own, an agent and a person.

``corner.py agent FIFO PORT`` and ``corner.py person FIFO`` are what acts there: each runs the lines that it is given.
"""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

SECONDS = 30.0
_TURN = 0.2
"""Seconds between a reply and what follows from it: a model takes its time."""
_CRON = """
mount --bind {folder}/cron.d /etc/cron.d && mount --bind {folder}/crontab /etc/crontab &&
mount --bind {folder}/crontabs /var/spool/cron/crontabs && exec {cron} -f
"""
"""Cron's own view of its tables: it must not do the host's work a second time."""
_SETUP = """
set -e
mount --bind {folder}/opt /opt
mount --bind {folder}/run /run
set +e
{daemons}
{python} {file} person {folder}/person &
{python} {file} agent {folder}/agent {port}
wait
"""


def agent(fifo: str, port: str) -> None:
    """Ask the endpoint, then do what a line says with a shell, again and again."""
    for line in _lines(fifo):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
        time.sleep(_TURN)
        subprocess.run(["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, check=False)


def person(fifo: str) -> None:
    """Type what a line says into an interactive shell."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/bash", ["bash", "--norc", "-i"])
    for line in _lines(fifo):
        os.write(terminal, f"{line}\n".encode())


def _lines(fifo: str) -> Any:
    with os.fdopen(os.open(fifo, os.O_RDWR)) as file:  # open for writing too, so that it never ends
        while line := file.readline():
            yield line.strip()


class Corner:
    """Lays the folder of a corner, starts it, and passes lines to who acts in it."""

    def __init__(self, folder: Path, port: int, ssh_port: int) -> None:
        self.folder, self.port, self.ssh_port = folder, port, ssh_port
        self.has = {name: shutil.which(name) or shutil.which(f"/usr/sbin/{name}") for name in _PROGRAMS}
        for place in ("cron.d", "crontabs", "opt", "run/sshd", "ssh"):
            (folder / place).mkdir(parents=True)
        (folder / "crontab").write_text("")
        (folder / "cron.sh").write_text(_CRON.format(folder=folder, cron=self.has["cron"]))
        self.name = folder.parent.name
        self.tables = Path("/etc/cron.d") / f"{self.name}.test", Path("/var/spool/cron/crontabs") / self.name
        self.units = (
            Path("/etc/systemd/system") / f"{self.name}.service",
            Path(f"/etc/systemd/system/{self.name}w.service.d"),
        )
        (folder / "run/sshd").chmod(0o755)
        if any(Path("/var/spool/cron/atjobs").glob("[a-z=]*")):
            self.has["atd"] = None  # the host has jobs of its own, which are not ours to run
        for name in ("agent", "person"):
            os.mkfifo(folder / name)
        self._brokers()

    def script(self) -> str:
        """Return the shell script that is the corner, for ``unshare --mount``."""
        daemons = [
            f"unshare --mount sh {self.folder}/cron.sh &" if self.has["cron"] else "",
            f"{self.has['atd']} -f -b 1 &" if self.has["atd"] else "",
            self._sshd() if self.has["sshd"] and self.has["ssh-keygen"] else "",
            f"{self.has['tmux']} -S {self.folder}/theirs.tmux -f /dev/null new-session -d sh"
            if self.has["tmux"]
            else "",
            *(
                f"setsid /opt/{image} /opt/serve {self.folder}/{name} {self.groups()} &"
                for name, image in BROKERS.items()
            ),
        ]
        return _SETUP.format(
            folder=self.folder, daemons="\n".join(daemons), python=sys.executable, file=__file__, port=self.port
        )

    def ssh(self) -> str:
        """Return the beginning of an ssh command to this corner."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR"
        return f"ssh -F none {options} -i {self.folder}/ssh/key -p {self.ssh_port} root@127.0.0.1"

    def says(self, name: str, line: str) -> None:
        """Have the agent, or the person, run a line."""
        with (self.folder / name).open("w") as file:
            file.write(f"{line}\n")

    def _sshd(self) -> str:
        place = self.folder / "ssh"
        for key in ("host", "key"):
            words = [str(self.has["ssh-keygen"]), "-q", "-t", "ed25519", "-N", "", "-f", str(place / key)]
            subprocess.run(words, check=True)
        shutil.copy(place / "key.pub", place / "authorized")
        settings = (
            f"Port {self.ssh_port}", "ListenAddress 127.0.0.1", f"HostKey {place}/host", "PermitRootLogin yes",
            f"AuthorizedKeysFile {place}/authorized", "UsePAM no", "StrictModes no", f"PidFile {place}/pid",
        )  # fmt: skip
        (place / "config").write_text("\n".join((*settings, "")))
        return f"{self.has['sshd']} -D -f {place}/config &"

    def groups(self) -> Path | None:
        """Return the folder of control groups in which this corner makes its own, None where there is none."""
        roots = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
        top = next((root for root in roots if (root / "cgroup.procs").exists()), None)
        return top / f"replguard-{self.folder.parent.name}" if top is not None else None

    def begin(self, broker: str, group: str, words: str) -> None:
        """Have a service manager or an engine start a program in a control group, for no reason that is seen."""
        with (self.folder / broker).open("w") as file:
            file.write(f"{group} {words}\n")

    def hand_over(self) -> None:
        """Give cron what was written into the host's tables, under names that the host's own cron does not heed."""
        for table, target in zip(self.tables, ("cron.d/job", "crontabs/root"), strict=True):
            if table.exists():
                shutil.copy(table, self.folder / target)
                (self.folder / target).chmod(0o600)

    def shut(self) -> None:
        """End sshd, which puts its title where the mark of who started it was."""
        place = self.folder / "ssh"
        with contextlib.suppress(OSError, ValueError):
            pid = int((place / "pid").read_text())
            if os.fsencode(place / "config") in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGTERM)

    def end(self) -> None:
        """Remove what was made outside of the folder; the processes have ended by now."""
        for path in (*self.tables, self.units[0]):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.units[1], ignore_errors=True)
        top = self.groups()
        if top is not None and top.is_dir():
            for path in sorted(top.glob("**/"), reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()

    def _brokers(self) -> None:
        """Make what stands for a container engine, a service manager, a CI runner and a batch system.

        None of them runs here. A client names the program, a process of the right name starts it, in a control group of
        the right form: the processes and groups are real.
        """
        opt = self.folder / "opt"
        for name, image in BROKERS.items():
            os.mkfifo(self.folder / name)
            shutil.copy("/bin/sh", opt / image)
        clients = {
            "docker": f'shift 2\necho "{CONTAINER} $@" > {self.folder}/engine',
            "systemd-run": f'u="${{1#--unit=}}"\nshift\necho "system.slice/$u.service $@" > {self.folder}/manager',
            "into": 'echo 0 > "$1/cgroup.procs"\nshift\nexec "$@"',
        }
        for name, script in clients.items():
            (opt / name).write_text(f"#!/bin/sh\n{script}\n")
            (opt / name).chmod(0o755)
        loop = (
            'exec 3<>"$1"\nwhile read -r group line <&3; do mkdir -p "$2/$group"; /opt/into "$2/$group" $line & done\n'
        )
        (opt / "serve").write_text(loop)


BROKERS = {
    "engine": "containerd-shim-runc-v2",
    "manager": "systemd",
    "runner": "Runner.Worker",
    "batch": "slurmstepd",
}
"""What starts programs for others, and the name by which it is known."""
CONTAINER = f"system.slice/docker-{'5e' * 32}.scope"
_PROGRAMS = ("cron", "crontab", "atd", "at", "sshd", "ssh", "ssh-keygen", "tmux", "screen", "unshare")

if __name__ == "__main__":
    (agent if sys.argv[1] == "agent" else person)(*sys.argv[2:])

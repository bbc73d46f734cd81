"""Other hosts on one kernel: each a network and a root of its own, into which one may log in by SSH.

Nothing of them outlives the trial: the mounts go with their last process, the wires with the namespace that holds the
switch, and the processes carry the stage's mark.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.host import ROOT, Lacking
from proof.kinds import HERE
from support import prepared

from replguard.drill import stage

PORT = 2222
SECONDS = 60.0
_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/dev", "/proc")
_LISTEN = "0A"
"""TCP_LISTEN as /proc/net/tcp writes it (net/tcp_states.h)."""


@dataclass(frozen=True)
class Peer:
    """A host at an ``address``. ``root`` is its root as this host sees it, ``pid`` a process that lives in it.

    It has a web server besides, at ``web_port``, that shows ``web`` to everybody.
    """

    address: str
    root: Path
    pid: int
    web_port = 8080

    @property
    def web(self) -> Path:
        return self.root / "opt" / "web"

    @property
    def key(self) -> Path:
        """The key that lets its holder in as root."""
        return self.root / "opt" / "ssh" / "key"

    def listening(self, port: int) -> bool:
        """Tell whether somebody there listens at a port."""
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
            return any((w := line.split())[3] == _LISTEN and int(w[1].rpartition(":")[2], 16) == port for line in lines)
        return False


@contextlib.contextmanager
def peers(on: stage.Stage, count: int, shown: Sequence[Path]) -> Iterator[list[Peer]]:
    """Give so many hosts, who reach one another and this one. ``shown`` are paths that lie in each of them as here.

    Raises Lacking.
    """
    if not count:
        yield []
        return
    name, net = f"rg{secrets.token_hex(2)}", f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
    try:
        _run(f"ip netns add {name}")
        _run(f"ip -n {name} link add name hub type bridge")
        _run(f"ip -n {name} link set hub up")
        _plug(name, name, f"{net}.1", None)
        found = []
        for number in range(count):
            space = f"{name}{number}"
            _run(f"ip netns add {space}")
            _plug(name, space, f"{net}.{number + 2}", space)
            found.append(_started(on, number, space, f"{net}.{number + 2}", shown))
        yield found
    finally:
        on.end_all()
        for space in (*(f"{name}{number}" for number in range(count)), name):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def _plug(switch: str, name: str, address: str, space: str | None) -> None:
    """Lay a wire from the switch to a network namespace (None: this host's)."""
    end, inside = f"{name}e", [] if space is None else ["-n", space]
    _run(f"ip -n {switch} link add {name}s type veth peer name {end}")
    _run(f"ip -n {switch} link set {name}s master hub up")
    _run(f"ip -n {switch} link set {end} netns {space or os.getpid()}")
    for words in (f"addr add {address}/24 dev {end}", f"link set {end} up", *(["link set lo up"] if space else [])):
        _run(shlex.join(["ip", *inside, *words.split()]))


def _run(words: str) -> None:
    done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Lacking(f"{words} is refused here: {done.stderr.strip()}")


def _started(on: stage.Stage, number: int, space: str, address: str, shown: Sequence[Path]) -> Peer:
    root = on.folder / "hosts" / str(number + 1)
    for name in ("opt/ssh", "opt/web", "srv", "tmp", "root"):
        (root / name).mkdir(parents=True)
    python = prepared.python("tools")
    shutil.copy(os.path.realpath(python), root / "opt/ssh/sshd")  # it is by this name that one knows who lets others in
    packages = next((python.parents[1] / "lib").glob("python*/site-packages"))
    binds = [Path(name) for name in _FOLDERS if Path(name).exists() and not Path(name).is_symlink()]
    binds += [Path(sys.base_prefix), Path(os.path.realpath(packages)), HERE, *shown]
    links = [f"ln -s {Path(name).readlink()} .{name}" for name in _FOLDERS if Path(name).is_symlink()]
    command = ["env", f"PYTHONHOME={sys.base_prefix}", f"PYTHONPATH={os.path.realpath(packages)}", "/opt/ssh/sshd"]
    command += [str(HERE / "sshd.py"), address, str(PORT), "/opt/ssh", "all"]
    script = _script(root, [path for path in binds if not str(path).startswith("/usr/")], links, command)
    inside = ["ip", "netns", "exec", space, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    process = on.start(inside, folder=root, output=on.folder / f"host-{number + 1}.log")
    deadline = time.monotonic() + SECONDS
    while not (root / "opt/ssh/ready").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (on.folder / f"host-{number + 1}.log").read_text().strip().splitlines()
            raise Lacking(f"a host with a root of its own cannot be made here: {''.join(said[-1:])}")
        time.sleep(0.05)
    return Peer(address, root, process.pid)


def _script(root: Path, binds: Sequence[Path], links: Sequence[str], command: Sequence[str]) -> str:
    """Return what a shell in a mount namespace of its own does: lay out the root, enter it, and run."""
    here = shlex.quote(str(root))
    lines = [f"mount --bind {here} {here}", f"cd {here}", *links]
    for path in binds:
        source, inside = shlex.quote(str(path)), shlex.quote(f".{path}")
        made = f"mkdir -p {inside}" if path.is_dir() else f"mkdir -p $(dirname {inside}); : > {inside}"
        lines += [made, f"mount --rbind {source} {inside}"]
    lines += ["mkdir -p old", "pivot_root . old", "cd /", "umount -l /old"]
    web = [os.path.realpath(sys.executable), "-m", "http.server", "--directory", "/opt/web", str(Peer.web_port)]
    lines += [f"{shlex.join(web)} > /opt/web.log 2>&1 &", f"exec {shlex.join(command)}"]
    return "\n".join(lines)


ENVIRONMENTS = ROOT / "var" / "prove" / "env"
"""Where the interpreters of model servers lie: they are shown in each host."""

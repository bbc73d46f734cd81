"""What a user without root can do to the daemon, as himself or in a container: neither read, stop, blind nor spoof."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from floods.scene import NOBODY, OTHER, SERVER, Scene
from support import others, whole

from replguard.drill.stage import free_ports
from replguard.log import names, reader

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(200),
    pytest.mark.skipif(others.PYTHON is None, reason="needs a Python that any user can run"),
]
OURS = {"replguard.yaml", "daemon.log"}
"""Files in the daemon's folder that the test made, not the daemon."""
ATTEMPTS = r"""
import ctypes, json, os, resource, signal, sys
pid, group, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def attempt(name, act):
    try:
        result = act()
        failed = isinstance(result, int) and not isinstance(result, bool) and result < 0
        found[name] = os.strerror(ctypes.get_errno()) if failed else "done"
    except OSError as error:
        found[name] = os.strerror(error.errno)

for number in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP):
    attempt(f"signal {number}", lambda number=number: os.kill(pid, number))
attempt("pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGTERM))
attempt("ptrace", lambda: libc.ptrace(16, pid, 0, 0))
attempt("seize", lambda: libc.ptrace(0x4206, pid, 0, 0))
attempt("vm", lambda: libc.process_vm_readv(pid, (ctypes.c_long * 2)(1, 1), 1, (ctypes.c_long * 2)(1, 1), 1, 0))
attempt("renice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
attempt("affinity", lambda: os.sched_setaffinity(pid, {0}))
attempt("schedule", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
attempt("limits", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, 1)))
attempt("group", lambda: os.setpgid(pid, 0))
for name in ("mem", "environ", "maps", "auxv", "stack", "syscall", "io", "smaps"):
    attempt(f"proc {name}", lambda name=name: os.open(f"/proc/{pid}/{name}", os.O_RDONLY) and None)
for name in ("fd", "ns", "map_files"):
    attempt(f"proc {name}", lambda name=name: [os.readlink(f"/proc/{pid}/{name}/{one}")
                                               for one in os.listdir(f"/proc/{pid}/{name}")] and None)
for name in ("oom_score_adj", "coredump_filter", "comm", "clear_refs", "timerslack_ns"):
    attempt(f"write {name}", lambda name=name: os.write(os.open(f"/proc/{pid}/{name}", os.O_WRONLY), b"1") and None)
for name in ("cgroup.freeze", "cgroup.procs", "cgroup.kill", "memory.max"):
    path = f"{group}/{name}"
    if os.path.exists(path):
        attempt(f"cgroup {name}", lambda path=path: os.write(os.open(path, os.O_WRONLY), b"1") and None)
attempt("bpf", lambda: libc.syscall(321, 5, bytes(128), 128))
attempt("umount", lambda: libc.umount2(b"/proc", 2))
attempt("port", lambda: __import__("socket").create_server(("127.0.0.1", port)) and None)
print(json.dumps(found))
"""
TAKER = """
import socket, sys
one = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(1, flush=True)
input()
"""
SERVES = "exec {python} -c '{server}' {to}/x {port}"
WAYS = {
    "mounted": f"mount -t tmpfs t {{to}} && cp {{model}} {{to}}/x && {SERVES}",
    "covered": f"mount --bind {{model}} {{to}}/y && mount -t tmpfs t {{models}} && cat {{to}}/y > {{to}}/x && {SERVES}",
}
"""How root in a container would hide a copy: on a filesystem of its own, and of a model that it mounted elsewhere."""
REFUSED = {
    "Operation not permitted", "Permission denied", "No such process", "Address already in use",
    "Read-only file system", "Invalid argument", "No such file or directory",
}  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A daemon whose folders anybody may enter: only what it makes itself protects it here."""
    with Scene(["mounted", "covered", "taken"]) as made:
        yield made


def attempts(scene: Scene, *apart: str) -> dict[str, str]:
    """Try it all and return what became of each."""
    pid = scene.watcher.process.pid
    mine = next(line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":" in line)
    group = f"/sys/fs/cgroup{mine}"
    done = others.run(NOBODY, *apart, others.PYTHON, "-c", ATTEMPTS, pid, group, scene.port)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_a_user_can_neither_stop_nor_slow_nor_look_into_it(scene: Scene) -> None:
    """No signal, trace, priority, limit, control group nor file of /proc; its port is taken already."""
    found = attempts(scene)
    assert {name: told for name, told in found.items() if told not in REFUSED} == {}
    assert len(found) > 30
    assert scene.watcher.alive()
    assert scene.metrics()


@pytest.mark.skipif(not others.apart(NOBODY), reason="a user may make no namespaces here")
@pytest.mark.parametrize("more", [(), ("--pid", "--fork", "--mount-proc"), ("--cgroup", "--ipc", "--uts")])
def test_root_in_a_container_can_no_more(scene: Scene, more: tuple[str, ...]) -> None:
    """All capabilities in namespaces of its own are none over what is outside."""
    found = attempts(scene, *others.APART, *more)
    own = {"port", "umount"}  # of its own network, and of its own view of the mounts
    assert {name: told for name, told in found.items() if told not in REFUSED and name not in own} == {}
    assert scene.watcher.alive()
    assert scene.metrics()


def test_a_user_can_read_and_write_nothing_of_it(scene: Scene) -> None:
    """Log, evidence, alerts, keys, status, state: whatever it writes is its own, though the folders are open to all."""
    files = [path for path in (scene.folder / "daemon").rglob("*") if path.name not in OURS]
    kinds = {path.name.split("-")[0].split(".")[0] for path in files}
    assert {"raw", "evidence", "status", "log", "state"} <= kinds
    script = """
import os, sys
for path in sys.argv[1:]:
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT):
        try:
            os.open(path, flags)
        except OSError:
            continue
        if flags != os.O_RDONLY or not os.path.isdir(path):
            print(path, flags)
    if os.path.isdir(path):
        try:
            os.open(path + "/planted", os.O_WRONLY | os.O_CREAT)
            print("planted in", path)
        except OSError:
            pass
"""
    done = others.run(NOBODY, others.PYTHON, "-c", script, *files)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_no_name_forges_a_line(scene: Scene) -> None:
    """What is named like a record, or holds the end of a line, stands in one string of one record."""
    forged = '{"event":{"kind":"alert","id":"forged"}}'
    place = scene.folder / "theirs"
    names_ = [f"a\n{forged}\n", f'b"{forged}', "c\x1b[2J\x07\r"]
    script = "import sys; [open(sys.argv[1] + '/' + name.replace('/', '_'), 'w').close() for name in sys.argv[2:]]"
    others.run(NOBODY, others.PYTHON, "-c", script, place, *names_)
    others.run(NOBODY, "/bin/true", *names_)
    assert scene.until(lambda: any(b"2J" in each for each in lines(scene)))
    for line in lines(scene):
        record = json.loads(line)
        assert record.get("event", {}).get("id") != "forged"
    assert not [one for _, one in scene.alerts() if one["event"]["id"] == "forged"]


def lines(scene: Scene) -> list[bytes]:
    """Every whole line of the log that is not packed."""
    log = scene.watcher.log_dir
    records = (each for stream in ("raw", "evidence") for each in reader.records([log], stream))
    found = [each.data for each in records if isinstance(each, reader.Record)]
    assert names.segments(log, "raw")
    return found


@pytest.mark.skipif(not others.apart(OTHER), reason="a user may make no namespaces here")
@pytest.mark.parametrize("model", WAYS)
def test_mounts_of_a_container_blind_nobody(scene: Scene, model: str) -> None:
    """A copy to a filesystem of its own, or of a model that was mounted elsewhere and hidden, and its server."""
    to = scene.folder / "others" / f"{model}-place"
    others.run(OTHER, "mkdir", to)
    others.run(OTHER, "touch", to / "y")
    place = scene.folder / "models" / model
    (port,) = free_ports(1)
    text = WAYS[model].format(
        to=to, model=place / "model.safetensors", models=place, python=others.PYTHON, server=SERVER, port=port
    )
    with others.started(OTHER, *others.APART, "sh", "-c", text) as inside:
        assert inside.stdout is not None
        assert inside.stdout.readline() == b"up\n"
        assert scene.until(lambda: scene.told(model, "weights-copy"))
        assert scene.until(lambda: scene.told(model, "server-live"))
        inside.kill()


def test_who_takes_its_port_neither_keeps_it_from_watching_nor_from_the_port(scene: Scene) -> None:
    """A daemon whose port is taken is ready, says so, tells of what happens, and serves as soon as it can."""
    with contextlib.ExitStack() as stack:
        (port,) = free_ports(1)
        taker = stack.enter_context(others.started(NOBODY, others.PYTHON, "-c", TAKER, port))
        assert taker.stdout is not None
        taker.stdout.readline()
        one = stack.enter_context(Scene(["here"], taken=port))
        assert any(b"metrics cannot be served" in line for line in lines(one))
        others.run(OTHER, "/bin/cp", one.folder / "models/here/model.safetensors", one.folder / "others/x")
        assert one.until(lambda: one.told("here", "weights-copy"))
        taker.kill()
        taker.wait()
        assert one.until(one.metrics)


def test_nothing_listens_for_commands(scene: Scene) -> None:
    """No user can send it anything: the page of metrics is open to all, the control socket to root, nothing else is.

    What joins its parts lies in a folder that nobody else may enter.
    """
    held = [_link(link) for pid in whole.parts(scene.watcher.process.pid) for link in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {link.strip("socket:[]") for link in held if "socket:" in link}
    listening = [line for line in Path("/proc/net/unix").read_text().splitlines()[1:] if line.split()[3] == "00010000"]
    paths = [Path(line.split()[7]) for line in listening if line.split()[6] in inodes]
    assert sorted(path.name for path in paths) == ["analyser", "control.sock"]
    (joins,) = (scene.watcher.folder / "state").glob("parts-*")
    assert joins.stat().st_mode & 0o77 == 0
    assert {path.name for path in joins.iterdir()} == {"analyser", "notify"}
    control = scene.watcher.folder / "state" / "control.sock"
    assert (control.stat().st_uid, control.stat().st_mode & 0o777) == (0, 0o600)
    tcp = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    open_to = {int(row[1].split(":")[1], 16) for row in tcp if row[3] == "0A" and row[9] in inodes}
    assert open_to == {scene.port}


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def test_the_page_withstands_who_floods_it(scene: Scene) -> None:
    """Among silent, slow and huge requests a whole one is answered."""
    held = []
    for number in range(60):
        one = socket.create_connection(("127.0.0.1", scene.port))
        one.sendall((b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 100)[number % 3])
        held.append(one)
    began = time.monotonic()
    assert scene.metrics()
    assert time.monotonic() - began < 20
    for one in held:
        one.close()

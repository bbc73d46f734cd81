"""Each thing that the kernel tier needs, hidden: the daemon starts, says what it lost, and watches on."""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.host import until

from replguard.errors import Unavailable
from replguard.kernel import libbpf
from replguard.log import reader

pytestmark = pytest.mark.root

REPLGUARD = (sys.executable, "-m", "replguard")
NO_CAPABILITIES = ("setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon")
NO_SYS_ADMIN = ("setpriv", "--bounding-set=-sys_admin")
OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")


def hidden(path: str, *, by: str) -> tuple[str, ...]:
    """Return a command that runs another with something else mounted over a path, in a mount namespace of its own."""
    mount = {"nothing": f"mount -t tmpfs none {path}", "rubbish": f"mount --bind /dev/null {path}"}[by]
    return ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")


def library() -> str:
    """Return the path of libbpf; a test that hides it is skipped where there is none to hide."""
    try:
        return str(Path(libbpf.find()).resolve())
    except Unavailable as error:
        pytest.skip(str(error))


def configure(folder: Path, port: int | None = None) -> str:
    """Write a configuration that stays in the folder."""
    (folder / "models").mkdir()
    settings = {
        "state_dir": f"{folder}/state",
        "weights": {"paths": [f"{folder}/models"], "discover": False},
        "watch": {"paths": [f"{folder}/models"]},
        "agents": {"endpoints": []},
        "manifest": f"{folder}/manifest.yaml",
        "log": {"dir": f"{folder}/log"},
        "sinks": {"jsonl": {"path": f"{folder}/alerts.jsonl"}},
        "metrics": {"listen": f"127.0.0.1:{port}" if port else ""},
    }
    path = folder / "replguard.yaml"
    path.write_bytes(msgspec.yaml.encode(settings))
    return str(path)


def works(*command: str) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return False


def doctor(folder: Path, *prefix: str) -> dict[str, dict[str, Any]]:
    """Return what `doctor` says of each sensor where something is hidden."""
    if not works(*prefix):
        pytest.skip(f"{prefix[0]} is refused here")
    command = [*prefix, *REPLGUARD, "doctor", "-c", configure(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    rows = msgspec.json.decode(done.stdout.splitlines()[-1])["sensors"]
    return {row["sensor"]: row for row in rows}


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        (NO_CAPABILITIES, "CAP_BPF"),
        (OWN_PIDS, "--pid=host"),
        (hidden("/sys/kernel/btf", by="nothing"), "CONFIG_DEBUG_INFO_BTF"),
    ],
    ids=["no capabilities", "a container's pids", "no BTF"],
)
def test_what_is_hidden_is_named_and_the_portable_tier_runs(
    tmp_path: Path, prefix: tuple[str, ...], reason: str
) -> None:
    """The kernel's process sensor is off with what to do, and the one that polls says why it runs."""
    rows = doctor(tmp_path, *prefix)
    assert (rows["exec"]["mode"], rows["process"]["mode"]) == ("off", "portable")
    assert reason in rows["exec"]["why"]
    assert reason in rows["process"]["why"]
    assert rows["process"]["works"]


def test_without_the_library_the_portable_tier_runs(tmp_path: Path) -> None:
    """A file that is no library is as good as none."""
    rows = doctor(tmp_path, *hidden(library(), by="rubbish"))
    assert rows["process"]["mode"] == "portable"
    assert "libbpf.so.1" in rows["exec"]["why"]


def test_without_root_the_portable_tier_runs() -> None:
    """It says what else an ordinary user does not see."""
    if not works(*UNPRIVILEGED, sys.executable, "-c", "import replguard"):
        pytest.skip("nobody may not run the interpreter here")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        rows = doctor(Path(folder), *UNPRIVILEGED)
    assert rows["process"]["mode"] == "portable"
    assert "root" in rows["exec"]["why"]


def test_without_sys_admin_ebpf_still_works(tmp_path: Path) -> None:
    """CAP_BPF and CAP_PERFMON are enough for processes; what more is lost is said by each sensor."""
    try:
        libbpf.check()
    except Unavailable as error:
        pytest.skip(str(error))
    rows = doctor(tmp_path, *NO_SYS_ADMIN)
    assert rows["exec"]["mode"] == "kernel"
    assert "process" not in rows


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def daemon(path: str, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Run the daemon up to `ready`; it ends with the block."""
    with subprocess.Popen([*prefix, *REPLGUARD, "run", "-c", path], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                process.kill()


def page(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_the_daemon_starts_says_what_it_lost_and_goes_on(tmp_path: Path) -> None:
    """In a health event, in the metrics, and by telling processes all the same."""
    if not works(*NO_CAPABILITIES):
        pytest.skip("setpriv is refused here")
    port = free_port()
    with daemon(configure(tmp_path, port), *NO_CAPABILITIES) as process:
        shown = page(port)
        assert 'replguard_sensor_up{mode="kernel",sensor="exec"} 0.0' in shown
        assert 'replguard_sensor_up{mode="portable",sensor="process"} 1.0' in shown
        sleeper = subprocess.Popen(["sleep", "60"])
        try:
            assert until(lambda: page(port) and process.poll() is None)
            marks = ('"process_exec"', f'"pid":{sleeper.pid},')
            assert until(lambda: any(all(m in line for m in marks) for line in raw(tmp_path)))
        finally:
            sleeper.kill()
            sleeper.wait()
    told = [msgspec.json.decode(line) for line in raw(tmp_path) if '"sensor_health"' in line]
    lost = [
        (one["health"]["component"], one["health"].get("mode"))
        for one in told
        if one["health"]["state"] == "degraded" and "CAP_BPF" in one["health"].get("reason", "")
    ]
    assert ("process", "portable") in lost


def raw(folder: Path) -> list[str]:
    """Return the lines of the raw log so far."""
    records = reader.records([folder / "log"], "raw")
    return [record.data.decode() for record in records if isinstance(record, reader.Record)]

"""`replguard run` as a person and as a service meet it: what it prints, and what it does with trouble."""

import contextlib
import ctypes
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest
from support import whole
from support.host import until

COMMAND = (sys.executable, "-m", "replguard", "run", "-c")


def configure(folder: Path, extra: str = "") -> Path:
    """Write a configuration that stays in the folder."""
    path = folder / "replguard.yaml"
    path.write_text(
        f"state_dir: {folder}/state\nweights: {{paths: [{folder}/models], discover: false}}\n"
        f"watch: {{paths: [{folder}/models]}}\nagents: {{endpoints: []}}\nlog: {{dir: {folder}/log}}\n"
        f"sinks: {{jsonl: {{path: {folder}/alerts.jsonl}}}}\nmanifest: {folder}/manifest.yaml\n"
        f"metrics: {{listen: ''}}\n{extra}"
    )
    (folder / "models").mkdir(exist_ok=True)
    return path


@contextlib.contextmanager
def service(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the daemon without a terminal, as a service manager does, up to `ready`."""
    with subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(process: subprocess.Popen[str]) -> str:
    """Return what was printed before `ready`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if line == "ready\n":
            return "".join(lines)
        lines.append(line)
    assert process.stderr is not None
    raise AssertionError(f"it ended before it was ready: {process.stderr.read()}")


def wait_for(stream: IO[str], words: str) -> str:
    """Return the first line that holds the words."""
    return next(line for line in stream if words in line)


def at_terminal(path: Path, seconds: float = 30) -> tuple[int, str]:
    """Run it with a terminal, to its end; return exit code and what the person saw."""
    leader, follower = pty.openpty()
    with subprocess.Popen([*COMMAND, str(path)], stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        seen, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                chunk = os.read(leader, 4096)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
        process.kill() if process.poll() is None and time.monotonic() > end else process.wait()
    os.close(leader)
    return process.returncode, seen.decode().replace("\r\n", "\n")


def test_it_shows_its_sensors_then_ready_and_ends_on_sigterm(tmp_path: Path) -> None:
    """The table says mode and reason; SIGTERM is a clean end."""
    with service(configure(tmp_path)) as process:
        shown = until_ready(process)
        assert all(word in shown for word in ("process", "file", "network", "portable", "protected:", "rules:"))
        assert f"configuration: {tmp_path}/" in shown
        assert f"alerts: jsonl ({tmp_path}/alerts.jsonl)\n" in shown
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_a_person_with_a_broken_file_gets_every_fault_and_exit_2(tmp_path: Path) -> None:
    """Each fault has file and line; there is no traceback."""
    path = configure(tmp_path, "egress: {limt: 3}\nalerts:\n  min_level: loud\n")
    code, seen = at_terminal(path)
    assert code == 2
    flat = seen.replace("\n", "")
    assert "limit" in flat
    assert "min_level" in flat
    assert ":9:" in flat
    assert "Traceback" not in seen


@pytest.mark.parametrize("name", ["collector", "analyser"])
def test_a_signal_that_interrupts_nothing_ends_it_too(tmp_path: Path, name: str) -> None:
    """It comes in the moment in which a part begins to wait, or the kernel gives it to another thread."""
    with service(configure(tmp_path)) as process:
        until_ready(process)
        pid = whole.part(process.pid, name)
        threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        other = next(thread for thread in threads if thread != pid)
        assert ctypes.CDLL(None).tgkill(pid, other, signal.SIGTERM) == 0
        assert until(lambda: not Path(f"/proc/{pid}").exists(), 15)
        process.terminate()
        assert process.wait(30) == 0


def test_a_service_with_a_file_that_broke_goes_on_with_the_last_good_one(tmp_path: Path) -> None:
    """It says what is wrong and watches what it watched before."""
    path = configure(tmp_path)
    with service(path) as process:
        until_ready(process)
        process.terminate()
        assert process.wait(15) == 0
    path.write_text(path.read_text() + "weigths: {}\n")
    with service(path) as process:
        until_ready(process)
        status = msgspec.json.decode((tmp_path / "state" / "status.json").read_bytes())
        assert any("weigths" in problem for problem in status["problems"])
        process.terminate()
        assert process.wait(15) == 0
        assert process.stderr is not None
        assert "last good" in process.stderr.read()


def test_a_service_without_any_good_file_ends_with_exit_2(tmp_path: Path) -> None:
    """There is nothing to go on with, and a default is never taken for what was meant."""
    path = configure(tmp_path, "weigths: {}\n")
    with service(path) as process:
        assert process.wait(30) == 2
        assert process.stderr is not None
        errors = process.stderr.read()
        assert "weigths" in errors
        assert "Traceback" not in errors


def test_sighup_reads_the_rules_again(tmp_path: Path) -> None:
    """A rule that is added counts from then on; the log says that it was read."""
    rules = tmp_path / "rules"
    rules.mkdir()
    path = configure(tmp_path, f"rules: {{paths: [{rules}]}}\n")
    with service(path) as process:
        until_ready(process)
        (rules / "probe.yml").write_text(
            "title: A probe\nid: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001\nname: a-probe\n"
            "logsource: {product: linux, category: process_creation}\n"
            "detection: {selection: {Image|endswith: /probe}, condition: selection}\nlevel: low\n"
        )
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 15
        while b'"state":"reloaded"' not in b"".join(f.read_bytes() for f in (tmp_path / "log").glob("raw*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        assert process.wait(15) == 0


def test_alerts_as_json_and_a_word_on_each_reload(tmp_path: Path) -> None:
    """With --json each line of output is an alert, for a program; what a person is told goes to standard error."""
    path, manifest = configure(tmp_path), tmp_path / "manifest.yaml"
    with subprocess.Popen(
        [*COMMAND, str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            wait_for(process.stderr, "ready")
            manifest.write_text("jobs: [{name: backup, may: [fly], user: 1}]\n")
            process.send_signal(signal.SIGHUP)
            assert "manifest.yaml:1" in wait_for(process.stderr, "last good one stays in force")
            manifest.write_text("jobs: [{name: backup, may: [copy], user: 1}]\n")
            process.send_signal(signal.SIGHUP)
            assert "job backup added" in wait_for(process.stderr, "manifest was read again")
            assert any(
                msgspec.json.decode(line)["rule"]["name"].startswith("authority-change") for line in process.stdout
            )
        finally:
            process.kill()


def test_a_closed_terminal_ends_it(tmp_path: Path) -> None:
    """The signal is that of a reload; but who started it at a terminal and closed that does not want it any more."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, str(configure(tmp_path))], stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    ) as process:
        os.close(follower)
        try:
            seen = b""
            while b"ready\r\n" not in seen:
                seen += os.read(leader, 4096)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert process.poll() is None
            os.close(leader)
            process.send_signal(signal.SIGHUP)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_second_one_with_the_same_state_is_refused(tmp_path: Path) -> None:
    """Two would write one log, and accuse each other: exit 2, with the pid of the first and what to do."""
    path = configure(tmp_path)
    with service(path) as process:
        until_ready(process)
        second = subprocess.run(
            [sys.executable, "-m", "replguard", "run", "-c", path],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 2
        assert f"already running as pid {process.pid}" in second.stderr
        assert "Traceback" not in second.stderr

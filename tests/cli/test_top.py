"""The live view at a terminal: it follows the daemon, heeds keys and sizes, and leaves the terminal as it was."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from support.standings import case, status

from replguard import cli
from replguard.events import clock
from replguard.standing import FILE, Status

PATIENCE = 60.0
TOP = [sys.executable, "-m", "replguard", "top", "-c"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration whose daemon needs no rights."""
    path = tmp_path / "c.yaml"
    path.write_text(
        f"state_dir: {tmp_path}/state\nweights: {{paths: [{tmp_path}/models], discover: false}}\n"
        f"watch: {{paths: [{tmp_path}/models]}}\nagents: {{endpoints: []}}\nlog: {{dir: {tmp_path}/log}}\n"
        f"sinks: {{jsonl: {{path: {tmp_path}/alerts.jsonl}}}}\nmanifest: {tmp_path}/manifest.yaml\n"
        "metrics: {listen: ''}\nsensors: {process: portable, file: portable, network: portable}\n"
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "state").mkdir()
    return path


def says(config: Path, told: Status) -> None:
    """Have the status file say something, as a daemon of this pid would."""
    now = clock.now()
    told = msgspec.structs.replace(told, pid=os.getpid(), started=now - timedelta(hours=1), written=now)
    (config.parent / "state" / FILE).write_bytes(msgspec.json.encode(told))


class Terminal:
    """A terminal with a program in it. ``seen`` is all that it wrote since it was last asked for."""

    def __init__(self, leader: int, process: subprocess.Popen[bytes]) -> None:
        self.leader, self.process = leader, process

    def until(self, *words: str) -> str:
        """Return what comes until it holds all of the words."""
        seen, end = b"", time.monotonic() + PATIENCE
        while not all(word.encode() in seen for word in words):
            assert time.monotonic() < end, f"no {words} in {seen!r}"
            if select.select([self.leader], [], [], 0.5)[0]:
                try:
                    seen += os.read(self.leader, 65536)
                except OSError:
                    break
        text = seen.decode()
        assert all(word in text for word in words), text
        return text

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.leader, keys.encode())

    def resize(self, width: int, height: int) -> None:
        """Give it another size."""
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


@contextmanager
def terminal(config: Path, **environment: str) -> Iterator[Terminal]:
    """Run it in a terminal of 80 by 24."""
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(follower)
    given = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [*TOP, str(config)], stdin=follower, stdout=follower, stderr=follower,
        env={**given, "TERM": "xterm-256color", **environment}, start_new_session=True,
    )  # fmt: skip
    try:
        yield Terminal(leader, process)
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            if select.select([leader], [], [], 0.1)[0]:
                os.read(leader, 65536)  # what nobody reads keeps it from going
        assert process.wait(PATIENCE) == 0
        assert termios.tcgetattr(follower) == before, "the terminal is as it was"
    finally:
        process.kill()
        process.wait()
        os.close(follower)
        os.close(leader)


def once(config: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Print one picture."""
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", **environment}
    return subprocess.run(
        [*TOP, str(config), "--once"], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_it_follows_a_daemon_that_stops_and_comes_back(config: Path) -> None:
    """A real one: its sensors are shown, its end is told with the time, and the next one is shown by itself."""
    run = [sys.executable, "-m", "replguard", "run", "-c", str(config)]
    with terminal(config) as screen:
        screen.until("not running with this configuration")
        with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as daemon:
            assert daemon.stdout is not None
            assert "ready\n" in iter(daemon.stdout.readline, "")
            screen.until(f"pid {daemon.pid}", "portable", "no open incidents", "log raw:")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(PATIENCE) == 0
        screen.until("not running since ")
        says(config, status())
        assert "not running" not in screen.until(f"pid {os.getpid()}").rpartition(f"pid {os.getpid()}")[2]
        screen.press("q")


def test_keys_choose_an_incident_and_its_commands_are_printed_at_the_end(config: Path) -> None:
    """They can be copied there, whole; hostile letters are shown as what they are."""
    cases = (case(1), case(2, sentence="it copied \x1b[2J to /srv", contain=("systemctl freeze -- a.service",)))
    says(config, status(cases=cases, incidents=2))
    with terminal(config) as screen:
        shown = screen.until("2 open incidents", "Enter commands")
        assert "\x1b[2J to" not in shown
        assert "\\x1b[2J to" in shown
        screen.press("\x1b[B\x1b[B\r")
        screen.until("inc2: to contain it", "systemctl freeze -- a.service")
        screen.press("p")
        screen.until("PAUSED", "p go on")
        screen.press("p")
        screen.press("q")
        screen.until("\x1b[?1049l", "systemctl freeze -- a.service\r\n")


def test_another_size_is_heeded_at_once(config: Path) -> None:
    """No line is longer than the new width."""
    says(config, status(cases=tuple(case(n) for n in range(9)), incidents=9))
    with terminal(config, NO_COLOR="1") as screen:
        screen.until("9 open incidents", "Enter commands")
        screen.resize(40, 10)
        shown = screen.until("… 8 more")
        last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.rpartition("replguard 0.1.0")[2])
        assert all(len(line) <= 40 for line in last.split("\r\n"))
        assert "\x1b[31m" not in shown
        screen.press("q")


def test_one_picture_where_there_is_no_terminal(config: Path) -> None:
    """24 lines of 80 columns without any colour; exit code 0, or 1 where something is wrong."""
    says(config, status())
    done = once(config)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.split("\n")
    assert len(lines) <= 25
    assert all(len(line) <= 80 and line.isprintable() for line in lines)
    assert "no open incidents" in done.stdout
    sensors = [msgspec.structs.replace(line, mode="failed") for line in status().sensors]
    says(config, status(sensors=sensors))
    assert once(config).returncode == 1


def test_letters_that_the_terminal_has_not(config: Path) -> None:
    """Bars and marks become question marks, not a traceback; a dumb terminal gets one picture."""
    says(config, status(cases=(case(sentence="it copied 漢字"),), incidents=1))
    done = once(config, PYTHONIOENCODING="ascii", PYTHONUTF8="0", TERM="dumb")
    assert (done.returncode, done.stderr) == (0, "")
    assert "it copied ??" in done.stdout


def test_nothing_to_show(config: Path) -> None:
    """It says what to do, and exits 1."""
    done = once(config)
    assert done.returncode == 1
    assert "not running with this configuration" in done.stdout


def test_who_may_not_read_it_is_told_what_to_do(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status quotes alerts: it is root's."""

    def refuse(_: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    done = CliRunner().invoke(cli.group, ["top", "--once", "-c", str(config)], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "may not be read: ask as root (sudo)" in done.stdout

"""What every test may rely on: nothing is left running, root is asked for by a marker, skips are counted aloud."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
INI = "[pytest]\naddopts = --strict-markers --import-mode=importlib\nmarkers =\n    root: needs root\n"


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run one test file in a fresh pytest that has our conftest."""
    (folder / "conftest.py").write_text(CONFTEST.read_text().replace("GRACE = 3.0", "GRACE = 0.2"))
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_child_left_behind_is_ended_and_told(tmp_path):
    """The test fails and the process is gone."""
    done = run(
        tmp_path,
        "import subprocess, pathlib\n"
        "def test_it():\n"
        "    p = subprocess.Popen(['sleep', '300'])\n"
        "    pathlib.Path('pid').write_text(str(p.pid))\n"
        "    globals()['kept'] = p\n",
    )
    pid = int((tmp_path / "pid").read_text())
    assert done.returncode == 1
    assert f"left running: process {pid} (sleep 300" in done.stdout
    assert not Path(f"/proc/{pid}").exists()


def test_a_thread_left_behind_is_told(tmp_path):
    """A thread that is no daemon would keep the interpreter alive; it is told by name."""
    done = run(
        tmp_path,
        "import threading, time\n"
        "def test_it():\n"
        "    threading.Thread(target=time.sleep, args=(1.5,), name='stray').start()\n",
    )
    assert done.returncode == 1
    assert "left running: thread stray" in done.stdout


def test_a_process_of_a_wider_fixture_may_stay(tmp_path):
    """What a module's fixture started outlives each test and is ended by the fixture."""
    done = run(
        tmp_path,
        "import subprocess, pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def server():\n"
        "    p = subprocess.Popen(['sleep', '300'])\n"
        "    yield p\n"
        "    p.kill(); p.wait()\n"
        "def test_one(server): assert server.poll() is None\n"
        "def test_two(server): assert server.poll() is None\n",
    )
    assert done.returncode == 0, done.stdout


def test_skips_are_counted_by_reason(tmp_path):
    """The run ends with a count for each reason."""
    done = run(
        tmp_path,
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_a(n): pytest.skip('no GPU here')\n"
        "@pytest.mark.skip(reason='needs clang')\n"
        "def test_b(): pass\n",
    )
    assert "skipped 4 in all" in done.stdout
    assert "skipped 3: no GPU here" in done.stdout
    assert "skipped 1: needs clang" in done.stdout


@pytest.mark.root
def test_the_root_marker_runs_as_root_only():
    """Reached as root alone."""
    assert os.geteuid() == 0

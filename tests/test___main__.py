import subprocess
import sys

from replguard import __version__


def test_module_runs():
    """``python -m replguard`` is the same program."""
    run = subprocess.run(
        [sys.executable, "-m", "replguard", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == f"replguard {__version__}\n"

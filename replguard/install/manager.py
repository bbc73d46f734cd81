"""What systemd is asked to do, where it runs."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

BOOTED = Path("/run/systemd/system")
"""There while systemd is the system's manager, sd_booted(3)."""
PATIENCE = 120.0


def runs() -> bool:
    """Whether systemd is the manager of this system."""
    return BOOTED.is_dir() and shutil.which("systemctl") is not None


def ask(words: Sequence[str]) -> str | None:
    """Run a command; return why it failed in one line, None if it did not."""
    try:
        ended = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ended.returncode == 0:
        return None
    return " ".join(ended.stderr.split()) or f"exit code {ended.returncode}"

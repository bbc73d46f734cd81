"""A part says what it has to say apart from alerts, and ends when it is asked to."""

import json
import subprocess
import sys

from support.credentials import PLAIN

from replguard.part import _masked

CODE = """
import os, signal, threading
from replguard import part
from replguard.kernel import own
asked = threading.Event()
again = threading.Event()
part.begin(asked.set, again.set)
import structlog
structlog.get_logger().warning("refused", reason="https://me:{secret}@example.org")
os.kill(os.getpid(), signal.SIGHUP)
assert again.wait(20) and not asked.is_set()
os.kill(os.getpid(), signal.SIGTERM)
assert asked.wait(20)
print("ended")
"""


def test_diagnostics_are_json_without_credentials_and_signals_are_heeded() -> None:
    """A service's journal is read by machines; errors quote what they were given."""
    command = [sys.executable, "-c", CODE.replace("{secret}", PLAIN)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    said = json.loads(done.stderr)
    assert (said["event"], said["reason"]) == ("refused", "https://me:***@example.org")
    assert done.stdout == "ended\n"


def test_diagnostics_hold_no_credential() -> None:
    """An error quotes what it was given; what is no text goes through."""
    entry = {"event": "failed", "exception": f"ValueError: https://me:{PLAIN}@h", "count": 3}
    assert _masked(None, "error", entry) == {"event": "failed", "exception": "ValueError: https://me:***@h", "count": 3}

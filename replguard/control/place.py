"""Where the control socket lies, and how it is opened."""

import os
import socket
from pathlib import Path

from replguard.kernel.reach import reach

NAME = "control.sock"
RUN = Path("/run/replguard")


def folder(state_dir: str) -> Path:
    """Return where the daemon makes its socket: in the folder that systemd gave it for this run, or with its state."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(given or state_dir)


def candidates(state_dir: str, told: str | None) -> list[Path]:
    """Return where to look for a daemon: where it says that its socket is, and where it would make one."""
    return [Path(one) for one in dict.fromkeys((told or "", f"{state_dir}/{NAME}", f"{RUN}/{NAME}")) if one]


def listen(path: Path) -> socket.socket:
    """Return a socket that its owner alone may connect to. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with reach(path) as address:
            path.unlink(missing_ok=True)
            made.bind(address)
            os.chmod(address, 0o600)  # noqa: PTH101 - the very file that was bound
        made.listen(16)  # not before: until then nobody can connect
    except OSError:
        made.close()
        raise
    return made

"""Asks the running daemon over its control socket."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from replguard.config import Config
from replguard.control import messages, place
from replguard.control.messages import Answer, Question, Refused
from replguard.errors import ReplguardError
from replguard.events import wire
from replguard.kernel.reach import reach

WAITS = 15.0
"""Seconds for an answer: the daemon looks up who asks."""
_STATUS = "status.json"


class _Told(msgspec.Struct):
    """What the client needs of the daemon's status file."""

    control: str | None = None


class Connection:
    """A connection to the daemon."""

    def __init__(self, to: socket.socket) -> None:
        self._to = to

    def ask(self, question: Question) -> Answer:
        """Return the answer. Raises ReplguardError."""
        try:
            self._to.settimeout(WAITS)
            messages.send(self._to, question)
        except OSError as error:
            raise _gone(error) from error
        return self.next(WAITS)

    def next(self, seconds: float) -> Answer:
        """Return the next thing that is told. Raises ReplguardError."""
        try:
            answer: Answer = messages.receive(self._to, Answer, largest=messages.LARGEST_ANSWER, seconds=seconds)
        except (OSError, Refused) as error:
            raise _gone(error) from error
        return answer

    def fileno(self) -> int:
        """Return what is readable when something is told."""
        return self._to.fileno()


@contextlib.contextmanager
def connected(config: Config) -> Iterator[Connection]:
    """Connect to the daemon of a configuration. Raises ReplguardError, which says what to do."""
    reasons: list[str] = []
    for path in place.candidates(config.state_dir, _told(Path(config.state_dir))):
        to = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with to:
            try:
                with reach(path) as address:
                    to.settimeout(WAITS)
                    to.connect(address)
                _trust(to)
            except OSError as error:
                reasons.append(f"{path}: {error.strerror or error}")
                continue
            yield Connection(to)
            return
    raise ReplguardError(
        f"no daemon answers ({'; '.join(reasons)}). Ask as root, name the configuration that it runs with by --config,"
        " or start it with `systemctl start replguard`"
    )


def _trust(to: socket.socket) -> None:
    """Raise OSError unless root, or we ourselves, serve the socket."""
    _, uid, _ = struct.unpack("=iII", to.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, os.geteuid()):
        raise PermissionError(None, f"served by user {uid}, who is not believed")


def _told(state_dir: Path) -> str | None:
    try:
        return msgspec.json.decode((state_dir / _STATUS).read_bytes(), type=_Told).control
    except (OSError, *wire.UNREADABLE):
        return None


def _gone(error: Exception) -> ReplguardError:
    return ReplguardError(f"the daemon does not answer ({error}). See `replguard status`, and try again")

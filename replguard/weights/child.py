"""The examiner's process as the daemon holds it: started, spoken to, and ended."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from replguard.channel import Broken, Channel
from replguard.weights.messages import Answer, Order

_BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[2])
from replguard.weights.worker import main
main(int(sys.argv[1]))"""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy brings a library that starts a thread for each core, with memory for each: on a large host too much."""
_GRACE = 2.0
_MOMENT = 0.3


class Child:
    """One running examiner process. It dies when our end of the socket closes, also if we are killed."""

    def __init__(self) -> None:
        """Start it. Raises OSError.

        It gets our own import path instead of computing one (-I -S): quicker by half, and nothing that lies in the
        working folder or in PYTHONPATH can slip into a process that reads everything.
        """
        ours, its = socket.socketpair()
        # Kept in memory and not on our own stderr: a traceback may quote a hostile file's name.
        self._last_words = os.memfd_create("examiner", os.MFD_CLOEXEC)
        try:
            places = json.dumps([str(Path(place).absolute()) for place in sys.path if place])
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(its.fileno()), places],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._last_words,
                process_group=0,
                cwd="/",
                env={**os.environ, **_ONE_THREAD},
            )
        except BaseException:
            ours.close()
            os.close(self._last_words)
            raise
        finally:
            its.close()
        decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
        self.channel: Channel[Answer] = Channel(ours, decoder)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def send(self, order: Order) -> None:
        """Tell it something. Raises Broken."""
        self.channel.send(order)

    def receive(self) -> list[Answer]:
        """Return what it has said. Raises Broken."""
        return self.channel.receive()

    def ended(self) -> str:
        """Say how it ended, a few words; one that has just closed its end gets a moment to be gone."""
        try:
            code = self.process.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        size = os.fstat(self._last_words).st_size
        words = os.pread(self._last_words, 512, max(0, size - 512)).decode(errors="backslashreplace").strip()
        return f"ended with code {code}: {words.splitlines()[-1] if words else 'it said nothing'}"

    def close(self, *, kill: bool = False) -> bool:
        """End it: politely, so that it writes its cache, or at once. Returns whether it is gone.

        One that hangs in the kernel is gone as soon as that lets go, and waits to be asked until then.
        """
        self.channel.close()
        os.close(self._last_words)
        if not kill and self.gone(_GRACE):
            return True
        self.process.kill()
        return self.gone(_MOMENT if kill else _GRACE)

    def gone(self, seconds: float = 0) -> bool:
        """Return whether it has ended, which also lets the kernel forget it."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


__all__ = ["Broken", "Child"]

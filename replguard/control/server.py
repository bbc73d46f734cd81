"""Serves the control socket: a thread that accepts, and one for each of a few connections, all bounded in time."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from replguard.control import messages, place
from replguard.control.messages import Answer, Question, Refused
from replguard.control.peer import Peer, peer
from replguard.sensors.processes.describe import Describer

MOST = 8
"""Connections at a time; who comes while there are as many is closed at once."""
SPEAKS = 5.0
"""Seconds in which a client has said what it wants, and has taken what it is told."""
AGAIN = 5.0
"""Seconds between attempts to make the socket, where its folder cannot be written."""
_LOOK = 0.5

_log = structlog.get_logger(__name__)

Answers = Callable[[Question, Peer, Callable[[], bool]], Iterator[Answer]]
"""Gives the answers to a question; what goes on for longer asks now and then whether the other end is still there."""


class Server:
    """``answers`` is called by several threads at once."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.path = path
        self._answers = answers
        self._stop = threading.Event()
        self._free = threading.BoundedSemaphore(MOST)
        self._threads: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait for what is being answered for at most so long."""
        self._stop.set()
        for thread in (self._thread, *list(self._threads)):
            if thread.ident is not None:
                thread.join(seconds)

    def _run(self) -> None:
        told = False
        while not self._stop.is_set():
            try:
                with contextlib.closing(place.listen(self.path)) as listener:
                    told = False
                    self._accept(listener)
            except OSError as error:
                if not told:
                    _log.warning("no control socket; trying again", path=str(self.path), reason=str(error))
                told = True
                self._stop.wait(AGAIN)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        """Take connections until told to stop, or the socket's name is gone: then another is made."""
        while not self._stop.is_set() and self.path.is_socket():
            if not select.select([listener], [], [], _LOOK)[0]:
                continue
            with contextlib.suppress(ConnectionError):
                connection, _ = listener.accept()
                if not self._free.acquire(blocking=False):
                    connection.close()
                    continue
                thread = threading.Thread(target=self._serve, args=(connection,), name="control-peer", daemon=True)
                self._threads.add(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._speak(connection)
        except OSError:
            pass  # it went away
        except Exception:  # noqa: BLE001 - whatever was asked, others are answered
            _log.exception("a question over the control socket could not be answered")
        finally:
            self._threads.discard(threading.current_thread())
            self._free.release()

    def _speak(self, connection: socket.socket) -> None:
        asking = peer(connection, Describer())
        try:
            question = messages.receive(connection, Question, largest=messages.LARGEST, seconds=SPEAKS)
        except Refused as refusal:
            connection.settimeout(SPEAKS)
            messages.send(connection, Answer(ok=False, text=f"not understood: {refusal}"))
            return
        connection.settimeout(SPEAKS)

        def is_there() -> bool:
            if self._stop.is_set():
                return False
            ready = select.select([connection], [], [], 0)[0]
            return not ready or bool(connection.recv(1, socket.MSG_PEEK))

        for answer in self._answers(question, asking, is_there):
            messages.send(connection, answer)


def of(state_dir: str, answers: Answers) -> Server:
    """Return the server of a daemon with this state folder."""
    return Server(place.folder(state_dir) / place.NAME, answers)

"""The way to the analyser: what was told is kept until it is in the log, and told again to an analyser that comes back.

Who tells never waits. While there is no analyser, facts and events wait here within bounds; beyond them events that are
no facts are lost, and counted.
"""

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from replguard import frames
from replguard.channel import Broken, Channel
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.health import State
from replguard.frames import Asked, Events, Hello, Standing, Told, Written
from replguard.kernel.reach import is_ours, other_end, reach
from replguard.stage import QUEUE

HEAVIEST = 64 * 2**20
"""Bytes that may wait besides: events with giant arguments."""
ROOM = 2**20
"""Bytes that are handed to the socket at a time."""
AGAIN, LAST_AGAIN = 0.05, 1.0
"""Seconds between attempts to connect: the first, and the longest."""
UNTOLD = 2.0
"""Seconds without an analyser after which that is told: one that is started again needs one or two."""

Report = Callable[[State, str, int | None], object]
"""Takes state and reason of our health, and a number of lost events."""


class _Frame(NamedTuple):
    number: int | None
    events: int
    body: bytes


class Link:
    """``hello`` makes the first frame, ``take`` is given what the analyser asks, by a thread of ours."""

    def __init__(self, path: Path, hello: Callable[[], Hello], take: Callable[[Asked], None], report: Report) -> None:
        self._path, self._hello, self._take, self._report = path, hello, take, report
        self._run_name = hello().run
        self._decoder = frames.asked()
        self._lock = threading.Lock()
        self._waiting: deque[_Frame] = deque()
        self._unkept: deque[_Frame] = deque()
        self._held = self._bytes = self._lost = 0
        self._channel: Channel[Asked] | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop = threading.Event()
        self._kept = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Wait until all that was told is in the log, and end; False if that took longer than so many seconds."""
        until = clock.monotonic() + seconds
        with self._kept:
            while self._held and (rest := until - clock.monotonic()) > 0:
                self._kept.wait(rest)
            done = not self._held
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join(seconds)
        return done

    @property
    def held(self) -> int:
        """How many events are told, and not known to be in the log."""
        return self._held

    def send(self, frame: Told) -> None:
        """Tell something; returns at once."""
        if isinstance(frame, Events):
            with self._lock:
                frame = self._fitting(frame)
            made = _Frame(frame.number, len(frame.events), frames.encode(frame))
        else:
            made = _Frame(None, 0, frames.encode(frame))
        with self._lock:
            if isinstance(frame, Standing) and self._channel is None:
                return  # an old one says nothing
            self._waiting.append(made)
            self._held += made.events
            self._bytes += len(made.body)
            self._pump()

    def _fitting(self, frame: Events) -> Events:
        """Return a frame as there is room for: whole, or its facts and what we say of ourselves."""
        if self._held + len(frame.events) <= QUEUE and self._bytes <= HEAVIEST:
            return frame
        room = max(0, 2 * QUEUE - self._held) if self._bytes <= 2 * HEAVIEST else 0
        left = tuple(filter(_matters, frame.events))[:room]
        self._lost += len(frame.events) - len(left)
        return msgspec.structs.replace(frame, events=left)

    def _pump(self) -> None:
        """Hand frames to the socket, with the lock held."""
        if self._channel is None:
            return
        try:
            while self._waiting and self._channel.backlog < ROOM:
                frame = self._waiting.popleft()
                if frame.number is None:
                    self._bytes -= len(frame.body)
                else:
                    self._unkept.append(frame)
                self._channel.post(frame.body)
            if self._channel.waiting:
                os.eventfd_write(self._wake, 1)
        except Broken:
            os.eventfd_write(self._wake, 1)  # the thread finds it broken too

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause, since, told = AGAIN, clock.monotonic(), False
        while not self._stop.is_set():
            if self._connect():
                if told:
                    self._report("recovered", "the analyser is there again", None)
                pause, told = AGAIN, False
                self._serve()
                since = clock.monotonic()
            elif not told and clock.monotonic() - since > UNTOLD:
                told = True
                self._report("degraded", "the analyser is not there: what happens waits, and is judged later", None)
            self._stop.wait(pause)
            pause = min(2 * pause, LAST_AGAIN)

    def _connect(self) -> bool:
        """Connect and say first what was told already and may not be in the log."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            end.settimeout(AGAIN)
            with reach(self._path) as address:
                end.connect(address)
            if not is_ours(other_end(end)[1]):  # what it asks would be done, and all that is seen be its to read
                raise ConnectionRefusedError
        except OSError:
            end.close()
            return False
        with self._lock:
            self._channel = Channel(end, self._decoder)
            self._waiting.extendleft(reversed(self._unkept))
            self._unkept.clear()
            self._waiting.appendleft(_Frame(None, 0, frames.encode(self._hello())))
            self._bytes += len(self._waiting[0].body)
            self._pump()
        return True

    def _serve(self) -> None:
        """Send on and listen until the connection breaks."""
        channel = self._channel
        if channel is None:
            return
        try:
            while not self._stop.is_set():
                poll = select.poll()
                poll.register(self._wake, select.POLLIN)
                poll.register(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.waiting else 0))
                ready = {descriptor for descriptor, _ in poll.poll(1000)}
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                asked = channel.receive() if channel.fileno() in ready else []
                with self._lock:
                    channel.flush()
                    self._pump()
                for one in asked:
                    self._heard(one)
                self._tell_lost()
        except Broken:
            pass
        finally:
            with self._lock:
                self._channel = None
            channel.close()

    def _heard(self, asked: Asked) -> None:
        if not isinstance(asked, Written):
            self._take(asked)
            return
        if asked.run != self._run_name:
            return
        with self._kept:
            while self._unkept and (self._unkept[0].number or 0) <= asked.number:
                frame = self._unkept.popleft()
                self._held -= frame.events
                self._bytes -= len(frame.body)
            self._kept.notify_all()
        self._take(asked)

    def _tell_lost(self) -> None:
        """Say how many events were lost, once there is room again."""
        with self._lock:
            lost = self._lost if self._held < QUEUE // 2 else 0
            self._lost -= lost
        if lost:
            self._report("loss", "full: the analyser was not there, or too slow", lost)


def _matters(event: Event) -> bool:
    return event.event.kind == "enrichment" or event.health is not None

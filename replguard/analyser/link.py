"""The way from the collector: one connection at a time, by root or our own user alone."""

import os
import select
import socket
import threading
from collections.abc import Callable

import structlog

from replguard import frames
from replguard.analyser.alike import Alike
from replguard.channel import Broken, Channel
from replguard.frames import Asked, Told
from replguard.kernel.reach import is_ours, other_end

FULL = 0.02
"""Seconds between attempts to hand a frame on while there is no room: the socket holds up the collector's link."""

_log = structlog.get_logger(__name__)


class Link:
    """``take`` is given each frame and says whether there was room; ``alone`` is called each second without any."""

    def __init__(
        self, listener: socket.socket, take: Callable[[Told], bool], alone: Callable[[], object] = lambda: None
    ) -> None:
        self._listener, self._take, self._alone = listener, take, alone
        self._decoder, self._alike = frames.told(), Alike()
        self._lock = threading.Lock()
        self._channel: Channel[Told] | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask for the end; safe from any thread, but not in a signal handler."""
        self._stop.set()
        os.eventfd_write(self._wake, 1)

    def ask(self, asked: Asked) -> None:
        """Ask the collector for something; what nobody hears is asked for by nobody."""
        body = frames.encode(asked)
        with self._lock:
            if self._channel is None:
                return
            try:
                self._channel.post(body)
            except Broken:
                return
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Serve one collector after the other until told to stop."""
        self._listener.setblocking(False)
        while not self._stop.is_set():
            self._alone()
            self._await(self._listener.fileno(), select.POLLIN)
            try:
                end, _ = self._listener.accept()
            except OSError:
                continue
            pid, uid = other_end(end)
            if is_ours(uid):
                self._serve(Channel(end, self._decoder))
            else:
                _log.warning("somebody else than the collector connected, and was refused", pid=pid, user=uid)
                end.close()

    def _serve(self, channel: Channel[Told]) -> None:
        with self._lock:
            self._channel = channel
        try:
            while not self._stop.is_set():
                self._await(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.waiting else 0))
                with self._lock:
                    channel.flush()
                for frame in map(self._alike.frame, channel.receive()):
                    while not self._take(frame) and not self._stop.wait(FULL):
                        pass
        except Broken as error:
            _log.info("the collector is gone", reason=str(error))
        finally:
            with self._lock:
                self._channel = None
            channel.close()

    def _await(self, descriptor: int, wanted: int) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(descriptor, wanted)
        if any(ready == self._wake for ready, _ in poll.poll(1000)):
            os.eventfd_read(self._wake)

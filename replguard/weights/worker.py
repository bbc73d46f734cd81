"""The examiner's process: answers requests at once, and makes fingerprints in between. Started by ``examiner``."""

import os
import resource
import select
import signal
import socket
import sys
from math import exp, inf
from pathlib import Path

import msgspec

from replguard.channel import Broken, Channel
from replguard.events import clock
from replguard.weights.library import Library
from replguard.weights.messages import Order, Progress, Protect, Retire, Settings

SLICE = 0.02
"""Seconds of fingerprinting before requests are looked for again: what a request waits for at most on a warm disk."""
MEMORY = 2 * 2**30
"""Address space of this process; hostile content then costs us a MemoryError and never the host's memory."""
_NICE = 10  # the kernel derives a low best-effort I/O priority from it, ioprio_set(2)
_BEAT = 1.0
_PRESSURE = 25.0
_AVERAGE = 10.0
_PAUSE = 1.0  # between slices, not for ever: who keeps a disk busy must not keep us from knowing the weights
_BURST = 0.25


def pressure(path: str = "/proc/pressure/io") -> float:
    """Return the share of the last 10 s, in percent, in which something waited for a disk; 0 where not told."""
    try:
        with Path(path).open(encoding="ascii") as file:
            return float(file.readline().split("avg10=")[1].split()[0])
    except (OSError, LookupError, ValueError):
        return 0.0


class Pace:
    """Keeps reading below a rate in bytes per second, and all but stops it while others wait for the disk.

    Waiting for our own reads is pressure too, as the kernel counts it: the part of the time that we read is left out.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._next = self._last = clock.monotonic()
        self._own = 0.0
        self._asked = 0.0
        self.pressed = False

    def spent(self, read: int, seconds: float) -> None:
        """Count what a slice read and how long it took."""
        now = clock.monotonic()
        if self.rate:
            self._next = max(self._next, now - _BURST) + read / self.rate
        # As the kernel does: an average in which the last ten seconds weigh most.
        passed, self._last = max(now - self._last, seconds), now
        fades = exp(-passed / _AVERAGE)
        self._own = self._own * fades + seconds / max(passed, 1e-9) * (1 - fades)
        if now - self._asked > 1.0:
            self._asked, self.pressed = now, pressure() - 100 * self._own > _PRESSURE
        if self.pressed:
            self._next = max(self._next, now + _PAUSE)

    @property
    def most(self) -> float:
        """The bytes that one slice may read; a MiB is read at once, however low the rate."""
        return self.rate * _BURST if self.rate else inf

    def wait(self) -> float:
        """Return the seconds to rest."""
        return max(0.0, self._next - clock.monotonic())


class Worker:
    """One examiner process: a channel, a library, a pace."""

    def __init__(self, channel: Channel[Order]) -> None:
        self.channel = channel
        self.library: Library | None = None
        self.pace = Pace(0)
        self._told: tuple[str | None, int] | None = None
        self._told_at = 0.0

    def run(self) -> None:
        """Work until the other side is gone. Raises Broken then."""
        poll = select.poll()
        while True:
            busy = self.library is not None and bool(self.library.todo)
            out = select.POLLOUT if self.channel.waiting else 0
            poll.register(self.channel.fileno(), select.POLLIN | out)
            poll.poll(min(_BEAT, self.pace.wait()) * 1000 if busy else None)
            self.channel.flush()
            for order in self.channel.receive():
                self.obey(order)
            if self.library is not None and self.library.todo:
                self.advance(self.library)

    def obey(self, order: Order) -> None:
        """Do what the daemon asks."""
        if isinstance(order, Settings):
            self.library, self.pace = Library(order), Pace(order.rate)
        elif self.library is None:
            raise Broken("orders came before the settings")
        elif isinstance(order, Protect):
            for done in self.library.protect(order.targets):
                self.channel.send(done)
            self.tell(self.library)
        elif isinstance(order, Retire):
            self.library.retire(order.keys)
            self.tell(self.library)
        else:
            self.channel.send(self.library.examine(order.request))

    def advance(self, library: Library) -> None:
        """Read on in the file at work."""
        self.tell(library)
        if self.pace.wait() > 0:
            return
        started = clock.monotonic()
        read, done = library.work(SLICE, self.pace.most)
        self.pace.spent(read, clock.monotonic() - started)
        for one in done:
            self.channel.send(one)
        if not library.todo:
            self.tell(library)

    def tell(self, library: Library) -> None:
        """Give a sign of life: when another file is begun, and every second."""
        now = clock.monotonic()
        state = (library.next, len(library.todo))
        if state != self._told or now - self._told_at > _BEAT:
            self._told, self._told_at = state, now
            self.channel.send(Progress(*state, library.cache_error))


def main(fd: int) -> None:
    """Serve the socket ``fd`` until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle; its end closes the socket
    os.nice(_NICE)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard))
    decoder: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
    end = socket.socket(fileno=fd)
    answering: Channel[Order] = Channel(end, decoder)
    worker = Worker(answering)
    try:
        worker.run()
    except Broken:
        pass
    finally:
        if worker.library is not None:
            worker.library.close()
        answering.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""The foreground's service manager: starts collector and analyser, and starts again what ended or stands still.

It speaks the protocols of systemd (sd_notify with the descriptor store, socket activation), so that the parts are the
same under it and under units of their own. It holds little: this module imports nothing that takes memory.
"""

import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
from pathlib import Path

from replguard import ownership
from replguard.events import clock
from replguard.kernel import notify, own
from replguard.kernel.reach import reach

BOOT = """import json, os, sys
sys.path[:], part, given = json.loads(sys.argv[1])
if os.environ.get("LISTEN_FDS"):
    os.environ["LISTEN_PID"] = str(os.getpid())
import importlib
if part != "supervisor":
    sys.modules["rich"] = None
    import structlog
    del sys.modules["rich"]
importlib.import_module(f"replguard.{part}").main(given)"""
"""What each process runs: it gets our import path instead of computing one (-I -S), which is quicker by half.

The supervisor loads next to nothing; to the others structlog without rich costs 5 MiB less.
"""
FIRST = 3
"""The first descriptor that is passed on (sd_listen_fds)."""
WATCHDOG = 30.0
"""Seconds without a sign of life after which a part is ended, with the stack of each thread, and started anew."""
ABORTS = 10.0
"""Seconds that it may take to end then, and at the end of all (the collector hands over first)."""
ENDS = 30.0
AGAIN, LAST_AGAIN = 0.2, 5.0
"""Seconds before a part that ended is started again, at first and at the most."""
AT_ONCE, WITHIN = 5, 60.0
"""Ends within so many seconds after which each further one doubles that: who ends a part again and again is not to keep
us blind for longer each time, and one that fails as soon as it begins is not to take all of a core."""
MOST_KEPT = 512
"""Descriptors that are kept for a part."""
WRONG, CHANGED = 2, 75
"""Exit codes of a part: a configuration that cannot be used; one that has to begin anew."""
_PASSCRED, _CREDENTIALS, _CREDENTIAL = 16, 2, struct.Struct("3i")
"""SO_PASSCRED and SCM_CREDENTIALS (asm-generic/socket.h, linux/socket.h)."""


def argv(part: str, given: object) -> list[str]:
    """Return the command line of a part; ``given`` is what its ``main`` is given, as JSON."""
    places = [str(Path(place).absolute()) for place in sys.path if place]
    return [sys.executable, "-I", "-S", "-c", BOOT, json.dumps([places, part, given])]


class Part:
    """One process that is kept going. ``passed`` are descriptors that it always gets."""

    def __init__(self, name: str, given: object, passed: tuple[int, ...] = ()) -> None:
        self.name, self._given, self._passed = name, given, passed
        self.kept: list[tuple[str, int]] = []
        self.pid = self.pidfd = 0
        self.ready = self.aborted = False
        self.fed = self.due = clock.monotonic()
        self._ends: list[float] = []

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.pid != 0

    def start(self, environment: dict[str, str]) -> None:
        """Start it. Raises OSError."""
        names = [self.name] * len(self._passed) + [name for name, _ in self.kept]
        given = [*self._passed, *(kept for _, kept in self.kept)]
        made = environment | ({"LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": ":".join(names)} if given else {})
        actions = [(os.POSIX_SPAWN_DUP2, each, FIRST + at) for at, each in enumerate(given)]
        # A process group of its own: Ctrl-C at a terminal is for us, who end one after the other.
        self.pid = os.posix_spawn(
            sys.executable, argv(f"{self.name}.main", self._given), made, file_actions=actions, setpgroup=0
        )
        self.pidfd = os.pidfd_open(self.pid)
        self.ready = self.aborted = False
        self.fed = clock.monotonic()

    def send(self, number: int) -> None:
        """Send it a signal, if there is somebody to hear it."""
        if self.runs:
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> int | None:
        """Return its exit code if it has ended (negative: the signal), None while it runs."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if not ended:
            return None
        os.close(self.pidfd)
        self.pid = self.pidfd = 0
        now = clock.monotonic()
        self._ends = [*(each for each in self._ends if now - each < WITHIN), now]
        self.due = now + min(AGAIN * 2.0 ** max(0, len(self._ends) - AT_ONCE), LAST_AGAIN)
        return os.waitstatus_to_exitcode(status)

    def keep(self, name: str, descriptors: list[int]) -> None:
        """Keep descriptors for the next process; what there is no room for is closed."""
        for each in descriptors:
            if len(self.kept) < MOST_KEPT:
                self.kept.append((name, _high(each)))
            os.close(each)

    def forget(self, name: str) -> None:
        """Close what is kept under a name."""
        for known, each in [one for one in self.kept if one[0] == name]:
            os.close(each)
            self.kept.remove((known, each))


class Supervisor:
    """Runs until told to stop. ``given`` is what the parts are given, but the socket, which is ours."""

    def __init__(self, given: dict[str, object]) -> None:
        kept = _handed_in()
        self._folder = _folder(str(given.pop("state_dir", "")))
        path = Path(self._folder.name)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with reach(path / "notify") as notified, reach(path / "analyser") as listens:
            self._notified.bind(notified)
            listener.bind(listens)
        self._notified.setsockopt(socket.SOL_SOCKET, _PASSCRED, 1)
        listener.listen(1)
        given = given | {"socket": str(path / "analyser")}
        self.collector = Part("collector", given)
        self.collector.kept = kept
        self.analyser = Part("analyser", given, (_high(listener.detach()),))
        self.parts = (self.analyser, self.collector)
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LISTEN_")},
            "NOTIFY_SOCKET": str(path / "notify"),
            own.SUPERVISED: str(os.getpid()),
        }
        self._asked: set[int] = set()
        self._at_terminal = os.isatty(2)
        self._ready = False

    def run(self) -> int:
        """Keep the parts going until a signal ends them; return the exit code."""
        reads, writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        try:
            while not self._asked & {signal.SIGTERM, signal.SIGINT}:
                for part in self.parts:
                    if (code := self._tend(part)) is not None:
                        return code
                self._wait(reads)
                if signal.SIGHUP in self._asked:
                    self._hang_up()
        finally:
            self._end()
        return 0

    def _hang_up(self) -> None:
        """To a service it means "read again"; a terminal that was closed sends the same, and is one no more."""
        self._asked.discard(signal.SIGHUP)
        if self._at_terminal and not os.isatty(2):
            self._asked.add(signal.SIGTERM)
            return
        self.collector.send(signal.SIGHUP)  # it tells the analyser

    def _tend(self, part: Part) -> int | None:
        """Start a part that does not run, end one that stands still; return the exit code for all, if it is over."""
        now = clock.monotonic()
        if not part.runs:
            if now >= part.due:
                part.start(self._environment)
            return None
        code = part.reap()
        if code is not None:
            if code == WRONG and not part.ready:
                return WRONG
            if code != CHANGED:
                _say(f"the {part.name} {_ended(code)} and is started again")
            else:
                part.due = now
            return None
        if part.ready and now - part.fed > WATCHDOG:
            part.send(signal.SIGKILL if part.aborted and now - part.fed > WATCHDOG + ABORTS else signal.SIGABRT)
            part.aborted = True
        return None

    def _wait(self, signals: int) -> None:
        """Wait for a signal, an end, or a word of a part, a second at the most."""
        poll = select.poll()
        for descriptor in (signals, self._notified.fileno(), *(part.pidfd for part in self.parts if part.runs)):
            poll.register(descriptor, select.POLLIN)
        due = [part.due for part in self.parts if not part.runs]
        until = min([clock.monotonic() + 1.0, *due])
        for ready, _ in poll.poll(max(0.0, until - clock.monotonic()) * 1000):
            if ready == signals:
                self._asked.update(os.read(signals, 64))
            elif ready == self._notified.fileno():
                self._hear()

    def _hear(self) -> None:
        """Take one word of a part."""
        space = socket.CMSG_SPACE(_CREDENTIAL.size) + socket.CMSG_SPACE(253 * 4)
        data, beside, _, _ = self._notified.recvmsg(8192, space, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
        pid, descriptors = 0, []
        for level, kind, what in beside:
            if level == socket.SOL_SOCKET and kind == _CREDENTIALS:
                pid = _CREDENTIAL.unpack(what[: _CREDENTIAL.size])[0]
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = list(struct.unpack(f"{len(what) // 4}i", what[: len(what) // 4 * 4]))
        part = next((one for one in self.parts if one.runs and one.pid == pid), None)
        said = dict(line.partition("=")[::2] for line in data.decode("utf-8", "replace").splitlines())
        if part is None:
            for each in descriptors:
                os.close(each)
            return
        self._heed(part, said, descriptors)

    def _heed(self, part: Part, said: dict[str, str], descriptors: list[int]) -> None:
        if part is self.collector and ("FDSTORE" in said or "FDSTOREREMOVE" in said):
            # Who started us keeps them as well: after an end of us all they are handed in.
            notify.notify(*(f"{key}={value}" for key, value in said.items()), descriptors=descriptors, patience=0.1)
        if said.get("FDSTOREREMOVE") == "1":
            part.forget(said.get("FDNAME", ""))
        part.keep(said.get("FDNAME", "stored"), descriptors)
        if "READY" in said:
            part.ready = True
        if "READY" in said or "WATCHDOG" in said:
            part.fed = clock.monotonic()
        if not self._ready and all(each.ready for each in self.parts):
            self._ready = True
            notify.notify("READY=1", "STATUS=watching")
        if self._ready and "WATCHDOG" in said and all(each.runs for each in self.parts):
            notify.notify("WATCHDOG=1")

    def _end(self) -> None:
        """End the parts, the collector first: what it saw is to be written by the other."""
        notify.notify("STOPPING=1")
        for part in (self.collector, self.analyser):
            part.send(signal.SIGTERM)
            until = clock.monotonic() + ENDS
            while part.runs and part.reap() is None:
                if clock.monotonic() > until:
                    part.send(signal.SIGKILL)
                poll = select.poll()
                poll.register(part.pidfd, select.POLLIN)
                poll.poll(200)
        self._folder.cleanup()


def _high(descriptor: int) -> int:
    """Return a copy of a descriptor out of the way of those that are passed on."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 1024)


def _handed_in() -> list[tuple[str, int]]:
    """Return what our own service manager kept for the collector, by name. Before anything else is opened."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for place, name in enumerate(names[: min(int(count[:6]), MOST_KEPT)]):
        try:
            found.append((name, _high(FIRST + place)))
            os.close(FIRST + place)
        except OSError:
            continue
    return found


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _folder(state_dir: str) -> "tempfile.TemporaryDirectory[str]":
    """Make the folder of our sockets: where the service manager made one for this run, or with the state.

    One that a killed run left there is removed. Where none can be made, or others could put one of theirs in its place,
    it lies where temporary files do.
    """
    place = Path(os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or state_dir or tempfile.gettempdir())
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if ownership.doubt(place) is not None:
            return tempfile.TemporaryDirectory(prefix="replguard-")
        for left in place.glob("parts-*-*"):
            if not Path("/proc", left.name.split("-")[1]).exists():
                shutil.rmtree(left, ignore_errors=True)
        return tempfile.TemporaryDirectory(prefix=f"parts-{os.getpid()}-", dir=place)
    except OSError:
        return tempfile.TemporaryDirectory(prefix="replguard-")


def _say(what: str) -> None:
    sys.stderr.write(f"replguard: {what}\n")
    sys.stderr.flush()


def main(given: dict[str, object]) -> None:
    """Supervise until told to stop, and exit."""
    sys.exit(Supervisor(given).run())

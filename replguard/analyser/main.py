"""The analyser's process."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from replguard.analyser.analyser import Analyser, folder
from replguard.analyser.announce import announce
from replguard.analyser.link import Link
from replguard.analyser.position import Position
from replguard.config import Config
from replguard.frames import Events, Hello, Standing, Told, Written
from replguard.kernel import notify, own, rights
from replguard.masking.mask import also
from replguard.part import Given, begin
from replguard.stage import health
from replguard.supervisor import WRONG

FIRST = 3
"""The descriptor of the socket that the service manager opened for us (sd_listen_fds)."""
CHANGED = 75
"""Exit code of an analyser that has to begin anew for another configuration (EX_TEMPFAIL)."""
HEEDS = 1.0

_log = structlog.get_logger(__name__)


class Service:
    """Begins with the first `Hello`, and goes on when the same collector, or its successor, connects again.

    ``settle`` is called with the configuration before anything begins by it.
    """

    def __init__(self, given: Given, settle: Callable[[Config], None] = lambda _: None) -> None:
        self._given, self._settle = given, settle
        self._lock = threading.Lock()
        self._hello: Hello | None = None
        self._ready = self._goes_on = False
        self._told = ("", 0)
        self.analyser: Analyser | None = None
        self.again = False
        self.link = Link(socket.socket(fileno=FIRST), self.take, self._alone)

    def _alone(self) -> None:
        """Nobody tells us anything: as long as we have not begun, that is all there is to do."""
        if self.analyser is None:
            notify.notify("WATCHDOG=1")

    def take(self, frame: Told) -> bool:
        """Take a frame; False while there is no room."""
        if isinstance(frame, Hello):
            self._greet(frame)
            return True
        analyser = self.analyser
        if analyser is None or self.again:
            return True
        if isinstance(frame, Events) and frame.run == self._told[0] and frame.number <= self._told[1]:
            return True  # told again after a broken connection: it is here, or in the log
        taken = analyser.take(frame)
        if taken and isinstance(frame, Events):
            self._told = frame.run, frame.number
        if isinstance(frame, Standing):
            self._look(analyser)
        return taken

    def _look(self, analyser: Analyser) -> None:
        """Say once that we are ready: when the collector is, and what it saw by then is in the log."""
        stands = analyser.standing
        with self._lock:
            if self._ready or stands is None or not stands.ready or not (analyser.judge.flow.ready or self._goes_on):
                return
            self._ready = True
        if not self._goes_on:
            announce(analyser, stands, as_json=self._given.json)
        notify.notify("READY=1", "STATUS=judging")

    def _greet(self, hello: Hello) -> None:
        before, self._hello = self._hello, hello
        if before is None or self.analyser is None:
            also(hello.config.log.mask)
            self._settle(hello.config)
            self._position = Position(folder(hello.config))
            self._told = self._position.read()
            self._goes_on = self._told[0] == hello.run
            self.analyser = Analyser(hello, self.link.ask, self._written, json=self._given.json)
            self.analyser.start()
            if self._goes_on:
                reason = "its process was lost and is started again: what was told meanwhile is judged now"
                self.analyser.judge.put(health("analyser", "degraded", reason))
        elif _kind(before) != _kind(hello):
            _log.info("the collector has another configuration, other sensors or another version: beginning anew")
            self.again = True
            self.link.stop()
        elif before.run != hello.run:
            self._told = hello.run, 0
            self.analyser.succeeded()
        run, number = self._position.read()
        if run == hello.run:
            self.link.ask(Written(run, number))

    def _written(self, run: str, number: int) -> None:
        self._position.note(run, number)
        self.link.ask(Written(run, number))
        if self.analyser is not None and not self._ready:
            self._look(self.analyser)

    def reload(self) -> None:
        """Read the rules again."""
        if self.analyser is not None:
            self.analyser.reload()


def _kind(hello: Hello) -> tuple[object, ...]:
    """Return what an analyser is made for."""
    return hello.version, hello.config, hello.makes, hello.host


def _give_up_rights(config: Config) -> None:
    """Keep no capability, unless root was told to write in somebody's folder. Before any thread is started."""
    files = [str(sink["path"]) for sink in config.sinks.values() if "path" in sink]
    rights.keep(*rights.to_write([config.state_dir, config.log.dir, *files]))


def main(given: dict[str, Any]) -> None:
    """Judge what the collector tells until told to stop."""
    rights.keep(rights.DAC_OVERRIDE)
    try:
        service = Service(msgspec.convert(given, Given), _give_up_rights)
    except OSError:
        sys.stderr.write("replguard: the analyser is given its socket by who starts it: start replguard.service\n")
        sys.exit(WRONG)
    begin(service.link.stop, service.reload)
    if not os.environ.get(own.SUPERVISED):  # whoever starts the other one waits for us, and we for the other one
        notify.notify("READY=1", "STATUS=waiting for what watches")
    try:
        service.link.run()
    finally:
        notify.notify("STOPPING=1")
        if service.analyser is not None:
            service.analyser.close()
    sys.stdout.flush()
    if service.again:
        os._exit(CHANGED)

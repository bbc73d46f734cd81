"""The analyser: opens log, rules, sinks and page, keeps them going through whatever happens, and ends cleanly."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from replguard import ownership
from replguard.alerts.manager import Manager
from replguard.analyser.earlier import Earlier
from replguard.analyser.judge import Judge
from replguard.analyser.numbers import gather
from replguard.analyser.rulebook import Rulebook
from replguard.analyser.survey import Survey
from replguard.config import Config, Stream
from replguard.detector import Detector
from replguard.events import clock
from replguard.events.health import Health
from replguard.events.overview import Overview
from replguard.events.text import printable
from replguard.frames import (
    Asked,
    Changed,
    Hello,
    Judging,
    Meanwhile,
    Reread,
    Resolved,
    Standing,
    Told,
    Wanted,
)
from replguard.kernel import notify, resolve
from replguard.liveness import Liveness
from replguard.log.keys import Keys
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.metrics.page import Page
from replguard.metrics.table import Sheet
from replguard.rules.paths import Paths
from replguard.sinks import Sinks
from replguard.stage import health

UPKEEP = 2.0
"""Seconds between looks at what lies on disk."""
RESOLVE = 300.0
"""Seconds between look-ups of the names in ``agents.endpoints`` (meanings: Agent)."""
GIVE_UP = 10.0
"""Seconds that the end waits for what is still to be written and sent."""

_log = structlog.get_logger(__name__)


def folder(config: Config) -> Path:
    """Return where the analyser keeps what it knows: a folder of its own, for it may be another user."""
    return Path(config.state_dir) / "analyser"


class Analyser:
    """One run of the analyser, for the collector that said ``hello``. ``ask`` takes what it is to be asked.

    ``written`` is told run and number of the last frame that is in the log.
    """

    def __init__(
        self,
        hello: Hello,
        ask: Callable[[Asked], None],
        written: Callable[[str, int], None] = lambda _, __: None,
        *,
        json: bool = False,
    ) -> None:
        config = hello.config
        self.hello, self.config, self._ask = hello, config, ask
        self._started = clock.now()
        self._state, self._log_dir = folder(config), Path(config.log.dir)
        self._boot = hello.host.boot_id or ""
        self._stop, self._last, self._reload = threading.Event(), threading.Event(), threading.Event()
        self._survey = Survey(self._log_dir)
        self._threads: list[threading.Thread] = []
        self._stood = threading.Event()
        self.standing: Standing | None = None
        self._overview: Overview | None = None
        self.rulebook = Rulebook(config, hello.makes, hello.path, self._state)
        self._paths = Paths(self.rulebook.ruleset.rules)
        self.judge = Judge(
            detector=Detector(self.rulebook.ruleset, Manager(config, hello.host)),
            sequencer=Sequencer(self._boot),
            raw=self._stream("raw", config.log.raw, buffered=True),
            evidence=self._stream("evidence", config.log.evidence, buffered=False),
            sinks=Sinks({**config.sinks, **({"console": {"json": True}} if json else {})}, self._report),
            ask=ask,
            written=written,
            memory=self._state / "alerts.state",
            mending=self._mending,
        )
        self._earlier = Earlier(self._log_dir, self._started, self.judge.put)
        self.page = Page(config.metrics.listen, self._numbers, self._report, config.metrics.web_config)

    def _stream(self, name: str, limits: Stream, *, buffered: bool) -> Writer:
        return Writer(
            self._log_dir,
            name,
            limits,
            keys=Keys(self._state / f"log-{name}.key"),
            boot_id=self._boot,
            buffered=buffered,
            report=self._report,
            host=self.hello.host,
            doubt=self._doubt,
        )

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. Returns at once."""
        # Before anything is written: what we do is ours, and no stranger's.
        self._ask(self.judging())
        # The first words of all, before a tick of the clock: by them a replay knows whether alerts begin anew.
        if self.judge.memory.open():
            self.judge.put(health("alerts", "recovered", "those that are open go on"))
        self.judge.put(health("daemon", "started", self.hello.version))
        self.judge.sinks.start()
        self.page.start()
        self._tell_wanted()
        for name, step in (
            ("judge", self._consume),
            ("upkeep", self._upkeep),
            ("resolver", self._resolve),
            ("watchdog", self._watch_over),
        ):
            thread = threading.Thread(target=step, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        for problem in self.rulebook.problems:
            self.judge.put(health("config", "degraded", f"{self.rulebook.in_force}: {problem}"))

    def take(self, frame: Told) -> bool:
        """Take a frame of the collector; False while there is no room."""
        if isinstance(frame, Standing):
            self.standing = frame
            self._stood.set()
        elif isinstance(frame, Meanwhile):
            told = self._earlier.meanwhile(clock.now(), self._boot, frame.kept, GIVE_UP)
            if told is not None:
                self._report(told)
        elif isinstance(frame, Reread):
            self.reload()
        elif not isinstance(frame, Hello):
            return self.judge.put(frame)
        return True

    def reload(self) -> None:
        """Ask for the rules to be read again; safe from any thread, but not in a signal handler."""
        self._reload.set()
        self._stood.set()

    def succeeded(self) -> None:
        """Go on with the collector that has taken the place of one that was lost, or stopped."""
        flow = self.judge.flow
        if not flow.stopped:
            self.judge.put(health("collector", "degraded", "its process was lost and is started again"))
        self._earlier.ended(flow.ticked or clock.now(), self._boot, stopped=flow.stopped)
        self._tell_wanted()
        self._ask(self.judging())

    def close(self) -> None:
        """Write and send what has come in, and end."""
        self._stop.set()
        self._stood.set()
        self.judge.put(health("daemon", "stopped"))
        self._last.set()
        for thread in self._threads:
            thread.join(GIVE_UP)
        self.judge.sinks.stop(GIVE_UP)
        self.page.stop()
        for writer in (self.judge.raw, self.judge.evidence):
            writer.close(now=clock.now())

    # -- threads -------------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        """Go through the log again while the collector looks already: what it tells waits in the queue."""
        self._earlier.look(Keys(self._state / "log-raw.key").knows)
        if self._doubt(self._log_dir) is None:  # else nobody knows who wrote it
            self._earlier.resume(self.judge)
        self.judge.run(self._last)

    def _upkeep(self) -> None:
        """Look after what lies on disk and may change under us, and say how we stand, when the collector has."""
        while not self._stop.is_set():
            try:
                if self._reload.is_set() or self.rulebook.changed():
                    self._reload.clear()
                    self._read_again()
                self._overview = self._surveyed()
                self._ask(self.judging())
            except Exception:  # noqa: BLE001 - whatever is wrong with the disk now, the watch goes on
                _log.exception("upkeep failed, trying again")
            self._stood.wait(UPKEEP)
            self._stood.clear()

    def _watch_over(self) -> None:
        """Feed systemd's watchdog while we get on, give memory back."""
        carrying = [thread for thread in self._threads if thread.name in ("judge", "upkeep")]
        Liveness(lambda: self.judge.flow.steps, carrying, list).watch_over(self._stop)

    def _resolve(self) -> None:
        """Learn what addresses the names of model APIs stand for now, for the collector, which asks no network."""
        names = resolve.Names(self.hello.names)
        while self.hello.names and not self._stop.is_set():
            self._ask(Resolved(tuple(sorted(names.addresses()))))
            self._stop.wait(RESOLVE)

    def _read_again(self) -> None:
        notify.notify("RELOADING=1")
        difference = self.rulebook.reload()
        for problem in self.rulebook.problems:
            _log.warning(self.rulebook.in_force, problem=printable(str(problem)))
            self.judge.put(health("config", "degraded", f"{self.rulebook.in_force}: {problem}"))
        self._paths = Paths(self.rulebook.ruleset.rules)
        self._tell_wanted()
        self.judge.put(self.rulebook.ruleset)
        if difference:
            self._ask(Changed(self.rulebook.newest, difference))
        if not self.rulebook.problems:
            _log.info("rules were read again", difference=difference or "nothing changed")
            self.judge.put(health("rules", "reloaded", difference or "nothing changed"))
        notify.notify("READY=1")

    # -- what others ask -----------------------------------------------------------------------------------------

    def judging(self) -> Judging:
        """Return how we stand, for `replguard status`."""
        problems = [*map(str, self.rulebook.problems), *filter(None, [self.page.trouble])]
        listen = "" if self.page.trouble else self.config.metrics.listen
        return Judging(os.getpid(), self.rulebook.judging, tuple(problems), listen, self._overview)

    def _surveyed(self) -> Overview | None:
        """Return how both stand; None as long as the other one has not said that it is ready: little is there yet."""
        if self.standing is None or not self.standing.ready:
            return None
        return self._survey.look(clock.now(), self._numbers(), self.standing.allowed, self.judge)

    def _mending(self) -> bool:
        until = None if self.standing is None else self.standing.maintenance
        return until is not None and clock.now() < until

    def _tell_wanted(self) -> None:
        self._ask(Wanted(None if self._paths.everything else tuple(sorted(self._paths.asked))))

    def _numbers(self) -> Sheet:
        return gather(self.rulebook, self.judge, self.standing)

    def _doubt(self, folder: Path) -> str | None:
        return ownership.doubt(folder, self.hello.operators)

    def _report(self, trouble: Health) -> None:
        self.judge.report(trouble)  # which is made later than some who report

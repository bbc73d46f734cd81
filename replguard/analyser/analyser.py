"""The analyser: opens log, rules, sinks and page, keeps them going through whatever happens, and ends cleanly."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from replguard import ownership
from replguard.alerts.manager import Manager
from replguard.analyser.judge import Judge
from replguard.analyser.numbers import gather
from replguard.analyser.rulebook import Rulebook
from replguard.config import Stream
from replguard.detector import Detector
from replguard.events import clock
from replguard.events.health import Health
from replguard.events.text import printable
from replguard.frames import Asked, Changed, Evidence, Hello, Judging, Resolved, Standing, Told, Wanted
from replguard.kernel import memory, notify, resolve
from replguard.liveness import Liveness
from replguard.log.ending import ending
from replguard.log.keys import Keys
from replguard.log.recent import recent
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.metrics.page import Page
from replguard.metrics.table import Sheet
from replguard.rules.paths import Paths
from replguard.sinks import Sinks
from replguard.stage import health

UPKEEP = 2.0
"""Seconds between looks at what lies on disk."""
TRIM = 60.0
"""Seconds between two times that free memory is given back to the kernel."""
RESOLVE = 300.0
"""Seconds between look-ups of the names in ``agents.endpoints`` (meanings: Agent)."""
GIVE_UP = 10.0
"""Seconds that the end waits for what is still to be written and sent."""

_log = structlog.get_logger(__name__)


class Analyser:
    """One run of the analyser, for the collector that said ``hello``. ``ask`` takes what it is to be asked.

    ``kept`` is told run and number of the last frame that is in the log.
    """

    def __init__(
        self,
        hello: Hello,
        ask: Callable[[Asked], None],
        kept: Callable[[str, int], None] = lambda _, __: None,
        *,
        json: bool = False,
    ) -> None:
        config = hello.config
        self.hello, self.config, self._ask = hello, config, ask
        self._started = clock.now()
        self._state, self._log_dir = Path(config.state_dir), Path(config.log.dir)
        self._boot = hello.host.boot_id or ""
        self._stop, self._last, self._reload = threading.Event(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self.standing: Standing | None = None
        self.rulebook = Rulebook(config, hello.makes, hello.path)
        self._paths = Paths(self.rulebook.ruleset.rules)
        self.judge = Judge(
            detector=Detector(self.rulebook.ruleset, Manager(config, hello.host)),
            sequencer=Sequencer(self._boot),
            raw=self._stream("raw", config.log.raw, buffered=True),
            evidence=self._stream("evidence", config.log.evidence, buffered=False),
            sinks=Sinks({**config.sinks, **({"console": {"json": True}} if json else {})}, self._report),
            ask=self.ask,
            kept=kept,
        )
        self.page = Page(config.metrics.listen, self._numbers, self._report)

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
        # The first word of all, before a tick of the clock: from it on a replay begins alerts anew, as we do.
        self.judge.put(health("daemon", "started", self.hello.version))
        self.judge.sinks.start()
        self.page.start()
        self._tell_wanted()
        for name, step in (("judge", self._consume), ("upkeep", self._upkeep), ("resolver", self._resolve)):
            thread = threading.Thread(target=step, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        thread = threading.Thread(target=self._watch_over, name="watchdog", daemon=True)
        thread.start()
        self._threads.append(thread)
        for problem in self.rulebook.problems:
            self.judge.put(health("config", "degraded", f"{self.rulebook.in_force}: {problem}"))

    def take(self, frame: Told) -> bool:
        """Take a frame of the collector; False while there is no room."""
        if isinstance(frame, Standing):
            self.standing = frame
            return True
        return isinstance(frame, Hello) or self.judge.put(frame)

    def reload(self) -> None:
        """Ask for the rules to be read again; safe from any thread, but not in a signal handler."""
        self._reload.set()

    def succeeded(self) -> None:
        """Say that the collector was lost, and another has taken its place."""
        reason = "its process was lost and is started again: what happened between the two was not seen"
        self.judge.put(health("collector", "degraded", reason))
        self._tell_wanted()

    def close(self) -> None:
        """Write and send what has come in, and end."""
        self._stop.set()
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
        self._look_back()
        self._resume()
        self.judge.run(self._last)

    def _look_back(self) -> None:
        """Say for how long nothing was seen, if the run before was not stopped. Before anything of ours is written."""
        try:
            before = ending(self._log_dir, Keys(self._state / "log-raw.key").knows)
        except Exception:  # noqa: BLE001 - whatever stands in the log, the watch must begin
            _log.exception("how the log ended cannot be told")
            return
        if before is not None and (untold := before.untold(self._started, self._boot)):
            self.judge.put(health("daemon", "degraded", untold))

    def _resume(self) -> None:
        """Let sequences that were under way when the run before ended go on: the log still holds what was seen."""
        try:
            since = self._started - self.judge.detector.engine.span
            if self._doubt(self._log_dir) is None:  # else nobody knows who wrote it
                self.judge.resume(recent(self._log_dir, since, passed_over=self._passed_over))
        except Exception:  # noqa: BLE001 - whatever stands in the log, the watch must begin
            _log.exception("the log cannot be gone through again: sequences begin anew")

    def _passed_over(self, segments: int) -> None:
        """Say that sequences which began long ago may not go on: there was more in the log than a start may read."""
        older = "1 older segment" if segments == 1 else f"{segments} older segments"
        reason = f"a start may read no more of the log: {older} left out, and what began there may go on unseen"
        self.judge.put(health("log", "degraded", reason))

    def _upkeep(self) -> None:
        """Look after what lies on disk and may change under us, and say how we stand."""
        while True:
            try:
                if self._reload.is_set() or self.rulebook.changed():
                    self._reload.clear()
                    self._read_again()
                self._ask(self.judging())
            except Exception:  # noqa: BLE001 - whatever is wrong with the disk now, the watch goes on
                _log.exception("upkeep failed, trying again")
            if self._stop.wait(UPKEEP):
                return

    def _watch_over(self) -> None:
        """Feed systemd's watchdog while we get on, give memory back."""
        carrying = [thread for thread in self._threads if thread.name in ("judge", "upkeep")]
        liveness = Liveness(lambda: self.judge.flow.steps, carrying, list)
        trimmed = clock.monotonic()
        while not self._stop.wait(UPKEEP):
            liveness.feed()
            if clock.monotonic() - trimmed >= TRIM:
                trimmed = clock.monotonic()
                memory.trim()

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

    def ask(self, evidence: Evidence) -> None:
        """Ask for what the evidence is to hold with an alert."""
        self._ask(evidence)

    def judging(self) -> Judging:
        """Return how we stand, for `replguard status`."""
        problems = [*map(str, self.rulebook.problems), *filter(None, [self.page.trouble])]
        listen = "" if self.page.trouble else self.config.metrics.listen
        return Judging(os.getpid(), self.rulebook.judging, tuple(problems), listen)

    def _tell_wanted(self) -> None:
        self._ask(Wanted(None if self._paths.everything else tuple(sorted(self._paths.asked))))

    def _numbers(self) -> Sheet:
        return gather(self.rulebook, self.judge, self.standing)

    def _doubt(self, folder: Path) -> str | None:
        return ownership.doubt(folder, self.hello.operators)

    def _report(self, trouble: Health) -> None:
        tell = _log.info if trouble.state in ("started", "recovered") else _log.warning
        tell(f"{trouble.component} {trouble.state}", reason=printable(trouble.reason or ""))
        self.judge.put(health(trouble.component, trouble.state, trouble.reason, lost=trouble.lost))

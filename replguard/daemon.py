"""The daemon: opens every part, keeps it going through whatever happens, reloads on SIGHUP, and stops cleanly."""

import os
import platform
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from replguard import __version__, standing
from replguard.alerts.manager import Manager
from replguard.canaries import Canaries
from replguard.config import Config, Stream
from replguard.control import server
from replguard.control.office import Office
from replguard.detector import Detector
from replguard.earlier import Earlier
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.health import Health
from replguard.events.hint import Hint
from replguard.events.host import Host
from replguard.events.text import printable
from replguard.evidence.witness import Witness
from replguard.holdings import Holdings
from replguard.kernel import machine, memory, notify, resolve
from replguard.kernel.carried import CARRIED
from replguard.kernel.keep import KEPT
from replguard.liveness import Liveness
from replguard.log.keys import Keys
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.metrics.page import Page
from replguard.metrics.table import Sheet
from replguard.numbers import gather
from replguard.overview import Observer
from replguard.pipeline import Item, Pipeline, health
from replguard.policy import Policy
from replguard.provenance import egress, places
from replguard.provenance.authority import Authority
from replguard.provenance.baseline import Baseline, been_here, recorded
from replguard.provenance.contained import Names
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.guarded import Guarded
from replguard.provenance.learned import Serves, learned
from replguard.provenance.provenance import Provenance
from replguard.rules.paths import Paths
from replguard.sensors import registry
from replguard.sensors.processes.ours import Roll
from replguard.sensors.runner import Runner
from replguard.sinks import Sinks
from replguard.standing import SensorLine, Status, StatusFile
from replguard.weights.mounts import Mounts

READY_WITHIN = 10.0
"""Seconds that `ready` waits for the sensors' first look; one that needs longer is told as not ready."""
HEEDS = 1.0
"""Seconds after which a signal is heeded at the latest."""
UPKEEP = 2.0
"""Seconds between looks at what lies on disk: weights folders, manifest, rules."""
TRIM = 60.0
"""Seconds between two times that free memory is given back to the kernel."""
RESOLVE = 300.0
"""Seconds between look-ups of the names in ``agents.endpoints`` (meanings: Agent)."""
HTTPS = 443
CARRYING = ("pipeline", "examined", "upkeep")
"""Threads without which the daemon does not get on; the resolver ends by itself where there is no name."""

_log = structlog.get_logger(__name__)


class Daemon:
    """One run of the daemon. ``policy`` holds configuration, manifest and rules and knows how to read them again."""

    def __init__(self, policy: Policy, opening: registry.Opening | None = None, *, json: bool = False) -> None:
        self.policy = policy
        self._json = json
        self._started = clock.now()
        config = policy.config
        self._state = Path(config.state_dir)
        self._stop = threading.Event()
        self._last = threading.Event()
        self._reload = threading.Event()
        self._settled = threading.Event()
        self._earlier = Earlier(Path(config.log.dir), self._started, self._put)
        self._file = StatusFile(self._state)
        self._observer = Observer(Path(config.log.dir))
        self._threads: list[threading.Thread] = []
        self.roll = Roll(self._state)
        self.host = Host(
            id=machine.machine_id(), name=platform.node(), boot_id=machine.boot_id(), kernel=platform.release()
        )
        self.guarded = Guarded(policy.path, config)
        self.holdings = Holdings(config, self._put)
        self.names = Names(config.host_root)
        least = config.alerts.snapshot
        self.witness = Witness(self._put, self._report, None if least == "off" else least)
        found, self.absent = (opening or registry.Opening()).all(config)
        self.pipeline = self._pipeline(config)
        self.holdings.inventory.leaving = self.pipeline.provenance.ledger.retire
        desk = self.pipeline.provenance.desk
        self.office = Office(desk, self._put, lambda: self.status(clock.now()), self.reload, self.holdings.guest)
        self.control = server.of(config.state_dir, self.office.answers)
        self._paths = Paths(self.policy.ruleset.rules)
        for sensor in found:
            sensor.choose(self._wanted, self.holdings.sizes.worth, self.pipeline.provenance.drives)
        self.runner = Runner(found, self._noticed)
        self.canaries = Canaries(self._state, lambda: self.runner.sensors, self.runner.revive)
        self.page = Page(config.metrics.listen, self._numbers, self._report, config.metrics.web_config)

    def _pipeline(self, config: Config) -> Pipeline:
        self.authority = Authority(self.policy.manifest, Baseline(self._state / "baseline.json"))
        self.endpoints = Endpoints(config.agents.endpoints)
        provenance = Provenance(
            own_pid=os.getpid(),
            authority=self.authority,
            endpoints=self.endpoints,
            by_inode=self.holdings.inventory.by_inode,
            files=self.holdings.inventory.files,
            examine=lambda request: self.holdings.examine(request, self.runner),
            watch=self._watch,
            index_ready=lambda: self.holdings.examiner.counts.unindexed == 0,
            counted=lambda device, inode: self.runner.counts(device, inode),  # noqa: PLW0108 - likewise
            egress=egress.Settings(config.egress.limit, config.egress.ignore, self._state / "egress.json"),
            remote=Mounts().away,
            guarded=self.guarded,
            state=self._state,
            names=self.names,
            memory=self._state / "provenance.state",
        )
        provenance.planned.learn(places.lists())
        return Pipeline(
            provenance=provenance,
            detector=Detector(self.policy.ruleset, Manager(config, self.host)),
            sequencer=Sequencer(self.host.boot_id or ""),
            raw=self._stream("raw", config.log.raw, buffered=True),
            evidence=self._stream("evidence", config.log.evidence, buffered=False),
            told_until=lambda: self.runner.told_until(),  # noqa: PLW0108 - it is made later
            witness=self.witness.ask,
            memory=self._state / "alerts.state",
            carried=CARRIED.until,
            behind=lambda: bool(KEPT.owners) and not self._settled.is_set(),
            heard=lambda alert: self.office.heard(alert),  # noqa: PLW0108 - likewise
            sinks=Sinks({**config.sinks, **({"console": {"json": True}} if self._json else {})}, self._report),
        )

    def _stream(self, name: str, limits: Stream, *, buffered: bool) -> Writer:
        return Writer(
            Path(self.policy.config.log.dir),
            name,
            limits,
            keys=Keys(self._state / f"log-{name}.key"),
            boot_id=self.host.boot_id or "",
            buffered=buffered,
            report=self._report,
            host=self.host,
            doubt=self.policy.doubt,
        )

    # -- life ----------------------------------------------------------------------------------------------------

    def run(self, announce: Callable[["Daemon"], None]) -> None:
        """Run until told to stop. ``announce`` is called once, when the daemon is ready."""
        now = self._started
        log = Path(self.policy.config.log.dir)
        first = self.policy.first and not been_here(self._state / "baseline.json", log)
        self.authority.baseline.open(now, first_start=first, recorded=recorded(log))
        self.authority.baseline.save()
        self.pipeline.provenance.egress.store.open(now, first_start=first)
        self.pipeline.provenance.resume(now)
        self.pipeline.provenance.desk.windows.load(now)
        self._start()
        try:
            self._settle(now)
            if self._stop.is_set():
                return
            announce(self)
            notify.notify("READY=1", f"STATUS=watching, {len(self.runner.sensors)} sensors")
            # Not without end: a signal that comes as the wait begins, or to another thread, interrupts nothing.
            while not self._stop.wait(HEEDS):
                self.pipeline.rhythm.step(clock.monotonic())
        finally:
            notify.notify("STOPPING=1")
            self._close()

    def stop(self) -> None:
        """Ask the daemon to end; safe from any thread, but not in a signal handler: the event has a lock."""
        self._stop.set()

    def reload(self) -> None:
        """Ask for configuration, manifest and rules to be read again; as for `stop`."""
        self._reload.set()

    def _start(self) -> None:
        # The first words of all, before a tick of the clock: by them a replay knows whether alerts begin anew.
        if self.pipeline.memory.open():
            self.pipeline.put(health("alerts", "recovered", "those that are open go on"))
        self.pipeline.put(health("daemon", "started", __version__))
        self.pipeline.sinks.start()
        self.witness.start()
        self.holdings.examiner.start()
        try:
            self.holdings.refresh(self._watch)
        except Exception:  # noqa: BLE001 - upkeep lists them again in a moment; the watch must begin
            _log.exception("weights cannot be listed, trying again")
        self.page.start()
        self.control.start()
        self.names.start()
        for name, step in (
            ("pipeline", self._consume),
            ("examined", lambda: self.holdings.carry(self._stop)),
            ("upkeep", self._upkeep),
            ("watchdog", self._watch_over),
            ("resolver", self._resolve),
            ("canaries", lambda: self.canaries.run(self._stop)),
        ):
            thread = threading.Thread(target=step, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self.runner.start()

    def _meanwhile(self) -> None:
        """Say what was seen of the time in which no daemon ran, once every sensor has read what was kept for it."""
        KEPT.release([sensor.name for sensor in self.runner.sensors if not self.runner.up(sensor.name)])
        self._settled.set()
        told = self._earlier.meanwhile(self.host.boot_id or "", standing.kept(self.runner), READY_WITHIN)
        if told is not None:
            self._report(told)

    def _settle(self, now: datetime) -> None:
        """Wait for the first look of every sensor; say what did not get ready, and what was lost since last time."""
        end = clock.monotonic() + READY_WITHIN
        while not self.runner.ready(0.1) and clock.monotonic() < end and not self._stop.is_set():
            pass
        if not self.runner.ready(0):
            slow = [s.name for s in self.runner.sensors if not self.runner.up(s.name)]
            self.pipeline.put(health("daemon", "degraded", f"not ready after {READY_WITHIN:.0f} s: {', '.join(slow)}"))
        self._meanwhile()
        for absent in self.absent:
            self.pipeline.put(health(absent.name, "degraded", absent.reason))
        for problem in self.policy.problems:
            self.pipeline.put(health("config", "degraded", f"{self.policy.in_force}: {problem}"))
        self._look_at_folders()
        if self.authority.baseline.trouble is not None:
            self._changed("baseline", self.authority.baseline.trouble, now)
        self.roll.note(self.holdings.examiner.pid)
        self.pipeline.put(health("daemon", "ready"))
        self._file.write(self.status(now))

    def _close(self) -> None:
        self._stop.set()
        self.control.stop(READY_WITHIN)
        self.runner.stop()
        self.witness.close()
        self.names.stop()
        self.pipeline.put(health("daemon", "stopped"))
        self._last.set()
        for thread in self._threads:
            thread.join(READY_WITHIN)
        self.holdings.examiner.stop()
        self.authority.baseline.save()
        self.pipeline.provenance.egress.store.save(clock.now())
        self.pipeline.sinks.stop(READY_WITHIN)
        self.page.stop()
        for writer in (self.pipeline.raw, self.pipeline.evidence):
            writer.close(now=clock.now())
        self._file.remove()

    # -- threads -------------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        """Go through the log again while sensors look already: what they see waits in the queue."""
        self._earlier.look(Keys(self._state / "log-raw.key").knows)
        if self.policy.doubt(Path(self.policy.config.log.dir)) is None:  # else nobody knows who wrote it
            self._earlier.resume(self.pipeline)
        self.pipeline.run(self._last)

    def _upkeep(self) -> None:
        """Look after what lies on disk and may change under us."""
        while not self._stop.wait(UPKEEP):
            try:
                self.holdings.refresh(self._watch)
                if self._reload.is_set() or self.policy.changed():
                    self._reload.clear()
                    self._read_again()
                self.holdings.look_after()
                self.roll.note(self.holdings.examiner.pid)
                self._look_at_folders()
                self._file.write(self.status(clock.now()))
            except Exception:  # noqa: BLE001 - whatever is wrong with the disk now, the watch goes on
                _log.exception("upkeep failed, trying again")

    def _watch_over(self) -> None:
        """Look for what hangs, feed systemd's watchdog, give memory back. Upkeep may hang itself, on the same disk."""
        carrying = [thread for thread in self._threads if thread.name in CARRYING]
        liveness = Liveness(lambda: self.pipeline.flow.steps, carrying, self.runner.ended)
        trimmed = clock.monotonic()
        while not self._stop.wait(UPKEEP):
            self.runner.watchdog()
            liveness.feed()
            if clock.monotonic() - trimmed >= TRIM:
                trimmed = clock.monotonic()
                memory.trim()

    def _look_at_folders(self) -> None:
        """Say which folders of ours others can change now, and could not before."""
        for problem in self.policy.look():
            self._report(Health(component="config", state="degraded", reason=str(problem)))

    def _resolve(self) -> None:
        """Learn what addresses the names of model APIs stand for now."""
        known: set[str] = set()
        names = resolve.Names(self.endpoints.names)
        while self.endpoints.names and not self._stop.is_set():
            found = names.addresses()
            self.endpoints.resolved(found)
            for ip in found ^ known:
                self._watch(Hint(kind="endpoint", ip=ip, port=HTTPS, drop=ip in known))
            known = found
            self._stop.wait(RESOLVE)

    def _read_again(self) -> None:
        notify.notify("RELOADING=1")
        difference = self.policy.reload()
        for problem in self.policy.problems:
            _log.warning(self.policy.in_force, problem=printable(str(problem)))
            self.pipeline.put(health("config", "degraded", f"{self.policy.in_force}: {problem}"))
        self.authority.manifest = self.policy.manifest
        self._paths = Paths(self.policy.ruleset.rules)
        self.pipeline.put(self.policy.ruleset)
        if difference:
            self._changed("policy", difference, clock.now())
        if not self.policy.problems:
            _log.info("manifest and rules were read again", difference=difference or "nothing changed")
            self.pipeline.put(health("config", "reloaded", difference or "nothing changed"))
        notify.notify("READY=1")

    # -- what others ask -----------------------------------------------------------------------------------------

    def _numbers(self) -> Sheet:
        held = self.holdings
        return gather(self.policy, self.pipeline, self.runner, held.examiner, held.inventory, self.witness, self.absent)

    def _noticed(self, event: Event) -> bool:
        self.names.notice(event)
        return self.pipeline.put(event)

    def _put(self, item: Item) -> bool:
        return self.pipeline.put(item)

    def _watch(self, hint: Hint) -> None:
        self.runner.watch(hint)

    def _report(self, trouble: Health) -> None:
        tell = _log.info if trouble.state in ("started", "recovered") else _log.warning
        tell(f"{trouble.component} {trouble.state}", reason=printable(trouble.reason or ""))
        self.pipeline.put(health(trouble.component, trouble.state, trouble.reason, lost=trouble.lost))

    def _wanted(self, path: str) -> bool:
        """Whether a rule in force may match a file event of this path, or it may say what is allowed."""
        return path.endswith((".yaml", ".yml")) or self._paths(path) or self.guarded(path) is not None

    def _changed(self, what: str, difference: str, now: datetime) -> None:
        self.pipeline.put(self.policy.change(what, difference, now))

    def sensors(self) -> list[SensorLine]:
        """Return a line for each sensor, those that cannot work here included."""
        return standing.lines(self.runner, self.absent)

    def protecting(self) -> str:
        """Return what is protected, in a sentence."""
        return standing.protecting(self.holdings.inventory)

    def status(self, now: datetime) -> Status:
        """Return what `replguard status` shows."""
        return Status(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            written=now,
            sensors=self.sensors(),
            protecting=self.protecting(),
            judging=standing.judging(self.policy.ruleset),
            problems=[*map(str, self.policy.problems + self.policy.unsafe), *filter(None, [self.page.trouble])],
            metrics="" if self.page.trouble else self.policy.config.metrics.listen,
            guarded=bool(self.policy.config.metrics.web_config),
            serving=self.serving(),
            control=str(self.control.path),
            maintenance=window.told() if (window := self.pipeline.provenance.desk.windows.window) else None,
            overview=self._observer.look(now, self._numbers(), self.policy.manifest, self.pipeline),
            mounts=standing.watching(self.runner.mounts(), self.holdings.inventory),
        )

    def serving(self) -> list[Serves]:
        """Return what serves now, for `replguard learn`."""
        return learned(self.pipeline.provenance.instances)

"""The collector: opens the sensors and what binds their events, keeps them going, and ends cleanly."""

import platform
import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from replguard import __version__, hostroot, standing
from replguard.canaries import Canaries
from replguard.collector.holdings import Holdings
from replguard.collector.numbers import gather
from replguard.collector.observer import Observer
from replguard.collector.wanted import Wants
from replguard.config import Config
from replguard.control import server
from replguard.control.office import Office
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.evidence import Taken
from replguard.events.health import Health
from replguard.events.hint import Hint
from replguard.events.host import Host
from replguard.events.standing import SensorLine, Serves
from replguard.events.text import printable
from replguard.evidence.witness import Witness
from replguard.frames import (
    Asked,
    Changed,
    Evidence,
    Hello,
    Judging,
    Looked,
    Meanwhile,
    Reread,
    Resolved,
    Standing,
    Told,
    Wanted,
    Written,
)
from replguard.kernel import machine, own
from replguard.kernel.carried import CARRIED
from replguard.kernel.keep import KEPT
from replguard.liveness import Liveness
from replguard.policy import Policy, operators
from replguard.provenance import egress, places
from replguard.provenance.authority import Authority
from replguard.provenance.baseline import Baseline, been_here, recorded
from replguard.provenance.contained import Names
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.guarded import Guarded
from replguard.provenance.learned import learned
from replguard.provenance.provenance import Provenance
from replguard.sensors import registry
from replguard.sensors.processes.ours import Roll
from replguard.sensors.runner import Runner
from replguard.stage import health
from replguard.standing import Status, StatusFile
from replguard.weights.examiner import Examination
from replguard.weights.mounts import Mounts

READY_WITHIN = 10.0
"""Seconds that `ready` waits for the sensors' first look; one that needs longer is told as not ready."""
UPKEEP = 2.0
"""Seconds between looks at what lies on disk: weights folders, manifest."""
HTTPS = 443
CARRYING = ("observer", "examined", "upkeep")
"""Threads without which the collector does not get on."""

_log = structlog.get_logger(__name__)


class Collector:
    """One run of the collector. ``policy`` knows how to read configuration and manifest; ``send`` takes frames."""

    def __init__(
        self,
        policy: Policy,
        send: Callable[[Told], None],
        opening: registry.Opening | None = None,
        unsent: Callable[[], int] = lambda: 0,
    ) -> None:
        self.policy, self._send, self.unsent = policy, send, unsent
        self._started = clock.now()
        self._run = secrets.token_hex(8)
        config = policy.config
        self._state = Path(config.state_dir)
        self._stop, self._last, self._reload = threading.Event(), threading.Event(), threading.Event()
        self._settled = threading.Event()
        self._file = StatusFile(self._state)
        self._threads: list[threading.Thread] = []
        self._known: set[str] = set()
        self.roll = Roll(self._state)
        self.judging: Judging | None = None
        self._judged = float("-inf")
        hostroot.use(config.host_root)
        self.host = Host(
            id=machine.machine_id(), name=platform.node(), boot_id=machine.boot_id(), kernel=platform.release()
        )
        self.guarded = Guarded(policy.path, config)
        self.holdings = Holdings(config, self.put)
        self.names = Names(config.host_root)
        least = config.alerts.snapshot
        self.witness = Witness(self._looked, self._report, None if least == "off" else least)
        found, self.absent = (opening or registry.Opening()).all(config)
        self.makes = registry.makes(found)
        self.observer = self._observer(config)
        self.holdings.inventory.leaving = self.provenance.ledger.retire
        desk = self.provenance.desk
        self.office = Office(desk, self.put, lambda: self.status(clock.now()), self.reload, self.holdings.guest)
        self.control = server.of(config.state_dir, self.office.answers)
        self._wants = Wants()
        for sensor in found:
            sensor.choose(self._wanted, self.holdings.sizes.worth, self.provenance.drives)
        self.runner = Runner(found, self._noticed)
        self.canaries = Canaries(self._state, lambda: self.runner.sensors, self.runner.revive)

    def _observer(self, config: Config) -> Observer:
        self.authority = Authority(self.policy.manifest, Baseline(self._state / "baseline.json"))
        self.endpoints = Endpoints(config.agents.endpoints)
        self.provenance = Provenance(
            own=own.pids,
            authority=self.authority,
            endpoints=self.endpoints,
            by_inode=self.holdings.inventory.by_inode,
            files=self.holdings.inventory.files,
            examine=lambda request: self.holdings.examine(request, self.runner),
            watch=self._watch,
            index_ready=lambda: self.holdings.examiner.counts.unindexed == 0,
            counted=lambda device, inode: self.runner.counts(device, inode),  # noqa: PLW0108 - it is made later
            egress=egress.Settings(config.egress.limit, config.egress.ignore, self._state / "egress.json"),
            remote=Mounts().away,
            guarded=self.guarded,
            state=self._state,
            names=self.names,
            memory=self._state / "provenance.state",
        )
        self.provenance.planned.learn(places.lists())
        return Observer(
            self.provenance,
            self._send,
            told_until=lambda: self.runner.told_until(),  # noqa: PLW0108 - likewise
            run=self._run,
            unsent=self.unsent,
            behind=lambda: bool(KEPT.owners) and not self._settled.is_set(),
            carried=CARRIED.until,
        )

    # -- life ----------------------------------------------------------------------------------------------------

    def hello(self) -> Hello:
        """Return what an analyser has to know to begin."""
        path = self.policy.path
        return Hello(
            run=self._run,
            version=__version__,
            host=self.host,
            config=self.policy.config,
            path=None if path is None else str(path.absolute()),
            operators=tuple(operators(path)),
            makes=tuple(sorted(self.makes)),
            names=tuple(self.endpoints.names),
        )

    def start(self) -> None:
        """Begin to look. Returns when every sensor has had its first look, or is told as slow."""
        log = Path(self.policy.config.log.dir)
        first = self.policy.first and not been_here(self._state / "baseline.json", log)
        self.authority.baseline.open(self._started, first_start=first, recorded=recorded(log))
        self.authority.baseline.save()
        self.provenance.egress.store.open(self._started, first_start=first)
        self.provenance.resume(self._started)
        self.provenance.desk.windows.load(self._started)
        self.witness.start()
        self.holdings.examiner.start()
        try:
            self.holdings.refresh(self._watch)
        except Exception:  # noqa: BLE001 - upkeep lists them again in a moment; the watch must begin
            _log.exception("weights cannot be listed, trying again")
        self.control.start()
        self.names.start()
        for name, step in (
            ("observer", lambda: self.observer.run(self._last)),
            ("examined", lambda: self.holdings.carry(self._stop)),
            ("upkeep", self._upkeep),
            ("watchdog", self._watch_over),
            ("canaries", lambda: self.canaries.run(self._stop)),
        ):
            thread = threading.Thread(target=step, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self.runner.start()
        self._settle()

    def _settle(self) -> None:
        """Wait for the first look of every sensor; say what did not get ready, and what was lost since last time."""
        end = clock.monotonic() + READY_WITHIN
        while not self.runner.ready(0.1) and clock.monotonic() < end and not self._stop.is_set():
            pass
        if not self.runner.ready(0):
            slow = [s.name for s in self.runner.sensors if not self.runner.up(s.name)]
            self.put(health("daemon", "degraded", f"not ready after {READY_WITHIN:.0f} s: {', '.join(slow)}"))
        self._meanwhile()
        for absent in self.absent:
            self.put(health(absent.name, "degraded", absent.reason))
        for problem in self.policy.problems:
            self.put(health("config", "degraded", f"{self.policy.in_force}: {problem}"))
        self._look_at_folders()
        if self.authority.baseline.trouble is not None:
            self._changed("baseline", self.authority.baseline.trouble)
        self.roll.note(self.holdings.examiner.pid)
        self.stand()
        self.put(health("daemon", "ready"))

    def _meanwhile(self) -> None:
        """Say what was seen of the time in which nobody looked, once every sensor has read what was kept for it."""
        KEPT.release([sensor.name for sensor in self.runner.sensors if not self.runner.up(sensor.name)])
        self._settled.set()
        self._send(Meanwhile(standing.kept(self.runner)))

    def stop(self) -> None:
        """Ask for the end; safe from any thread, but not in a signal handler: the event has a lock."""
        self._stop.set()

    def reload(self) -> None:
        """Ask for configuration and manifest to be read again; as for `stop`."""
        self._reload.set()

    def close(self) -> None:
        """End, and send all that was seen by then."""
        self._stop.set()
        self.control.stop(READY_WITHIN)
        self.runner.stop()
        self.witness.close()
        self.names.stop()
        self.put(health("collector", "stopped"))
        self._last.set()
        for thread in self._threads:
            thread.join(READY_WITHIN)
        self.holdings.examiner.stop()
        self.authority.baseline.save()
        self.provenance.egress.store.save(clock.now())
        self._file.remove()

    # -- threads -------------------------------------------------------------------------------------------------

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
                self.stand()
            except Exception:  # noqa: BLE001 - whatever is wrong with the disk now, the watch goes on
                _log.exception("upkeep failed, trying again")

    def _watch_over(self) -> None:
        """Look for what hangs, feed systemd's watchdog, give memory back. Upkeep may hang itself, on the same disk."""
        carrying = [thread for thread in self._threads if thread.name in CARRYING]
        liveness = Liveness(lambda: self.observer.flow.steps, carrying, self.runner.ended)
        liveness.watch_over(self._stop, self.runner.watchdog)

    def _look_at_folders(self) -> None:
        """Say which folders of ours others can change now, and could not before."""
        for problem in self.policy.look():
            self._report(Health(component="config", state="degraded", reason=str(problem)))

    def _read_again(self) -> None:
        self._send(Reread())
        difference = self.policy.reload()
        for problem in self.policy.problems:
            _log.warning(self.policy.in_force, problem=printable(str(problem)))
            self.put(health("config", "degraded", f"{self.policy.in_force}: {problem}"))
        self.authority.manifest = self.policy.manifest
        if difference:
            self._changed("policy", difference)
        if not self.policy.problems:
            _log.info("the manifest was read again", difference=difference or "nothing changed")
            self.put(health("config", "reloaded", difference or "nothing changed"))

    # -- what the analyser asks ----------------------------------------------------------------------------------

    def take(self, asked: Asked) -> None:
        """Do what the analyser asks for."""
        if isinstance(asked, Evidence):
            self.office.heard(asked.alert)
            self.witness.ask(asked.alert)
            self.observer.put(asked)
        elif isinstance(asked, Written):
            self.observer.marks.written(asked.number)
        elif isinstance(asked, Wanted):
            self._wants = Wants(asked.signs)
        elif isinstance(asked, Changed):
            self._changed("policy", asked.difference, asked.path)
        elif isinstance(asked, Resolved):
            self._resolved(set(asked.addresses))
        elif isinstance(asked, Judging):
            own.know(asked.pid)
            self.judging, self._judged = asked, clock.monotonic()
            self._file.write(self.status(clock.now()))

    def _resolved(self, found: set[str]) -> None:
        self.endpoints.resolved(found)
        for ip in found ^ self._known:
            self._watch(Hint(kind="endpoint", ip=ip, port=HTTPS, drop=ip in self._known))
        self._known = found

    # -- what others ask -----------------------------------------------------------------------------------------

    def put(self, item: Event | Examination) -> bool:
        """Take an event, or what the examiner found."""
        return self.observer.put(item)

    def _noticed(self, event: Event) -> bool:
        self.names.notice(event)
        return self.put(event)

    def stand(self) -> None:
        """Say how we stand: to the analyser, which says how both do. Without one that stands in the status file."""
        window = self.provenance.desk.windows.window
        self._send(
            Standing(
                ready=self.runner.ready(0),
                sensors=tuple(self.sensors()),
                protecting=self.protecting(),
                problems=tuple(map(str, self.policy.problems + self.policy.unsafe)),
                waiting=self.observer.waiting + self.unsent(),
                numbers=gather(self).numbers(),
                allowed={item.name: item.max_instances for item in self.policy.manifest.deployments},
                maintenance=None if window is None else window.until,
            )
        )
        if clock.monotonic() - self._judged > 2 * UPKEEP:
            self._file.write(self.status(clock.now()))

    def _looked(self, taken: Taken) -> bool:
        self._send(Looked(taken))
        return True

    def _watch(self, hint: Hint) -> None:
        self.runner.watch(hint)

    def _report(self, trouble: Health) -> None:
        self.observer.report(trouble)  # which is made later than some who report

    def _wanted(self, path: str) -> bool:
        """Whether a rule in force may match a file event of this path, or it may say what is allowed."""
        return path.endswith((".yaml", ".yml")) or self._wants(path) or self.guarded(path) is not None

    def _changed(self, what: str, difference: str, by: str | None = None) -> None:
        self.put(self.policy.change(what, difference, clock.now(), by))

    def sensors(self) -> list[SensorLine]:
        """Return a line for each sensor, those that cannot work here included."""
        return standing.lines(self.runner, self.absent)

    def protecting(self) -> str:
        """Return what is protected, in a sentence."""
        return standing.protecting(self.holdings.inventory)

    def status(self, now: datetime) -> Status:
        """Return what `replguard status` shows."""
        behind = self.judging
        told = [] if behind is None else behind.problems
        return Status(
            version=__version__,
            pid=own.first(),
            started=self._started,
            written=now,
            sensors=self.sensors(),
            protecting=self.protecting(),
            judging="" if behind is None else behind.judging,
            problems=[*map(str, self.policy.problems + self.policy.unsafe), *told],
            metrics="" if behind is None else behind.metrics,
            guarded=bool(self.policy.config.metrics.web_config),
            serving=self.serving(),
            control=str(self.control.path),
            maintenance=window.told() if (window := self.provenance.desk.windows.window) else None,
            overview=None if behind is None else behind.overview,
            mounts=standing.watching(self.runner.mounts(), self.holdings.inventory),
        )

    def serving(self) -> list[Serves]:
        """Return what serves now, for `replguard learn`."""
        return learned(self.provenance.instances)

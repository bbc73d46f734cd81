"""Decides what becomes of a detection: a new alert, one more of a known one, or nothing; and when an alert is over."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from replguard.alerts import build
from replguard.alerts.incidents import Incident, Incidents
from replguard.alerts.quiet import Quiet
from replguard.alerts.rate import Rate
from replguard.alerts.story import Story, nobody, tell
from replguard.config import Config
from replguard.events.alert import LEVELS, Alert, Detection, Level
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.host import Host

MAX_FOLDS = 10_000
MAX_NEWS = 8
"""Repeats of one window that are told at once because they name something new: another copy, another permission."""
OBSERVE: Level = "low"
"""The highest level in mode observe."""
_NEVER = timedelta(days=1)

Key = tuple[str, str, str | None]


@dataclass(slots=True)
class Fold:
    """One alert and its repeats.

    ``newest`` is a repeat that was not told yet; ``muted``: the rate folded the alert away; ``told``: what was made, or
    allowed, of which it told; ``grown``: its place among those with repeats that were not told.
    """

    alert: Alert
    level: Level
    incident: Incident
    opened: datetime
    count: int
    told: frozenset[str]
    news: int = 0
    muted: bool = False
    newest: Detection | None = None
    evidence: tuple[str, ...] = ()
    grown: int = 0


class Manager:
    """Fold, incidents, levels, rate. Time comes from ticks and events only, so that a replay decides alike.

    ``raised`` counts raised alerts by the rule's name and level, ``suppressed`` those that were not raised by reason,
    ``evicted`` what was forgotten because too much was open.
    """

    def __init__(self, config: Config, host: Host | None = None) -> None:
        self._min = LEVELS.index(config.alerts.min_level)
        self._window = timedelta(seconds=config.alerts.fold)
        self._observe = config.mode == "observe"
        self._host = host
        self.folds: OrderedDict[Key, Fold] = OrderedDict()
        self.moved: dict[Key, None] = {}
        """Folds that changed or went since somebody emptied it, the one that did so last at the end."""
        self._grown: dict[Key, None] = {}
        self._growths = 0
        self._quiet = Quiet(self._window)
        self.open = Incidents()
        self.rate = Rate(config.alerts.max_per_hour, max(self._window, timedelta(minutes=1)), host)
        self.now: datetime | None = None
        """The last tick."""
        self.heard: Callable[[Detection], None] = _nobody_listens
        """Called with each detection that an alert tells of, now or later."""
        self.raised: Counter[tuple[str, Level]] = Counter()
        self.suppressed: Counter[str] = Counter()
        self.evicted: Counter[str] = Counter()

    def feed(self, detection: Detection, now: datetime | None = None) -> list[Alert]:
        """Return the alerts that a detection raises at once; repeats are told by a later ``tick``.

        ``now`` is the time of feeding: the last tick, or before the first one the completing event's own time.
        """
        now = now or self.now or detection.events[-1].timestamp
        drill = build.drill(detection)
        if LEVELS.index(detection.rule.level) < self._min and drill is None:
            self.suppressed["level"] += 1
            return []
        self.heard(detection)
        story = tell(detection)
        key = _key(detection, story)
        fold = self.folds.get(key)
        if drill is None and fold is not None and not self._breaks(fold, detection, now):
            return self._repeat(key, fold, detection, story, now)
        return self._raise(key, fold, detection, story, now)

    def ended(self, event: Event) -> list[Alert]:
        """Return the alerts that a `server_live` ends: those about an instance alone, with it or once it is allowed."""
        context = event.replguard
        if context is None or context.instance is None or not _is_over(context):
            return []
        now, ended = self.now or event.timestamp, context.instance.id
        for key in [key for key, fold in self.folds.items() if _is_about(fold.alert, ended)]:
            self._settle(key)
        found: list[Alert] = []
        for incident in self.open:
            over = [alert for alert in incident.alerts.values() if _is_about(alert, ended)]
            if over:
                self.open.move(incident)
            found += [_resolved(incident.alerts.pop(alert.event.id), now) for alert in over]
        return found

    def tick(self, now: datetime) -> list[Alert]:
        """Return what time brings: counts of repeats when their window ends, and what is resolved."""
        self.now = now
        alerts: list[Alert] = []
        for key in self._finished(now):
            alerts += self._update(key, self.folds[key], now)
        for incident in self.open.due(now):
            alerts += self._close(incident, now)
        return alerts + self.rate.tick(now)

    def restore(self, folds: Iterable[tuple[Key, Fold]], now: datetime | None) -> None:
        """Go on with folds of before a start, in their order; incidents and rate have been taken back."""
        self.folds.update(folds)
        grown = sorted(((fold.grown, key) for key, fold in self.folds.items() if fold.grown), key=lambda pair: pair[0])
        self._grown = dict.fromkeys(key for _, key in grown)
        self._growths = grown[-1][0] if grown else 0
        self.now = now
        self._quiet.broken()

    def _move(self, key: Key) -> None:
        self.moved.pop(key, None)
        self.moved[key] = None

    def alerts(self) -> Iterator[Alert]:
        """Yield the alerts that are firing."""
        return (alert for incident in self.open for alert in list(incident.alerts.values()))

    def firing(self) -> Counter[Level]:
        """Return how many alerts are firing, by level."""
        found = Counter(alert.rule.level for alert in self.alerts())
        summary = self.rate.firing()
        return found + Counter([summary] if summary else [])

    def incidents(self) -> Counter[Level]:
        """Return how many incidents are open, by the highest real level in each."""
        return Counter(incident.level for incident in self.open)

    def _finished(self, now: datetime) -> list[Key]:
        """Return the folds with repeats whose window is over. Until the first can be, as time goes on, none is."""
        if self._quiet.holds(now):
            return []
        over = [key for key in self._grown if self._is_over(self.folds[key], now)]
        if over:
            self._quiet.broken()
        else:
            self._quiet.begin(now, (self.folds[key].opened + self._window for key in self._grown))
        return over

    # -- folding -------------------------------------------------------------------------------------------------

    def _breaks(self, fold: Fold, detection: Detection, now: datetime) -> bool:
        """Whether a detection is more than a repeat: louder, further, or after the window."""
        louder = LEVELS.index(detection.rule.level) > LEVELS.index(fold.level)
        further = not set(detection.stages) <= set(fold.alert.replguard.stages)
        return louder or further or self._is_over(fold, now)

    def _is_over(self, fold: Fold, now: datetime) -> bool:
        return now - fold.opened >= self._window or fold.opened - now > _NEVER

    def _repeat(self, key: Key, fold: Fold, detection: Detection, story: Story, now: datetime) -> list[Alert]:
        fold.count += 1
        fold.newest = detection
        self._move(key)
        ids = (event.event.id for event in detection.events)
        fold.evidence = build.evidence((*(fold.evidence or fold.alert.replguard.evidence), *ids))
        fold.incident = self._incident(detection, story, now)
        if key not in self._grown:
            self._growths += 1
            fold.grown = self._growths
        self._grown[key] = None
        self._quiet.came(now, fold.opened + self._window)
        if _news(story) <= fold.told or fold.news >= MAX_NEWS or fold.muted:
            return []
        if not self.rate.has_room(now, fold.level):
            return []
        fold.news += 1
        fold.told |= _news(story)
        return self._update(key, fold, detection.events[-1].timestamp)

    def _update(self, key: Key, fold: Fold, now: datetime) -> list[Alert]:
        self._grown.pop(key, None)
        self._move(key)
        fold.alert, fold.grown = replace(self._latest(fold), timestamp=now), 0
        if fold.muted:
            return []
        self.open.raised(fold.incident, fold.alert, fold.level)
        return [fold.alert]

    def _latest(self, fold: Fold) -> Alert:
        """Return the alert of a fold with its newest repeat, under its own id, with the count and evidence of all."""
        if fold.newest is None:
            return fold.alert
        old = fold.alert.replguard
        new = build.alert(fold.newest, tell(fold.newest), old.incident, fold.alert.rule.level, self._host)
        fold.newest = None
        return _merged(fold.alert, new, fold.count, fold.evidence)

    def _raise(self, key: Key, before: Fold | None, detection: Detection, story: Story, now: datetime) -> list[Alert]:
        first = self._update(key, before, now) if before is not None and key in self._grown else []
        for incident in self.open.due(now):
            first += self._close(incident, now)
        incident = self._incident(detection, story, now)
        drill = build.drill(detection) is not None
        level = detection.rule.level if drill else self._shown(detection.rule.level)
        alert = build.alert(detection, story, incident.id, level, self._host)
        if key in self.folds and before is not None and before.alert.event.id == alert.event.id:
            ids = (*before.alert.replguard.evidence, *alert.replguard.evidence)
            alert = _merged(before.alert, alert, before.count + 1, build.evidence(ids))
        fold = Fold(alert, detection.rule.level, incident, now, alert.replguard.count, _news(story))
        self._keep(key, fold)
        new = detection.rule.level == "critical" and incident.level != "critical"
        if not drill and not self.rate.has_room(now, detection.rule.level) and not new:
            fold.muted = True
            self.suppressed["rate"] += 1
            return first + self.rate.fold(alert, now)
        self.open.raised(incident, alert, detection.rule.level)
        self.raised[detection.rule.name, level] += 1
        return [*first, alert]

    def _incident(self, detection: Detection, story: Story, now: datetime) -> Incident:
        driver = story.actor.driver if story.actor is not None else None
        key = None if driver is None else f"artefact:{driver}"
        return self.open.join(_joins(detection, story), detection.events[0].event.id, now, key)

    def _shown(self, level: Level) -> Level:
        return min(level, OBSERVE, key=LEVELS.index) if self._observe else level

    def _keep(self, key: Key, fold: Fold) -> None:
        self.folds[key] = fold
        self.folds.move_to_end(key)
        self._move(key)
        while len(self.folds) > MAX_FOLDS:
            old, _ = self.folds.popitem(last=False)
            self._grown.pop(old, None)
            self._move(old)
            self.evicted["folds"] += 1

    # -- endings -------------------------------------------------------------------------------------------------

    def _close(self, incident: Incident, now: datetime) -> list[Alert]:
        self.open.forget(incident)
        for key in [key for key, fold in self.folds.items() if fold.incident is incident]:
            self._settle(key)
        return [_resolved(alert, now) for alert in incident.alerts.values()]

    def _settle(self, key: Key) -> None:
        """End a fold; its alert stays in the incident with the last count."""
        fold = self.folds.pop(key)
        self._grown.pop(key, None)
        self._move(key)
        if fold.alert.event.id in fold.incident.alerts:
            fold.incident.alerts[fold.alert.event.id] = self._latest(fold)


def _nobody_listens(_: Detection) -> None:
    pass


def _key(detection: Detection, story: Story) -> Key:
    actor = story.actor
    who = detection.key if actor is None or nobody(actor) else actor.id
    who = f"drill {who}" if build.drill(detection) is not None else who  # nothing real is folded into it
    return detection.rule.id, who, story.context(lambda context: context.model)


def _joins(detection: Detection, story: Story) -> tuple[str, ...]:
    """Return what joins alerts to one incident: the actor, then what was made in the sequence."""
    actor = story.actor
    keys = [] if actor is None or nobody(actor) else [f"actor:{actor.id}"]
    keys += sorted(f"artefact:{each}" for each in _made(story))
    return tuple(keys) or (f"rule:{detection.rule.id}:{detection.key}",)


def _made(story: Story) -> frozenset[str]:
    """Return the ids of what was made, and of the instances that were started."""
    contexts = [event.replguard for event in story.events if event.replguard is not None]
    made = {artefact for context in contexts for artefact in context.artefacts}
    return frozenset(made | {context.instance.id for context in contexts if context.instance is not None})


def _news(story: Story) -> frozenset[str]:
    """Return what is worth telling at once: what was made, and each change of what is allowed."""
    changes = {event.replguard.difference for event in story.events if event.replguard is not None}
    return _made(story) | {change for change in changes if change is not None}


def _is_about(alert: Alert, instance: str) -> bool:
    about = alert.replguard
    return (
        about.fact == "server_live"
        and not about.stages
        and about.instance is not None
        and about.instance.id == instance
    )


def _is_over(context: Context) -> bool:
    return context.status == "ended" or (context.status == "changed" and context.authorised is not None)


def _merged(old: Alert, new: Alert, count: int, evidence: tuple[str, ...]) -> Alert:
    """Return the newer alert under the older one's id, with the span of both."""
    before, after = old.replguard, new.replguard
    return replace(
        new,
        event=replace(new.event, id=old.event.id),
        replguard=replace(
            after,
            incident=before.incident,
            count=count,
            first_seen=min(before.first_seen, after.first_seen),
            last_seen=max(before.last_seen, after.last_seen),
            evidence=evidence,
            degraded=before.degraded or after.degraded,
            stages=tuple(dict.fromkeys((*before.stages, *after.stages))),
        ),
    )


def _resolved(alert: Alert, now: datetime) -> Alert:
    return replace(alert, timestamp=now, replguard=replace(alert.replguard, state="resolved"))

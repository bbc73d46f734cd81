"""Rules and alerts in a row: the core that live and replay share, so that both decide alike."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from replguard.alerts import build
from replguard.alerts.manager import Manager
from replguard.events.alert import Alert, Detection
from replguard.events.event import Event
from replguard.events.evidence import RuleText
from replguard.rules.engine import Engine
from replguard.rules.index import Index
from replguard.rules.model import RuleSet


class Detector:
    """Fed with events and ticks in the order of the log, it gives alerts. It has no clock and does no I/O.

    ``index`` is one of the same rules that is compiled already.
    """

    def __init__(self, ruleset: RuleSet, alerts: Manager, index: Index | None = None) -> None:
        self.ruleset = ruleset
        self.engine = Engine(ruleset, index)
        self.alerts = alerts

    def feed(self, event: Event) -> list[Alert]:
        """Return the alerts that an event raises, updates or ends. A tick lets time pass."""
        return self._raised(event, self.engine.feed(event))

    def _raised(self, event: Event, found: Iterable[Detection]) -> list[Alert]:
        health = event.health
        raised = self.alerts.tick(event.timestamp) if health is not None and health.state == "tick" else []
        for detection in found:
            raised += self.alerts.feed(detection)
        if event.event.action == "server_live":
            raised += self.alerts.ended(event)
        return raised

    def resume(self, events: Iterable[Event], after: str | None = None) -> list[Alert]:
        """Go on from what was fed before a start, as the log has it: sequences that were under way are.

        ``after`` is the id of the last event that the alerts know of: those after it are news to them. Returns what
        they raised of these.
        """
        news, raised = False, list[Alert]()
        for event, found in self.engine.resume(events):
            if news:
                raised += self._raised(event, found)
            news = news or event.event.id == after
        return raised

    def replace(self, ruleset: RuleSet) -> None:
        """Go on with other rules; what is open stays, and so does what the rules that are the same had gathered."""
        engine = Engine(ruleset)
        engine.adopt(self.engine)
        self.ruleset, self.engine = ruleset, engine

    def cited(self, rule: str) -> Iterator[RuleText]:
        """Yield the texts of a rule in force, by its id."""
        return self.ruleset.cited(rule)

    @staticmethod
    def with_latency(alert: Alert, now: datetime) -> Alert:
        """Return the alert with the time from the act to ``now``."""
        return build.with_latency(alert, now)

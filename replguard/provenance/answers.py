"""What an allowed server sends at its own port: answers, which are what it is there for."""

from datetime import datetime, timedelta
from itertools import product

from replguard.events.event import Event
from replguard.events.network import ports
from replguard.provenance.instances import Instances, Live
from replguard.provenance.processes import Proc

LATE = timedelta(seconds=30)
"""How long after an allowed server was heard what it sent may be told: the kernel adds up, and is asked at times."""
MOST = 4096


class Answers:
    """Tells answers from other bytes, also the last ones of an instance: they are told when it has ended."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._heard: dict[tuple[str, int | None], datetime] = {}

    def given(self, event: Event, proc: Proc) -> bool:
        """Whether an allowed instance answers here, at its own port, or did just before."""
        if event.network is None or event.network.initiated is not False or event.source is None:
            return False
        port, now = event.source.port, event.timestamp
        mine = [live for live in self._instances.live.values() if proc.entity in live.members]
        if any(live.leave is not None and port in ports(live.listen) for live in mine):
            self._hear(proc.entity, port, now)
            return True
        last = self._heard.get((proc.entity, port))
        return last is not None and not mine and now - last <= LATE

    def over(self, live: Live, now: datetime) -> None:
        """Take in that an instance has ended: what it sent before anybody knew it is told yet."""
        if live.leave is not None:
            for entity, port in product(live.members, ports(live.listen)):
                self._hear(entity, port, now)

    def _hear(self, entity: str, port: int | None, now: datetime) -> None:
        self._heard.pop((entity, port), None)
        self._heard[entity, port] = now
        while len(self._heard) > MOST:
            del self._heard[next(iter(self._heard))]

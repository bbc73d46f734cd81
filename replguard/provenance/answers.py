"""What an allowed server sends at its own port: answers, which are what it is there for."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from replguard.events.event import Event
from replguard.provenance.instances import Instances
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
        if any(live.leave is not None and _listens(live.listen, port) for live in mine):
            self._heard.pop((proc.entity, port), None)
            self._heard[proc.entity, port] = now
            while len(self._heard) > MOST:
                del self._heard[next(iter(self._heard))]
            return True
        last = self._heard.get((proc.entity, port))
        return last is not None and not mine and now - last <= LATE


def _listens(listen: Iterable[str], port: int | None) -> bool:
    return any(address.endswith(f":{port}") for address in listen)

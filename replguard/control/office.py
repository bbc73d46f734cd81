"""Answers what is asked over the control socket: what only root may is root's, and who asks is looked up."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from replguard.control.messages import Answer, Live, Maintenance, Question, Reload, Status
from replguard.control.peer import Peer
from replguard.events import clock
from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.events.text import printable
from replguard.kernel.reach import is_ours
from replguard.provenance.desk import Ask, Desk
from replguard.provenance.window import LONGEST

DRILLS = 600.0
"""Seconds that a drill may last at the most."""
_REASON = 500
_LOOK = 0.2
_WAITING = 10_000


class Office:
    """``status`` returns what the daemon says of itself, ``protect`` takes a folder in (or out) as weights."""

    def __init__(
        self,
        desk: Desk,
        put: Callable[[Event], bool],
        status: Callable[[], Any],
        reload: Callable[[], None],
        protect: Callable[[str, bool], None],
    ) -> None:
        self._desk, self._put = desk, put
        self._status, self._reload, self._protect = status, reload, protect
        self._drills: dict[str, queue.Queue[Alert]] = {}

    def answers(self, question: Question, peer: Peer, is_there: Callable[[], bool]) -> Iterator[Answer]:
        """Yield the answers to a question."""
        if not is_ours(peer.uid):
            yield Answer(ok=False, text="refused: ask as root")
        elif isinstance(question, Status):
            yield Answer(ok=True, told=msgspec.Raw(msgspec.json.encode(self._status())))
        elif isinstance(question, Reload):
            self._reload()
            yield Answer(ok=True, text="configuration, manifest and rules are read again")
        elif isinstance(question, Maintenance):
            yield self._maintenance(question, peer)
        else:
            yield from self._live(question, peer, is_there)

    def heard(self, alert: Alert) -> None:
        """Take an alert, for those who wait for that of a drill; called with each, and never waits."""
        for name, waiting in list(self._drills.items()):
            if alert.replguard.drill == name and waiting.qsize() < _WAITING:
                waiting.put(alert)

    def _maintenance(self, question: Maintenance, peer: Peer) -> Answer:
        window, seconds = self._desk.windows.window, question.seconds
        if seconds is None:
            return Answer(ok=True, text=f"maintenance {window.told()}" if window else "there is no maintenance window")
        if not 0 <= seconds <= LONGEST.total_seconds():
            return Answer(ok=False, text="a window lasts 24 h at the most; give 30m, 2h …")
        reason = printable(question.reason.strip())[:_REASON]
        if seconds and not reason:
            return Answer(ok=False, text="say why: --reason 'upgrade to 1.2'")
        ask = self._asked(Ask("maintenance", reason if seconds else "its end", seconds), peer)
        return Answer(ok=ask.ok, text=ask.text)

    def _asked(self, ask: Ask, peer: Peer) -> Ask:
        if peer.process is None:
            ask.text = "refused: it is not known who asks; ask from the host itself"
            return ask
        return self._desk.ask(ask, peer.process, self._put)

    def _live(self, question: Live, peer: Peer, is_there: Callable[[], bool]) -> Iterator[Answer]:
        name = printable(question.name)[:60]
        if not name or name in self._drills:
            yield Answer(ok=False, text="a drill of this name is being played already; wait for its end")
            return
        ask = self._asked(Ask("drill", name), peer)
        if not ask.ok:
            yield Answer(ok=False, text=ask.text)
            return
        waiting = self._drills[name] = queue.Queue()
        try:
            self._protect(question.weights, True)
            yield Answer(ok=True, text=f"the drill {name} is announced")
            end = clock.monotonic() + DRILLS
            while is_there() and clock.monotonic() < end:
                try:
                    alert = waiting.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                yield Answer(ok=True, told=msgspec.Raw(msgspec.json.encode(alert)))
        finally:
            self._desk.dismiss(ask.entity)
            self._drills.pop(name, None)
            self._protect(question.weights, False)

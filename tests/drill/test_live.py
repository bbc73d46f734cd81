"""A drill that the running daemon watches: announced, heard, and over when it is."""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from replguard.config import Config
from replguard.control.messages import Answer, Live
from replguard.drill import live
from replguard.drill.live import LiveWatcher
from replguard.drill.watcher import DaemonFailedError
from replguard.errors import ReplguardError


class Daemon:
    """A connection that says what it was told to."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[Any]()

    def ask(self, question: Any) -> Answer:
        self.asked.append(question)
        return self.answers.pop(0)

    def next(self, _: float) -> Answer:
        if not self.answers:
            raise ReplguardError("it went away")
        return self.answers.pop(0)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have a daemon at the other end."""

    def made(*answers: Answer) -> Daemon:
        daemon = Daemon(*answers)

        @contextlib.contextmanager
        def connected(_: Config) -> Iterator[Daemon]:
            yield daemon

        monkeypatch.setattr(live, "connected", connected)
        monkeypatch.setattr(live.select, "select", lambda *_: ([1] if daemon.answers else [], [], []))
        return daemon

    return made


def test_it_is_announced_and_its_alerts_come(connect: Any) -> None:
    """As the daemon tells them; when that goes away the drill knows why."""
    daemon = connect(Answer(ok=True), Answer(ok=True, told=msgspec.Raw(b'{"message":"a"}')))
    watcher = LiveWatcher(Config(), "self-replication", "/tmp/w")
    watcher.start()
    assert daemon.asked == [Live("self-replication", "/tmp/w")]
    assert watcher.new_alerts() == [{"message": "a"}]
    assert watcher.alive()
    daemon.answers = [None]
    live.select.select = lambda *_: ([1], [], [])  # type: ignore[assignment]
    daemon.answers = []
    assert watcher.new_alerts() == []
    assert not watcher.alive()
    assert watcher.last_words() == "it went away"
    watcher.stop()


def test_a_refusal_is_the_reason(connect: Any) -> None:
    """In the daemon's words."""
    connect(Answer(ok=False, text="refused: ask as root"))
    with pytest.raises(DaemonFailedError, match="ask as root"):
        LiveWatcher(Config(), "x", "/tmp/w").start()

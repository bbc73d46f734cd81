"""What was told is in the log once, whatever becomes of the analyser, and who tells never waits."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from replguard import frames
from replguard.channel import Channel
from replguard.collector import link as links
from replguard.collector.link import Link
from replguard.config import Config
from replguard.events.event import Event, Meta
from replguard.events.host import Host
from replguard.frames import Asked, Changed, Events, Hello, Told, Written

HELLO = Hello("run", "1", Host(), Config(), None, (), ())


def events(number: int, count: int = 1, kind: str = "event") -> Events:
    """A frame of events."""
    event = Event(timestamp=datetime.now(UTC), event=Meta(action="process_exec", kind=kind))
    return Events("run", number, (event,) * count)


class Analyser:
    """The other side, by hand. Its sockets are closed when the test has ended."""

    opened: ClassVar[list[socket.socket | Channel[Told]]] = []

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.opened.append(self.listener)

    def accept(self) -> Channel[Told]:
        """Take the next connection."""
        self.listener.settimeout(20)
        channel = Channel(self.listener.accept()[0], frames.told())
        self.opened.append(channel)
        return channel

    def numbers(self, channel: Channel[Told], count: int) -> list[int | str]:
        """Return what came next: numbers of events, and names of other frames."""
        found: list[int | str] = []
        end = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < end, found
            found += [one.number if isinstance(one, Events) else type(one).__name__ for one in channel.receive()]
            time.sleep(0.005)
        return found


@pytest.fixture
def said() -> list[tuple[str, int | None]]:
    """What the link said of itself."""
    return []


@pytest.fixture
def asked() -> list[Asked]:
    """What the analyser asked for."""
    return []


@pytest.fixture
def link(tmp_path: Path, said: list[tuple[str, int | None]], asked: list[Asked]) -> Iterator[Link]:
    """A link that begins to connect with its start."""
    made = Link(tmp_path / "s", lambda: HELLO, asked.append, lambda state, _, lost: said.append((state, lost)))
    yield made
    made.stop(0)
    while Analyser.opened:
        Analyser.opened.pop().close()


def until(true: Callable[[], object]) -> None:
    """Wait for something."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_was_told_before_there_was_an_analyser_arrives(tmp_path: Path, link: Link) -> None:
    """In its order, after the greeting."""
    link.start()
    for number in (1, 2):
        link.send(events(number))
    other = Analyser(tmp_path / "s")
    assert other.numbers(other.accept(), 3) == ["Hello", 1, 2]


def test_what_is_not_in_the_log_is_told_to_the_next(tmp_path: Path, link: Link) -> None:
    """What is, is not told again: an analyser that was killed had written some of it."""
    other = Analyser(tmp_path / "s")
    link.start()
    first = other.accept()
    for number in range(1, 6):
        link.send(events(number))
    assert other.numbers(first, 6)[0] == "Hello"
    first.send(Written("run", 3))
    until(lambda: link.held == 2)
    first.send(Written("another run", 5))
    first.close()
    second = other.accept()
    assert other.numbers(second, 3) == ["Hello", 4, 5]
    second.send(Written("run", 5))
    until(lambda: link.held == 0)
    assert link.stop(5)


def test_an_end_waits_until_all_is_in_the_log(tmp_path: Path, link: Link) -> None:
    """For so long at the most."""
    other = Analyser(tmp_path / "s")
    link.start()
    channel = other.accept()
    link.send(events(1))
    began = time.monotonic()
    assert not link.stop(0.3)
    assert time.monotonic() - began < 10
    assert other.numbers(channel, 2) == ["Hello", 1]


def test_a_flood_without_an_analyser_is_bounded(
    tmp_path: Path, link: Link, said: list[tuple[str, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts find room when mere events do not any more, and what was lost is told when there is room again."""
    monkeypatch.setattr(links, "QUEUE", 10)
    for number in range(1, 9):
        link.send(events(number, 4))
    assert link.held <= 10
    link.send(events(9, 1, "enrichment"))
    held = link.held
    for number in range(10, 99):
        link.send(events(number, 1, "enrichment"))
    assert held < link.held <= 20
    other = Analyser(tmp_path / "s")
    link.start()
    channel = other.accept()
    other.numbers(channel, 20)
    channel.send(Written("run", 98))
    until(lambda: link.held == 0)
    link.send(events(99))
    until(lambda: said)
    assert said == [("loss", 8 * 4 + 1 + 89 - 20)]


def test_who_tells_never_waits(tmp_path: Path, link: Link) -> None:
    """Also when nobody reads at the other end."""
    other = Analyser(tmp_path / "s")
    link.start()
    other.accept()
    began = time.monotonic()
    for number in range(2000):
        link.send(events(number, 30))
    assert time.monotonic() - began < 30
    assert link.held == 60_000


def test_what_is_asked_for_arrives(tmp_path: Path, link: Link, asked: list[Asked]) -> None:
    """And nonsense ends the connection, not us."""
    other = Analyser(tmp_path / "s")
    link.start()
    channel = other.accept()
    channel.send(Changed("/a", "rules: x"))
    until(lambda: asked == [Changed("/a", "rules: x")])
    channel.post(b"\xc1nonsense")
    assert other.numbers(other.accept(), 1) == ["Hello"]


def test_an_analyser_that_stays_away_is_told(
    tmp_path: Path, link: Link, said: list[tuple[str, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and once that it is back; one that is started again in a moment is not."""
    monkeypatch.setattr(links, "UNTOLD", 0.2)
    link.start()
    until(lambda: said == [("degraded", None)])
    other = Analyser(tmp_path / "s")
    other.accept()
    until(lambda: said == [("degraded", None), ("recovered", None)])

"""One collector at a time is heard, and nobody else."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replguard import frames
from replguard.analyser.link import Link
from replguard.channel import Broken, Channel
from replguard.frames import Asked, Events, Told, Written


@pytest.fixture
def told() -> list[Told]:
    """What was heard."""
    return []


@pytest.fixture
def link(tmp_path: Path, told: list[Told]) -> Iterator[Link]:
    """A link that serves."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(4)
    (tmp_path / "s").chmod(0o666)
    tmp_path.chmod(0o755)
    made = Link(listener, lambda frame: len(told) < 3 and not told.append(frame))
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(20)
    assert not thread.is_alive()
    listener.close()
    while OPENED:
        OPENED.pop().close()


OPENED: list[Channel[Asked]] = []


def connect(folder: Path) -> Channel[Asked]:
    """Return the collector's end, which is closed when the test has ended."""
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(folder / "s"))
    OPENED.append(Channel(end, frames.asked()))
    return OPENED[-1]


def broken(channel: Channel[Asked]) -> bool:
    """Whether the other side has closed the connection."""
    try:
        channel.receive()
    except Broken:
        return True
    return False


def until(true: Callable[[], object]) -> None:
    """Wait for something."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_told_is_heard_and_answered(tmp_path: Path, link: Link, told: list[Told]) -> None:
    """In both directions; what is asked while nobody listens is asked of nobody."""
    link.ask(Written("r", 1))
    channel = connect(tmp_path)
    channel.send(Events("r", 1, ()))
    until(lambda: told == [Events("r", 1, ())])
    link.ask(Written("r", 2))
    found: list[Asked] = []
    until(lambda: found.extend(channel.receive()) or found)
    assert found == [Written("r", 2)]


def test_a_collector_that_comes_back_is_served(tmp_path: Path, link: Link, told: list[Told]) -> None:
    """After one that talked nonsense as well."""
    first = connect(tmp_path)
    first.post(b"nonsense")
    until(lambda: broken(first))
    connect(tmp_path).send(Events("r", 1, ()))
    until(lambda: told)


def test_without_room_nothing_is_lost(tmp_path: Path, link: Link, told: list[Told]) -> None:
    """It waits in the socket, and the collector's link knows what is not in the log."""
    channel = connect(tmp_path)
    for number in range(5):
        channel.send(Events("r", number, ()))
    until(lambda: len(told) == 3)
    seen = list(told)
    told.clear()
    until(lambda: len(told) == 2)
    assert [one.number for one in (*seen, *told) if isinstance(one, Events)] == [0, 1, 2, 3, 4]


@pytest.mark.root
def test_another_user_is_refused(tmp_path: Path, link: Link, told: list[Told]) -> None:
    """Even where the folder would let them in: what they said would be believed."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and parent != parent.parent and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            channel = connect(tmp_path)
            channel.send(Events("forged", 1, ()))
            time.sleep(0.2)
            channel.send(Events("forged", 2, ()))
            channel.receive()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    connect(tmp_path).send(Events("r", 1, ()))
    until(lambda: told)
    assert told == [Events("r", 1, ())]

"""The analyser's process goes on where it was, and begins anew where it cannot."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import convert
from msgspec.structs import replace

from replguard.analyser import main
from replguard.config import Config, dec_hook
from replguard.events.event import Event, Meta
from replguard.events.host import Host
from replguard.frames import Asked, Events, Hello, Written
from replguard.part import Given


@pytest.fixture
def hello(tmp_path: Path) -> Hello:
    """A greeting of a collector whose folders are the test's."""
    given = {
        "state_dir": f"{tmp_path}/state",
        "log": {"dir": f"{tmp_path}/log"},
        "sinks": {},
        "metrics": {"listen": ""},
    }
    return Hello("r1", "1", Host(boot_id="b" * 32), convert(given, Config, dec_hook=dec_hook), None, (0,), ())


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[main.Service]:
    """A service that nobody is connected to."""
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.setattr(main, "FIRST", listener.detach())
    made = main.Service(Given(None, ""))
    asked: list[Asked] = []
    monkeypatch.setattr(made.link, "ask", asked.append)
    made.asked = asked  # type: ignore[attr-defined]
    yield made
    if made.analyser is not None:
        made.analyser.close()
    made.link._listener.close()


def frame(run: str, number: int) -> Events:
    """A frame with one event."""
    event = Event(timestamp=datetime.now(UTC), event=Meta(action="process_exec", provider=f"{run}-{number}"))
    return Events(run, number, (event,))


def test_what_is_told_twice_is_judged_once(service: main.Service, hello: Hello, tmp_path: Path) -> None:
    """After a broken connection, and by the next process, which knows how far the log is written."""
    service.take(hello)
    assert service.analyser is not None
    for number in (1, 2, 1, 2, 3):
        service.take(frame("r1", number))
    service.analyser.close()
    text = (tmp_path / "log" / "raw-000001.jsonl").read_text()
    assert [text.count(f'"r1-{number}"') for number in (1, 2, 3)] == [1, 1, 1]
    assert service._position.read() == ("r1", 3)
    service.take(hello)
    assert service.asked[-1] == Written("r1", 3)  # type: ignore[attr-defined]
    assert service.take(frame("r1", 3))
    assert service.analyser.judge.waiting == 0


def test_another_run_begins_its_numbers_anew(service: main.Service, hello: Hello) -> None:
    """And that the collector was replaced is on record."""
    service.take(hello)
    assert service.analyser is not None
    service.take(frame("r1", 9))
    service.take(replace(hello, run="r2"))
    assert service._told == ("r2", 0)
    assert not service.again
    service.take(frame("r2", 1))
    assert service._told == ("r2", 1)


def test_another_configuration_is_a_reason_to_begin_anew(service: main.Service, hello: Hello) -> None:
    """The log, the sinks and the page are opened once."""
    service.take(hello)
    service.take(replace(hello, run="r2", makes=("file_create",)))
    assert service.again

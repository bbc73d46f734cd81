"""Alerts go on after a kill as if there had been none: the same ids, incidents, folds and counts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec import convert
from support.making import at, copy_fact, detection, server_fact

from replguard.alerts.manager import Manager
from replguard.alerts.memory import Memory, alerts_go_on
from replguard.config import Config, dec_hook
from replguard.events.alert import Alert
from replguard.stage import health

SETTINGS: dict[str, Any] = {"alerts": {"fold": "1m", "max_per_hour": 6}}
ACTS = some.lists(
    some.tuples(
        some.integers(1, 5),
        some.sampled_from(["low", "high", "critical"]),
        some.sampled_from([1, 1, 1, 30, 70, 4000, 8000]),
        some.sampled_from(["act", "act", "act", "tick", "tick", "ended", "kill", "kill"]),
    ),
    max_size=40,
)


def begun(path: Path | None) -> tuple[Manager, Memory]:
    manager = Manager(convert(SETTINGS, Config, dec_hook=dec_hook))
    return manager, Memory(path, manager)


def step(manager: Manager, what: str, which: int, level: str, seconds: int, number: int) -> list[Alert]:
    if what == "tick":
        return manager.tick(at(seconds))
    if what == "ended":
        return manager.ended(server_fact(number, seconds, status="ended"))
    fact = server_fact(number, seconds) if which == 1 else copy_fact(number, seconds, target=f"/t{which}")
    return manager.feed(detection(fact, level=level, rule=f"r{which % 3}"))


@given(ACTS)
def test_a_kill_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, str, int, str]]
) -> None:
    """Whatever happened before it and happens after it, each alert is the one that there would have been."""
    path = tmp_path_factory.mktemp("alerts") / "alerts.state"
    whole, (manager, memory) = begun(None)[0], begun(path)
    now = 0
    for number, (which, level, seconds, what) in enumerate(acts):
        now += seconds
        if what == "kill":
            memory.save(f"b-{number}", at(now))
            manager, memory = begun(path)
            assert memory.open()
            assert memory.after == f"b-{number}"
            continue
        wanted = step(whole, what, which, level, now, number)
        assert step(manager, what, which, level, now, number) == wanted
        assert (manager.firing(), manager.incidents()) == (whole.firing(), whole.incidents())


def test_the_log_is_written_before(tmp_path: Path) -> None:
    """What stands on disk follows from what the log has; and where nothing changed nothing is written."""
    manager, memory = begun(tmp_path / "alerts.state")
    written: list[bool] = []
    for seconds in range(10):
        memory.save("b-1", at(seconds), lambda: written.append((tmp_path / "alerts.state").exists()))
    assert written == [False]
    manager.feed(detection(copy_fact(1)))
    memory.save("b-2", at(11), lambda: written.append(True))
    assert len(written) == 2


@pytest.mark.parametrize("data", [None, b"", b"\0" * 100])
def test_without_a_file_alerts_begin_anew(tmp_path: Path, data: bytes | None) -> None:
    """And what is no such file is told of."""
    if data is not None:
        (tmp_path / "alerts.state").write_bytes(data)
    manager, memory = begun(tmp_path / "alerts.state")
    assert not memory.open()
    assert (memory.after, manager.incidents()) == (None, {})
    assert memory.news() == (
        [] if data is None else ["the memory of alerts: it is damaged, or was written by something else"]
    )
    assert memory.news() == []


def test_what_was_changed_by_somebody_is_not_used(tmp_path: Path) -> None:
    """It is whole and means nothing: alerts begin anew, and none of it is in force."""
    from replguard.journal import Heading, Journal

    manager, memory = begun(tmp_path / "alerts.state")
    manager.feed(detection(copy_fact(1)))
    memory.save("b-1", at(1))
    journal = Journal(tmp_path / "alerts.state", Heading("alerts", 1))
    journal.replace(journal.read().records | {"fold 1": b"\x93\x01\x02\x03"})
    manager, memory = begun(tmp_path / "alerts.state")
    assert not memory.open()
    assert manager.incidents() == {}
    (news,) = memory.news()
    assert news.startswith("the memory of alerts: it is not used, alerts begin anew")


def test_a_replay_knows_a_start_with_which_they_go_on() -> None:
    """By the word before it."""
    assert alerts_go_on(health("alerts", "recovered"))
    assert not alerts_go_on(health("daemon", "started"))

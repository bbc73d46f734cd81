"""The analyser keeps log, rules, sinks and page going, and asks the collector for what it lacks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import convert

from replguard.analyser import analyser as room
from replguard.analyser.analyser import Analyser
from replguard.config import Config, dec_hook
from replguard.events.catalogue import PORTABLE
from replguard.events.host import Host
from replguard.frames import Asked, Changed, Hello, Judging, Resolved, Standing, Wanted

RULE = """
title: A probe
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a-probe
logsource: {product: linux, category: file_event}
detection:
  selection: {TargetFilename|endswith: /probe}
  condition: selection
level: low
"""


@pytest.fixture
def asked() -> list[Asked]:
    """What the collector was asked."""
    return []


@pytest.fixture
def one(tmp_path: Path, asked: list[Asked], monkeypatch: pytest.MonkeyPatch) -> Iterator[Analyser]:
    """An analyser that runs, for a collector that says nothing."""
    monkeypatch.setattr(room, "UPKEEP", 0.1)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "probe.yml").write_text(RULE)
    given = {
        "state_dir": f"{tmp_path}/state",
        "log": {"dir": f"{tmp_path}/log"},
        "rules": {"paths": [f"{tmp_path}/rules"]},
        "sinks": {},
        "metrics": {"listen": ""},
    }
    config = convert(given, Config, dec_hook=dec_hook)
    names = ("localhost",)
    made = Analyser(Hello("r", "1", Host(boot_id="b"), config, None, (0,), tuple(PORTABLE), names), asked.append)
    made.start()
    yield made
    made.close()


def until(true: object) -> None:
    """Wait for something."""
    end = room.clock.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert room.clock.monotonic() < end
        room.threading.Event().wait(0.02)


def test_the_collector_learns_which_names_rules_ask_for(one: Analyser, asked: list[Asked], tmp_path: Path) -> None:
    """At the start, and anew when a rule has changed, which is a change of what is allowed."""
    until(lambda: any(isinstance(each, Wanted) for each in asked))
    first = next(each for each in asked if isinstance(each, Wanted))
    assert ("last", "/probe") in (first.signs or ())
    (tmp_path / "rules" / "probe.yml").write_text(RULE.replace("/probe", "/sample"))
    until(lambda: any(isinstance(each, Changed) for each in asked))
    changed = next(each for each in asked if isinstance(each, Changed))
    assert changed.path == str(tmp_path / "rules" / "probe.yml")
    assert changed.difference.startswith("rules: ")
    last = [each for each in asked if isinstance(each, Wanted)][-1]
    assert ("last", "/sample") in (last.signs or ())


def test_names_are_looked_up_for_the_collector(one: Analyser, asked: list[Asked]) -> None:
    """It asks no network itself."""
    until(lambda: any(isinstance(each, Resolved) and each.addresses for each in asked))


def test_it_says_how_it_stands(one: Analyser, asked: list[Asked], tmp_path: Path) -> None:
    """Every few seconds; a broken rule is a problem, and the last good ones stay in force."""
    until(lambda: any(isinstance(each, Judging) and "in force" in each.judging for each in asked))
    (tmp_path / "rules" / "probe.yml").write_text("{")
    until(lambda: any(isinstance(each, Judging) and "probe.yml" in "".join(each.problems) for each in asked))
    assert one.rulebook.ruleset.find("a-probe") is not None


def test_how_the_collector_stands_is_the_newest_that_it_said(one: Analyser) -> None:
    """It is no event."""
    stands = Standing(ready=True, sensors=(), protecting="x", problems=(), waiting=3, numbers=())
    assert one.take(stands)
    assert one.standing is stands
    assert one._numbers().value("pipeline_queue_length") is not None

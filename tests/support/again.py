"""What a daemon's log says afterwards: it raises again what the daemon raised, to the letter, and it is whole."""

import functools
from pathlib import Path
from typing import Any

import msgspec

from replguard import config as configuration
from replguard.cli.replay import replay
from replguard.config import Config
from replguard.events import wire
from replguard.events.alert import Alert
from replguard.forensics import verify
from replguard.log import reader
from replguard.rules.load import load
from replguard.rules.model import RuleSet

LATENCY = "latency_ms"
"""What only the live run can tell: when the alert was written."""


def replayed(log_dir: Path, config: Path) -> list[dict[str, Any]]:
    """Return the alerts of a log under its configuration, as they are written. Raises AssertionError on damage."""
    settings = configuration.load(config)
    found = rules_of(settings)
    header = reader.header([log_dir])
    raised: list[dict[str, Any]] = []
    for item in replay(reader.events([log_dir]), found, settings, header.host if header else None):
        assert isinstance(item, Alert), f"the log cannot be replayed whole: {item}"
        raised.append(msgspec.json.decode(wire.encode(item)))
    return raised


def assert_whole(log_dir: Path) -> None:
    """Fail with what is not as it was written. The daemon that wrote it may still be running, or have been killed."""
    for stream in verify.streams(log_dir):
        *_, found = verify.stream(log_dir, stream)
        assert isinstance(found, verify.Found)
        assert found.findings == [], f"{stream} is not whole: {found.findings[0]}"
        assert found.parts[-1].header is not None, f"{stream} has no chain"
        assert found.parts[-1].header.key is not None, f"{stream} has no chain"


def written(alerts_file: Path) -> list[dict[str, Any]]:
    """Return the alerts of a file; none where there is no file."""
    lines = alerts_file.read_bytes().splitlines() if alerts_file.exists() else []
    return [msgspec.json.decode(line) for line in lines]


def assert_same(live: list[dict[str, Any]], again: list[dict[str, Any]]) -> None:
    """Fail with the first alert that a replay gives otherwise, or in another place."""
    for number, (one, other) in enumerate(zip(map(_timeless, live), map(_timeless, again), strict=False)):
        assert one == other, f"alert {number}: live, then replayed:\n{_shown(one)}\n{_shown(other)}"
    more = live[len(again) :] or again[len(live) :]
    whose = "live" if len(live) > len(again) else "the replay"
    assert not more, f"{len(more)} more alerts by {whose}, the first:\n{_shown(more[0])}"


def _timeless(alert: dict[str, Any]) -> dict[str, Any]:
    context = {key: value for key, value in alert["replguard"].items() if key != LATENCY}
    return alert | {"replguard": context}


def _shown(alert: dict[str, Any]) -> str:
    return msgspec.json.encode(alert).decode()


def rules_of(settings: Config) -> RuleSet:
    """Return the rules of a configuration, loaded once."""
    own = settings.rules
    return _rules(tuple(own.paths), tuple(own.disable), tuple(sorted(own.levels.items())))


@functools.lru_cache(maxsize=8)
def _rules(paths: tuple[str, ...], disable: tuple[str, ...], levels: tuple[tuple[str, Any], ...]) -> RuleSet:
    return load(paths, disable=disable, levels=dict(levels))

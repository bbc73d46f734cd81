"""What a drill raised live is what its log raises again; every other scenario's daemon is held to it when it ends."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import again

from replguard.drill import run
from replguard.drill.scenario import SCENARIOS


@pytest.mark.timeout(180)
def test_the_log_raises_the_same_alerts():
    """Replay gives the alerts of the live run, with their ids and in their order, and no other."""
    result = run.play(SCENARIOS["chain-of-replication"], lambda _: None, keep=True)
    folder = Path(result.kept) / "daemon"
    try:
        command = [
            sys.executable,
            "-m",
            "replguard",
            "replay",
            folder / "log",
            "-c",
            folder / "replguard.yaml",
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        live = ids((folder / "alerts.jsonl").read_text())
    finally:
        shutil.rmtree(result.kept)
    assert result.detected, result.reason
    assert ids(done.stdout) == live, done.stderr
    assert live


ALERT = {"event": {"id": "a"}, "rule": {"level": "high"}, "replguard": {"count": 1, "latency_ms": 3.5}}


@pytest.mark.parametrize(
    ("live", "later"),
    [
        ([ALERT], []),
        ([], [ALERT]),
        ([ALERT], [ALERT | {"rule": {"level": "low"}}]),
        ([ALERT], [ALERT | {"replguard": {"count": 2}}]),
        ([ALERT, ALERT | {"event": {"id": "b"}}], [ALERT | {"event": {"id": "b"}}, ALERT]),
    ],
    ids=["one less", "one more", "another level", "another count", "another order"],
)
def test_a_difference_fails_the_scenario(live, later):
    """Only the latency, which is the live run's own, may be missing."""
    again.assert_same([ALERT], [ALERT | {"replguard": {"count": 1}}])
    with pytest.raises(AssertionError, match="alert"):
        again.assert_same(live, later)


def ids(lines):
    """Return the ids of alerts in JSON Lines."""
    return [json.loads(line)["event"]["id"] for line in lines.splitlines()]

"""What a person reads when the daemon is ready ends with the word that scripts wait for."""

from pathlib import Path

import pytest
from analyser.test_numbers import both

from replguard.analyser.announce import announce
from replguard.events.standing import LIMITED, SensorLine
from replguard.frames import Standing


def lines(*sensors: SensorLine) -> Standing:
    """How a collector with these sensors stands."""
    return Standing(ready=True, sensors=sensors, protecting="1 file", problems=(), waiting=0, numbers=())


def test_sensors_and_what_is_protected_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would stand in every line stands once below them; the last line is `ready`."""
    analyser = both(tmp_path).analyser
    sensor = SensorLine("process", "process", "portable", LIMITED, "a blind spot")
    announce(analyser, lines(sensor, sensor), as_json=False)
    out = capsys.readouterr().out
    assert out.endswith("\nready\n")
    assert out.count(LIMITED[:20]) == 1
    assert "a blind spot" in out
    assert "protected: 1 file" in out
    assert f"jsonl ({tmp_path}/alerts.jsonl)" in out


def test_with_json_alerts_have_the_output_to_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All else goes to the diagnostics; and nothing that an attacker named drives the terminal."""
    announce(both(tmp_path).analyser, lines(SensorLine("a", "b", "kernel", "\x1b[2J", None)), as_json=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("ready\n")
    assert "\x1b[2J" not in captured.err

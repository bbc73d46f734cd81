"""`replguard doctor` says which sensors work here, and why not better."""

from pathlib import Path

import msgspec
from click.testing import CliRunner

from replguard.cli.doctor import command


def configure(folder: Path, sensors: str = "{}") -> str:
    """Write a small configuration; returns its path."""
    path = folder / "replguard.yaml"
    path.write_text(f"watch: {{paths: [{folder}]}}\nweights: {{discover: false}}\nsensors: {sensors}\n")
    return str(path)


def test_every_sensor_has_a_line_with_its_reason(tmp_path: Path) -> None:
    """Each area is there, and whatever is not at its best says why in a sentence."""
    result = CliRunner().invoke(command, ["-c", configure(tmp_path), "--json"])
    rows = msgspec.json.decode(result.output)["sensors"]
    assert {"process", "file", "network", "gpu"} <= {row["area"] for row in rows}
    assert all(row["why"] for row in rows if row["mode"] in ("off", "failed"))
    assert all(row["why"] or row["blind"] for row in rows)
    assert result.exit_code == 0


def test_every_hook_has_a_line_with_what_is_lost(tmp_path: Path) -> None:
    """Of every probe, whether it can be loaded here or not."""
    result = CliRunner().invoke(command, ["-c", configure(tmp_path), "--json"])
    hooks = msgspec.json.decode(result.output)["hooks"]
    assert {"process_exec", "process_exec_bounded", "process_signal"} <= {hook["program"] for hook in hooks}
    for hook in hooks:
        assert hook.keys() == {"program", "point", "since", "used", "why", "instead", "lost"}
        assert hook["used"] == (hook["why"] is None)


def test_a_hook_that_is_not_used_says_what_is_lost(tmp_path: Path) -> None:
    """Here none of the kernel tier is, because the configuration wants the portable one."""
    result = CliRunner().invoke(command, ["-c", configure(tmp_path, "{process: portable}"), "--json"])
    hooks = {hook["program"]: hook for hook in msgspec.json.decode(result.output)["hooks"]}
    assert hooks["process_exec"]["used"] is False
    assert hooks["process_exec"]["why"]
    assert hooks["process_signal"]["lost"] == "who signals a serving process"
    shown = CliRunner().invoke(command, ["-c", configure(tmp_path, "{process: portable}")]).output
    assert "Hooks in the kernel" in shown


def test_a_sensor_that_is_switched_off_says_by_whom(tmp_path: Path) -> None:
    """The configuration is named, because it is what the reader can change."""
    result = CliRunner().invoke(command, ["-c", configure(tmp_path, "{network: 'off'}"), "--json"])
    rows = [row for row in msgspec.json.decode(result.output)["sensors"] if row["area"] == "network"]
    assert rows
    assert {row["mode"] for row in rows} == {"off"}
    assert all("sensors.network" in row["why"] for row in rows)


def test_the_table_names_the_privilege(tmp_path: Path) -> None:
    """What an ordinary user sees is less, and the heading says as whom it was tried."""
    result = CliRunner().invoke(command, ["-c", configure(tmp_path)])
    assert "as root" in result.output or "ordinary user" in result.output
    assert "process" in result.output

"""The verb for maintenance windows: what it asks the daemon, and what it says."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from replguard.cli import group
from replguard.control import client
from replguard.control.messages import Answer, Maintenance


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Maintenance]:
    """What the daemon was asked; it refuses what is called so."""
    got: list[Maintenance] = []

    class Daemon:
        def ask(self, question: Maintenance) -> Answer:
            got.append(question)
            return Answer(ok=question.reason != "refused", text="so be it\x1b[2J")

    @contextlib.contextmanager
    def connected(_: Any) -> Iterator[Daemon]:
        yield Daemon()

    monkeypatch.setattr(client, "connected", connected)
    return got


def run(*words: str) -> Result:
    return CliRunner().invoke(group, ["maintenance", *words])


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ((), Maintenance()),
        (("end",), Maintenance(0.0)),
        (("30m", "--reason", "upgrade"), Maintenance(1800.0, "upgrade")),
        (("1.5h", "--reason", "x"), Maintenance(5400.0, "x")),
    ],
)
def test_a_window_is_begun_ended_and_shown(
    asked: list[Maintenance], words: tuple[str, ...], question: Maintenance
) -> None:
    """What the daemon says is shown as text."""
    ended = run(*words)
    assert (ended.exit_code, asked) == (0, [question])
    assert "so be it" in ended.output
    assert "\x1b" not in ended.output


def test_a_refusal_is_exit_code_1(asked: list[Maintenance]) -> None:
    """On the error stream."""
    assert run("1h", "--reason", "refused").exit_code == 1
    assert len(asked) == 1


@pytest.mark.parametrize("length", ["soon", "0s", "-5m", "10y"])
def test_what_is_no_length_is_wrong_usage(asked: list[Maintenance], length: str) -> None:
    """With the forms that are understood; the daemon is not asked."""
    ended = run("--", length)
    assert (ended.exit_code, asked) == (2, [])
    assert "30m" in ended.output


def test_without_a_daemon_it_says_what_to_do(tmp_path: Path) -> None:
    """Exit code 2, as for a wrong configuration."""
    (tmp_path / "c.yaml").write_text(f"state_dir: {tmp_path}\n")
    ended = run("-c", str(tmp_path / "c.yaml"))
    assert ended.exit_code == 2
    assert "systemctl start replguard" in ended.output

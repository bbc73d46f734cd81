"""systemd is asked only where it runs; what a command says when it fails is one line."""

import pytest

from replguard.install import manager


def test_it_runs_where_its_folder_is(tmp_path, monkeypatch):
    """As sd_booted(3) has it, and with a systemctl to ask by."""
    monkeypatch.setattr(manager, "BOOTED", tmp_path / "system")
    assert not manager.runs()
    (tmp_path / "system").mkdir()
    monkeypatch.setattr(manager.shutil, "which", {"systemctl": "/bin/systemctl"}.get)
    assert manager.runs()
    monkeypatch.setattr(manager.shutil, "which", lambda _: None)
    assert not manager.runs()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("true", None),
        ("echo a >&2; echo b >&2; false", "a b"),
        ("exit 3", "exit code 3"),
        ("printf '\\377' >&2; false", "\ufffd"),
    ],
)
def test_a_failure_is_one_line(script, why):
    """Or its exit code, if it said nothing."""
    assert manager.ask(["sh", "-c", script]) == why


def test_a_command_that_is_not_there_or_hangs_is_a_failure(monkeypatch):
    """Not an exception."""
    assert "No such file" in manager.ask(["/nowhere/systemctl"])
    monkeypatch.setattr(manager, "PATIENCE", 0.1)
    assert "timed out" in manager.ask(["sleep", "5"])

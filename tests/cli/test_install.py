"""`replguard install`."""

import os

import pytest
from click.testing import CliRunner

from replguard import cli


def install(*words):
    return CliRunner().invoke(cli.group, ["install", *map(str, words)])


def test_each_thing_has_its_line_and_mark(tmp_path):
    """What was done, then what was left alone, then what could not be done with its exit code."""
    first = install("--root", tmp_path)
    assert first.exit_code == 0
    assert f"+ {tmp_path}/etc/systemd/system/replguard.service: written\n" in first.stdout
    second = install("--root", tmp_path)
    assert second.exit_code == 0
    assert {line[0] for line in second.stdout.splitlines()} == {"="}
    (tmp_path / "var/log/replguard").rmdir()
    (tmp_path / "var/log/replguard").touch()
    third = install("--root", tmp_path)
    assert third.exit_code == 1
    assert third.stderr == f"! {tmp_path}/var/log/replguard: is no folder; move it away and try again\n"


def test_a_dry_run_needs_no_rights_and_says_so():
    """Of this very host, whoever asks."""
    result = install("--dry-run")
    assert result.exit_code == 0
    assert result.stdout.endswith("Nothing was changed: this is what would be done.\n")


def test_an_ordinary_user_is_told_what_it_needs(monkeypatch):
    """And what goes without."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = install()
    assert result.exit_code == 2
    assert "needs root" in result.stderr
    assert "--root" in result.stderr


def test_nothing_that_others_can_change_is_made_a_service(monkeypatch):
    """They would be root with the next start."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("replguard.ownership.doubt", lambda _: "/home/x belongs to user 1000")
    result = install()
    assert result.exit_code == 2
    assert "the service would run as root what others can change: /home/x belongs to user 1000" in result.stderr


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb"])
def test_names_do_not_drive_the_terminal(tmp_path, name):
    """Nor begin a line of their own."""
    result = install("--root", tmp_path / name)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert all(line[:2] in ("+ ", "= ") for line in result.stdout.splitlines())

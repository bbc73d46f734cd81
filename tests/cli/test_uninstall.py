"""`replguard uninstall`."""

import os

from click.testing import CliRunner

from replguard import cli


def run(*words):
    return CliRunner().invoke(cli.group, [*map(str, words)])


def test_what_was_installed_is_removed_and_evidence_kept(tmp_path):
    """With a line for each, and --purge for the rest."""
    run("install", "--root", tmp_path)
    result = run("uninstall", "--root", tmp_path)
    assert result.exit_code == 0
    assert f"+ {tmp_path}/etc/systemd/system/replguard.service: removed\n" in result.stdout
    assert f"= {tmp_path}/var/log/replguard: kept (--purge removes it)\n" in result.stdout
    dry = run("uninstall", "--root", tmp_path, "--purge", "--dry-run")
    assert dry.stdout.endswith("Nothing was changed: this is what would be done.\n")
    assert (tmp_path / "var/log/replguard").is_dir()
    assert run("uninstall", "--root", tmp_path, "--purge").exit_code == 0
    assert not (tmp_path / "var/log/replguard").exists()


def test_an_ordinary_user_is_told_what_it_needs(monkeypatch):
    """Before anything is done."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run("uninstall")
    assert result.exit_code == 2
    assert "needs root" in result.stderr

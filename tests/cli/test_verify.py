"""`replguard verify`."""

import os

import pytest
from click.testing import CliRunner
from support import logs

from replguard import cli
from replguard.log import names


def verify(*words):
    return CliRunner().invoke(cli.group, ["verify", *map(str, words)])


@pytest.fixture
def log(tmp_path):
    """Give a log of both streams."""
    folder = logs.made(tmp_path / "log", tmp_path / "state")
    return logs.made(folder, tmp_path / "state", "evidence", count=12)


def test_a_log_that_is_whole(log):
    """Each stream with what is in it, its first key, and what nothing proves."""
    result = verify(log)
    assert result.exit_code == 0, result.output
    raw, evidence = result.stdout.split("evidence: ")
    assert raw.startswith("raw: whole\n  120 records in ")
    assert evidence.startswith("whole\n  12 records in 1 segment and 3 blocks, 2026-01-01T00:00:00Z to 2026-01-01T")
    assert raw.count("  first key ") == evidence.count("  first key ") == 1
    assert result.stdout.count("nothing was given that was kept elsewhere: that root wrote all of it anew is not") == 2
    assert result.stderr == ""


def test_what_was_kept_elsewhere_proves_it(log, tmp_path):
    """Checkpoints as they are printed, one of each stream, and the key."""
    printed = verify("--checkpoint", log).stdout
    kept = tmp_path / "kept"
    kept.write_text(printed)
    key = next(line.split()[2] for line in verify(log).stdout.splitlines() if "first key" in line)
    result = verify("--trust", kept, "--trust", key, log)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("the checkpoint proves all up to block ") == 2
    assert "the key proves raw-000001.jsonl.zst, what it follows" in result.stdout
    assert verify("--trust", key, log).exit_code == 1, "nothing proves the other stream"


def test_a_changed_log(log, tmp_path):
    """The line on standard error, the state in the answer, and an exit code."""
    logs.plain(log)
    path = log / names.name("raw", 2)
    path.write_bytes(path.read_bytes().replace(b"/srv/data/file-30", b"/srv/data/file-31"))
    result = verify(log)
    assert result.exit_code == 1
    assert "raw: NOT WHOLE" in result.stdout
    assert "evidence: whole" in result.stdout
    assert "raw-000002.jsonl:" in result.stderr
    assert "this line is not what was written" in result.stderr


@pytest.mark.parametrize("words", [("--trust", "x"), ("--trust", "A" * 43 + "=")])
def test_what_is_trusted_has_to_be_of_this_log(log, words):
    """A key of another log proves nothing, and says so."""
    result = verify(*words, log)
    assert result.exit_code == {"x": 2}.get(words[1], 1)
    assert "neither a key nor a checkpoint" in result.stderr or "no stream here has the key" in result.stderr


def test_a_stream_that_nothing_proves_is_not_called_changed(log):
    """A key of one stream says nothing of the other: that is no damage, and no proof."""
    key = next(line.split()[2] for line in verify(log).stdout.splitlines() if "first key" in line)
    result = verify("--trust", key, log)
    assert result.exit_code == 1
    assert "evidence: whole, and proven by nothing that was given: it may be written anew" in result.stdout
    assert "NOT WHOLE" not in result.stdout


def test_evidence_that_is_gone_is_missed(log):
    """With all of its segments removed nothing else would say so."""
    kept = verify("--checkpoint", log).stdout
    for path in log.glob("evidence-*"):
        path.unlink()
    result = verify(log)
    assert (result.exit_code, "raw: whole" in result.stdout) == (1, True)
    assert "evidence has no segment here: it was removed" in result.stderr
    (log.parent / "kept").write_text(kept)
    result = verify("--trust", log.parent / "kept", log)
    assert result.exit_code == 1
    assert "raw: whole" in result.stdout
    assert "of which a checkpoint was kept: it was removed" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_we_may_not_read_is_not_called_changed(log):
    """Who asks is told to ask as somebody else."""
    next(log.glob("evidence-*")).chmod(0)
    result = verify(log)
    assert result.exit_code == 2
    assert "cannot be read by this user: ask as root" in result.stderr


def test_a_folder_without_a_log(tmp_path):
    """Is told as such."""
    result = verify(tmp_path)
    assert result.exit_code == 2
    assert "holds no segment of a log" in result.stderr

"""`replguard verify`."""

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
    assert evidence.startswith("whole\n  12 records in 1 segments and 3 blocks, 2026-01-01T00:00:00Z to 2026-01-01T")
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
    assert result.exit_code == 2
    assert "neither a key nor a checkpoint" in result.stderr or "no stream of this log has the key" in result.stderr


def test_a_folder_without_a_log(tmp_path):
    """Is told as such."""
    result = verify(tmp_path)
    assert result.exit_code == 2
    assert "holds no segment of a log" in result.stderr

"""What last worked is kept, and found again when its file is broken."""

from pathlib import Path

import msgspec

from replguard.config import Config, Weights
from replguard.lastgood import LastGood, state_dir_of


def test_a_kept_configuration_comes_back_equal(tmp_path: Path) -> None:
    """Every key survives, sizes and spans included."""
    config = Config(state_dir=str(tmp_path), weights=Weights(paths=("/models",)))
    LastGood(tmp_path).keep_config(config)
    assert LastGood(tmp_path).config() == config


def test_nothing_kept_is_none(tmp_path: Path) -> None:
    """A first start has no last good configuration."""
    assert LastGood(tmp_path).config() is None


def test_a_torn_copy_is_none_and_no_traceback(tmp_path: Path) -> None:
    """A copy that a crash cut short is as good as none."""
    kept = LastGood(tmp_path)
    kept.keep_config(Config())
    torn = tmp_path / "last-good" / "config.json"
    torn.write_bytes(torn.read_bytes()[:20])
    assert kept.config() is None
    torn.write_bytes(msgspec.json.encode({"alerts": {"fold": []}}))
    assert kept.config() is None


def test_files_come_back_in_order_and_replace_the_older_copies(tmp_path: Path) -> None:
    """The second keeping leaves nothing of the first."""
    first, second = tmp_path / "b.yml", tmp_path / "a.yml"
    first.write_text("one")
    second.write_text("two")
    kept = LastGood(tmp_path / "state")
    kept.keep_files("rules", [first, second])
    assert [file.read_text() for file in kept.files("rules")] == ["one", "two"]
    kept.keep_files("rules", [second])
    assert [file.read_text() for file in kept.files("rules")] == ["two"]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """The daemon goes on watching; only the copy is missing."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    kept = LastGood(blocked)
    kept.keep_config(Config())
    kept.keep_files("rules", [blocked])
    assert kept.config() is None
    assert kept.files("rules") == []


def test_the_state_folder_of_a_broken_file_is_still_found(tmp_path: Path) -> None:
    """The line that names it is read as text, because the file is not YAML any more."""
    broken = tmp_path / "replguard.yaml"
    broken.write_text("state_dir: '/var/lib/elsewhere'  # moved\nweights: [\n")
    assert state_dir_of(broken) == Path("/var/lib/elsewhere")
    broken.write_text("weights: [\n")
    assert state_dir_of(broken) == Path(Config().state_dir)
    assert state_dir_of(tmp_path / "absent") == Path(Config().state_dir)


def test_only_the_owner_reads_what_is_kept(tmp_path: Path) -> None:
    """A sink's headers may hold a password, and the configuration itself be closed to others."""
    LastGood(tmp_path / "state").keep_config(Config())
    assert (tmp_path / "state/last-good").stat().st_mode & 0o777 == 0o700
    file = tmp_path / "manifest.yaml"
    file.write_text("deployments: []")
    LastGood(tmp_path / "other").keep_files("manifest", [file])
    assert (tmp_path / "other/last-good").stat().st_mode & 0o777 == 0o700

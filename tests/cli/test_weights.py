"""``replguard weights`` as a person runs it."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import deadmount, modelfiles
from support.fingerprints import model

from replguard.cli import group


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A configuration that protects one model of 1 MiB."""
    modelfiles.write(tmp_path / "models" / "llama" / "model.safetensors", model(1, 2**20))
    text = f"state_dir: {tmp_path}/state\nweights: {{paths: [{tmp_path}/models/llama], discover: false}}\n"
    return modelfiles.write(tmp_path / "replguard.yaml", text.encode())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["weights", *map(str, arguments)], catch_exceptions=False)


def test_list_shows_what_is_protected_and_writes_nothing(settings: Path, tmp_path: Path) -> None:
    """Model, file, format, size and state."""
    done = run("list", "-c", settings)
    assert done.exit_code == 0, done.output
    assert "llama" in done.output
    assert "listed" in done.output
    assert not (tmp_path / "state").exists()
    (row,) = json.loads(run("list", "--json", "-c", settings).stdout)
    assert (row["model"], row["format"], row["state"]) == ("llama", "safetensors", "listed")


def test_list_explains_itself(settings: Path, tmp_path: Path) -> None:
    """It says what a state means, has no empty column, and tells that nothing is protected rather than nothing."""
    done = run("list", "-c", settings)
    assert "weights scan" in done.stderr
    assert "why" not in done.stdout
    run("scan", "-c", settings)
    assert run("list", "-c", settings).stderr == ""
    settings.write_text(f"state_dir: {tmp_path}/state\nweights: {{paths: [{tmp_path}/absent], discover: false}}\n")
    assert "why" in run("list", "-c", settings).stdout
    settings.write_text(f"state_dir: {tmp_path}/state\nweights: {{discover: false}}\n")
    done = run("list", "-c", settings)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "weights.paths is empty" in done.stderr


def test_list_fails_for_a_path_that_is_not_there(settings: Path, tmp_path: Path) -> None:
    """And says which."""
    settings.write_text(f"state_dir: {tmp_path}/state\nweights: {{paths: [{tmp_path}/absent], discover: false}}\n")
    done = run("list", "--json", "-c", settings)
    assert done.exit_code == 1
    (row,) = json.loads(done.stdout)
    assert (row["state"], row["size"], row["path"]) == ("missing", None, f"{tmp_path}/absent")


def test_scan_makes_the_fingerprints_once(settings: Path) -> None:
    """Listing knows of them afterwards."""
    done = run("scan", "-c", settings)
    assert done.exit_code == 0, done.output
    assert "fingerprinted" in done.output
    assert "fingerprinted" in run("list", "-c", settings).output


def test_scan_of_nothing_says_so(settings: Path, tmp_path: Path) -> None:
    """An empty configuration is a mistake to be told of."""
    settings.write_text(f"state_dir: {tmp_path}/state\nweights: {{discover: false}}\n")
    done = run("scan", "-c", settings)
    assert "weights.paths is empty" in done.stderr


def test_match_tells_copies_from_strangers(settings: Path, tmp_path: Path) -> None:
    """Exit code 0 if all match, 1 if one does not, 2 if one cannot be read."""
    data = (tmp_path / "models/llama/model.safetensors").read_bytes()
    copy = modelfiles.write(tmp_path / "copy", data)
    part = modelfiles.write(tmp_path / "part", data[: len(data) // 2])
    stranger = modelfiles.write(tmp_path / "stranger", model(2, 2**20))
    done = run("match", "-c", settings, copy, part)
    assert done.exit_code == 0, done.output
    assert "100.0%" in done.output
    assert run("match", "-c", settings, copy, stranger).exit_code == 1
    done = run("match", "--json", "-c", settings, part, stranger)
    first, second = json.loads(done.stdout)
    assert first["matches"][0]["share"] == pytest.approx(0.5, abs=0.02)
    assert second["matches"] == []
    done = run("match", "-c", settings, copy, tmp_path / "absent")
    assert done.exit_code == 2
    assert f"{tmp_path}/absent: cannot be opened: No such file" in done.stderr


def test_match_without_protected_weights_says_what_to_set(settings: Path, tmp_path: Path) -> None:
    """Nothing can match then."""
    settings.write_text(f"state_dir: {tmp_path}/state\nweights: {{discover: false}}\n")
    done = run("match", "-c", settings, settings)
    assert done.exit_code == 1
    assert "weights.paths" in done.stderr


def test_an_exported_index_works_elsewhere(settings: Path, tmp_path: Path) -> None:
    """Made of the paths given, kept nowhere but in the file."""
    exported = tmp_path / "exported"
    origin = tmp_path / "models/llama/model.safetensors"
    done = run("scan", origin, "--export", exported, "-c", settings)
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "state").exists()
    settings.write_text(f"state_dir: {tmp_path}/other\nweights: {{paths: [], discover: false, index: [{exported}]}}\n")
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    done = run("match", "--json", "-c", settings, copy)
    assert done.exit_code == 0
    (row,) = json.loads(done.stdout)
    assert (row["matches"][0]["path"], row["matches"][0]["inode"]) == (str(origin), None)


def test_an_export_that_cannot_be_written_is_an_error(settings: Path, tmp_path: Path) -> None:
    """With the path, and no traceback."""
    done = run("scan", "--export", settings / "below-a-file", "-c", settings)
    assert done.exit_code == 2
    assert f"{settings}/below-a-file: cannot be written" in done.stderr


def test_names_of_control_characters_move_no_cursor(settings: Path, tmp_path: Path) -> None:
    """Escapes are shown, not obeyed."""
    evil = modelfiles.write(tmp_path / "models" / "llama" / "a\x1b[2Jb\nc.safetensors", model(3, 5000))
    done = run("list", "-c", settings)
    assert "\x1b" not in done.output
    done = run("match", "-c", settings, evil, tmp_path / "x\x1b[2J")
    assert "\x1b" not in done.output + done.stderr


def test_wrong_usage_is_two(settings: Path) -> None:
    """No file to match, a path that is not there, an unknown verb."""
    assert run("match", "-c", settings).exit_code == 2
    assert run("scan", "/nowhere/at/all", "-c", settings).exit_code == 2
    assert run("frob").exit_code == 2


def test_match_follows_the_links_that_a_person_names(settings: Path, tmp_path: Path) -> None:
    """A loop of them is an error that names it."""
    (tmp_path / "link").symlink_to(tmp_path / "models/llama/model.safetensors")
    assert run("match", "-c", settings, tmp_path / "link").exit_code == 0
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    done = run("match", "-c", settings, tmp_path / "loop")
    assert done.exit_code == 2
    assert f"{tmp_path}/loop" in done.stderr


def test_an_exported_index_works_where_the_weights_are_not(settings: Path, tmp_path: Path) -> None:
    """On a host that has neither the paths nor the key."""
    exported = tmp_path / "exported"
    assert run("scan", "-c", settings, "--export", exported).exit_code == 0
    data = (tmp_path / "models/llama/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "models")
    shutil.rmtree(tmp_path / "state")
    settings.write_text(
        f"state_dir: {tmp_path}/elsewhere\nweights: {{paths: [], index: [{exported}], discover: false}}\n"
    )
    copy = modelfiles.write(tmp_path / "copy", b"moved" + data)
    done = run("match", "--json", "-c", settings, copy)
    assert done.exit_code == 0, done.output
    ((match,),) = [row["matches"] for row in json.loads(done.stdout)]
    assert (match["model"], match["device"], match["inode"]) == ("llama", None, None)
    assert match["share"] == pytest.approx(1.0, abs=0.02)


def test_a_file_that_is_read_whole_hides_no_part(settings: Path, tmp_path: Path) -> None:
    """A quarter of a megabyte in thirty that samples pass by."""
    data = (tmp_path / "models/llama/model.safetensors").read_bytes()
    packed = modelfiles.write(tmp_path / "packed", modelfiles.noise(30 * 2**20, 5) + data[-(2**18) :])
    done = run("match", "--whole", "--json", "-c", settings, packed)
    ((match,),) = [row["matches"] for row in json.loads(done.stdout)]
    assert match["share"] == pytest.approx(0.25, abs=0.05)


@pytest.mark.root
def test_a_disk_that_does_not_answer_is_told(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the scan of a dead mount nor the match of a file on it hangs."""
    monkeypatch.setattr("replguard.cli.weights.DEADLINE", 1.0)
    modelfiles.write(tmp_path / "copy", (tmp_path / "models/llama/model.safetensors").read_bytes())
    text = settings.read_text().replace("discover:", "scan_network: true, discover:")
    settings.write_text(text.replace("models/llama]", f"share/{deadmount.NAME}]"))
    with deadmount.mounted(tmp_path / "share", model(2, 6 * 2**20), after=2 * 2**20):
        done = run("scan", "-c", settings, "--json")
        assert done.exit_code == 1
        (row,) = json.loads(done.stdout)
        assert (row["state"], "does not answer" in row["reason"]) == ("failed", True)
    with deadmount.mounted(tmp_path / "share"):
        settings.write_text(settings.read_text().replace(f"share/{deadmount.NAME}", "models/llama"))
        done = run("match", "-c", settings, tmp_path / "share" / "file")
        assert done.exit_code == 2
        assert "does not answer" in done.stderr

"""What the daemon says of itself, and the file that it is kept in."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from replguard import standing
from replguard.config import Weights
from replguard.errors import ReplguardError
from replguard.events.standing import SensorLine
from replguard.kernel.keep import Kept
from replguard.sensors.base import Counters
from replguard.sensors.files.verdicts import Verdict
from replguard.standing import Status, StatusFile
from replguard.weights.inventory import Inventory

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS = Status(
    version="1",
    pid=7,
    started=WHEN,
    written=WHEN,
    sensors=[SensorLine("exec", "process", "kernel", None, None)],
    protecting="nothing yet",
    judging="no rules",
    problems=[],
    metrics="",
)


def test_what_was_kept_is_what_those_who_went_on_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever did not, or does not work, saw nothing; losses count where something was kept."""
    sensors = [SimpleNamespace(name=name, counters=Counters()) for name in ("exec", "gpu", "tcp", "file")]
    for sensor in sensors:
        sensor.counters.lose("kernel", "ring full", 3)
        sensor.counters.lose("decode", "malformed", 9)
    runner = SimpleNamespace(sensors=sensors, up=lambda name: name != "file")
    kept = Kept()
    kept.adopted |= {"exec", "file"}
    kept.unfit["tcp"] = "it is not whole"
    monkeypatch.setattr(standing, "KEPT", kept)
    found = standing.kept(runner)  # type: ignore[arg-type]
    assert found == ({"exec"}, {"gpu", "tcp"}, 3, ["tcp: it is not whole"])


def test_the_status_is_written_whole_and_removed(tmp_path: Path) -> None:
    """The folder is made; what is read is what was written; twice removed is once."""
    file = StatusFile(tmp_path / "state")
    file.write(STATUS)
    path = tmp_path / "state" / standing.FILE
    assert msgspec.json.decode(path.read_bytes(), type=Status) == STATUS
    assert [one.name for one in path.parent.iterdir()] == [standing.FILE]
    file.remove()
    file.remove()
    assert not path.exists()


def test_a_problem_is_written_without_the_password_that_it_quotes(tmp_path: Path) -> None:
    """Who may read the status need not know how to reach a sink."""
    file = StatusFile(tmp_path)
    file.write(msgspec.structs.replace(STATUS, problems=["c.yaml:3: 'https://me:hunter2x@h' is not a URL"]))
    assert msgspec.json.decode((tmp_path / standing.FILE).read_bytes())["problems"] == [
        "c.yaml:3: 'https://me:***@h' is not a URL"
    ]


def test_a_status_that_cannot_be_written_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every few seconds anew would bury everything else; a failure after a success is told again."""
    (tmp_path / "state").write_text("a file where the folder should be")
    file = StatusFile(tmp_path / "state")
    for _ in range(3):
        file.write(STATUS)
    assert capsys.readouterr().out.count("status cannot be written") == 1
    file.remove()
    (tmp_path / "state").unlink()
    file.write(STATUS)
    assert (tmp_path / "state" / standing.FILE).exists()


def test_what_is_protected_is_a_sentence(tmp_path: Path) -> None:
    """What is missing is named, and how to begin."""
    nothing = Inventory(Weights(discover=False))
    nothing.refresh()
    assert standing.protecting(nothing) == "nothing yet; name your model folders in weights.paths"
    awaited = Inventory(Weights(paths=(str(tmp_path / "a"), str(tmp_path / "b")), discover=False))
    awaited.refresh()
    told = f"nothing yet; {tmp_path}/a is not there yet, and 1 more path with trouble"
    assert standing.protecting(awaited) == told


def test_a_folder_without_a_model_is_not_told_to_be_absent(tmp_path: Path) -> None:
    """It is there, and holds nothing that could be protected: other words than for what is awaited."""
    (tmp_path / "model.safetensors").write_bytes(b"noise" * 1000)
    found = Inventory(Weights(paths=(str(tmp_path),), discover=False))
    found.refresh()
    assert standing.protecting(found) == f"nothing yet; {tmp_path} holds no model file that we can read"


def test_which_file_says_how_to_watch_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forgot to write one learns it at the first start."""
    usual = tmp_path / "replguard.yaml"
    monkeypatch.setattr(standing, "DEFAULT_PATH", usual)
    assert standing.configured(f"{tmp_path}/mine.yaml") == str(tmp_path / "mine.yaml")
    assert standing.configured(None).startswith(f"{usual} is not there: every key has its default")
    usual.touch()
    assert standing.configured(None) == str(usual)


def test_where_alerts_go_is_a_sentence() -> None:
    """With the file of those that have one."""
    assert standing.alerting({}, console=False) == "nowhere; `sinks` is empty"
    assert standing.alerting({"jsonl": {"path": "/a"}, "journald": {}}, console=True) == "jsonl (/a), journald, console"


def test_a_file_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is lost; folders that are made for it are no trouble."""
    path = tmp_path / "not" / "there" / "a.jsonl"
    assert standing.alerting({"jsonl": {"path": str(path)}}, console=False) == f"jsonl ({path})"
    asked: list[str] = []
    monkeypatch.setattr(os, "access", lambda where, _: asked.append(str(where)))
    assert standing.alerting({"jsonl": {"path": str(path)}}, console=False) == f"jsonl ({path}, which we may NOT write)"
    assert asked == [str(tmp_path)]


def test_a_state_folder_is_of_one_daemon(tmp_path: Path) -> None:
    """A second one is refused with the pid of the first and what to do, until that one has ended."""
    held = standing.alone(tmp_path / "state")
    assert held is not None
    with pytest.raises(ReplguardError, match=rf"already running as pid {os.getpid()}, with the same state folder"):
        standing.alone(tmp_path / "state")
    other = standing.alone(tmp_path / "other")
    assert other is not None
    os.close(held)
    again = standing.alone(tmp_path / "state")
    assert again is not None
    for descriptor in (other, again):
        os.close(descriptor)


def test_a_state_folder_that_cannot_be_written_holds_nobody_up(tmp_path: Path) -> None:
    """It is told where the state cannot be written."""
    (tmp_path / "file").write_text("")
    assert standing.alone(tmp_path / "file" / "state") is None
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock").symlink_to(tmp_path / "file")
    assert standing.alone(tmp_path / "state") is None
    assert (tmp_path / "file").read_text() == ""


def test_which_mounts_are_watched_is_a_sentence(tmp_path: Path) -> None:
    """Those that are not, by path; how many protected files lie there; nothing where no sensor says anything."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(64))
    inventory = Inventory(Weights(paths=(str(tmp_path),), discover=False))
    inventory.refresh()
    assert standing.watching([], inventory) == ""
    assert standing.watching([Verdict(b"/", "ext4"), Verdict(b"/i", "squashfs", "image", "")], inventory) == "1 watched"
    told = [Verdict(b"/", "ext4"), Verdict(str(tmp_path).encode(), "nfs4", "remote", "")]
    said = standing.watching(told, inventory)
    assert said.startswith(f"1 watched, not watched: {tmp_path} (nfs4)")
    assert said.endswith("1 protected file lies on such a mount")
    many = standing.watching([Verdict(b"/n%d" % number, "nfs4", "remote", "") for number in range(9)], inventory)
    assert "/n4 (nfs4) and 4 more" in many

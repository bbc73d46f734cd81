"""Each thing is done once, and what is somebody's is left alone."""

import os
from pathlib import Path

import pytest

from replguard.install import manager, shipped
from replguard.install.service import CONFIG, Service

UNIT = f"etc/systemd/system/{shipped.UNIT}"


def installed(root, *, dry=False):
    """Install below a root, and return the state of each thing by its path or name."""
    return {step.text.partition(":")[0]: step.state for step in Service(root, dry=dry).install("/usr/bin/python3")}


def removed(root, *, purge=False, dry=False):
    """Uninstall, likewise."""
    return {step.text.partition(":")[0]: step.state for step in Service(root, dry=dry).uninstall(purge=purge)}


def listing(root):
    """Return each path below a root with its mode and content."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_text() if path.is_file() else None)
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture(autouse=True)
def umask():
    """Whatever it is: modes are set."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_it_is_all_done_once(tmp_path):
    """Files and folders with their modes; a second time there is nothing to do."""
    first = installed(tmp_path)
    assert set(first.values()) == {"done"}
    made = listing(tmp_path)
    assert {name: oct(mode & 0o777) for name, (mode, _) in made.items() if "replguard" in name.rpartition("/")[2]} == {
        UNIT: "0o644",
        "etc/systemd/system/replguard-analyser.service": "0o644",
        "etc/systemd/system/replguard-analyser.socket": "0o644",
        "etc/sysusers.d/replguard.conf": "0o644",
        "etc/tmpfiles.d/replguard.conf": "0o644",
        "etc/replguard": "0o750",
        "etc/replguard/replguard.yaml": "0o600",
        "var/lib/replguard": "0o710",
        "var/log/replguard": "0o750",
    }
    assert set(installed(tmp_path).values()) == {"left"}
    assert listing(tmp_path) == made


def test_a_dry_one_says_the_same_and_does_nothing(tmp_path):
    """Of installing and of removing."""
    told = installed(tmp_path, dry=True)
    assert list(tmp_path.iterdir()) == []
    assert installed(tmp_path) == told
    made = listing(tmp_path)
    told = removed(tmp_path, purge=True, dry=True)
    assert listing(tmp_path) == made
    assert removed(tmp_path, purge=True) == told


def test_a_file_that_was_changed_is_left_alone(tmp_path):
    """What would stand there lies beside it until it does, or all is removed."""
    installed(tmp_path)
    unit, beside = tmp_path / UNIT, tmp_path / f"{UNIT}.new"
    text = unit.read_text()
    unit.write_text("mine")
    assert installed(tmp_path)[str(unit)] == "left"
    assert (unit.read_text(), beside.read_text()) == ("mine", text)
    assert removed(tmp_path)[str(unit)] == "left"
    assert (unit.read_text(), beside.exists()) == ("mine", False)
    installed(tmp_path)
    beside.replace(unit)
    assert installed(tmp_path)[str(unit)] == "left"
    assert unit.read_text() == text


def test_what_an_older_version_wrote_is_brought_up_to_date(tmp_path):
    """Nobody changed it since."""
    installed(tmp_path)
    unit = tmp_path / UNIT
    text = unit.read_text()
    unit.write_text(shipped.seal("older\n"))
    assert installed(tmp_path)[str(unit)] == "done"
    assert unit.read_text() == text


def test_a_link_is_somebodys(tmp_path):
    """A unit that is masked stays so, and what a link leads to is neither read nor written."""
    unit, elsewhere = tmp_path / UNIT, tmp_path / "elsewhere"
    unit.parent.mkdir(parents=True)
    elsewhere.write_text(shipped.seal("older\n"))
    unit.symlink_to(elsewhere)
    assert installed(tmp_path)[str(unit)] == "left"
    assert removed(tmp_path)[str(unit)] == "left"
    assert unit.is_symlink()
    assert elsewhere.read_text() == shipped.seal("older\n")


def test_a_configuration_that_is_there_is_never_touched(tmp_path):
    """Whatever is in it, also a link to nowhere."""
    path = tmp_path / CONFIG
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")
    assert installed(tmp_path)[str(path)] == "left"
    path.unlink()
    path.write_text("mode: observe\n")
    assert installed(tmp_path)[str(path)] == "left"
    assert path.read_text() == "mode: observe\n"


def test_modes_are_put_right(tmp_path):
    """A folder that became writable for all; what is no folder is told."""
    installed(tmp_path)
    state, log = tmp_path / "var/lib/replguard", tmp_path / "var/log/replguard"
    state.chmod(0o777)
    log.rmdir()
    log.write_text("in the way")
    told = installed(tmp_path)
    assert (told[str(state)], told[str(log)]) == ("done", "failed")
    assert state.stat().st_mode & 0o777 == 0o710


def test_evidence_stays_unless_it_is_purged(tmp_path):
    """So does what the operator wrote; twice is as good as once."""
    installed(tmp_path)
    (tmp_path / "var/log/replguard/alerts.jsonl").write_text("{}\n")
    told = removed(tmp_path)
    assert [told[str(tmp_path / name)] for name in ("etc/replguard", "var/lib/replguard", "var/log/replguard")] == [
        "left"
    ] * 3
    assert not (tmp_path / UNIT).exists()
    assert (tmp_path / "var/log/replguard/alerts.jsonl").exists()
    assert set(removed(tmp_path).values()) == {"left"}
    assert "done" in removed(tmp_path, purge=True).values()
    assert list(tmp_path.rglob("*replguard*")) == []


def test_what_cannot_be_done_is_told_and_the_rest_is_done(tmp_path):
    """A folder of the system that is none."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sysusers.d").write_text("in the way")
    told = installed(tmp_path)
    assert [name for name, state in told.items() if state == "failed"] == [
        str(tmp_path / "etc/sysusers.d/replguard.conf")
    ]
    assert (tmp_path / UNIT).exists()


def test_below_another_root_systemd_is_not_asked(tmp_path, monkeypatch):
    """It is a package's: that asks when it is installed."""
    monkeypatch.setattr(manager, "runs", lambda: True)
    monkeypatch.setattr(manager, "ask", lambda words: pytest.fail(f"asked {words}"))
    installed(tmp_path)
    assert "done" in removed(tmp_path, purge=True).values()
    assert Path("/etc/systemd/system") not in tmp_path.parents

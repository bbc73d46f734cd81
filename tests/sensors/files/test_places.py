"""Where files are looked for."""

import os
from pathlib import Path

import msgspec

from replguard.config import Config, Log, Watch, Weights
from replguard.sensors.files import places
from replguard.sensors.files.places import Root


def test_weights_first_then_persistence_then_the_rest(tmp_path: Path) -> None:
    """A weights file means its folder, flat; a weights folder means all below."""
    (tmp_path / "models").mkdir()
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "w.bin").write_bytes(b"")
    config = msgspec.structs.replace(
        Config(),
        weights=Weights(paths=(str(tmp_path / "models"), str(tmp_path / "single" / "w.bin"))),
        watch=Watch(paths=(str(tmp_path / "elsewhere"),)),
    )
    found = list(places.roots(config))
    real = os.fsencode(tmp_path.resolve())
    assert found[:2] == [Root(real + b"/models", True, True), Root(real + b"/single", False, True)]
    assert Root(b"/etc/systemd/system", True, True) in found
    assert found[-1] == Root(real + b"/elsewhere")
    assert not any(root.path == b"/srv" for root in found)


def test_without_paths_the_usual_folders(tmp_path: Path) -> None:
    """Home, temporary and data folders, resolved."""
    found = {root.path for root in places.roots(Config()) if root.recursive}
    assert {os.path.realpath(os.fsencode(path)) for path in places.USUAL} <= found


def test_homes_come_from_the_user_list(tmp_path: Path) -> None:
    """Each home is watched flat, its places of persistence with all below."""
    passwd = tmp_path / "passwd"
    passwd.write_bytes(b"a:x:1:1::/home/a:/bin/sh\nb:x:2:2::/:/x\nbroken\n\xff:x:3:3::/home/\xff:/bin/sh\n")
    found = list(places.roots(Config(), str(passwd)))
    assert Root(b"/home/a", recursive=False) in found
    assert Root(b"/home/a/.ssh", important=True) in found
    assert Root(b"/home/\xff", recursive=False) in found
    assert not any(root.path == b"/" for root in found)


def test_our_own_folders_are_left_out(tmp_path: Path) -> None:
    """Log, state and the files of sinks."""
    config = msgspec.structs.replace(
        Config(),
        state_dir=str(tmp_path / "state"),
        log=Log(dir=str(tmp_path / "log")),
        sinks={"jsonl": {"path": str(tmp_path / "alerts.jsonl")}, "console": {}},
    )
    real = os.fsencode(tmp_path.resolve())
    assert places.own(config) == {real + b"/state", real + b"/log", real + b"/alerts.jsonl"}

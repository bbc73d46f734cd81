"""Which files are replguard's own, and which only look alike."""

import sys
from pathlib import Path

import pytest
from msgspec import convert

import replguard
from replguard.config import Config, dec_hook
from replguard.provenance.guarded import Guarded, compiles

PACKAGE = Path(replguard.__file__).resolve().parent
SETTINGS = {
    "state_dir": "/var/lib/replguard",
    "log": {"dir": "/var/log/replguard"},
    "manifest": "/etc/replguard/manifest.yaml",
    "rules": {"paths": ["/etc/replguard/rules", "/srv/one.yml"]},
    "sinks": {"jsonl": {"path": "/srv/alerts.jsonl"}, "journald": {}},
}
GUARDED = Guarded(None, convert(SETTINGS, Config, dec_hook=dec_hook))


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/etc/replguard/replguard.yaml", "configuration"),
        ("/etc/replguard/conf.d/10-sinks.yaml", "configuration"),
        ("/etc/replguard/manifest.yaml", "manifest"),
        ("/etc/replguard/manifest.d/a.yml", "manifest"),
        ("/etc/replguard/rules/deep/mine.yml", "rules"),
        ("/srv/one.yml", "rules"),
        ("/etc/systemd/system/replguard.service", "unit"),
        ("/usr/lib/systemd/system/replguard.service", "unit"),
        ("/etc/systemd/system/replguard.service.d/override.conf", "unit"),
        ("/etc/systemd/system/multi-user.target.wants/replguard.service", "unit"),
        ("/run/systemd/system.control/replguard.service.d/50-CPUQuota.conf", "unit"),
        ("/var/lib/replguard/log-raw.key", "keys"),
        ("/var/lib/replguard/baseline.json", "state"),
        ("/var/log/replguard/raw-1-00000001.jsonl", "log"),
        ("/srv/alerts.jsonl", "log"),
        (f"{PACKAGE}/daemon.py", "program"),
    ],
)
def test_each_part_is_known(path: str, part: str) -> None:
    """By the configuration, and where units and the program lie."""
    assert GUARDED(path) == part


@pytest.mark.parametrize(
    "path",
    [
        "/etc/replguard/rules/mine.yml.swp",
        "/etc/replguard/replguard.yaml~",
        "/etc/systemd/system/other.service",
        "/etc/systemd/system/replguardian/x",
        "/var/lib/replguard-other/x",
        "/home/ann/etc/replguard/replguard.yaml",
        "/var/log/replguards",
    ],
)
def test_what_only_looks_alike_is_not_ours(path: str) -> None:
    """Drafts of an editor and neighbours are none of it."""
    assert GUARDED(path) is None


def test_a_named_configuration_is_guarded_where_it_lies() -> None:
    """And its conf.d; characters that mean something to an expression mean themselves."""
    guarded = Guarded(Path("/srv/a+b/my.yaml"), Config())
    assert guarded("/srv/a+b/my.yaml") == "configuration"
    assert guarded("/srv/a+b/conf.d/x.yaml") == "configuration"
    assert guarded("/srv/aab/my.yaml") is None
    assert guarded("/etc/replguard/replguard.yaml") is None


def test_what_our_interpreter_compiles_is_told_by_its_program() -> None:
    """Another program that writes there is not it."""
    real = str(Path(sys.executable).resolve())
    assert compiles("/x/__pycache__/a.pyc", real, sys.executable)
    assert not compiles("/x/__pycache__/a.pyc", "/usr/bin/vim", sys.executable)
    assert not compiles("/x/a.py", real, sys.executable)
    assert not compiles("/x/__pycache__/a.pyc", None, sys.executable)

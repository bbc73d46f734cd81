"""The unit starts what exists, is told when it is ready, and never gives up."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(ROOT / "systemd/replguard.service")
    return parser


@pytest.fixture
def settings():
    """Give a call that returns every value of a setting that may stand several times."""
    lines = (ROOT / "systemd/replguard.service").read_text().splitlines()
    return lambda key: [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_the_service_is_told_ready_and_comes_back(unit):
    """READY=1 is waited for; an end of any kind is no end; reload reaches the daemon."""
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert "WatchdogSec" in service
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["ExecReload"].split()[1] == "-HUP"
    assert service["ExecStart"].endswith("/replguard run")


def test_it_may_see_what_it_watches(unit):
    """No setting hides processes, homes, temporary files or devices from it, and it may read what is not its own."""
    service = unit["Service"]
    hiding = {"PrivateTmp", "PrivateDevices", "PrivateUsers", "PrivateMounts", "PrivateNetwork", "ProtectHome"}
    hiding |= {"ProtectProc", "ProcSubset", "RootDirectory", "RootImage", "InaccessiblePaths", "TemporaryFileSystem"}
    assert not hiding & set(service)
    assert {"CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"} <= set(service["CapabilityBoundingSet"].split())
    assert service["RestrictNamespaces"] == "net"


def test_it_may_be_told_by_the_kernel(unit, settings):
    """The rights and the calls of eBPF and fanotify, without which it would look instead; and it mounts nothing."""
    assert "CAP_SYS_ADMIN" in unit["Service"]["CapabilityBoundingSet"].split()
    allowed, refused = settings("SystemCallFilter")
    calls = {"bpf", "fanotify_init", "fanotify_mark", "open_by_handle_at", "setns"}
    assert calls <= set(allowed.split())
    assert not {"@mount", "mount", "fsmount", "perf_event_open"} & set(allowed.split())
    assert refused.startswith("~")


def test_each_setting_that_restricts_says_why(settings):
    """Above each group of them stands a comment: who changes one knows what for."""
    groups = (ROOT / "systemd/replguard.service").read_text().split("\n\n")
    restricts = re.compile("^(Protect|Restrict|Capability|SystemCall)", re.MULTILINE)
    restricting = [group for group in groups if restricts.search(group)]
    assert restricting
    assert all(group.startswith("#") for group in restricting)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_its_exposure_is_bounded():
    """By systemd's own measure, at most 3.6 of 10."""
    unit = ROOT / "systemd/replguard.service"
    judge = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    known = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True, check=False).stdout
    if "--threshold" not in known:
        pytest.skip("needs a systemd that judges files (250)")
    ended = subprocess.run([*judge, "--threshold=36", str(unit)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert subprocess.run([*judge, "--threshold=1", str(unit)], capture_output=True, check=False).returncode != 0


def test_it_can_change_nothing_but_its_own(unit):
    """The filesystem is read-only but for state, logs and its runtime folder."""
    service = unit["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert (service["StateDirectory"], service["LogsDirectory"]) == ("replguard", "replguard")


def test_folders_belong_to_root():
    """Nobody else may write rules, manifest, state or log; the group may read."""
    for line in (ROOT / "systemd/tmpfiles.d/replguard.conf").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, path, mode, user, _, _ = line.split()
            assert (kind, user) == ("d", "root")
            assert path.startswith(("/etc/replguard", "/var/lib/replguard", "/var/log/replguard"))
            assert int(mode, 8) & 0o027 == 0

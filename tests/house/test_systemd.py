"""The unit starts what exists, is told when it is ready, and never gives up."""

import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(ROOT / "systemd/replguard.service")
    return parser


def test_the_service_is_told_ready_and_comes_back(unit):
    """READY=1 is waited for; an end of any kind is no end; reload reaches the daemon."""
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["ExecReload"].split()[1] == "-HUP"
    assert service["ExecStart"].endswith("/replguard run")


def test_it_may_see_what_it_watches(unit):
    """No setting hides processes, homes, temporary files or devices from it, and it may read what is not its own."""
    service = unit["Service"]
    hiding = {"PrivateTmp", "PrivateDevices", "PrivateUsers", "PrivateMounts", "PrivateNetwork", "ProtectHome"}
    hiding |= {"ProtectProc", "ProtectClock", "RestrictNamespaces"}
    assert not hiding & set(service)
    assert {"CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"} <= set(service["CapabilityBoundingSet"].split())


def test_it_may_be_told_by_the_kernel(unit):
    """The rights and the calls of eBPF and fanotify, without which it would look instead."""
    service = unit["Service"]
    assert {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"} <= set(service["CapabilityBoundingSet"].split())
    calls = {"bpf", "perf_event_open", "fanotify_init", "fanotify_mark", "open_by_handle_at", "setns"}
    calls |= {"fsopen", "fsconfig", "fsmount"}  # the control groups, opened without a place
    assert calls <= set(service["SystemCallFilter"].split())


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

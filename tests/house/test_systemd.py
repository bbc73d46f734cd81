"""The units start what exists, are told when it is ready, and never give up."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from replguard.analyser.analyser import folder
from replguard.cli import run
from replguard.config import Config

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"replguard.service": 36, "replguard-analyser.service": 21}
"""The most that systemd's measure of exposure may say, in tenths."""


def read(name):
    """Return a unit by its sections."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(ROOT / "systemd" / name)
    return parser


@pytest.fixture
def unit():
    return read("replguard.service")


@pytest.fixture
def settings():
    """Give a call that returns every value of a setting that may stand several times."""
    lines = (ROOT / "systemd/replguard.service").read_text().splitlines()
    return lambda key: [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_is_told_ready_and_comes_back(name):
    """READY=1 is waited for; an end of any kind is no end; reload reaches the daemon."""
    unit = read(name)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert "WatchdogSec" in service
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["ExecReload"].split()[1] == "-HUP"
    part = "analyser" if "analyser" in name else "collector"
    assert service["ExecStart"].endswith(f"/replguard run --only {part}")


def test_one_is_started_and_the_others_come_and_go_with_it(unit):
    """They are joined by a socket at the place where it is looked for, which is root's alone."""
    judges, joins = read("replguard-analyser.service"), read("replguard-analyser.socket")
    assert unit["Unit"]["Requires"] == judges["Unit"]["Requires"] == "replguard-analyser.socket"
    assert unit["Unit"]["Wants"] == "replguard-analyser.service"
    assert "replguard-analyser.service" in unit["Unit"]["After"].split()
    assert judges["Unit"]["StopWhenUnneeded"] == joins["Unit"]["StopWhenUnneeded"] == "yes"
    assert [name for name in (*SERVICES, "replguard-analyser.socket") if "Install" in read(name)] == [*SERVICES][:1]
    place = next(each.default for each in run.command.params if each.name == "socket")
    assert (joins["Socket"]["ListenStream"], joins["Socket"]["SocketMode"]) == (str(place), "0600")


def test_who_judges_has_no_right_and_no_eyes():
    """A user of its own, no capability, no homes, devices, processes or temporary files of others."""
    service = read("replguard-analyser.service")["Service"]
    assert (service["User"], service["CapabilityBoundingSet"]) == ("replguard", "")
    hides = {"PrivateTmp": "yes", "PrivateDevices": "yes", "ProtectHome": "yes", "ProtectProc": "invisible"}
    assert hides.items() <= dict(service).items()
    assert service["StateDirectory"] == f"replguard/{folder(Config()).name}"


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
@pytest.mark.parametrize("name", SERVICES)
def test_its_exposure_is_bounded(name):
    """By systemd's own measure: who watches at most 3.6 of 10, who judges at most 2.1."""
    unit = ROOT / "systemd" / name
    judge = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    known = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True, check=False).stdout
    if "--threshold" not in known:
        pytest.skip("needs a systemd that judges files (250)")
    ended = subprocess.run(
        [*judge, f"--threshold={SERVICES[name]}", str(unit)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert subprocess.run([*judge, "--threshold=1", str(unit)], capture_output=True, check=False).returncode != 0


def test_each_can_change_nothing_but_its_own():
    """The filesystem is read-only but for the state of each, and the log of who judges."""
    services = [read(name)["Service"] for name in SERVICES]
    assert [(each["ProtectSystem"], each["NoNewPrivileges"]) for each in services] == [("strict", "yes")] * 2
    assert [each["StateDirectory"] for each in services] == ["replguard", "replguard/analyser"]
    assert [each.get("LogsDirectory") for each in services] == [None, "replguard"]


def test_folders_belong_to_who_writes_them():
    """Rules, manifest and state are root's, what the analyser writes is its own; nobody else writes any."""
    for line in (ROOT / "systemd/tmpfiles.d/replguard.conf").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, path, mode, user, _, _ = line.split()
            judged = path in ("/var/lib/replguard/analyser", "/var/log/replguard")
            assert (kind, user) == ("d", "replguard" if judged else "root")
            assert path.startswith(("/etc/replguard", "/var/lib/replguard", "/var/log/replguard"))
            assert int(mode, 8) & 0o027 == 0

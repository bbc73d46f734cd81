"""An audit log is read for those who act, among the acts of everybody else."""

from pathlib import Path

import pytest
from bench.host import Lacking
from proof import auditing, sigma

SCRIPT = b"echo a".hex().upper()
"""``echo a``, as the log writes what has a space."""


def call(serial: int, ppid: int, pid: int, key: str, exe: str = "/bin/sh", number: int = 59) -> str:
    about = f'ppid={ppid} pid={pid} auid=4294967295 comm="x" exe="{exe}" key={key}'
    return f"type=SYSCALL msg=audit(1000.{serial:03}:{serial}): arch=c000003e syscall={number} success=yes {about}\n"


def executed(serial: int, ppid: int, pid: int, *args: str, exe: str = "/bin/sh") -> str:
    words = " ".join(f"a{number}={arg}" for number, arg in enumerate(args))
    head = f"msg=audit(1000.{serial:03}:{serial}):"
    cwd = f'type=CWD {head} cwd="/srv"\n'
    return call(serial, ppid, pid, '"exec"', exe) + f"type=EXECVE {head} argc={len(args)} {words}\n" + cwd


LINES = (
    executed(1, 1, 10, '"/x/python3"', '"start.py"', exe="/x/python3")
    + executed(2, 10, 11, '"sh"', '"-c"', SCRIPT)
    + call(3, 10, 12, '"susp_activity"', number=41)  # a fork that nobody saw begin a program
    + call(4, 1, 20, '"susp_activity"', number=41)  # somebody else
    + executed(5, 10, 30, '"python3"', '"-m"', '"replguard"', '"run"')
    + executed(6, 30, 31, '"sh"', '"-c"', SCRIPT)
    + "type=CONFIG_CHANGE msg=audit(1000.007:7): op=add_rule res=1\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "audit.log"
    file.write_text(LINES)
    return file


def test_what_descends_from_who_acts_is_read(log: Path) -> None:
    """Neither others nor our own daemon, though it descends from him; with all lines of each act."""
    found = auditing.records(log, lambda args: args[1:2] == ["start.py"])
    assert [(one.pid, one.key) for one in found] == [(10, "exec"), (11, "exec"), (12, "susp_activity")]
    assert found[1].args == ["sh", "-c", "echo a"]
    assert (found[1].cwd, found[1].ppid, len(found[1].lines)) == ("/srv", 10, 3)
    assert [round(one.time - 1000, 3) for one in found] == [0.001, 0.002, 0.003]


def test_programs_are_told_by_sigmas_names(log: Path) -> None:
    """With the parent where that was seen to begin."""
    events = list(sigma.started(auditing.records(log, lambda args: args[1:2] == ["start.py"])))
    assert [(one["Image"], one["CommandLine"]) for one in events] == [
        ("/x/python3", "/x/python3 start.py"),
        ("/bin/sh", "sh -c echo a"),
    ]
    assert [one["ParentImage"] for one in events] == ["", "/x/python3"]


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the way to put it there."""
    monkeypatch.setenv(auditing.RULES, str(tmp_path))
    with pytest.raises(Lacking, match=r"PROVE_RULES names no folder .*Neo23x0/auditd"):
        auditing.rules()

"""Arguments are masked where they are read, and nothing else reads them."""

import ast
import os
from pathlib import Path

import pytest
from support.credentials import PLAIN
from support.host import python

import replguard
from replguard.events import clock
from replguard.sensors.processes import argv
from replguard.sensors.processes.describe import Describer

PACKAGE = Path(replguard.__file__).parent


def test_a_real_process_is_read_without_its_password() -> None:
    """Its arguments, its command line, and what its child says of its parent."""
    code = "import subprocess, sys; print(flush=True); sys.stdin.read()"
    with python(code, "--password", f"{PLAIN} of two words", "x") as child:
        child.stdout.readline()
        args, cut = argv.read(child.pid)
        found = Describer().describe(child.pid)
    assert args[-3:] == ("--password", "***", "x")
    assert not cut
    assert found is not None
    assert found.args == args
    assert found.command_line == " ".join(args)


def test_who_is_gone_has_none() -> None:
    """And that is no error."""
    assert argv.read(2**22 + 1) == ((), False)
    assert argv.read(os.getpid())[0]


def test_nothing_else_reads_arguments() -> None:
    """A sensor that read them by itself would tell them as they are. A drill is no part of the daemon."""
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "drill"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "cmdline"
    }
    assert readers == {"sensors/processes/argv.py"}


def test_crafted_arguments_cannot_hold_up_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they have cost their share, of a long line the beginning alone is told, and that it was cut."""
    time = [100.0, 0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: time[0])
    monkeypatch.setattr(clock, "cpu", lambda: time[1])
    real = argv.masked

    def costly(args: tuple[str, ...]) -> tuple[str, ...]:
        time[1] += 0.06 if sum(map(len, args)) > argv.LONG else 0.00001
        return real(args)

    monkeypatch.setattr(argv, "masked", costly)
    masker = argv.Masker()
    crafted = ("x", *("--password", PLAIN) * 500)
    told = [masker.hide(crafted, cut=False) for _ in range(5)]
    assert [cut for _, cut in told] == [False, False, True, True, True]
    assert all(PLAIN not in word for args, _ in told for word in args)
    assert all(told[0][0][: len(args) - 1] == args[:-1] for args, _ in told)
    assert masker.hide(("cp", "a", "b"), cut=False) == (("cp", "a", "b"), False)
    time[0] += 5
    assert masker.hide(crafted, cut=False) == told[0]


def test_a_line_is_cut_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a token would not be known for one."""
    masker = argv.Masker()
    monkeypatch.setattr(masker, "_left", -1.0)
    monkeypatch.setattr(clock, "monotonic", lambda: masker._at)
    args, cut = masker.hide(("sh", "-c", "echo a; " * 300), cut=False)
    assert cut
    assert args[:2] == ("sh", "-c")
    assert args[2].endswith(("echo", "a;"))
    assert masker.hide(("t" * 5000,), cut=False) == (("",), True)

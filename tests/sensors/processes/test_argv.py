"""Arguments are masked where they are read, and nothing else reads them."""

import ast
import os
from pathlib import Path

from support.credentials import PLAIN
from support.host import python

import replguard
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

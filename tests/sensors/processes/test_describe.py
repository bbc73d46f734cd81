"""A process is described once, whole, and as one image."""

import os
import subprocess
import sys
from pathlib import Path

from support.host import FakeHost, python, until

from replguard.events import clock
from replguard.events.identity import entity_id
from replguard.kernel import machine
from replguard.sensors.processes.describe import Describer


def test_a_real_process_with_its_parent() -> None:
    """Image, arguments, folder, session and parent of a child of ours."""
    with python("import sys; print(flush=True); sys.stdin.read()", "a b") as child:
        child.stdout.readline()
        describer = Describer()
        found = describer.describe(child.pid)
        me = describer.describe(os.getpid())
        user = describer.user(child.pid)
    assert found is not None
    assert me is not None
    assert found.executable == os.path.realpath(sys.executable)
    assert found.args[-1] == "a b"
    assert found.command_line is not None
    assert found.command_line.endswith(" a b")
    assert found.working_directory == str(Path.cwd())
    assert found.session_id == os.getsid(0)
    assert found.start is not None
    assert abs((clock.now() - found.start).total_seconds()) < 60
    assert found.parent is not None
    assert (found.parent.pid, found.parent.entity_id) == (os.getpid(), me.entity_id)
    assert user is not None
    assert user.id == os.geteuid()


def test_the_invoked_path_is_the_one_that_leads_to_the_image(tmp_path: Path) -> None:
    """A symlink that was executed is named; an argv[0] that leads elsewhere is a claim and is not."""
    link = tmp_path / "innocent"
    link.symlink_to(sys.executable)
    code = "import sys; print(flush=True); sys.stdin.read()"
    for first, expected in ((str(link), str(link)), ("/usr/sbin/sshd", None)):
        command = [first, "-c", code]
        with subprocess.Popen(
            command, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            found = Describer().describe(process.pid)
            process.stdin.close()
        assert found is not None
        assert found.invoked == expected


def test_sh_is_found_by_its_name() -> None:
    """A name without a path counts when a usual folder has it and it is this image."""
    with subprocess.Popen(["sh", "-c", "read line; true"], stdin=subprocess.PIPE) as process:
        describer = Describer()
        found = until(lambda: (p := describer.describe(process.pid)) and p.name == "sh" and p.args and p)
        assert process.stdin is not None
        process.stdin.close()
    assert found.invoked is not None
    assert found.invoked.endswith("/sh")


def test_a_fake_host_is_described_from_its_folder(tmp_path: Path) -> None:
    """Ids derive from machine, boot, pid and start; names of users from the file that is given."""
    host = FakeHost(tmp_path)
    host.process(20, b"parent", start=50)
    host.process(21, b"we\nird", ppid=20, start=60, args=[b"/bin/x", b"\xff\n"])
    host.write("passwd", b"first:x:1001:1::/:/\nsecond:x:1001:1::/:/\n\xff:x:no\n")
    describer = Describer(host.root, f"{host.root}/passwd")
    found = describer.describe(21)
    assert found is not None
    assert found.entity_id == entity_id(machine.machine_id(), machine.boot_id(host.root), 21, 60)
    assert (found.name, found.args, found.invoked) == ("we\nird", ("/bin/x", "\\xff\n"), "/bin/x")
    assert found.parent is not None
    assert found.parent.name == "parent"
    user = describer.user(21)
    assert user is not None
    assert (user.id, user.name, user.audit) == (1001, "first", None)


def test_a_younger_parent_is_not_the_parent(tmp_path: Path) -> None:
    """A pid that was given out again after the child started belongs to a stranger."""
    host = FakeHost(tmp_path)
    host.process(20, start=70)
    host.process(21, ppid=20, start=60)
    found = Describer(host.root).describe(21)
    assert found is not None
    assert found.parent is not None
    assert (found.parent.pid, found.parent.entity_id) == (20, None)


def test_who_is_gone_is_none(tmp_path: Path) -> None:
    """No process, no description, no user."""
    describer = Describer(FakeHost(tmp_path).root)
    assert describer.describe(5) is None
    assert describer.brief(5) is None
    assert describer.user(5) is None

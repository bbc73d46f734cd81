"""Lineage survives exit, pids that are used again, adoption, and the table's own limit."""

from datetime import timedelta

import msgspec
import pytest
from support.story import MIB, ROOT, START, Host

from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.process import Parent, Process
from replguard.provenance.processes import MAX_DEPTH, Proc, ProcessTable, parent_section


def process(pid: int, parent: int | Parent | None = None, **given: object) -> Process:
    """Return a process section whose entity id is its pid and its generation ``g``."""
    fields = {"session_id": pid, "group_id": pid, "executable": "/usr/bin/x", "start": START}
    above = Parent(pid=parent, entity_id=f"e{parent}") if isinstance(parent, int) else parent
    return Process(**{"pid": pid, "entity_id": f"e{pid}", "parent": above} | fields | given)


def began(table: ProcessTable, section: Process) -> Proc:
    proc = table.exec(Event(timestamp=START, event=Meta(action="process_exec"), process=section, user=ROOT))
    assert proc is not None
    return proc


def ended(table: ProcessTable, proc: Proc) -> None:
    table.exit(Event(timestamp=START, event=Meta(action="process_exit"), process=proc.process))


def test_a_parent_that_ended_is_still_the_parent() -> None:
    """The chain goes on through what has ended."""
    host = Host()
    shell = host.exec("sh", parent=host.init)
    child = host.exec("cp", parent=shell)
    host.exit(shell)
    assert [p.image for p in child.chain()] == ["cp", "sh", "systemd"]
    assert not shell.alive
    assert host.provenance.table.by_pid(shell.pid) is None
    section = parent_section(child.parent)
    assert section is not None
    assert section.entity_id == shell.entity
    assert parent_section(None) is None


def test_a_pid_that_is_used_again_is_another_process() -> None:
    """Events with an entity id mean the process of that time; a bare pid means the living one."""
    table = ProcessTable()
    first = began(table, process(5))
    second = began(table, process(5, entity_id="later"))
    assert not first.alive
    assert table.of(Process(pid=5, entity_id="e5")) is first
    assert table.of(Process(pid=5)) is second
    ended(table, first)
    assert table.by_pid(5) is second


def test_a_parent_known_only_by_pid_must_be_older() -> None:
    """The pid of a parent that ended may be another process by now."""
    table = ProcessTable()
    young = began(table, process(5, start=START + timedelta(seconds=9)))
    child = began(table, process(6, Parent(pid=5)))
    assert child.parent is None
    old = began(table, process(8))
    assert began(table, process(9, parent=Parent(pid=8))).parent is old
    assert began(table, process(10, parent=Parent(pid=5, entity_id="gone"))).parent is None
    assert young.alive


def test_a_second_exec_is_the_same_process() -> None:
    """What it runs is replaced, what it is stays."""
    host = Host()
    shell = host.exec("sh", parent=host.init)
    host.again(shell, "python3", "serve.py")
    assert shell.image == "python3"
    assert shell.first_args == ("python3", "serve.py")
    assert len([p for p in host.provenance.table if p.pid == shell.pid]) == 1


def test_a_title_is_not_another_program() -> None:
    """A program that rewrites its arguments keeps those that it began with."""
    host = Host()
    worker = host.exec("python3", "-m vllm", parent=host.init)
    titled = host.describe(worker.pid, "python3", parent=host.init, entity=worker.entity)
    host.feed("process_exec", process=Process(**{**as_dict(titled), "args": ("VLLM::Worker",)}))
    assert worker.process.args == ("VLLM::Worker",)
    assert worker.first_args == ("python3", "-m", "vllm")


@pytest.mark.parametrize("tier", ["kernel", "portable"])
def test_a_program_of_the_same_image_is_another_one(tier: str) -> None:
    """A launcher forks, which is told, and the fork begins a rank by the same interpreter: not under its old name."""
    host = Host()
    launcher = host.exec("python3", "launch.py", parent=host.init)
    forked = host.describe(51, "python3", "launch.py", parent=launcher)
    host.feed("process_fork", process=forked)
    rank = host.provenance.table.get(forked.entity_id)
    assert rank is not None
    assert rank.first_args == launcher.first_args
    begun = msgspec.structs.replace(forked, args=("python3", "rank.py"), command_line="python3 rank.py")
    host.feed("process_exec", process=begun, replguard=Context(tier=tier))
    assert rank.first_args == ("python3", "rank.py")
    again = msgspec.structs.replace(forked, args=("python3", "again.py"), command_line="python3 again.py")
    host.feed("process_exec", process=again, replguard=Context(tier=tier))
    assert rank.first_args == (("python3", "again.py") if tier == "kernel" else ("python3", "rank.py"))


def as_dict(section: Process) -> dict[str, object]:
    return {name: getattr(section, name) for name in section.__struct_fields__}


def test_an_orphan_belongs_to_its_process_group() -> None:
    """``sh -c 'server &'``: by the time it is seen its parent is init, but its group is still the agent's."""
    host = Host()
    agent = host.exec("python3", "agent.py", parent=host.init)
    server = host.exec("python3", "serve.py", parent=host.init, session=agent.pid, group=agent.pid)
    assert server.parent is agent
    assert server.adopted
    cp = host.exec("cp", parent=server)
    made = host.copy(host.protect(size=MIB), "/srv/x", cp)
    assert made[-1].replguard is not None
    assert made[-1].replguard.attribution == "inferred"


def test_an_orphan_belongs_to_a_leader_that_ended() -> None:
    """A tool shell with a session of its own: the shell is gone, its session tells who it was."""
    host = Host()
    agent = host.exec("python3", parent=host.init)
    shell = host.exec("bash", parent=agent, session=None)
    shell_session = host.exec("bash", parent=agent, session=555, pid=555)
    host.exit(shell, shell_session)
    server = host.exec("python3", "serve.py", parent=host.init, session=555)
    assert server.parent is shell_session
    stranger = host.exec("python3", "other.py", parent=host.init, session=777)
    assert stranger.parent is host.init


def test_an_adopter_is_told_from_a_parent_by_its_session() -> None:
    """Any process may adopt orphans; one whose session the child does not share never forked it."""
    host = Host()
    reaper = host.exec("python3", "harness.py", parent=host.init, session=300)
    agent = host.exec("python3", "agent.py", parent=reaper, session=400, pid=400)
    server = host.exec("python3", "serve.py", parent=reaper, session=400)
    assert (server.parent, server.adopted) == (agent, True)
    leader = host.exec("python3", "daemon.py", parent=reaper, session=500, pid=500)
    assert (leader.parent, leader.adopted) == (reaper, False)


def test_a_session_leader_is_not_its_own_parent() -> None:
    """What began a session of its own has nobody but its parent."""
    host = Host()
    server = host.exec("python3", parent=host.init, session=4242, pid=4242)
    assert (server.parent, server.adopted) == (host.init, False)


def test_ended_processes_are_forgotten_first() -> None:
    """Beyond the limit those that ended longest ago go, and are counted; the living stay."""
    table = ProcessTable(limit=3)
    living = began(table, process(1))
    for pid in (2, 3):
        ended(table, began(table, process(pid)))
    began(table, process(4))
    assert table.get("e2") is None
    assert table.get("e3") is not None
    assert table.get("e1") is living
    assert (len(table), table.evicted) == (3, 1)


def test_what_others_descend_from_is_kept_longer() -> None:
    """A parent that ended outlives a childless process that ended after it."""
    table = ProcessTable(limit=3)
    parent = began(table, process(1))
    child = began(table, process(2, parent=1))
    ended(table, parent)
    ended(table, began(table, process(3)))
    began(table, process(4))
    assert table.get("e1") is parent
    assert table.get("e3") is None
    assert list(child.chain()) == [child, parent]


def test_a_forgotten_link_is_bridged() -> None:
    """Children of what is forgotten hang on its parent."""
    table = ProcessTable(limit=3)
    top, middle = began(table, process(1)), began(table, process(2, parent=1))
    bottom = began(table, process(3, parent=2))
    ended(table, middle)
    began(table, process(4))
    assert table.get("e2") is None
    assert bottom.parent is top
    assert "e3" in top.children


def test_living_processes_alone_are_bounded_too() -> None:
    """When nothing ended, the oldest goes."""
    table = ProcessTable(limit=2)
    for pid in (1, 2, 3):
        began(table, process(pid))
    assert [p.pid for p in table] == [2, 3]
    assert table.by_pid(1) is None


def test_chains_are_cut_and_never_loop() -> None:
    """A chain longer than any real one ends, also one that is bent into a circle."""
    table = ProcessTable()
    for pid in range(1, MAX_DEPTH + 20):
        began(table, process(pid, parent=pid - 1 if pid > 1 else None))
    last = table.get(f"e{MAX_DEPTH + 19}")
    assert last is not None
    assert len(list(last.chain())) == MAX_DEPTH
    last.parent = last
    assert len(list(last.chain())) == MAX_DEPTH


def test_an_event_without_a_process_is_nobody() -> None:
    """No section, no pid or no entity id: nothing is learnt."""
    table = ProcessTable()
    assert table.of(None) is None
    assert table.exec(Event(timestamp=START, event=Meta(action="process_exec"))) is None
    assert table.exec(Event(timestamp=START, event=Meta(action="process_exec"), process=Process(pid=4))) is None
    assert table.exit(Event(timestamp=START, event=Meta(action="process_exit"), process=Process(pid=4))) is None
    assert table.get(None) is None
    assert len(table) == 0


def test_the_image_is_a_name() -> None:
    """The base name of what runs, without the kernel's mark of a deleted file; empty when unknown."""
    table = ProcessTable()
    assert began(table, process(1, executable="/opt/x/tool (deleted)")).image == "tool"
    assert began(table, process(2, executable=None, name="comm")).image == "comm"
    assert began(table, process(3, executable=None)).image == ""


def test_the_table_keeps_only_the_beginning_of_a_giant_argv() -> None:
    """Anybody may start a hundred thousand programs with 128 KiB of arguments each."""
    table = ProcessTable()
    proc = began(table, process(5, args=("x", "y" * 128 * 1024), command_line="y" * 128 * 1024))
    assert sum(map(len, proc.process.args)) + len(proc.process.command_line or "") < 8192
    assert sum(map(len, proc.first_args)) < 4096


def test_who_lived_at_a_time_is_told_without_the_whole_table() -> None:
    """The living and those that ended last; one that ended before or began after is left out."""
    table = ProcessTable()
    living, gone, later = (began(table, process(pid)) for pid in (5, 6, 7))
    ended(table, gone)
    later.since = START + timedelta(seconds=60)
    assert list(table.around(START, START + timedelta(seconds=1))) == [living, gone]
    assert list(table.around(START + timedelta(seconds=1), START + timedelta(seconds=90))) == [living, later]

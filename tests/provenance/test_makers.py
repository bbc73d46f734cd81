"""Who probably made a file: named on a command line, else the one agent at work, else nobody."""

from datetime import timedelta

import pytest
from support.rulebook import START, event

from replguard.events.file import File
from replguard.provenance.agents import Agents
from replguard.provenance.makers import Makers
from replguard.provenance.processes import Proc, ProcessTable


def begin(table: ProcessTable, pid: int, *args: str, seconds: float = 0, folder: str = "/home/a/desk") -> Proc:
    """Note a process that starts, with the id of its number."""
    when = START + timedelta(seconds=seconds)
    told = event(
        seconds, process__pid=pid, process__entity_id=f"e{pid}", process__start=when, process__args=args,
        process__command_line=" ".join(args), process__executable=args[0], process__working_directory=folder,
        user__id=1000,
    )  # fmt: skip
    proc = table.exec(told)
    assert proc is not None
    return proc


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (("cp", "model", "copy"), "/home/a/desk/copy"),
        (("cp", "-r", "model", "."), "/home/a/desk/copy"),
        (("rsync", "x", "../b/"), "/home/a/b/deep/copy"),
        (("sh", "-c", "cat model > /srv/long/copy"), "/srv/long/copy"),
    ],
)
def test_a_command_line_that_names_the_file_made_it(args: tuple[str, ...], path: str) -> None:
    """The file itself, a folder it lies in, or a path inside a shell's text."""
    table = ProcessTable()
    proc = begin(table, 7, *args)
    assert Makers(table, Agents()).likely(File(path=path), START, START) is proc


def test_the_newest_of_several_is_taken_and_only_of_that_time() -> None:
    """What started long after the file was made did not make it."""
    table = ProcessTable()
    begin(table, 7, "cp", "a", "/srv/copy")
    second = begin(table, 8, "cp", "b", "/srv/copy", seconds=1)
    begin(table, 9, "cp", "c", "/srv/copy", seconds=60)
    assert Makers(table, Agents()).likely(File(path="/srv/copy"), START, START + timedelta(seconds=2)) is second


@pytest.mark.parametrize("args", [("ls", "/tmp"), ("cp", "a", "/home"), ("cp", "a", "/srv/other")])
def test_a_folder_of_everybodys_names_nobody(args: tuple[str, ...]) -> None:
    """Nor does another file; without an agent at work nobody is named at all."""
    table = ProcessTable()
    begin(table, 7, *args)
    assert Makers(table, Agents()).likely(File(path="/tmp/copy"), START, START) is None


def test_the_only_agent_at_work_is_likely_and_two_are_nobody() -> None:
    """An agent that may not write as the file's owner is not."""
    table, agents = ProcessTable(), Agents()
    first = begin(table, 7, "agent")
    for seconds in (1, 2):
        agents.reply(first, "127.0.0.1:8000", START + timedelta(seconds=seconds), 1)
        child = begin(table, 10 + seconds, "true", seconds=seconds)
        child.parent = first
        agents.started(first, child, START + timedelta(seconds=seconds))
    assert first.confirmed_agent
    makers, now = Makers(table, agents), START + timedelta(seconds=3)
    assert makers.likely(File(path="/x/y", uid=1000), now, now) is first
    assert makers.likely(File(path="/x/y", uid=2000), now, now) is None
    assert makers.likely(File(path="/x/y"), now, now + timedelta(seconds=100)) is None


def test_a_file_is_found_among_very_many_arguments() -> None:
    """Its name at either end of a command line counts; the time for it does not grow with the line."""
    table = ProcessTable()
    many = tuple(f"f{number}" for number in range(300))
    proc = begin(table, 7, "cp", *many, "../b/target", folder="/x/a")
    makers = Makers(table, Agents())
    assert makers.likely(File(path="/x/b/target"), START, START) is proc
    assert makers.likely(File(path="/x/b/other"), START, START) is None


def test_what_a_shell_opened_is_the_programs_that_ran_then_or_else_the_last_one_before() -> None:
    """That a file was made is told when it was read of, which may be after its writer's end; not long after."""
    table = ProcessTable()
    shell = begin(table, 7, "sh", "act.sh")
    ran = []
    for number, (since, ended) in enumerate([(0.0, 0.5), (1.0, 2.0), (2.2, 2.4)]):
        child = begin(table, 10 + number, "gzip", seconds=since)
        child.parent = shell
        table.exit(event(ended, process__pid=child.pid, process__entity_id=child.entity))
        ran.append(child)
    makers = Makers(table, Agents())

    def lent(began: float, ended: float) -> list[Proc]:
        return list(makers.lent(shell, START + timedelta(seconds=began), START + timedelta(seconds=ended)))

    assert lent(1.5, 2.1) == [ran[1]]
    assert lent(2.1, 2.1) == [ran[1]]
    assert lent(2.5, 2.6) == [ran[2]]
    assert lent(9, 9) == []
    assert list(makers.lent(ran[0], START, START + timedelta(seconds=2))) == []

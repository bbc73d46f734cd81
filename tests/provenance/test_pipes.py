"""From whom what a program writes may have come."""

import pytest
from support.story import Host

from replguard.provenance.pipes import Pipes, program
from replguard.provenance.processes import Proc


def known(host: Host, *procs: Proc) -> Pipes:
    pipes = Pipes(host.provenance.table.get)
    for proc in procs:
        pipes.started(proc)
    return pipes


def sources(pipes: Pipes, proc: Proc) -> dict[int, bool]:
    """Return the pids that may have fed a program besides itself, and whether the kernel says so."""
    return {source.pid: sure for source, sure in pipes.sources(proc) if source is not proc}


def test_a_pipeline_in_whatever_order_its_programs_start() -> None:
    """The last may be executed first; each has what those before it have, and nothing of those behind it."""
    host = Host()
    shell = host.login()
    last = host.exec("c", parent=shell, reads=(2,))
    first = host.exec("a", parent=shell, writes=(1,))
    middle = host.exec("b", parent=shell, reads=(1,), writes=(2,))
    pipes = known(host, last, first, middle)
    assert sources(pipes, last) == {middle.pid: True, first.pid: True}
    assert sources(pipes, middle) == {first.pid: True}
    assert sources(pipes, first) == {}


def test_who_was_sent_something_has_it_as_from_a_pipe() -> None:
    """It goes on from there; the kernel tells of no pipe, so that it is less sure."""
    host = Host()
    shell = host.login()
    reader = host.exec("a", parent=shell, writes=(1,))
    sender = host.exec("b", parent=shell, reads=(1,))
    receiver = host.exec("c", parent=shell)
    pipes = known(host, reader, sender)
    pipes.joined(sender, receiver)
    assert sources(pipes, receiver) == {sender.pid: False, reader.pid: False}
    assert sources(pipes, sender) == {reader.pid: True}


def test_a_ring_of_pipes_ends() -> None:
    """Two programs that talk to each other, as a coprocess does."""
    host = Host()
    shell = host.login()
    one = host.exec("a", parent=shell, reads=(1,), writes=(2,))
    two = host.exec("b", parent=shell, reads=(2,), writes=(1,))
    pipes = known(host, one, two)
    assert (sources(pipes, one), sources(pipes, two)) == ({two.pid: True}, {one.pid: True})


def test_the_maker_of_a_pipe_may_write_into_it() -> None:
    """Unless somebody else was executed with its other end, or the maker only passed it on."""
    host = Host()
    parent = host.exec("python3", parent=host.login(), reads=(9,))
    child = host.exec("gzip", parent=parent, reads=(1,))
    heir = host.exec("cat", parent=parent, reads=(9,))
    writer = host.exec("zcat", parent=parent, writes=(1,))
    shell = parent.parent
    assert shell is not None
    assert sources(known(host, child), child) == {parent.pid: False, shell.pid: False}  # which made the other pipe
    assert sources(known(host, child, writer), child) == {writer.pid: True}
    assert sources(known(host, heir), heir) == {}


def test_a_fork_is_the_program_that_its_parent_runs() -> None:
    """Until it executes one of its own."""
    host = Host()
    python = host.exec("python3", parent=host.login())
    fork = host.fork(host.fork(python))
    assert program(fork) is python
    assert program(host.again(fork, "gzip")) is fork


def test_who_is_forgotten_is_not_kept_here() -> None:
    """Thousands of short pipelines an hour would else hold as many processes as the table."""
    host = Host()
    shell = host.login()
    writer = host.exec("a", parent=shell, writes=(1,))
    pipes = known(host, writer)
    reader = host.exec("b", parent=shell, reads=(1,))
    assert sources(pipes, reader) == {writer.pid: True}
    host.provenance.table._forget(writer)
    assert sources(pipes, reader) == {shell.pid: False}


@pytest.mark.parametrize("limit", ["MOST", "ENDS"])
def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """The oldest pipes, and the oldest writers of one that everything inherits."""
    monkeypatch.setattr(f"replguard.provenance.pipes.{limit}", 2)
    host = Host()
    shell = host.login()
    many = [host.exec("x", parent=shell, writes=(number if limit == "MOST" else 1,)) for number in range(1, 5)]
    pipes = known(host, *many)
    reader = host.exec("y", parent=shell, reads=(1,))
    found = sources(pipes, reader)
    assert found == ({shell.pid: False} if limit == "MOST" else {each.pid: True for each in many[2:]})

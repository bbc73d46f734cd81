"""What is done to replguard itself: who, how, to which part, and what is no such thing."""

from collections.abc import Callable

import msgspec
import pytest
from support.story import DAEMON, ROOT, Host

from replguard.events.event import Event
from replguard.events.fact import Actor, Context
from replguard.provenance.guard import Guard
from replguard.provenance.processes import Proc

PARTS: dict[str, str] = {"/etc/replguard/manifest.yaml": "manifest", "/opt/replguard/a.py": "program"}
KERNEL = Context(tier="kernel", attribution="kernel")


def guarded(find: Callable[[str], str | None] = PARTS.get) -> tuple[Host, Proc, Proc]:
    """Return a host with a daemon and its examiner."""
    host = Host()
    provenance = host.provenance
    provenance.guard = Guard({DAEMON}, find, host.hints.append)
    section = host.describe(DAEMON, "/usr/bin/python3.11", "-m replguard run", parent=host.init)
    host.feed("process_exec", process=section, user=ROOT)
    daemon = provenance.table.by_pid(DAEMON)
    assert daemon is not None
    words = ("-m", "replguard.weights.worker")
    host.feed("process_exec", process=host.describe(DAEMON + 1, "/usr/bin/python3.11", words, parent=daemon))
    examiner = provenance.table.by_pid(DAEMON + 1)
    assert examiner is not None
    return host, daemon, examiner


def signal(host: Host, proc: Proc | None, target: Proc, name: str = "KILL") -> list[Event]:
    about = msgspec.structs.replace(KERNEL, status=name, signal=9)
    return host.feed("process_signal", process=proc.process if proc else None, target=target.process, replguard=about)


def about(fact: Event) -> tuple[str | None, str | None, str | None]:
    assert fact.replguard is not None
    return fact.action, fact.replguard.source, fact.replguard.technique


def actor(fact: Event) -> Actor:
    assert fact.replguard is not None
    assert fact.replguard.actor is not None
    return fact.replguard.actor


def test_the_daemon_and_its_examiner_are_watched() -> None:
    """Whoever else it starts is not: a canary each half a minute would fill the list."""
    host, daemon, examiner = guarded()
    host.feed("process_exec", process=host.describe(DAEMON + 2, "/usr/bin/true", parent=daemon))
    assert {hint.pid for hint in host.hints if hint.kind == "process"} == {daemon.pid, examiner.pid}


def test_a_signal_is_told_with_its_sender() -> None:
    """To the daemon and to its examiner; of the service manager as of a service."""
    host, daemon, examiner = guarded()
    host.server(host.protect())
    agent = host.agent(host.login())
    (fact,) = signal(host, host.exec("kill", parent=agent), daemon)
    assert about(fact) == ("watcher_tampering", "daemon", "signal")
    assert actor(fact).agent
    assert fact.replguard is not None
    assert (fact.replguard.status, fact.replguard.attribution) == ("KILL", "kernel")
    (other,) = signal(host, host.login(), examiner, "STOP")
    assert (about(other)[1], actor(other).standing) == ("examiner", "session")
    (restart,) = signal(host, host.init, daemon, "TERM")
    assert (actor(restart).principal, actor(restart).standing) == ("manager", "service")


def test_what_it_does_itself_and_what_nobody_sent_is_no_fact() -> None:
    """The daemon ends its examiner; the kernel ends who takes too much memory; a terminal is no process."""
    host, daemon, examiner = guarded()
    assert signal(host, daemon, examiner) == []
    assert signal(host, examiner, daemon) == []
    assert signal(host, None, daemon) == []
    assert signal(host, host.login(), host.service()) == []


@pytest.mark.parametrize("technique", [None, "ptrace", "process_vm_readv"])
def test_a_look_into_its_memory_is_told(technique: str | None) -> None:
    """However it is done; one into that of others is not."""
    host, daemon, _ = guarded()
    seen = msgspec.structs.replace(KERNEL, mode="memory", technique=technique)
    shell = host.login()
    (fact,) = host.feed("process_access", process=shell.process, target=daemon.process, replguard=seen)
    assert about(fact) == ("watcher_tampering", "daemon", technique or "open")
    assert fact.replguard is not None
    assert fact.replguard.mode == "memory"
    assert host.feed("process_access", process=shell.process, target=host.service().process, replguard=seen) == []


@pytest.mark.parametrize(
    ("action", "technique"),
    [("file_create", "create"), ("file_close_write", "write"), ("file_link", "link"), ("file_delete", "delete")],
)
def test_a_change_of_a_file_is_told(action: str, technique: str) -> None:
    """With the part that it is; what is only opened, and other files, are not."""
    host, _, _ = guarded()
    shell = host.login()
    (fact,) = host.on(action, host.file("/etc/replguard/manifest.yaml"), shell)
    assert about(fact) == ("watcher_tampering", "manifest", technique)
    assert host.on(action, host.file("/etc/hosts"), shell) == []


def test_a_rename_is_told_over_one_of_ours_and_away_from_it() -> None:
    """The first replaces it, the other takes it away."""
    host, _, _ = guarded()
    shell, mine = host.login(), "/etc/replguard/manifest.yaml"
    (over,) = host.on("file_rename", host.file(mine, previous="/tmp/x"), shell)
    (away,) = host.on("file_rename", host.file("/tmp/y", previous=mine), shell)
    assert [about(over)[2], about(away)[2]] == ["rename", "delete"]


def test_the_same_by_the_same_is_told_once_a_minute() -> None:
    """Another part, or another file, is news."""
    host, _, _ = guarded()
    shell, file = host.login(), host.file("/etc/replguard/manifest.yaml")
    assert len(host.on("file_close_write", file, shell)) == 1
    assert host.on("file_close_write", file, shell) == []
    assert len(host.on("file_close_write", host.file("/opt/replguard/a.py"), shell)) == 1
    host.wait(61)
    assert len(host.on("file_close_write", file, shell)) == 1


def test_without_a_writer_only_what_an_operator_wrote_is_told() -> None:
    """The portable tier sees no writer: an upgrade of the program would be somebody unknown."""
    host, _, _ = guarded()
    (fact,) = host.on("file_close_write", host.file("/etc/replguard/manifest.yaml"))
    assert actor(fact).kind == "unknown"
    assert host.on("file_close_write", host.file("/opt/replguard/a.py")) == []


def test_a_label_that_comes_later_changes_what_was_told() -> None:
    """Whoever turns out to be an agent has written the manifest as one."""
    host, _, _ = guarded()
    host.server(host.protect())
    scaffold = host.exec("python3", "agent.py", parent=host.login())
    host.on("file_close_write", host.file("/etc/replguard/manifest.yaml"), scaffold)
    for _ in range(2):
        host.connect(scaffold, 8000)
        host.exec("sh", parent=scaffold)
    assert [actor(fact).agent for fact in host.of("watcher_tampering")] == [False, True]

"""The actor of a process: its standing, its join keys, and what enrichment may and may not do."""

import msgspec
import pytest
from support.story import ANN, HELD, START, Host

from replguard.events.event import Event, Meta
from replguard.events.fact import Actor, Authorised, Context
from replguard.events.host import Container
from replguard.events.process import Process, User
from replguard.provenance import actors

ALLOWED = Authorised(by="manifest", entry="chat")


def test_standing_is_the_column_of_the_level_table() -> None:
    """Services, jobs and CI stand together; sessions, agents and the unknown have a column each."""
    host = Host()
    service = host.service("vllm")
    cron = host.exec("sh", parent=host.exec("cron", parent=host.init))
    ci = host.exec("bash", parent=host.service("runner", image="Runner.Worker"))
    session = host.login()
    stranger = host.exec("tool", parent=host.init, user=User(id=4))
    assert [actors.actor(p).standing for p in (service, cron, ci, session, stranger)] == [
        "service", "service", "service", "session", "unknown",
    ]  # fmt: skip
    agent = host.exec("python3", parent=session)
    agent.confirmed_agent = True
    assert actors.actor(agent).standing == "agent"
    assert actors.actor(agent).agent


def test_what_is_allowed_stands_apart() -> None:
    """Also an agent that the manifest means; it stays known as one."""
    host = Host()
    agent = host.service("agents")
    agent.confirmed_agent = True
    made = actors.actor(agent, ALLOWED)
    assert (made.standing, made.agent, made.kind) == ("allowed", True, "agent")


@pytest.mark.parametrize(("generation", "standing"), [(None, "service"), (1, "service"), (2, "agent"), (3, "agent")])
def test_a_replica_stands_with_the_agents(generation: int | None, standing: str) -> None:
    """Generation 2 and above, whoever it runs as."""
    assert actors.actor(Host().service("vllm"), None, generation).standing == standing


def test_what_a_replica_does_stands_with_the_agents() -> None:
    """The generation is the lineage's, not only the server's own."""
    host = Host()
    replica = host.service("vllm")
    replica.serves = 2
    assert actors.actor(host.exec("sh", parent=replica)).standing == "agent"
    replica.serves = 1
    assert actors.actor(host.exec("sh", parent=replica)).standing == "service"


def test_an_actor_is_a_principal_and_this_run_of_it() -> None:
    """The id changes with the run, the principal does not."""
    host = Host()
    first, second = host.service("vllm"), host.service("vllm")
    a, b = actors.actor(first), actors.actor(second)
    assert a.principal == b.principal == "unit:vllm.service"
    assert a.id != b.id
    assert (a.pid, a.name) == (first.pid, "python3")


def test_lineage_is_strictly_below_the_entry_point() -> None:
    """The process itself first; for an agent up to and with the agent that planned it."""
    host = Host()
    main = host.service("vllm")
    shell = host.exec("sh", parent=main)
    tool = host.exec("cp", parent=shell)
    assert actors.lineage(tool) == (tool.entity, shell.entity)
    assert actors.lineage(main) == ()
    main.confirmed_agent = True
    assert actors.lineage(tool) == (tool.entity, shell.entity, main.entity)


def test_a_guess_anywhere_makes_the_whole_a_guess() -> None:
    """An adopted ancestor, or a writer that was inferred."""
    host = Host()
    agent = host.exec("python3", parent=host.init)
    orphan = host.exec("sh", parent=host.init, session=agent.pid)
    tool = host.exec("cp", parent=orphan)
    assert actors.attribution(tool, "lineage") == "inferred"
    assert actors.attribution(agent, "inferred") == "inferred"
    assert actors.attribution(agent, "kernel") == "kernel"
    assert actors.attribution(agent, None) == "lineage"


def event(**sections: object) -> Event:
    return Event(timestamp=START, event=Meta(action="file_create"), **sections)


def test_enrichment_adds_and_never_overwrites() -> None:
    """What the sensor bound stays; what it left open is filled in."""
    host = Host()
    shell = host.login()
    cp = host.exec("cp", "a b", parent=shell)
    given = Process(pid=cp.pid, entity_id=cp.entity, executable="/as/bound", working_directory="/there")
    mine = Actor(kind="unknown", id="x", principal="x")
    made = actors.enrich(event(process=given, user=User(id=7), replguard=Context(actor=mine, unit="u")), cp)
    assert made.process is not None
    assert (made.process.executable, made.process.working_directory) == ("/as/bound", "/there")
    assert made.process.args == ("cp", "a", "b")
    assert made.process.parent is not None
    assert (made.process.parent.pid, made.process.parent.executable) == (shell.pid, "/usr/bin/bash")
    assert made.user == User(id=7)
    assert made.replguard is not None
    assert (made.replguard.actor, made.replguard.unit) == (mine, "u")
    assert made.replguard.session == "1000/3"


def test_enrichment_fills_in_what_is_known() -> None:
    """User, container and join keys."""
    host = Host()
    shim = host.exec("containerd-shim-runc-v2", parent=host.init)
    boxed = host.exec("python3", parent=shim, cgroup=f"/docker/{'a' * 64}", user=ANN)
    made = actors.enrich(event(process=Process(pid=boxed.pid)), boxed, ALLOWED)
    assert (made.user, made.container) == (ANN, Container(id="a" * 64, runtime="docker"))
    assert made.replguard is not None
    assert (made.replguard.unit, made.replguard.authorised) == ("a" * 64, ALLOWED)
    assert made.replguard.actor is not None
    assert made.replguard.actor.standing == "allowed"


def test_nobody_is_unknown_and_says_so() -> None:
    """An act whose process no source names has an actor of its own, and no lineage."""
    made = actors.enrich(event(), None)
    assert made.replguard == Context(actor=actors.NOBODY, attribution="unknown")
    assert actors.NOBODY.standing == "unknown"
    bound = actors.enrich(event(replguard=msgspec.structs.replace(HELD, attribution="kernel")), None)
    assert bound.replguard is not None
    assert bound.replguard.attribution == "kernel"


def test_a_container_of_a_person_stands_like_the_person() -> None:
    """Whoever may name control groups of his own may name one like a container's or a job's."""
    host = Host()
    folder = f"/user.slice/user-1000.slice/user@1000.service/libpod-{'c' * 64}.scope"
    proc = host.exec("sh", parent=host.init, cgroup=folder)
    made = actors.actor(proc)
    assert (made.kind, made.standing) == ("container", "session")

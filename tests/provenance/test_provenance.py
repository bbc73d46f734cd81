"""The whole of it: raw events in, the same events with their actor and the facts that follow from them out."""

from datetime import timedelta

import msgspec
import pytest
from support.story import HELD, MIB, START, Host

from replguard.events import wire
from replguard.events.catalogue import KINDS
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.process import Process
from replguard.provenance.actors import NOBODY
from replguard.provenance.manifest import Deployment, Job, Manifest
from replguard.provenance.processes import Proc

ORIGIN = "/models/llama/w.safetensors"


def accesses(host: Host) -> list[tuple[int | None, str | None]]:
    return [(f.process.pid, f.replguard.mode) for f in host.of("weights_access")]


# -- the way of an event -------------------------------------------------------------------------------------------


def test_the_event_comes_first_then_its_facts() -> None:
    """Rules see what happened before what it meant; each with its actor."""
    host = Host()
    weights = host.protect()
    main = host.service()
    host.map(weights, main)
    host.listen(main, "127.0.0.1:8000")
    assert [e.action for e in host.events] == [
        "process_exec", "file_map", "weights_access", "socket_listen", "network_listen", "server_live",
    ]  # fmt: skip
    assert {e.replguard.actor.principal for e in host.events} == {"unit:vllm.service"}
    assert all(e.user is not None for e in host.events)


def test_what_exists_at_start_is_learnt_and_not_told() -> None:
    """A snapshot is no event; who runs is known from then on."""
    host = Host()
    main = host.service(kind="state")
    assert host.events == []
    host.exec("sh", parent=main)
    assert host.events[0].replguard.actor.principal == "unit:vllm.service"


def test_processes_at_start_are_nobodys_turns() -> None:
    """A child that was there before the reply was seen follows from nothing."""
    host = Host()
    host.server(host.protect())
    agent = host.exec("python3", parent=host.login())
    host.connect(agent, 8000)
    host.exec("sh", parent=agent, kind="state")
    assert host.of("agent_seen") == []


def test_an_event_without_a_process_says_so() -> None:
    """Files, connections and devices have an unknown actor; a change of the host has none at all."""
    host = Host()
    host.on("file_create", host.file("/srv/x"))
    host.connect(None, 80)
    host.feed("host_mount")
    actors = [e.replguard.actor and e.replguard.actor.kind for e in host.events]
    assert actors == ["unknown", "unknown", None]
    assert host.events[0].replguard.attribution == "unknown"


def test_a_process_that_another_sensor_saw_first() -> None:
    """What the event binds is enough to know it; that it was executed is still to be told, and counts then."""
    host = Host()
    weights = host.protect()
    host.server(weights)
    agent = host.exec("python3", "agent.py", parent=host.login())
    host.connect(agent, 8000)
    early = host.describe(900, "cp", f"{ORIGIN} /srv/x", parent=agent)
    host.feed("file_open", file=weights, process=early)
    assert host.of("weights_access")[-1].process.pid == 900
    assert host.of("weights_access")[-1].replguard.actor.kind == "session"
    assert host.of("agent_seen") == []
    host.feed("process_exec", process=early, user=agent.user)
    assert [f.replguard.status for f in host.of("agent_seen")] == ["suspected"]


def test_a_process_that_nobody_described_is_unknown() -> None:
    """A pid and an entity id alone say nothing of who started it."""
    host = Host()
    host.feed("file_open", file=host.protect(), process=Process(pid=900, entity_id="e900"))
    assert host.events[0].replguard.actor.kind == "unknown"
    assert host.events[0].process == Process(pid=900, entity_id="e900")
    assert host.of("weights_access") == []


def test_an_exec_without_an_identity_passes() -> None:
    """It is told as it came."""
    host = Host()
    host.feed("process_exec", process=Process(pid=5))
    host.feed("process_exec")
    assert [e.process for e in host.events] == [Process(pid=5), None]


def test_events_of_no_concern_pass_with_their_actor() -> None:
    """Every kind that a sensor can make goes through."""
    host = Host()
    cp = host.exec("cp", parent=host.login())
    for action in KINDS:
        if not KINDS[action].fact and action not in ("process_exec", "process_fork"):
            before = len(host.events)
            host.feed(action, process=cp.process, replguard=HELD)
            host.feed(action)
            assert host.events[before].action == action
    assert host.facts == []


def test_a_connection_to_an_instance_is_about_its_model() -> None:
    """Who connects to a replica: a stage of its own (domain, row 14)."""
    host = Host()
    main = host.server(host.protect())
    asker = host.exec("curl", parent=host.login())
    host.connect(asker, 8000)
    about = host.events[-1].replguard
    assert (about.model, about.generation) == ("llama", 1)
    assert about.artefacts == (host.of("server_live")[0].replguard.instance.id,)
    assert about.actor.kind == "session"
    host.connect(None, 8000)
    assert (host.events[-1].replguard.model, host.events[-1].replguard.actor.kind) == ("llama", "unknown")
    host.connect(asker, 9999)
    assert host.events[-1].replguard.model is None
    assert main.alive


def test_an_exit_is_told_with_all_that_was_known() -> None:
    """Also after the process is gone from the host."""
    host = Host()
    cp = host.exec("cp", "a b", parent=host.login())
    host.feed("process_exit", process=Process(pid=cp.pid, entity_id=cp.entity))
    assert host.events[-1].process.args == ("cp", "a", "b")
    assert host.feed("process_exit", process=Process(pid=9999, entity_id="never")) == []


def test_what_was_deleted_is_known_to_who_has_it_open_only() -> None:
    """A server that deletes its weights still has them; a file with another name at that inode is a stranger."""
    host = Host()
    weights, shell = host.protect(), host.login()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    made = host.of("weights_copy")[0].file
    host.on("file_delete", File(path="/srv/x"))
    before = len(host.facts)
    host.open(host.file("/srv/other", inode=made.inode), host.exec("cat", parent=shell))
    assert len(host.facts) == before
    host.listen(server := host.exec("python3", parent=shell), "127.0.0.1:9000")
    host.map(made, server)
    assert host.of("server_live")[-1].replguard.instance.pids == (server.pid,)


# -- orphans -------------------------------------------------------------------------------------------------------


def test_a_program_that_detached_itself_is_likely_the_agents() -> None:
    """Setsid and a double fork leave no trace of who began it; the one agent that just got a reply did, most likely."""
    host = Host()
    host.server(host.protect())
    service = host.service("agents", args="agent.py")
    for _ in range(2):
        host.turn(service)
    assert service.confirmed_agent
    detached = host.exec(
        "python3", "serve.py", parent=host.init, session=4000, user=service.user, cgroup=service.process.cgroup
    )
    assert (detached.parent, detached.adopted) == (service, True)
    stranger = host.exec("python3", "serve.py", parent=host.init, session=4001)
    assert stranger.parent is host.init
    host.wait(60)
    late = host.exec("python3", parent=host.init, session=4002, user=service.user, cgroup=service.process.cgroup)
    assert late.parent is host.init


def test_an_orphan_of_a_session_with_two_agents_belongs_to_the_one_answered_last() -> None:
    """A replica's agent shares the session of a leader that no longer acts: what the replica starts is its own."""
    host = Host()
    host.server(host.protect())
    parent = host.exec("python3", "agent.py", parent=host.login(), session=5000, pid=5000)
    for _ in range(2):
        host.turn(parent)
    replica = host.exec("python3", "agent.py", parent=host.init, session=5000)
    assert replica.parent is parent
    host.wait(2)
    for _ in range(2):
        host.turn(replica)
    assert replica.confirmed_agent
    assert host.exec("python3", "serve.py", parent=host.init, session=5000).parent is replica
    host.wait(2)
    host.turn(parent)
    assert host.exec("python3", "serve.py", parent=host.init, session=5000).parent is parent


# -- ourselves -----------------------------------------------------------------------------------------------------


def test_nothing_of_our_own_is_told() -> None:
    """The daemon and its examiner; who started the daemon is told like anyone."""
    host = Host()
    weights, shell = host.protect(), host.login()
    daemon = host.exec("replguard", "run", parent=shell, pid=7)
    examiner = host.fork(daemon)
    before = len(host.events)
    host.open(weights, examiner)
    host.listen(daemon, "127.0.0.1:10947")
    host.exit(examiner)
    assert len(host.events) == before
    host.open(weights, shell)
    assert host.events[-1].action == "weights_access"


# -- standing ------------------------------------------------------------------------------------------------------


def story(host: Host) -> None:
    """Play a replication: look, copy, serve, copy again from the replica, serve again."""
    weights = host.protect(ORIGIN)
    host.server(weights, 8000)
    shell = host.login()
    agent = host.exec("python3", "agent.py", parent=shell)
    host.turn(agent, command="ls")
    cp = host.exec("cp", ("-r", "/models/llama", "/srv/agent_new"), parent=host.turn(agent, command="cp"))
    host.copy(weights, "/srv/agent_new/w.safetensors", cp)
    copy = host.of("weights_copy")[-1].file
    host.exit(cp)
    server = host.exec("python3", "serve.py", parent=host.turn(agent))
    host.map(copy, server)
    host.listen(server, "127.0.0.1:8001")
    host.gpu(server, 1024 * MIB)
    child = host.exec("python3", "agent.py", parent=host.turn(agent))
    host.wait(20)
    for _ in range(2):
        host.turn(child, 8001)
    link = msgspec.structs.replace(copy, path="/srv/.hidden/a1", links=2)
    host.on("file_link", link, host.exec("ln", parent=host.turn(child, 8001)))
    third = host.exec("python3", "serve.py", parent=host.turn(child, 8001))
    host.map(link, third)
    host.listen(third, "127.0.0.1:8002")


def test_a_replication_from_end_to_end() -> None:
    """Who, what from where, which generation: every stage names the agent, and joins the next by an artefact."""
    host = Host()
    story(host)
    agents = host.of("agent_seen", "confirmed")
    assert [f.replguard.generation for f in agents] == [1, 2]
    first, second = (f.process.entity_id for f in agents)
    copy, link = host.of("weights_copy", "done")
    replicas = [f for f in host.of("server_live", "live") if f.replguard.generation > 1]
    assert [f.replguard.generation for f in replicas] == [2, 3]
    assert [f.replguard.actor.id.partition("#")[2] for f in (copy, link, *replicas)] == [first, second, first, second]
    assert copy.replguard.artefacts[0] in replicas[0].replguard.artefacts
    assert link.replguard.artefacts[0] in replicas[1].replguard.artefacts
    assert all(f.replguard.actor.standing == "agent" for f in (copy, link, *replicas, *host.of("gpu_memory")))
    assert all(first in f.replguard.lineage for f in (copy, replicas[0]))


def test_the_same_input_twice_gives_the_same_output() -> None:
    """To the byte, ids included: nothing of it is chance."""
    outputs = []
    for _ in range(2):
        host = Host()
        story(host)
        outputs.append([wire.encode(event) for event in host.events])
    assert outputs[0] == outputs[1]


def test_output_can_be_written_and_read_again() -> None:
    """Hostile names and arguments included."""
    host = Host()
    weights = host.protect()
    evil = host.exec("cp", ("a\nb", "\x1b[2J", "x" * 100_000, "\udcff"), parent=host.login())
    host.copy(weights, "/srv/\n\u202e/\x00", evil)
    for event in host.events:
        assert wire.event(wire.encode(event)).action == event.action


@pytest.mark.parametrize(
    ("who", "standing"),
    [("job", "allowed"), ("service", "service"), ("session", "session"), ("agent", "agent"), ("unknown", "unknown")],
)
def test_every_fact_stands_where_its_actor_stands(who: str, standing: str) -> None:
    """The columns of the level table, for use, copy and arrival."""
    backup = Job(name="backup", unit="restic.service", may=("access", "copy"))
    host = Host(Manifest((), (backup,)))
    weights = host.protect()
    host.server(host.protect("/models/b/w", "b"), 8000)
    shell = host.login()
    actor: Proc = {
        "job": lambda: host.service("restic", image="restic"),
        "service": lambda: host.service("rsync", image="rsync"),
        "session": lambda: shell,
        "agent": lambda: host.agent(shell),
        "unknown": lambda: host.exec("tool", parent=host.init),
    }[who]()
    host.facts.clear()
    proc = host.exec("cp", parent=actor)
    arrived = host.write("/srv/new", weights.size or 0, proc)
    host.examined(arrived, (weights, 1.0))
    host.copy(weights, "/srv/x", proc)
    assert [(f.action, f.replguard.actor.standing) for f in host.facts] == [
        ("weights_arrival", standing), ("weights_access", standing), ("weights_copy", standing),
    ]  # fmt: skip


def test_a_deployment_gives_no_leave_to_copy() -> None:
    """Its service reads as it may; a copy by it stands as a service's."""
    chat = Deployment(name="chat", unit="vllm.service", weights=("/models",))
    host = Host(Manifest((chat,)))
    weights = host.protect()
    main = host.server(weights)
    host.copy(weights, "/srv/x", host.exec("cp", parent=main))
    assert [f.replguard.actor.standing for f in host.of("weights_access")] == ["allowed", "allowed"]
    assert [f.replguard.actor.standing for f in host.of("weights_copy")] == ["service"]


def test_time_is_the_acts_own() -> None:
    """Facts bear the time of what they follow from, never of their making."""
    host = Host()
    weights, shell = host.protect(), host.login()
    cp = host.exec("cp", parent=shell)
    host.open(weights, cp)
    made = host.write("/srv/x", weights.size or 0, cp)
    closed = host.now
    host.wait(90)
    (fact,) = host.examined(made, (weights, 1.0))
    assert fact.timestamp == closed
    assert all(START < e.timestamp < START + timedelta(hours=1) for e in host.events)


def changed(host: Host, path: str) -> Event:
    """Return the fact that a policy file has changed, as the daemon puts it, after provenance."""
    about = Context(actor=NOBODY, attribution="unknown", difference="policy: manifest")
    (fact,) = host.feed("authority_change", kind="enrichment", file=File(path=path), replguard=about)
    return fact


def test_who_was_seen_to_write_the_manifest_is_named() -> None:
    """An agent that allows itself something is an agent, whatever file it writes it in."""
    host = Host()
    host.server(host.protect())
    agent = host.agent(host.login())
    host.write("/etc/replguard/manifest.yaml", 100, agent)
    fact = changed(host, "/etc/replguard/manifest.yaml")
    assert fact.replguard.actor.agent
    assert fact.replguard.actor.standing == "agent"
    assert fact.replguard.difference == "policy: manifest"


def test_a_manifest_that_nobody_was_seen_to_write_names_nobody() -> None:
    """Nor does a writer of long ago count, nor one of another file."""
    host = Host()
    shell = host.login()
    host.write("/etc/replguard/manifest.yaml", 100, shell)
    host.write("/etc/other.yaml", 100, shell)
    host.wait(61)
    for path in ("/etc/replguard/manifest.yaml", "/etc/replguard/manifest.d/new.yaml"):
        fact = changed(host, path)
        assert fact.replguard.actor == NOBODY
        assert fact.replguard.attribution == "unknown"

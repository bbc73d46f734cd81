"""Facts about instances, their listeners and their device memory; what is allowed, learnt, and over the limit."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from support.story import MIB, SERVICE, START, Host

from replguard.events.file import File
from replguard.events.process import User
from replguard.provenance.baseline import Baseline
from replguard.provenance.manifest import Deployment, Job, Manifest
from replguard.provenance.processes import Proc
from replguard.provenance.serving import generation

CHAT = Deployment(name="chat", unit="vllm.service", weights=("/models",), max_instances=2)


def told(host: Host) -> list[tuple[str | None, int | None, str | None, str | None]]:
    """Return status, generation, what allows and standing of all that was said of instances."""
    return [
        (r.status, r.generation, r.authorised and r.authorised.by, r.actor and r.actor.standing)
        for r in (f.replguard for f in host.of("server_live"))
    ]


def replica(host: Host, weights: File, parent: Proc, port: int) -> Proc:
    """Start a server by a shell that goes on and leaves it behind."""
    shell = host.exec("sh", ("-c", "serve &"), parent=parent)
    server = host.exec("python3", f"serve.py --port {port}", parent=shell)
    host.exit(shell)
    host.map(weights, server)
    host.listen(server, f"127.0.0.1:{port}")
    return server


def learning(first: bool = True) -> Baseline:
    baseline = Baseline(None)
    baseline.open(START + timedelta(seconds=30), first_start=first)
    return baseline


# -- what is said --------------------------------------------------------------------------------------------------


def test_a_live_server_says_what_it_is() -> None:
    """Instance, pids, listeners, memory, count, generation, and an id to join by."""
    host = Host()
    main = host.service()
    host.map(host.protect(), main)
    host.gpu(main, 1024 * MIB)
    (fact,) = host.of("server_live")
    about = fact.replguard
    assert about.instance is not None
    assert (about.instance.pids, about.instance.listen, about.instance.gpu_bytes) == ((main.pid,), (), 1024 * MIB)
    assert (about.instance.count, about.instance.max_instances, about.instance.deployment) == (1, None, None)
    assert about.instance.id in about.artefacts
    assert (about.model, about.generation, about.exposed, about.attribution) == ("llama", 1, None, "lineage")
    host.listen(main, "0.0.0.0:8000")
    changed = host.of("server_live")[-1]
    assert (changed.replguard.status, changed.server.port, changed.replguard.exposed) == ("changed", 8000, True)
    assert changed.replguard.instance.listen == ("0.0.0.0:8000",)
    host.exit(main)
    assert [t[0] for t in told(host)] == ["live", "changed", "ended"]


def test_a_server_from_a_copy_names_the_copy() -> None:
    """The artefact joins the copy to the server that uses it."""
    host = Host()
    weights, shell = host.protect(), host.login()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    copy = host.of("weights_copy")[0]
    replica(host, copy.file, shell, 8001)
    (fact,) = host.of("server_live")
    assert fact.replguard.model == "llama"
    assert copy.replguard.artefacts[0] in fact.replguard.artefacts


def test_endpoints_are_watched_while_they_live() -> None:
    """Any address as any; a listener that comes later too; given up at the end."""
    host = Host()
    main = host.service()
    host.map(host.protect(), main)
    host.gpu(main, 512 * MIB)
    host.listen(main, "0.0.0.0:8000")
    host.exit(main)
    assert [(h.ip, h.port, h.drop) for h in host.hints if h.kind == "endpoint"] == [
        (None, 8000, False),
        (None, 8000, True),
    ]


def test_what_exists_at_start_is_told_as_live_too() -> None:
    """A replica that was there before us is not hidden by it; its listeners alone are no news."""
    host = Host()
    main = host.service(kind="state")
    host.feed("file_map", kind="state", file=host.protect(), process=main.process)
    host.listen(main, "127.0.0.1:8000", kind="state")
    assert [f.action for f in host.facts] == ["weights_access", "server_live"]
    assert [e for e in host.events if e.event.kind == "state"] == []


# -- what is allowed -----------------------------------------------------------------------------------------------


def test_a_deployment_allows_as_many_as_it_says() -> None:
    """The third of two is over the limit and stands for itself; when one ends there is room again."""
    host = Host(Manifest((CHAT,)))
    weights = host.protect()
    servers = [host.server(weights, 8000 + n) for n in range(3)]
    assert told(host) == [
        ("live", 1, "manifest", "allowed"),
        ("live", 1, "manifest", "allowed"),
        ("over_limit", 1, None, "service"),
    ]
    about = host.of("server_live")[-1].replguard.instance
    assert (about.count, about.max_instances, about.deployment) == (3, 2, "chat")
    host.exit(*servers[1:])
    host.server(weights, 8009)
    assert told(host)[-1] == ("live", 1, "manifest", "allowed")


def test_where_one_ends_there_is_room_for_the_next() -> None:
    """The one that was too many is told as allowed; those that began first never were in question."""
    host = Host(Manifest((CHAT,)))
    weights = host.protect()
    servers = [host.server(weights, 8000 + n) for n in range(3)]
    host.listen(servers[2], "127.0.0.1:9000")
    assert told(host)[-1][:3] == ("over_limit", 1, None)
    assert host.provenance.serving.counts() == {("chat", True): 2, ("llama", False): 1}
    host.exit(servers[0])
    assert [t[:3] for t in told(host)[-2:]] == [("ended", 1, "manifest"), ("changed", 1, "manifest")]
    assert host.of("server_live")[-1].process.pid == servers[2].pid


def test_what_the_manifest_says_now_holds_for_what_runs() -> None:
    """An entry that is taken away, comes or expires is told within a second, once."""
    host = Host(Manifest((CHAT,)))
    main = host.server(host.protect())
    assert host.provenance.tick(host.now) == []
    authority = host.provenance.authority
    authority.manifest = Manifest()
    (fact,) = host.provenance.tick(host.now)
    assert (fact.action, fact.replguard.status, fact.replguard.actor.standing) == ("server_live", "changed", "service")
    assert fact.process.pid == main.pid
    assert host.provenance.tick(host.now) == []
    trial = Deployment(name="trial", unit="vllm.service", weights=("/models",), expires=START.date())
    authority.manifest = Manifest((trial,))
    assert [f.replguard.authorised.entry for f in host.provenance.tick(host.now)] == ["trial"]
    assert [f.replguard.authorised for f in host.provenance.tick(host.now + timedelta(days=1))] == [None]


def test_another_port_is_not_what_the_deployment_allows() -> None:
    """Also one that is opened later."""
    named = Deployment(name="chat", unit="vllm.service", weights=("/models",), ports=(8000,))
    host = Host(Manifest((named,)))
    main = host.server(host.protect(), 8000)
    (listens,) = host.of("network_listen")
    assert listens.replguard.authorised.entry == "chat"
    host.listen(main, "0.0.0.0:8001")
    assert told(host) == [("live", 1, "manifest", "allowed"), ("changed", 1, None, "service")]
    assert host.of("network_listen")[-1].replguard.authorised is None


def test_entries_of_one_name_are_two() -> None:
    """Each has its own limit: two hints for one unit are pasted under one name."""
    entries = [Deployment(name="x", unit="vllm.service", weights=(f"/models/{m}",)) for m in ("llama", "b")]
    host = Host(Manifest(tuple(entries)))
    main = host.service()
    host.map(host.protect(), main)
    host.map(host.protect("/models/b/w", "b"), main)
    host.listen(main, "0.0.0.0:8000")
    assert [t[0] for t in told(host)] == ["live", "live"]


def test_a_deployment_allows_its_own_weights_only() -> None:
    """Another model in the same unit is not wanted."""
    host = Host(Manifest((CHAT,)))
    host.server(host.protect("/home/ann/w", "other"))
    assert told(host) == [("live", 1, None, "service")]


def test_a_replica_has_no_leave_of_its_unit() -> None:
    """There is room in the deployment, but not for what a server's tool shell starts."""
    host = Host(Manifest((CHAT,)))
    weights = host.protect()
    replica(host, weights, host.server(weights), 8001)
    assert told(host)[-1] == ("live", 2, None, "agent")


@pytest.mark.parametrize(("expires", "standing"), [(date(2026, 1, 1), "allowed"), (date(2025, 12, 31), "service")])
def test_a_trial_ends(expires: date, standing: str) -> None:
    """The job allows it up to its last day."""
    job = Job(name="trial", unit="vllm.service", may=("serve",), expires=expires)
    host = Host(Manifest((), (job,)))
    host.server(host.protect())
    assert told(host)[0][3] == standing


@pytest.mark.parametrize(
    ("start", "standing"),
    [("service", "service"), ("session", "session"), ("agent", "agent"), ("unknown", "unknown")],
)
def test_standing_is_the_starters(start: str, standing: str) -> None:
    """The columns of the level table, where nothing allows it."""
    host = Host()
    weights = host.protect()
    host.server(host.protect("/models/b/w", "b"), 8000)
    shell = host.login()
    parents = {
        "service": lambda: host.service("other"),
        "session": lambda: shell,
        "agent": lambda: host.agent(shell),
        "unknown": lambda: host.exec("tool", parent=host.init, user=User(id=5)),
    }
    replica(host, weights, parents[start](), 8001)
    assert told(host)[-1][0] == "live"
    assert told(host)[-1][3] == standing


# -- the baseline --------------------------------------------------------------------------------------------------


def existing(host: Host, weights: File, port: int = 8000) -> Proc:
    main = host.service(kind="state", start=START - timedelta(hours=1))
    host.map(weights, main)
    host.listen(main, f"127.0.0.1:{port}", kind="state")
    return main


def test_what_was_there_before_us_is_the_baseline() -> None:
    """Its restart is what was there, one more at the same time is more than there was."""
    host = Host(baseline=learning(), now=START + timedelta(minutes=1))
    weights = host.protect()
    main = existing(host, weights)
    assert told(host) == [("live", 1, "baseline", "allowed")]
    host.wait(3 * 86400)
    host.exit(main)
    host.server(weights)
    host.server(weights, 8001)
    assert told(host)[1:] == [
        ("ended", 1, "baseline", "allowed"),
        ("live", 1, "baseline", "allowed"),
        ("over_limit", 1, None, "service"),
    ]


def test_what_the_manifest_allows_by_now_leaves_no_room_in_the_baseline() -> None:
    """There was one, and the manifest means that one: a second one at another port is more than there was."""
    host = Host(baseline=learning(), now=START + timedelta(minutes=1))
    weights = host.protect()
    existing(host, weights)
    named = Deployment(name="chat", unit="vllm.service", weights=("/models",), ports=(8000,))
    host.provenance.authority.manifest = Manifest((named,))
    host.provenance.tick(host.now)
    host.server(weights, 8001)
    assert told(host)[-1] == ("over_limit", 1, None, "service")


def test_two_that_were_there_are_two() -> None:
    """The count is of those at once."""
    host = Host(baseline=learning(), now=START + timedelta(minutes=1))
    weights = host.protect()
    existing(host, weights)
    existing(host, weights, 8001)
    assert [t[2] for t in told(host)] == ["baseline", "baseline"]


def test_a_new_service_is_told_and_then_learnt() -> None:
    """On the first day: once as new, from then on as known."""
    host = Host(baseline=learning(), now=START + timedelta(minutes=1))
    weights = host.protect()
    main = host.server(weights)
    host.exit(main)
    host.server(weights)
    assert [t for t in told(host) if t[0] != "ended"] == [
        ("live", 1, None, "service"),
        ("live", 1, "baseline", "allowed"),
    ]


def test_a_new_service_after_the_day_is_new_each_time() -> None:
    """The collection is over."""
    host = Host(baseline=learning(), now=START + timedelta(hours=25))
    weights = host.protect()
    host.exit(host.server(weights))
    host.server(weights)
    assert [t[2] for t in told(host) if t[0] == "live"] == [None, None]


@pytest.mark.parametrize("kind", ["session", "unknown", "agent"])
def test_a_new_session_agent_or_unknown_is_never_learnt(kind: str) -> None:
    """That is what a replica looks like."""
    host = Host(baseline=learning(), now=START + timedelta(minutes=1))
    weights = host.protect()
    host.server(host.protect("/models/b/w", "b"), 8000)
    shell = host.login()
    unknown = host.exec("tool", parent=host.init, user=User(id=5))
    parent = {"session": shell, "unknown": unknown, "agent": shell}[kind]
    parent = host.agent(shell) if kind == "agent" else parent
    host.facts.clear()
    for _ in range(2):
        host.exit(replica(host, weights, parent, 8001))
    assert [t[2:] for t in told(host) if t[0] == "live"] == [(None, kind)] * 2
    assert all(e.principal == "unit:vllm.service" for e in host.baseline._state.entries)


def test_a_restart_of_the_daemon_learns_no_replica() -> None:
    """Only the first start of all takes what is there for granted: what came since was told as new."""
    baseline = learning()
    host = Host(baseline=baseline, now=START + timedelta(hours=1))
    shell = host.login()
    server = host.exec("python3", "serve.py", parent=shell)
    host.map(host.protect(), server)
    host.listen(server, "127.0.0.1:8001", kind="state")
    assert told(host) == [("live", 1, None, "session")]
    assert baseline._state.entries == []


def test_a_lost_baseline_allows_nothing(tmp_path: Path) -> None:
    """No baseline is not a new one."""
    baseline = Baseline(tmp_path / "gone.json")
    baseline.open(START, first_start=False)
    host = Host(baseline=baseline, now=START + timedelta(minutes=1))
    existing(host, host.protect())
    assert told(host) == [("live", 1, None, "service")]


# -- generations ---------------------------------------------------------------------------------------------------


def test_an_agents_server_is_of_generation_2() -> None:
    """And the server of the agent that runs on it is of generation 3."""
    host = Host()
    weights = host.protect()
    host.server(weights, 8000)
    agent = host.agent(host.login())
    second = replica(host, weights, agent, 8001)
    assert told(host)[-1][:2] == ("live", 2)
    child = host.exec("python3", "agent.py", parent=host.turn(agent))
    host.wait(30)
    for _ in range(2):
        host.turn(child, 8001)
    third = replica(host, weights, child, 8002)
    assert told(host)[-1] == ("live", 3, None, "agent")
    assert [generation(p) for p in (second, third)] == [2, 3]


def test_a_servers_server_is_of_generation_2() -> None:
    """A tool shell inside the unit: neither manifest room nor baseline makes an original of it."""
    host = Host(baseline=learning(), now=START + timedelta(minutes=1))
    weights = host.protect()
    main = existing(host, weights)
    second = replica(host, weights, main, 8001)
    assert told(host)[-1] == ("live", 2, None, "agent")
    replica(host, weights, second, 8002)
    assert told(host)[-1] == ("live", 3, None, "agent")


def test_a_generation_outlives_who_began_it() -> None:
    """The parent server may end before its child serves."""
    host = Host()
    weights = host.protect()
    main = host.server(weights, 8000)
    shell = host.exec("sh", parent=main)
    host.exit(main)
    replica(host, weights, shell, 8001)
    assert told(host)[-1][:2] == ("live", 2)


def test_a_launcher_of_ranks_is_no_generation() -> None:
    """What a mere launcher starts after another server of its is no replica."""
    host = Host()
    weights = host.protect()
    supervisor = host.service("supervisor", image="supervisord")
    ranks = [host.exec("python3", "serve.py", parent=supervisor) for _ in range(2)]
    for rank in ranks:
        host.map(weights, rank)
    host.listen(ranks[0], "127.0.0.1:8000")
    host.exit(*ranks)
    later = host.exec("python3", "serve.py --again", parent=supervisor)
    host.map(weights, later)
    host.listen(later, "127.0.0.1:8000")
    assert [t[1] for t in told(host) if t[0] == "live"] == [1, 1]


def test_a_label_makes_a_replica_of_what_was_a_session() -> None:
    """The server is told again: generation 2, an agent's, and allowed by nothing that it had."""
    allowed = Deployment(name="mine", user="ann", weights=("/models",), max_instances=5)
    host = Host(Manifest((allowed,)))
    weights = host.protect()
    host.server(host.protect("/other/w", "b"), 8000)
    agent = host.exec("python3", "agent.py", parent=host.login())
    host.turn(agent)
    server = replica(host, weights, agent, 8001)
    assert told(host)[-1] == ("live", 1, "manifest", "allowed")
    host.turn(agent)
    (again,) = [f for f in host.fresh if f.action == "server_live"]
    about = again.replguard
    assert (about.status, about.generation, about.authorised, about.actor.standing) == ("live", 2, None, "agent")
    assert (about.relabelled, about.instance.deployment, again.process.pid) == (True, None, server.pid)
    host.exit(server)
    assert told(host)[-1] == ("ended", 2, None, "agent")


def test_an_agent_that_the_manifest_means_keeps_its_leave() -> None:
    """``agent: true``."""
    allowed = Deployment(name="mine", user="ann", weights=("/models",), agent=True)
    host = Host(Manifest((allowed,)))
    weights = host.protect()
    host.server(host.protect("/other/w", "b"), 8000)
    replica(host, weights, host.agent(host.login()), 8001)
    assert told(host)[-1] == ("live", 2, "manifest", "allowed")


def test_an_agent_that_served_as_one_tree_is_parted_from_its_server() -> None:
    """What hung on the agent, as workers on a launcher, is a server of its own once the agent is known."""
    host = Host()
    weights = host.protect()
    host.server(host.protect("/other/w", "b"), 8000)
    agent = host.exec("python3", "agent.py", parent=host.login())
    host.listen(agent, "127.0.0.1:9000")
    server = host.exec("python3", ("-c", "from multiprocessing.spawn import spawn_main"), parent=agent)
    host.map(weights, server)
    assert told(host)[-1][:2] == ("live", 1)
    host.listen(server, "127.0.0.1:8001")
    for _ in range(2):
        host.turn(agent)
    (one,) = [live for live in host.provenance.instances.live.values() if live.model == "llama"]
    assert (one.root, one.generation) == (server, 2)
    last = [f for f in host.of("server_live") if f.replguard.model == "llama"][-1]
    assert (last.replguard.generation, last.replguard.actor.standing) == (2, "agent")


# -- listeners and device memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "transport", "exposed"),
    [
        ("127.0.0.1:8000", "tcp", False),
        ("::1:8000", "tcp", False),
        ("0.0.0.0:8000", "tcp", True),
        ("10.0.0.1:53", "udp", True),
        ("/run/x.sock", "unix", None),
    ],
)
def test_a_listener_is_told_with_its_exposure(address: str, transport: str, exposed: bool | None) -> None:
    """Loopback is not exposed; of a path nobody can say."""
    host = Host()
    main = host.service()
    (fact,) = host.listen(main, address, transport)
    assert (fact.action, fact.replguard.exposed, fact.process.pid) == ("network_listen", exposed, main.pid)
    assert host.listen(None, address, transport) == []


def test_device_memory_is_told_at_256_mib_and_each_doubling() -> None:
    """Per device; and when it is given back."""
    host = Host()
    main = host.service()
    for amount in (100, 256, 300, 511, 512, 2000, 3000, 0, 0, 300):
        host.gpu(main, amount * MIB)
    host.gpu(main, 300 * MIB, device="GPU-1")
    host.gpu(main, None, device="GPU-1")
    assert [(f.gpu.id, f.replguard.status, f.replguard.bytes // MIB) for f in host.of("gpu_memory")] == [
        ("GPU-0", "claimed", 256),
        ("GPU-0", "doubled", 512),
        ("GPU-0", "doubled", 2000),
        ("GPU-0", "released", 0),
        ("GPU-0", "claimed", 300),
        ("GPU-1", "claimed", 300),
    ]
    host.facts.clear()
    host.exit(main)
    assert [(f.action, f.replguard.status) for f in host.facts] == [("gpu_memory", "released")] * 2


def test_device_memory_after_touching_says_so() -> None:
    """Whoever of the same actor touched."""
    host = Host()
    shell = host.login()
    weights = host.protect()
    host.gpu(host.exec("python3", parent=shell), 512 * MIB)
    host.open(weights, host.exec("cat", parent=shell))
    host.gpu(host.exec("python3", parent=shell), 512 * MIB)
    assert [f.replguard.touched for f in host.of("gpu_memory")] == [False, True]


def test_a_scheduled_shutdown_is_a_signal_to_every_instance() -> None:
    """By whoever scheduled it, known or not."""
    host = Host()
    main = host.server(host.protect())
    shutdown = host.exec("shutdown", parent=host.login())
    host.feed("host_shutdown", process=shutdown.process)
    host.feed("host_shutdown")
    facts = host.of("serving_signal")
    assert [(f.target.pid, f.replguard.status, f.replguard.model) for f in facts] == [
        (main.pid, "scheduled", "llama")
    ] * 2
    assert [f.replguard.actor.standing for f in facts] == ["session", "unknown"]


def test_counts_for_metrics() -> None:
    """Instances by deployment or model, device memory by device; each by whether it is authorised."""
    host = Host(Manifest((CHAT,)))
    weights = host.protect()
    main = host.server(weights)
    host.gpu(main, 512 * MIB)
    other = host.service("other", user=SERVICE)
    host.map(weights, other)
    host.gpu(other, 256 * MIB)
    serving = host.provenance.serving
    assert serving.counts() == {("chat", True): 1, ("llama", False): 1}
    assert serving.gpu_memory() == {("GPU-0", True): 512 * MIB, ("GPU-0", False): 256 * MIB}

"""Who drives a model: two turns confirm, one suspects, and neither persons nor workers become agents."""

from datetime import timedelta

import pytest
from support.story import MIB, Host

from replguard.provenance.agents import Agents
from replguard.provenance.processes import Proc

PORT = 8000


def stage(**given: object) -> tuple[Host, Proc]:
    """Return a host with a model server at a port, and a login shell."""
    host = Host(**given)
    host.server(host.protect(), PORT)
    host.facts.clear()
    return host, host.login()


def seen(host: Host) -> list[tuple[str | None, int | None, int | None]]:
    """Return status, pid and turns of every agent told so far."""
    return [(f.replguard.status, f.process.pid, f.replguard.turns) for f in host.of("agent_seen")]


def test_one_turn_suspects_and_two_confirm() -> None:
    """A reply and then a program, twice within 30 minutes; each stage is told once."""
    host, shell = stage()
    agent = host.exec("python3", "agent.py", parent=shell)
    host.turn(agent)
    assert seen(host) == [("suspected", agent.pid, 1)]
    assert not agent.confirmed_agent
    host.turn(agent)
    assert seen(host)[1:] == [("confirmed", agent.pid, 2)]
    fact = host.of("agent_seen")[-1].replguard
    assert (fact.endpoint, fact.generation) == (f"127.0.0.1:{PORT}", 1)
    assert (fact.actor.kind, fact.actor.agent, fact.actor.pid) == ("agent", True, agent.pid)
    host.turn(agent)
    assert len(seen(host)) == 2


def test_a_reply_is_one_turn_however_many_programs_follow() -> None:
    """Three programs after one reply are one turn."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    host.turn(agent)
    for _ in range(2):
        host.exec("ls", parent=agent)
    assert not agent.confirmed_agent


@pytest.mark.parametrize(("seconds", "confirmed"), [(29 * 60, True), (31 * 60, False)])
def test_turns_count_for_30_minutes(seconds: float, confirmed: bool) -> None:
    """A second turn later than that is a first one again, and says nothing new."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    host.turn(agent)
    host.wait(seconds)
    host.turn(agent)
    assert agent.confirmed_agent is confirmed
    assert len(seen(host)) == 1 + confirmed


@pytest.mark.parametrize(("seconds", "turns"), [(59, 1), (61, 0)])
def test_a_program_follows_within_60_seconds(seconds: float, turns: int) -> None:
    """Later than that it has nothing to do with the reply."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    host.connect(agent, PORT)
    host.wait(seconds)
    host.exec("ls", parent=agent)
    assert len(seen(host)) == turns


def test_a_program_before_the_reply_is_no_turn() -> None:
    """Order matters."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    host.exec("ls", parent=agent)
    host.connect(agent, PORT)
    assert seen(host) == []


def test_replies_over_one_connection_are_turns_of_their_own() -> None:
    """A client that keeps its connection open is as much an agent as one that does not."""
    host = Host()
    host.server(host.protect())
    agent = host.exec("python3", "agent.py", parent=host.login())
    for _ in range(2):
        host.connect(agent, 8000, inode=77)
        host.exec("ls", parent=agent)
    assert [f.replguard.status for f in host.of("agent_seen")] == ["suspected", "confirmed"]


def test_asking_and_being_answered_is_one_turn() -> None:
    """The connection is told when it opens and again when the reply is whole: two programs after it are one turn."""
    host = Host()
    host.server(host.protect())
    agent = host.exec("python3", "agent.py", parent=host.login())
    host.connect(agent, 8000, inode=77)
    host.connect(agent, 8000, inode=77)
    host.exec("ls", parent=agent)
    host.exec("ls", parent=agent)
    assert [f.replguard.status for f in host.of("agent_seen")] == ["suspected"]


def test_a_connection_elsewhere_is_no_reply() -> None:
    """Neither another port, nor one that was accepted, nor one that nobody is known to hold."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    host.connect(agent, 9999)
    host.connect(None, PORT)
    host.connect(agent, PORT, ip="192.0.2.9")
    host.exec("ls", parent=agent)
    assert seen(host) == []


def test_endpoints_of_the_configuration_count() -> None:
    """A model API by its address."""
    host = Host(endpoints=("192.0.2.0/24",))
    agent = host.exec("python3", parent=host.login())
    for _ in range(2):
        host.connect(agent, 443, ip="192.0.2.9")
        host.exec("ls", parent=agent)
    assert agent.confirmed_agent
    assert host.of("agent_seen")[-1].replguard.endpoint == "192.0.2.9:443"


def test_a_child_that_nobody_saw_counts() -> None:
    """Its parent's accounting tells that one ran and ended between two looks."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    for _ in range(2):
        host.connect(agent, PORT)
        host.feed("process_children", process=agent.process)
    assert agent.confirmed_agent


def test_a_fork_alone_is_no_program_started() -> None:
    """Only when the child executes something does it count, once."""
    host, shell = stage()
    agent = host.exec("python3", parent=shell)
    host.connect(agent, PORT)
    child = host.fork(agent)
    assert seen(host) == []
    host.again(child, "ls")
    assert seen(host) == [("suspected", agent.pid, 1)]
    host.connect(agent, PORT)
    host.again(child, "cp")
    assert len(seen(host)) == 1


def curl(host: Host, parent: Proc) -> None:
    helper = host.exec("curl", f"-s --json @asked http://127.0.0.1:{PORT}/v1/chat/completions", parent=parent)
    host.connect(helper, PORT)
    host.wait(0.2)
    host.exit(helper)


def test_a_script_that_asks_with_curl_is_an_agent() -> None:
    """A child may hold the connection."""
    host, shell = stage()
    script = host.exec("bash", "agent.sh", parent=shell, session=900, tty=None)
    for _ in range(2):
        curl(host, script)
        host.wait(1)
        host.exit(host.exec("cp", parent=script))
    assert script.confirmed_agent
    assert not shell.confirmed_agent


def test_a_script_in_the_foreground_is_an_agent_too() -> None:
    """A shell that runs a script is not a person at a prompt."""
    host, shell = stage()
    script = host.exec("bash", "agent.sh", parent=shell, interactive=True)
    for _ in range(2):
        curl(host, script)
        host.exit(host.exec("cp", parent=script))
    assert script.confirmed_agent
    assert not shell.confirmed_agent


@pytest.mark.parametrize("args", ["", "-i", "--login", "--rcfile /tmp/rc -i", "-o vi"])
def test_a_person_with_curl_is_no_agent(args: str) -> None:
    """The foreground shell of a terminal never is, however often somebody asks and goes on working."""
    host, login = stage()
    shell = host.exec("bash", args, parent=login, interactive=True)
    for _ in range(5):
        curl(host, shell)
        host.wait(1)
        host.exit(host.exec("ls", parent=shell))
    assert seen(host) == []


def test_a_person_typing_into_the_shell_itself_is_no_agent() -> None:
    """Bash can connect without a helper (/dev/tcp)."""
    host, shell = stage()
    for _ in range(3):
        host.connect(shell, PORT)
        host.exit(host.exec("ls", parent=shell))
    assert seen(host) == []


def test_a_helper_that_goes_on_is_no_helper() -> None:
    """A chat client under a script keeps its connection while the script goes on: nobody waits for its answer."""
    host, shell = stage()
    script = host.exec("bash", "work.sh", parent=shell, session=900, tty=None)
    client = host.exec("chat", parent=script)
    host.connect(client, PORT)
    host.exec("make", parent=script)
    host.wait(30)
    host.exit(client)
    assert seen(host) == []


def test_a_helper_seen_to_end_a_moment_late_is_one() -> None:
    """Looks are not in the order of acts: the next program may be seen before the helper's end."""
    host, shell = stage()
    script = host.exec("bash", "agent.sh", parent=shell, session=900, tty=None)
    for _ in range(2):
        helper = host.exec("curl", parent=script)
        host.connect(helper, PORT)
        host.exec("cp", parent=script)
        host.wait(0.3)
        host.exit(helper)
    assert script.confirmed_agent


def fed(host: Host, agent: Proc, args: str | tuple[str, ...] = "", reads: tuple[int, ...] = (77,)) -> Proc:
    """Let an agent ask three times and a shell that lives long run a program each time; return the shell."""
    shell = host.exec("bash", args, parent=agent, reads=reads, writes=(78,))
    host.wait(300)
    for _ in range(3):
        host.connect(agent, PORT)
        host.wait(1)
        host.exit(host.exec("ls", parent=shell))
    return shell


def test_what_a_shell_does_that_is_fed_with_commands_is_its_feeders() -> None:
    """A tool shell is started once: its programs are its children, and its commands come from who made the pipe."""
    host, _ = stage()
    agent = host.exec("python3", "agent.py", parent=host.service("app"))
    shell = fed(host, agent)
    assert agent.confirmed_agent
    assert not shell.confirmed_agent


@pytest.mark.parametrize(
    ("args", "reads"), [("worker.sh", (77,)), (("-c", "while sleep 5; do ls; done"), (77,)), ("", ()), ("", (70,))]
)
def test_a_shell_that_has_its_commands_from_elsewhere_is_nobodys_tool(
    args: str | tuple[str, ...], reads: tuple[int, ...]
) -> None:
    """A script beside a client of a model, and a shell with a pipe that its parent only passed on."""
    host, _ = stage()
    client = host.exec("python3", "app.py", parent=host.service("app"), reads=(70,))
    fed(host, client, args, reads)
    assert seen(host) == []


def test_a_model_server_and_its_workers_are_no_agents() -> None:
    """A server asks itself whether it is healthy and starts workers; one that asks another and forks is none."""
    host = Host()
    weights = host.protect()
    main = host.server(weights, PORT)
    for _ in range(3):
        host.connect(main, PORT)
        worker = host.exec("python3", ("-c", "from multiprocessing.spawn import spawn_main; spawn_main()"), parent=main)
        host.map(weights, worker)
        host.connect(worker, PORT)
    other = host.server(weights, 8001, name="second")
    for _ in range(3):
        host.connect(other, PORT)
        host.exec("python3", ("-c", "from multiprocessing.spawn import spawn_main"), parent=other)
    assert host.of("agent_seen") == []


def test_the_tool_shell_of_a_model_server_is_an_agents() -> None:
    """A server that asks another model and runs what it says is driven by it."""
    host = Host()
    weights = host.protect()
    host.server(weights, PORT)
    other = host.server(weights, 8001, name="second")
    for _ in range(2):
        host.turn(other)
    assert other.confirmed_agent


def test_daemons_never_drive() -> None:
    """Cron may fetch and start; the reason is in the job."""
    host, _ = stage()
    cron = host.exec("cron", parent=host.init)
    for _ in range(3):
        host.connect(cron, PORT)
        host.exit(host.exec("sh", parent=cron))
    assert seen(host) == []


def test_an_agent_is_of_the_generation_that_drives_it() -> None:
    """It is driven by what it asks itself: a look at a replica, by a tool, changes nothing."""
    host, shell = stage()
    weights = host.protect("/models/b/w", "b")
    agent = host.agent(shell, PORT)
    replica = host.exec("python3", "serve.py", parent=host.turn(agent))
    host.map(weights, replica)
    host.listen(replica, "127.0.0.1:8100")
    tool = host.exec("curl", parent=host.turn(agent))
    host.connect(tool, 8100)
    host.exit(tool)
    host.turn(agent)
    assert agent.generation == 1
    second = host.exec("python3", "agent.py", parent=host.turn(agent))
    host.wait(30)
    host.turn(second, 8100)
    host.turn(second, 8100)
    assert (second.confirmed_agent, second.generation) == (True, 2)
    (live,) = [live for live in host.provenance.instances.live.values() if live.root is replica]
    assert (agent.driver, second.driver) == (None, live.id)


def test_each_generation_names_the_replica_that_drives_it() -> None:
    """What an agent of the original does names none: that one drives others too."""
    host, shell = stage()
    weights = host.protect("/models/b/w", "b")
    agent, port, driver = host.agent(shell, PORT), PORT, None
    for generation in (2, 3, 4):
        host.copy(weights, f"/srv/{generation}", host.exec("cp", parent=host.turn(agent, port)))
        assert host.of("weights_copy")[-1].replguard.actor.driver == driver
        replica, port = host.exec("python3", "serve.py", parent=host.turn(agent, port)), 8100 + generation
        host.map(weights, replica)
        host.listen(replica, f"127.0.0.1:{port}")
        driver = host.of("server_live", "live")[-1].replguard.instance.id
        agent = host.exec("python3", "agent.py", parent=host.turn(agent, port - 1 if generation > 2 else PORT))
        host.wait(30)
        host.turn(agent, port)
        host.turn(agent, port)


def test_candidates_are_bounded() -> None:
    """Those that were quiet longest are forgotten."""
    host = Host()
    agents = Agents(limit=2)
    procs = [host.exec("python3", parent=host.init, session=None) for _ in range(3)]
    for proc in procs:
        agents.reply(proc, "e", host.now, 1)
    later = host.now + timedelta(seconds=1)
    assert agents.started(procs[0], None, later) is None
    assert agents.started(procs[2], None, later) is not None
    assert agents.driven_by(procs[0]) is None
    assert agents.driven_by(procs[2]) == "e"


def test_recent_agents_are_the_living_that_got_a_reply() -> None:
    """Within a minute; what ended or was only suspected is none."""
    host, shell = stage()
    agent = host.agent(shell, PORT)
    suspect = host.exec("python3", parent=shell)
    host.turn(suspect)
    agents = host.provenance.agents
    assert agents.recent(host.now) == [agent]
    assert agents.recent(host.now + timedelta(seconds=90)) == []
    host.exit(agent)
    assert agents.recent(host.now) == []


def test_confirming_feeds_what_was_before_with_the_label() -> None:
    """Two hours of the lineage's facts come again, the actor an agent, time and evidence as they were."""
    host, shell = stage()
    agent = host.exec("python3", "agent.py", parent=shell)
    weights = host.protect("/models/b/w", "b", size=64 * MIB)
    cp = host.exec("cp", parent=host.turn(agent))
    (told,) = [f for f in host.copy(weights, "/srv/x", cp) if f.action == "weights_copy"]
    assert (told.replguard.actor.kind, told.replguard.actor.standing) == ("session", "session")
    host.exit(cp)
    host.wait(600)
    host.turn(agent)
    again = [f for f in host.fresh if f.action == "weights_copy"]
    assert [(f.replguard.actor.standing, f.replguard.relabelled, f.timestamp) for f in again] == [
        ("agent", True, told.timestamp)
    ]
    assert agent.entity in again[0].replguard.lineage
    assert again[0].file == told.file
    assert {f.action for f in host.fresh} == {"agent_seen", "weights_copy", "weights_access"}


def test_only_two_hours_and_only_its_own() -> None:
    """What is older stays as it was told, and what others did is not the agent's."""
    host, shell = stage()
    weights = host.protect("/models/b/w", "b", size=64 * MIB)
    agent = host.exec("python3", "agent.py", parent=shell)
    host.copy(weights, "/srv/old", host.exec("cp", parent=agent))
    host.copy(weights, "/srv/other", host.exec("cp", parent=shell))
    host.wait(2 * 3600)
    host.copy(weights, "/srv/new", host.exec("cp", parent=agent))
    for _ in range(2):
        host.turn(agent)
    again = [f for f in host.fresh if f.action == "weights_copy"]
    assert [f.file.path for f in again] == ["/srv/new"]


def test_a_second_agent_takes_no_fact_from_the_first() -> None:
    """What was fed with a label is not fed again."""
    host, shell = stage()
    weights = host.protect("/models/b/w", "b", size=64 * MIB)
    agent = host.agent(shell, PORT)
    inner = host.exec("python3", "inner.py", parent=host.turn(agent))
    host.copy(weights, "/srv/x", host.exec("cp", parent=inner))
    host.wait(20)
    for _ in range(2):
        host.turn(inner)
    assert inner.confirmed_agent
    assert {f.action for f in host.fresh} == {"agent_seen"}


def test_an_agent_of_any_name_is_noted() -> None:
    """A copy of python called cron drives a model like any other; what the host starts its jobs with does not."""
    host, known = Host(), Agents()
    mine, real = host.exec("/tmp/cron", "agent.py", parent=host.init), host.exec("cron", parent=host.init)
    assert known.reply(mine, "127.0.0.1:8000", host.now, 1) == [mine]
    assert known.reply(real, "127.0.0.1:8000", host.now, 1) == []


def test_a_start_script_that_waits_for_its_server_is_no_agent() -> None:
    """It asks by children until there is an answer, and goes on starting programs; what drives it is not its server."""
    host = Host()
    weights = host.protect()
    script = host.exec("sh", "start.sh", parent=host.service("chat", "tini", ""))
    server = host.exec("python3", "serve.py", parent=script)
    host.map(weights, server)
    host.listen(server, "127.0.0.1:8000")
    for _ in range(4):
        curl = host.exec("curl", "http://127.0.0.1:8000/health", parent=script)
        host.connect(curl, 8000)
        host.exit(curl, host.exec("sleep", "1", parent=script))
    assert host.of("agent_seen") == []
    agent = host.exec("sh", "agent.sh", parent=script)
    for _ in range(4):
        curl = host.exec("curl", "-d @asked http://127.0.0.1:8000/v1/chat/completions", parent=agent)
        host.connect(curl, 8000)
        host.exit(curl, host.exec("ls", parent=agent))
    assert {(fact.process or agent.process).pid for fact in host.of("agent_seen", "confirmed")} == {agent.pid}


@pytest.mark.parametrize(
    "look", ["curl -sf {}/health", "curl -s -o /dev/null -m 2 {}/v1/models", "wget -q --spider {}"]
)
def test_a_deploy_that_looks_between_its_steps_whether_servers_answer_is_no_agent(look: str) -> None:
    """It starts programs after each answer, and they copy weights; a question with a body makes it one."""
    host = Host()
    weights = host.protect()
    host.server(weights, PORT)
    tool, args = look.format(f"http://127.0.0.1:{PORT}").split(" ", 1)
    deploy = host.exec("sh", "deploy.sh", parent=host.service("deploy", "sh", "deploy.sh"))
    for _ in range(4):
        helper = host.exec(tool, args, parent=deploy)
        host.connect(helper, PORT)
        host.exit(helper)
        host.exit(host.exec("ln", "-sfn a b", parent=deploy))
    assert host.of("agent_seen") == []
    for _ in range(2):
        curl(host, deploy)
        host.exit(host.exec("ln", "-sfn a b", parent=deploy))
    assert deploy.confirmed_agent

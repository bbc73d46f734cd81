"""Signals to serving instances: who told one to end, and what is no such thing."""

import pytest
from support.story import Host

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.provenance.manifest import Job, Manifest
from replguard.provenance.processes import Proc


def sent(host: Host, proc: Proc | None, target: Proc, name: str = "TERM", number: int = 15) -> list[Event]:
    """Feed a signal as the kernel tells it, and return the facts."""
    about = Context(tier="kernel", attribution="kernel" if proc else "unknown", status=name, signal=number)
    return host.feed("process_signal", process=proc.process if proc else None, target=target.process, replguard=about)


@pytest.mark.parametrize("name", ["TERM", "INT", "KILL", "STOP"])
def test_an_agent_that_ends_a_server_is_told(name: str) -> None:
    """With the signal as status, the target, the model and the agent as the actor."""
    host = Host()
    main = host.server(host.protect())
    agent = host.agent(host.login())
    kill = host.exec("kill", "9", parent=agent)
    (fact,) = sent(host, kill, main, name)
    assert fact.action == "serving_signal"
    assert fact.target is not None
    assert fact.replguard is not None
    assert fact.replguard.actor is not None
    assert (fact.target.pid, fact.replguard.status, fact.replguard.model) == (main.pid, name, "llama")
    assert (fact.replguard.actor.agent, fact.replguard.actor.standing) == (True, "agent")
    assert fact.replguard.attribution == "kernel"


@pytest.mark.parametrize("name", ["HUP", "QUIT", "ABRT", "TSTP"])
def test_other_signals_are_no_fact(name: str) -> None:
    """They are events only."""
    host = Host()
    main = host.server(host.protect())
    assert not sent(host, host.login(), main, name)


def test_a_signal_to_who_serves_nothing_is_no_fact() -> None:
    """An agent is watched too, and may be ended."""
    host = Host()
    host.server(host.protect())
    agent = host.agent(host.login())
    assert not sent(host, host.login(), agent)


def test_an_instance_may_end_its_own() -> None:
    """A launcher ends its workers, and a worker its launcher."""
    host = Host()
    main = host.server(host.protect())
    worker = host.fork(main)
    host.listen(main, "127.0.0.1:8001")
    assert not sent(host, main, worker)
    assert not sent(host, worker, main)
    assert not sent(host, main, main)


def test_who_started_an_instance_may_end_it_unless_it_is_an_agent() -> None:
    """A script that restarts its server is none; an agent that ends a replica of its own is one."""
    host = Host()
    weights = host.protect()
    script = host.exec("supervise", parent=host.login())
    served = host.exec("python3", "-m vllm", parent=script)
    host.map(weights, served)
    host.listen(served, "127.0.0.1:8000")
    assert not sent(host, script, served)
    agent = host.agent(host.login())
    replica = host.exec("python3", "-m vllm", parent=agent)
    host.map(weights, replica)
    host.listen(replica, "127.0.0.1:8001")
    assert len(sent(host, agent, replica)) == 1


def test_what_no_process_sent_is_no_fact() -> None:
    """The OOM killer, or a terminal."""
    host = Host()
    main = host.server(host.protect())
    assert not sent(host, None, main, "KILL", 9)


def test_a_service_manager_is_a_service() -> None:
    """It is never an entry point, but here it acts."""
    host = Host()
    main = host.server(host.protect())
    (fact,) = sent(host, host.init, main)
    assert fact.replguard is not None
    assert fact.replguard.actor is not None
    assert fact.replguard.actor.standing == "service"


def test_a_repeated_signal_is_told_once() -> None:
    """Per sender, instance and signal, again after a minute."""
    host = Host()
    main = host.server(host.protect())
    worker = host.fork(main)
    host.listen(main, "127.0.0.1:8001")
    shell = host.login()
    assert len(sent(host, shell, main)) == 1
    assert not sent(host, shell, main)
    assert not sent(host, shell, worker)
    assert len(sent(host, shell, main, "KILL", 9)) == 1
    host.wait(61)
    assert len(sent(host, shell, main)) == 1


def test_members_of_an_instance_are_watched_until_it_ends() -> None:
    """Also those that join it; an agent stays watched."""
    host = Host()
    weights = host.protect()
    main = host.server(weights)
    worker = host.fork(main)
    host.listen(main, "127.0.0.1:8001")
    watched = {hint.pid for hint in host.hints if hint.kind == "process" and not hint.drop}
    assert watched == {main.pid, worker.pid}
    host.exit(worker, main)
    dropped = {hint.pid for hint in host.hints if hint.kind == "process" and hint.drop}
    assert dropped == {main.pid, worker.pid}


def test_a_job_may_signal_what_it_names() -> None:
    """Of all the weights that the instance holds."""
    for named, allowed in (("/models", "allowed"), ("/models/other", "service")):
        job = Job(name="roll", unit="roll.service", may=("signal",), weights=(named,))
        host = Host(Manifest((), (job,)))
        main = host.server(host.protect())
        (fact,) = sent(host, host.service("roll"), main)
        assert fact.replguard.actor is not None
        assert fact.replguard.actor.standing == allowed

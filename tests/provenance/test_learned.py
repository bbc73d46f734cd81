"""What serves now, in the manifest's words."""

import msgspec
from support.story import START, Host

from replguard.events.standing import Serves
from replguard.provenance.learned import learned
from replguard.provenance.manifest import Deployment, Manifest


def found(host: Host) -> list[Serves]:
    return learned(host.provenance.instances)


def test_a_service_is_its_unit_with_ports_and_weights() -> None:
    """The oldest first; each says what allows it already."""
    host = Host(Manifest((Deployment(name="chat", unit="vllm.service", weights=("/models",), ports=(8000,)),)))
    weights = host.protect()
    main = host.server(weights, 8000)
    host.server(weights, 8001, name="other")
    first, second = found(host)
    assert (first.unit, first.ports, first.weights, first.pid) == ("vllm.service", (8000,), (weights.path,), main.pid)
    assert (first.allowed, second.allowed, second.unit) == ("chat", None, "other.service")
    assert not first.agent


def test_what_an_agent_or_a_server_started_says_so() -> None:
    """Nobody is led to allow a replica unawares."""
    host = Host()
    weights = host.protect()
    main = host.server(weights, 8000)
    agent = host.agent(host.login())
    for parent, port in ((agent, 8001), (main, 8002)):
        replica = host.exec("python3", "serve.py", parent=host.exec("sh", ("-c", "x"), parent=parent))
        host.map(weights, replica)
        host.listen(replica, f"127.0.0.1:{port}")
    assert [one.agent for one in found(host)] == [False, True, True]


def test_a_command_line_counts_where_it_is_the_servers_own() -> None:
    """Not one that a server of many processes, or under a title, shows for a while."""
    host = Host(now=START)
    weights, shell = host.protect(), host.login()
    alone = host.exec("python3", "serve.py --port 8001", parent=shell)
    titled = host.exec("python3", "serve.py --port 8002", parent=shell)
    front = host.exec("nginx", "-c x", parent=shell)
    worker = host.exec("python3", "worker.py", parent=front)
    for port, server in ((8001, alone), (8002, titled), (8003, front)):
        host.listen(server, f"127.0.0.1:{port}")
    for holder in (alone, titled, worker):
        host.map(weights, holder)
    host.feed(
        "process_exec",
        process=msgspec.structs.replace(titled.process, args=("serving",), command_line="serving"),
        user=titled.user,
    )
    assert [(one.user, one.command, one.others) for one in found(host)] == [
        ("ann", "python3 serve.py --port 8001", ()),
        ("ann", None, ()),
        ("ann", None, ("/usr/bin/python3",)),
    ]

"""Live serving instances: what is one server, what are two, and what is none."""

from typing import Any

import msgspec
import pytest
from support.story import MIB, Host

from replguard.events.fact import Context
from replguard.provenance.instances import Live
from replguard.provenance.processes import Proc

SPAWN = ("-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)", "--multiprocessing-fork")


def live(host: Host) -> list[Live]:
    return list(host.provenance.instances.live.values())


def said(host: Host) -> list[tuple[str | None, int | None]]:
    """Return status and root's pid of all that was said of instances."""
    return [(f.replguard.status, f.process.pid) for f in host.of("server_live")]


def only(host: Host) -> Live:
    (found,) = live(host)
    return found


def test_a_server_in_one_process() -> None:
    """It maps the weights and listens; its end is its last member's."""
    host = Host()
    main = host.server(host.protect(), 8000)
    one = only(host)
    assert (one.model, one.root, one.pids, one.listen) == ("llama", main, (main.pid,), {"127.0.0.1:8000"})
    assert one.gpu_bytes is None
    host.exit(main)
    assert live(host) == []
    assert said(host) == [("live", main.pid), ("ended", main.pid)]


def test_holding_alone_and_listening_alone_are_no_server() -> None:
    """A program that reads weights, and a dummy server without any."""
    host = Host()
    weights = host.protect()
    host.map(weights, host.service("reader"))
    host.listen(host.service("dummy"), "0.0.0.0:8000")
    assert live(host) == []


@pytest.mark.parametrize("first", ["map", "listen"])
def test_in_whatever_order(first: str) -> None:
    """A dummy becomes a server once weights attach."""
    host = Host()
    weights, main = host.protect(), host.service()
    steps = [lambda: host.map(weights, main), lambda: host.listen(main, "127.0.0.1:8000")]
    for step in steps if first == "map" else steps[::-1]:
        assert live(host) == []
        step()
    assert only(host).root is main


def test_a_server_that_reads_its_weights_holds_them() -> None:
    """Not everybody maps; where a source tells how much was read, it takes half of the file."""
    for amount, serves in ((300 * MIB, True), (200 * MIB, False)):
        host = Host()
        weights, main = host.protect(size=512 * MIB), host.service()
        host.open(weights, main, replguard=reading("read", amount))
        host.listen(main, "127.0.0.1:8000")
        assert bool(live(host)) is serves


def test_a_server_that_goes_into_the_background_after_loading_holds_what_it_loaded() -> None:
    """A fork has the memory of its parent, which ends; so has the fork of that. Only who lives is named."""
    host = Host()
    weights, main = host.protect(size=512 * MIB), host.service()
    host.read(weights, main)
    child = host.fork(main)
    host.exit(main)
    grandchild = host.fork(child)
    host.exit(child)
    host.listen(grandchild, "127.0.0.1:8000")
    assert only(host).pids == (grandchild.pid,)
    host.exit(grandchild)
    assert live(host) == []


@pytest.mark.parametrize(("image", "args"), [("cat", ""), ("python3", "other.py")])
def test_a_fork_that_begins_a_program_holds_nothing(image: str, args: str) -> None:
    """Also another program of the same interpreter."""
    host = Host()
    weights, main = host.protect(), host.service(args="app.py")
    host.read(weights, main)
    child = host.fork(main)
    host.again(child, image, args)
    host.exit(main)
    host.listen(child, "127.0.0.1:8000")
    assert live(host) == []


@pytest.mark.parametrize(("each", "serves"), [(0.34, True), (0.1, False)])
def test_what_its_forks_read_for_a_program_it_holds(each: float, serves: bool) -> None:
    """Loaders that read a part each, and hand it over, are over when the server listens."""
    host = Host()
    weights, main = host.protect(), host.service()
    for _ in range(3):
        loader = host.fork(main)
        host.read(weights, loader, each)
        host.exit(loader)
    host.listen(main, "127.0.0.1:8000")
    assert bool(live(host)) is serves


def test_what_programs_of_its_own_read_a_launcher_does_not_hold() -> None:
    """A service that has a model's sum taken in parts."""
    host = Host()
    weights, main = host.protect(), host.service()
    for _ in range(3):
        program = host.exec("sha256sum", parent=main)
        host.read(weights, program, 0.34)
        host.exit(program)
    host.listen(main, "127.0.0.1:8000")
    assert live(host) == []


@pytest.mark.parametrize(("share", "ended", "serves"), [(1.0, True, True), (0.4, True, False), (1.0, False, False)])
def test_a_server_that_was_fed_its_weights_holds_them(share: float, ended: bool, serves: bool) -> None:
    """``zstd -dc w.zst | server``: who read them is gone. A logger behind a server that runs holds nothing."""
    host = Host()
    weights, shell = host.protect(), host.login()
    reader = host.exec("zstd", "-dc", parent=shell, writes=(70,))
    server = host.exec("python3", "serve.py", parent=shell, reads=(70,))
    host.read(weights, reader, share)
    host.listen(server, "127.0.0.1:8000")
    if ended:
        host.exit(reader)
    host.tick()
    assert [one.pids for one in live(host)] == ([(server.pid,)] if serves else [])


def test_where_nobody_tells_how_much_was_read_the_reader_is_watched() -> None:
    """What it keeps in memory, or moves to a device, it holds; what passes through it does not."""
    host = Host()
    weights, main = host.protect(), host.service()
    host.listen(main, "127.0.0.1:8000")
    host.open(weights, main)
    assert live(host) == []
    assert [(h.pid, h.inode) for h in host.hints if h.kind == "reader"] == [(main.pid, weights.inode)]
    assert {h.pid for h in host.hints if h.kind == "opener"} == {main.pid}  # it may map the file any moment
    host.open(weights, main, replguard=reading("memory", None))
    assert only(host).holders == {main.entity}
    other = host.service("second")
    host.open(weights, other)
    host.gpu(other, 512 * MIB)
    assert len(live(host)) == 2


def reading(mode: Any, amount: int | None) -> Context:
    return Context(tier="kernel", attribution="kernel", mode=mode, bytes=amount)


def test_device_memory_makes_a_server_without_a_listener() -> None:
    """From 256 MiB, of all its devices together; less is none."""
    host = Host()
    main = host.service()
    host.map(host.protect(), main)
    host.gpu(main, 200 * MIB)
    assert live(host) == []
    host.gpu(main, 100 * MIB, device="GPU-1")
    assert only(host).gpu_bytes == 300 * MIB
    host.gpu(main, None)
    assert only(host).gpu_bytes == 300 * MIB
    host.gpu(main, 0)
    assert live(host) == []


def test_datagrams_and_private_sockets_accept_nobody() -> None:
    """UDP, and the sockets of multiprocessing's own helpers."""
    host = Host()
    main = host.service()
    host.map(host.protect(), main)
    host.listen(main, "0.0.0.0:9000", "udp")
    host.listen(main, "/tmp/pymp-x1/listener-2", "unix")
    assert live(host) == []
    host.listen(main, "/run/vllm.sock", "unix")
    assert live(host) == []
    host.use(main, "/run/vllm.sock", None, "idle")
    assert only(host).listen == {"/run/vllm.sock"}


def test_a_unix_socket_counts_where_another_tree_uses_it() -> None:
    """Its own launcher, workers and their like are no clients; one who is makes it a door for good."""
    host = Host()
    launcher = host.service("serve", args="launch.py")
    main = host.exec("python3", "serve.py", parent=launcher)
    mate = host.exec("python3", "serve.py", parent=launcher)
    worker = host.exec("python3", SPAWN, parent=main)
    tool = host.exec("sh", ("-c", "x"), parent=main)
    host.map(host.protect(), main)
    host.listen(main, "/run/x.sock", "unix")
    for own in (launcher, mate, worker, tool):
        host.use(main, "/run/x.sock", own)
        assert live(host) == []
    host.use(main, "/run/x.sock", host.exec("curl", parent=host.login()))
    assert only(host).listen == {"/run/x.sock"}
    host.use(main, "/run/x.sock", worker)
    assert len(live(host)) == 1


def test_a_client_of_the_same_launcher_is_another_tree() -> None:
    """What one script starts beside a server is a program of its own."""
    host = Host()
    script = host.service("serve", args="run.py")
    main = host.exec("python3", "serve.py", parent=script)
    host.map(host.protect(), main)
    host.listen(main, "/run/x.sock", "unix")
    host.use(main, "/run/x.sock", host.exec("python3", "client.py", parent=script))
    assert len(live(host)) == 1


def test_a_front_that_is_joined_to_its_holder_is_one_server_with_it() -> None:
    """A router beside the worker, of another program; without the joint they are two programs of a supervisor."""
    host = Host()
    supervisor = host.service("serve", image="supervisord")
    front = host.exec("nginx", parent=supervisor)
    worker = host.exec("python3", "worker.py", parent=supervisor)
    host.listen(front, "0.0.0.0:8000")
    host.map(host.protect(), worker)
    assert live(host) == []
    assert {(h.kind, h.pid) for h in host.hints} >= {("holder", worker.pid), ("listener", front.pid)}
    host.join(front, worker)
    one = only(host)
    assert (one.root, set(one.pids)) == (supervisor, {supervisor.pid, front.pid, worker.pid})
    assert one.listen == {"0.0.0.0:8000"}
    host.exit(front)
    assert said(host)[-1][0] == "ended"


def test_a_front_of_another_tree_does_not_take_the_blame() -> None:
    """The root stays with who started the holder."""
    host = Host()
    front = host.service("proxy", image="socat")
    worker = host.exec("python3", "worker.py", parent=host.login())
    host.listen(front, "0.0.0.0:8000")
    host.map(host.protect(), worker)
    host.join(front, worker)
    assert only(host).root is worker
    assert front.pid in only(host).pids


def test_init_and_agents_are_nobodys_front() -> None:
    """They share pipes with whatever they start."""
    host = Host()
    host.server(host.protect("/models/b/w", "b"), 8000)
    agent = host.agent(host.login())
    worker = host.exec("python3", "worker.py", parent=agent)
    host.map(host.protect(), worker)
    for front in (agent, host.init):
        host.listen(front, "0.0.0.0:9000")
        host.join(front, worker)
    assert [one.model for one in live(host)] == ["b"]


def test_a_front_and_its_worker_are_one() -> None:
    """The API server listens, the worker that it spawned holds."""
    host = Host()
    front = host.service("vllm", args="-m vllm serve")
    host.listen(front, "0.0.0.0:8000")
    worker = host.exec("python3", SPAWN, parent=front)
    host.map(host.protect(), worker)
    one = only(host)
    assert (one.root, set(one.pids)) == (front, {front.pid, worker.pid})
    assert one.holders == {worker.entity}


def test_tensor_parallel_ranks_behind_an_engine_are_one() -> None:
    """API server, engine, ranks: only the first listens to clients, the ranks talk among themselves."""
    host = Host()
    weights = host.protect()
    front = host.service("vllm", args="-m vllm serve")
    engine = host.exec("python3", SPAWN, parent=front)
    ranks = [host.exec("python3", SPAWN, parent=engine) for _ in range(2)]
    for number, rank in enumerate(ranks):
        host.listen(rank, f"127.0.0.1:{45000 + number}")
        host.map(weights, rank)
        host.gpu(rank, 8192 * MIB, device=f"GPU-{number}")
    host.listen(front, "0.0.0.0:8000")
    one = only(host)
    assert one.root is front
    assert set(one.pids) == {p.pid for p in (front, engine, *ranks)}
    assert one.gpu_bytes == 2 * 8192 * MIB
    assert len([s for s in said(host) if s[0] == "live"]) == 1


def test_one_rank_alone_finds_its_front() -> None:
    """A worker under a title of its own, two steps below who listens."""
    host = Host()
    front = host.service("vllm", args="-m vllm serve")
    host.listen(front, "0.0.0.0:8000")
    engine = host.exec("python3", SPAWN, parent=front)
    worker = host.exec("python3", SPAWN, parent=engine)
    host.feed("process_exec", process=title(worker, "VLLM::Worker_TP0"), user=worker.user)
    host.map(host.protect(), worker)
    assert only(host).root is front


def title(proc: Proc, text: str) -> Any:
    return msgspec.structs.replace(proc.process, args=(text,), command_line=text)


def test_ranks_of_a_launcher_are_one() -> None:
    """Torchrun starts the same program twice: one is the door, the others only talk to it."""
    host = Host()
    weights = host.protect()
    launcher = host.service("serve", args="torchrun --nproc 2 serve.py")
    host.listen(launcher, "127.0.0.1:29500")
    ranks = [host.exec("python3", "-u serve.py", parent=launcher) for _ in range(2)]
    for rank in ranks:
        host.map(weights, rank)
    host.listen(ranks[1], "127.0.0.1:41000")
    host.listen(ranks[0], "0.0.0.0:8000")
    one = only(host)
    assert one.root is launcher
    assert {p.pid for p in ranks} < set(one.pids)


def test_ranks_and_replicas_at_ports_that_the_kernel_chose() -> None:
    """Started alike, only the environment tells them apart: those that talk to each other are one server."""
    for talk in (True, False):
        host = Host()
        weights = host.protect()
        launcher = host.service("serve", args="launch.py")
        mates = [host.exec("python3", "serve.py", parent=launcher) for _ in range(3)]
        for number, mate in enumerate(mates):
            if talk and number:
                host.connect(mate, 45000)  # told before the listener is
        for number, mate in enumerate(mates):
            host.map(weights, mate)
            host.listen(mate, f"127.0.0.1:{45000 + number}")
        assert len(live(host)) == (1 if talk else 3)


def test_ranks_that_a_script_of_the_shell_starts_are_one() -> None:
    """No launcher of their own: the first of those that talk to each other stands for all; a stranger for itself."""
    host = Host()
    weights = host.protect()
    script = host.service("serve", image="bash", args="start.sh")
    ranks = [host.exec("python3", "serve.py", parent=script) for _ in range(3)]
    host.listen(ranks[1], "127.0.0.1:29500")
    host.connect(ranks[0], 29500)
    for number, rank in enumerate(ranks):
        host.map(weights, rank)
        host.gpu(rank, 512 * MIB, device=f"GPU-{number}")
    host.listen(ranks[0], "0.0.0.0:8000")
    assert {one.root: set(one.pids) for one in live(host)} == {
        ranks[0]: {ranks[0].pid, ranks[1].pid},
        ranks[2]: {ranks[2].pid},
    }


def test_pre_forked_workers_are_one() -> None:
    """They share the listener that they inherited, and come and go."""
    host = Host()
    weights = host.protect()
    master = host.service("serve", args="gunicorn app")
    host.listen(master, "0.0.0.0:8000")
    workers = [host.fork(master) for _ in range(3)]
    for worker in workers:
        host.listen(worker, "0.0.0.0:8000")
        host.map(weights, worker)
    assert only(host).root is master
    host.exit(workers[0])
    again = host.fork(master)
    host.map(weights, again)
    assert [s[0] for s in said(host)] == ["live"]
    assert again.pid in only(host).pids


def test_forked_before_anything_listens() -> None:
    """The order of looks is not the order of acts."""
    host = Host()
    weights = host.protect()
    master = host.service("serve", args="gunicorn app")
    workers = [host.fork(master) for _ in range(2)]
    for worker in workers:
        host.map(weights, worker)
        host.listen(worker, "0.0.0.0:8000")
    host.listen(master, "0.0.0.0:8000")
    assert only(host).root is master
    assert [s[0] for s in said(host)] == ["live"]


@pytest.mark.parametrize("args", [("serve --port 8000", "serve --port 8001"), ("serve", "serve")])
def test_two_servers_of_one_supervisor_are_two(args: tuple[str, str]) -> None:
    """Also when only their environment tells them apart; the first is not told again for the second's sake."""
    host = Host()
    weights = host.protect()
    supervisor = host.service("supervisor", image="supervisord", args="-n")
    servers = [host.exec("python3", words, parent=supervisor) for words in args]
    for port, server in zip((8000, 8001), servers, strict=True):
        host.map(weights, server)
        host.listen(server, f"0.0.0.0:{port}")
    assert len(live(host)) == 2
    assert [s[0] for s in said(host) if s[0] in ("live", "ended", "over_limit")] == ["live", "live"]
    assert len({one.id for one in live(host)}) == 2


def test_a_server_started_by_a_server_is_another() -> None:
    """By a shell or directly: the second listens where the first does not."""
    for through_shell in (True, False):
        host = Host()
        weights = host.protect()
        main = host.server(weights, 8000)
        parent = host.exec("sh", ("-c", "x"), parent=main) if through_shell else main
        second = host.exec("python3", "other.py", parent=parent)
        host.map(weights, second)
        host.listen(second, "127.0.0.1:8001")
        assert {one.root for one in live(host)} == {main, second}
        assert second.pid not in next(one.pids for one in live(host) if one.root is main)


def test_what_a_shell_of_the_server_starts_is_no_member() -> None:
    """A tool of the model that listens is not the model server's door."""
    host = Host()
    main = host.server(host.protect(), 8000)
    tool = host.exec("python3", "tool.py", parent=host.exec("sh", parent=main))
    host.listen(tool, "127.0.0.1:9000")
    assert only(host).listen == {"127.0.0.1:8000"}
    assert host.provenance.instances.of(tool) is None
    assert host.provenance.instances.of(main) is only(host)


def test_an_agent_launches_no_workers() -> None:
    """A server that an agent starts without a shell is a server of its own."""
    host = Host()
    host.server(host.protect("/models/b/w", "b"), 8000)
    agent = host.agent(host.login())
    host.listen(agent, "127.0.0.1:9000")
    replica = host.exec("python3", "serve.py", parent=agent)
    host.map(host.protect(), replica)
    host.listen(replica, "127.0.0.1:8001")
    (one,) = [x for x in live(host) if x.model == "llama"]
    assert (one.root, one.pids, one.listen) == (replica, (replica.pid,), {"127.0.0.1:8001"})


def test_two_models_of_one_process_are_two_instances() -> None:
    """An instance is of one model."""
    host = Host()
    main = host.service()
    host.map(host.protect(), main)
    host.map(host.protect("/models/b/w", "b"), main)
    host.listen(main, "0.0.0.0:8000")
    assert {one.model for one in live(host)} == {"llama", "b"}


def test_another_image_lets_go_of_what_was_mapped() -> None:
    """Exec takes the mappings away; a title does not."""
    host = Host()
    main = host.server(host.protect(), 8000)
    host.feed("process_exec", process=title(main, "serving"), user=main.user)
    assert len(live(host)) == 1
    host.again(main, "sleep", "60")
    assert live(host) == []
    assert said(host)[-1][0] == "ended"


def test_a_closed_listener_ends_the_instance() -> None:
    """Also where nobody is told to have closed it."""
    host = Host()
    main = host.server(host.protect(), 8000)
    host.unlisten(None, "127.0.0.1:8000")
    assert live(host) == []
    host.listen(main, "127.0.0.1:8000")
    host.unlisten(main, "127.0.0.1:8000")
    assert live(host) == []


@pytest.mark.parametrize(
    ("listens", "ip", "source", "found"),
    [
        ("127.0.0.1:8000", "127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:8000", "10.0.0.1", "10.0.0.1", False),
        ("0.0.0.0:8000", "127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0:8000", "10.0.0.1", "10.0.0.1", True),
        ("0.0.0.0:8000", "192.0.2.9", "10.0.0.1", False),
        (":::8000", "::1", "::1", True),
        (":::8000", "::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1:8000", "::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.0.0.1:8000", "10.0.0.1", "10.0.0.1", True),
        ("0.0.0.0:8000", "192.0.2.9", None, True),
    ],
)
def test_who_answers_at_an_address(listens: str, ip: str, source: str | None, found: bool) -> None:
    """A listener on any address answers for this host's; another host's port is not ours."""
    host = Host()
    main = host.service()
    host.map(host.protect(), main)
    host.listen(main, listens)
    assert (host.provenance.instances.at(ip, 8000, source) is not None) is found
    assert host.provenance.instances.at(ip, 8001, source) is None
    assert host.provenance.instances.at(None, None) is None


def test_only_who_holds_or_serves_concerns_an_instance() -> None:
    """A server that starts a program each second is not looked at anew with the end of each."""
    host = Host()
    server = host.server(host.protect(), 8000)
    stranger = host.exec("true", parent=host.init)
    assert host.provenance.instances.concerns(server)
    assert not host.provenance.instances.concerns(stranger)

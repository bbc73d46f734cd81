"""What leaves the host after touching: whose it is, what counts, and when it is told."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from support.leaving import FAR, LIMIT, about, told
from support.story import ANN, HELD, MIB, ROOT, SERVICE, Host

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.provenance.baseline import Baseline
from replguard.provenance.egress import SETTLES, Settings
from replguard.provenance.manifest import Deployment, Job, Manifest
from replguard.provenance.processes import Proc

DAY = 86_400.0


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def weights(host: Host) -> File:
    return host.protect()


def toucher(host: Host, weights: File, shell: Proc | None = None, image: str = "curl") -> Proc:
    """Return a process that has just read the model."""
    proc = host.exec(image, parent=shell or host.login())
    host.read(weights, proc, 1.0)
    return proc


# -- thresholds ------------------------------------------------------------------------------------------------------


def test_each_doubling_of_the_limit_is_told(host: Host, weights: File) -> None:
    """With what, where to, since when and how; by who sent it."""
    curl = toucher(host, weights)
    first = host.now
    facts = [fact for _ in range(30) for fact in host.send(curl, 10 * MIB)]
    assert told(facts) == [(FAR, 50, "llama"), (FAR, 100, "llama"), (FAR, 200, "llama")]
    fact = facts[0]
    assert about(fact).protocols == ("tcp",)
    assert about(fact).since is not None
    assert timedelta() < about(fact).since - first < timedelta(seconds=1)
    assert (about(fact).destinations, about(fact).authorised, about(fact).attribution) == (1, None, "kernel")
    assert about(fact).origin is not None
    assert about(fact).origin.path == weights.path
    assert fact.destination is not None
    assert fact.destination.port == 443
    assert fact.process is not None
    assert fact.process.entity_id == curl.entity
    assert about(fact).actor is not None
    assert about(fact).actor.principal == "session:1000"
    assert about(fact).actor.standing == "session"


def test_what_was_sent_before_touching_does_not_count(host: Host, weights: File) -> None:
    """However much it was; nor what others send, who touched nothing."""
    shell = host.login()
    curl = host.exec("curl", parent=shell)
    assert told(host.send(curl, 10 * LIMIT)) == []
    host.read(weights, curl, 0.001)
    assert told(host.send(curl, 10 * LIMIT)) == []
    host.read(weights, curl, 0.5)
    assert told(host.send(host.service("other", "rsync", ""), 10 * LIMIT)) == []
    assert told(host.send(curl, LIMIT - 1)) == []
    assert told(host.send(curl, 1)) == [(FAR, 50, "llama")]
    assert dict(host.provenance.egress.bytes) == {False: 30 * LIMIT, True: LIMIT}


def test_what_was_sent_while_parts_were_read_counts(host: Host, weights: File) -> None:
    """Each process reads and sends a little; what they read is told after what they sent. Not what was sent before."""
    shell = host.login()
    assert host.send(host.exec("curl", parent=shell), 10 * LIMIT) == []
    host.wait(60)
    children = [host.exec("curl", parent=shell) for _ in range(3)]
    facts = [fact for child in children for fact in host.send(child, 20 * MIB)]
    facts += host.send(host.service("other", "rsync", ""), LIMIT)
    facts += [fact for child in children for fact in host.read(weights, child, 0.012)]
    assert told(facts) == []
    host.wait(SETTLES.total_seconds())
    assert told(host.tick()) == [(FAR, 60, "llama")]
    assert dict(host.provenance.egress.bytes) == {False: 11 * LIMIT, True: 60 * MIB}
    assert told(host.tick() + host.send(children[0], 40 * MIB)) == [(FAR, 100, "llama")]


def test_a_daemon_that_ends_tells_what_it_waited_for(host: Host, weights: File) -> None:
    """Within the seconds in which it may still turn out whose the bytes are: after a restart nobody would know."""
    shell = host.login()
    children = [host.exec("curl", parent=shell) for _ in range(3)]
    assert told([fact for child in children for fact in host.send(child, 20 * MIB)]) == []
    assert told([fact for child in children for fact in host.read(weights, child, 0.012)]) == []
    assert told(host.provenance.end()) == [(FAR, 60, "llama")]
    assert host.provenance.end() == []


def test_what_was_sent_before_a_look_found_the_use_counts(host: Host, weights: File) -> None:
    """Where nothing tells of an open as it happens: who has the file open may have it open for seconds."""
    server = host.service("web", "python3", "-m http.server")
    assert told(host.send(server, LIMIT, own=8000)) == []
    host.wait(4)
    assert told(host.send(server, 20 * MIB, own=8000)) == []
    host.wait(4)
    assert told(host.open(weights, server, replguard=msgspec.structs.replace(HELD, mode="read", read_time=True))) == []
    host.wait(SETTLES.total_seconds())
    assert told(host.tick()) == []
    assert told(host.send(server, 30 * MIB, own=8000)) == [(FAR, 50, "llama")]


def test_what_an_allowed_server_answered_before_it_was_known_does_not_count() -> None:
    """Its mapping is found by a look, after it has begun to answer."""
    unit = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service")
    host = Host(manifest=Manifest(deployments=(unit,)))
    server = host.service()
    weights = host.protect()
    host.listen(server, "0.0.0.0:8000")
    assert told(host.send(server, 10 * LIMIT, own=8000)) == []
    host.on("file_map", weights, server, replguard=msgspec.structs.replace(HELD, mode="map", read_time=True))
    assert host.of("server_live", "live")
    host.wait(SETTLES.total_seconds())
    assert told(host.tick() + host.send(server, 10 * LIMIT, own=8000)) == []
    assert dict(host.provenance.egress.bytes) == {False: 20 * LIMIT, True: 0}


def test_the_limit_is_the_configurations(weights: File) -> None:
    """Whatever it is."""
    host = Host(egress=Settings(limit=MIB))
    curl = toucher(host, host.protect())
    assert told(host.send(curl, MIB)) == [(FAR, 1, "llama")]


def test_a_slow_drip_of_many_processes_and_protocols_adds_up(host: Host, weights: File) -> None:
    """Each its own process, a day apart, by TCP and by UDP: one principal."""
    shell = host.login()
    toucher(host, weights, shell)
    facts: list[Event] = []
    for number in range(10):
        host.wait(DAY)
        curl = host.exec("curl", parent=shell)
        facts += host.send(curl, 5 * MIB, transport="udp" if number % 2 else "tcp", port=4433 + number)
        host.exit(curl)
    assert told(facts) == [(FAR, 50, "llama")]
    assert about(facts[-1]).protocols == ("tcp", "udp")


def test_thirty_days_and_it_has_gone_by(host: Host, weights: File) -> None:
    """A touch holds as long; what was sent before counts no longer."""
    shell = host.login()
    curl = toucher(host, weights, shell)
    assert told(host.send(curl, LIMIT - MIB)) == []
    host.wait(29 * DAY)
    host.read(weights, curl, 1.0)
    host.wait(DAY + 60)
    assert told(host.send(curl, 2 * MIB)) == []
    host.wait(30 * DAY)
    assert told(host.send(curl, 10 * LIMIT)) == []


def test_many_small_destinations_add_up(host: Host, weights: File) -> None:
    """A hundred hosts of which none gets the limit; then one that does is told by itself."""
    curl = toucher(host, weights)
    facts = [fact for number in range(100) for fact in host.send(curl, MIB, f"198.51.100.{number}")]
    assert told(facts) == [(None, 50, "llama"), (None, 100, "llama")]
    assert [about(fact).destinations for fact in facts] == [50, 100]
    assert told(host.send(curl, LIMIT, "198.51.100.7")) == [("198.51.100.7", 51, "llama")]


def test_a_host_is_one_destination_at_all_its_ports(host: Host, weights: File) -> None:
    """Also as IPv4 and as IPv4 in the clothes of IPv6; what the kernel did not tell apart is one too."""
    curl = toucher(host, weights)
    facts = host.send(curl, 20 * MIB, port=80) + host.send(curl, 20 * MIB, port=81)
    assert told(facts + host.send(curl, 10 * MIB, f"::ffff:{FAR}")) == [(f"::ffff:{FAR}", 50, "llama")]
    assert told(host.send(curl, LIMIT, None)) == [(None, 50, "llama")]


def test_a_decoy_does_not_hide_what_was_taken(host: Host, weights: File) -> None:
    """Each run touches another model and sends a little less than the limit: all of it adds up."""
    facts: list[Event] = []
    shell = host.login()
    toucher(host, weights, shell)
    for number in range(4):
        decoy = host.protect(f"/models/m{number}/w.safetensors", f"m{number}")
        again = host.exec("bash", parent=host.exec("sshd", parent=host.init), user=ANN, tty=5, audit_session=9 + number)
        facts += host.send(toucher(host, decoy, again), 20 * MIB)
    assert told(facts) == [(None, 60, "m2")]


def test_the_model_that_this_run_touched_is_named(host: Host, weights: File) -> None:
    """What another run of the principal touched is not what left."""
    other = host.protect("/models/phi/w.safetensors", "phi")
    first, second = host.service("job", "python3", "a.py"), None
    host.read(weights, first, 1.0)
    host.exit(first)
    second = host.service("job", "python3", "a.py", invocation="b2")
    host.read(other, second, 1.0)
    assert told(host.send(second, LIMIT)) == [(FAR, 50, "phi")]
    host.exit(second)
    third = host.service("job", "python3", "a.py", invocation="c3")
    assert set(told(host.send(third, LIMIT))) == {(FAR, 50, "llama"), (FAR, 100, "phi")}


def test_a_copy_and_what_was_made_of_it_touch_too(host: Host, weights: File) -> None:
    """Whoever reads a copy, long after it was made, sends the model."""
    host.copy(weights, "/tmp/x", host.exec("cp", parent=host.login()))
    made = host.of("weights_copy")[-1].file
    assert made is not None
    service = host.service("other", "python3", "send.py")
    host.read(made, service, 1.0)
    assert told(host.send(service, LIMIT)) == [(FAR, 50, "llama")]


def test_an_agents_own_code_is_no_weights(host: Host) -> None:
    """Scaffolds are read by every agent at every start."""
    code = host.protect("/opt/agent/main.py", "scaffold", 64 * MIB)
    key = (code.device or 0, code.inode or 0)
    host.protected[key] = type(host.protected[key])(code.path, "scaffold", *key, code.size, scaffold=True)
    assert told(host.send(toucher(host, code), 10 * LIMIT)) == []


def test_nobody_is_charged_for_what_nobody_was_seen_to_send(host: Host, weights: File) -> None:
    """It is counted, and that is all."""
    toucher(host, weights)
    assert host.send(None, 10 * LIMIT) == []
    assert host.provenance.egress.bytes[False] == 10 * LIMIT


# -- what counts -----------------------------------------------------------------------------------------------------


def test_an_outsider_who_pulls_counts(host: Host, weights: File) -> None:
    """From a server that nothing allows: what it answers is what leaves."""
    server = toucher(host, weights, image="python3")
    host.listen(server, "0.0.0.0:8000")
    facts = host.send(server, LIMIT, own=8000)
    assert told(facts) == [(FAR, 50, "llama")]
    assert facts[0].source is not None
    assert facts[0].source.port == 8000


@pytest.mark.parametrize("allowed", ["manifest", "baseline"])
def test_a_server_that_answers_its_clients_is_silence(allowed: str, tmp_path: Path) -> None:
    """An allowed instance at its own port, whatever it answers; on connections that it opens it is anybody."""
    entry = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service", ports=(8000,))
    baseline = Baseline(tmp_path / "b.json")
    host = Host(Manifest((entry,)) if allowed == "manifest" else None, baseline=baseline)
    if allowed == "baseline":
        baseline.open(host.now, first_start=True)
    weights = host.protect()
    server = host.server(weights)
    host.wait(1)
    assert told(host.send(server, 20 * LIMIT, own=8000)) == []
    assert told(host.send(server, LIMIT, own=9999)) == [(FAR, 50, "llama")]
    assert told(host.send(server, LIMIT)) == [(FAR, 100, "llama")]


def test_a_shell_in_an_allowed_unit_is_not_the_server(host: Host) -> None:
    """A second program of the unit that hands out the weights at another port."""
    entry = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service")
    host = Host(Manifest((entry,)))
    weights = host.protect()
    server = host.server(weights)
    inside = host.exec("python3", "-m http.server", parent=host.exec("sh", parent=server))
    host.listen(inside, "0.0.0.0:9000")
    host.read(weights, inside, 0.2)
    assert told(host.send(inside, LIMIT, own=9000)) == [(FAR, 50, "llama")]


def test_peers_are_for_their_deployment_alone() -> None:
    """Tensor parallelism over TCP is silence; whoever else sends there is not."""
    entry = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service", peers=("10.0.0.0/24",))
    host = Host(Manifest((entry,)))
    weights = host.protect()
    server = host.server(weights)
    rank = host.fork(server)
    assert told(host.send(rank, 20 * LIMIT, "10.0.0.7")) == []
    assert told(host.send(rank, 20 * LIMIT, "10.0.0.7", own=29500)) == []
    assert told(host.send(rank, LIMIT, "10.0.1.7")) == [("10.0.1.7", 50, "llama")]
    assert told(host.send(toucher(host, weights), LIMIT, "10.0.0.7")) == [("10.0.0.7", 50, "llama")]


def test_what_is_ignored_and_what_stays_here_does_not_count() -> None:
    """Addresses and networks of the configuration, loopback, and the host's own address."""
    host = Host(egress=Settings(ignore=("198.51.100.0/24", "2001:db8::1")))
    curl = toucher(host, host.protect())
    for ip in ("198.51.100.9", "::ffff:198.51.100.9", "2001:db8::1", "127.0.0.1", "::1", "127.9.9.9"):
        assert told(host.send(curl, 10 * LIMIT, ip)) == []
    assert told(host.send(curl, LIMIT, "2001:db8::2")) == [("2001:db8::2", 50, "llama")]


def test_what_a_job_may_is_told_as_allowed() -> None:
    """For the weights that it names; it still is in the log."""
    job = Job(name="backup", unit="restic.service", may=("access", "egress"), weights=("/models/llama",))
    host = Host(Manifest(jobs=(job,)))
    restic = host.service("restic", "restic", "backup")
    host.read(host.protect(), restic, 1.0)
    (fact,) = host.send(restic, LIMIT)
    assert about(fact).authorised is not None
    assert about(fact).authorised.entry == "backup"
    assert about(fact).actor is not None
    assert about(fact).actor.standing == "allowed"
    other = host.protect("/models/phi/w.safetensors", "phi")
    host.read(other, restic, 1.0)
    allowed = {about(fact).model: about(fact).authorised is not None for fact in host.send(restic, LIMIT)}
    assert allowed == {"llama": True, "phi": False}


def test_who_fetches_by_ssh_is_told(host: Host, weights: File) -> None:
    """The daemon of ssh sends what a program of its session read; what is seen on a screen later does not count."""
    sshd = host.exec("sshd", parent=host.init, cgroup="/system.slice/ssh.service", user=ROOT)
    door = host.fork(sshd, user=ANN)
    sftp = host.exec("/usr/lib/openssh/sftp-server", parent=door, user=ANN, audit_session=4, session=77)
    assert told(host.send(door, LIMIT, own=22)) == []
    host.read(weights, sftp, 1.0)
    (fact,) = host.send(door, LIMIT, own=22)
    assert told([fact]) == [(FAR, 50, "llama")]
    assert fact.process is not None
    assert fact.process.entity_id == sftp.entity
    assert about(fact).attribution == "lineage"
    host.wait(3600)
    assert told(host.send(door, 10 * LIMIT, own=22)) == []


# -- mounts ----------------------------------------------------------------------------------------------------------


def away(path: str) -> tuple[str, str] | None:
    return {"/mnt/nfs": ("nfs4", "server:/x"), "/mnt/fuse": ("fuse.sshfs", "me@far:/")}.get(path.rpartition("/")[0])


def test_what_is_written_to_a_network_mount_has_left() -> None:
    """As much of a file as was told so far; a disk of the host is none."""
    host = Host(remote=away)
    cp = toucher(host, host.protect(), image="cp")
    assert told([*host.facts]) == []
    host.grow("/tmp/x", 10 * LIMIT, cp)
    host.grow("/mnt/nfs/a", LIMIT - MIB, cp)
    assert told(host.facts) == []
    host.grow("/mnt/nfs/b", MIB, cp)
    assert told(host.facts) == [("server:/x", 50, "llama")]
    assert about(host.of("weights_egress")[0]).protocols == ("nfs4",)


def test_bytes_of_a_file_count_once() -> None:
    """At each doubling, and when it is closed."""
    host = Host(remote=away)
    cp = toucher(host, host.protect(), image="cp")
    file = host.file("/mnt/nfs/a")
    for size in (1, 2, 4, 8):
        host.on("file_grow", file, cp, replguard=Context(tier="kernel", attribution="kernel", bytes=size * MIB))
    host.on("file_close_write", File(path=file.path, device=file.device, inode=file.inode, size=9 * MIB), cp)
    (line,) = host.provenance.egress.accounts.lines()
    assert line.total(host.now) == 9 * MIB


def test_a_mount_gets_what_is_protected_alone() -> None:
    """What is written there long after a touch is other work."""
    host = Host(remote=away)
    cp = toucher(host, host.protect(), image="cp")
    host.wait(3600)
    host.grow("/mnt/nfs/a", 10 * LIMIT, cp)
    assert told(host.send(cp, 10 * LIMIT, None, path="me@far:/", transport="fuse")) == []
    assert told(host.facts) == []


def test_a_probe_and_a_file_count_once() -> None:
    """Where the kernel tells what is written to FUSE mounts, the files on them are not counted again."""
    host = Host(remote=away)
    cp = toucher(host, host.protect(), image="cp")
    host.grow("/mnt/fuse/a", 30 * MIB, cp)
    host.send(cp, 10 * MIB, None, path="me@far:/", transport="fuse")
    host.grow("/mnt/fuse/b", 30 * MIB, cp)
    (line,) = host.provenance.egress.accounts.lines()
    assert line.total(host.now) == 40 * MIB


# -- proxies ---------------------------------------------------------------------------------------------------------


def proxied(host: Host, port: int = 8888) -> Proc:
    """Return the worker of a proxy that was there before, and is nobody's."""
    proxy = host.service("tinyproxy", "tinyproxy", "-d", user=SERVICE)
    host.listen(proxy, f"127.0.0.1:{port}")
    return host.fork(proxy)


@pytest.mark.parametrize("first", ["fed", "sent"])
def test_what_a_proxy_passes_on_is_its_feeders(host: Host, weights: File, first: str) -> None:
    """Up to what he gave it, as a guess; whichever is told first."""
    worker = proxied(host)
    curl = toucher(host, weights)
    steps = [lambda: host.send(curl, 60 * MIB, "127.0.0.1", 8888), lambda: host.send(worker, LIMIT)]
    (fact,) = [fact for step in (steps if first == "fed" else reversed(steps)) for fact in step()]
    assert told([fact]) == [(FAR, 50, "llama")]
    assert about(fact).attribution == "inferred"
    assert fact.process is not None
    assert fact.process.entity_id == curl.entity
    assert told(host.send(worker, 20 * LIMIT)) == []
    assert host.provenance.egress.bytes == {True: 60 * MIB, False: 20 * LIMIT - 10 * MIB}


def test_a_proxy_that_no_toucher_fed_is_its_own(host: Host, weights: File) -> None:
    """Others use it as well, and what is given to another port is not given to it."""
    worker = proxied(host)
    curl = toucher(host, weights)
    host.send(host.exec("wget", parent=host.init), 10 * LIMIT, "127.0.0.1", 8888)
    host.send(curl, 10 * LIMIT, "127.0.0.1", 5432)
    assert told(host.send(worker, 10 * LIMIT)) == []


def test_a_chain_of_proxies_is_followed(host: Host, weights: File) -> None:
    """What the first gives the second is still the feeder's."""
    first = proxied(host)
    second = host.service("second", "socat", "")
    host.listen(second, "127.0.0.1:9999")
    curl = toucher(host, weights)
    host.send(curl, 60 * MIB, "127.0.0.1", 8888)
    host.send(first, 60 * MIB, "127.0.0.1", 9999)
    assert told(host.send(second, 60 * MIB)) == [(FAR, 60, "llama")]


def test_a_tunnel_that_fetches_from_a_local_server_passes_it_on(host: Host, weights: File) -> None:
    """The other way round: whoever called the server may send on what it answered."""
    tunnel = host.service("tunnel", "cloudflared", "")
    server = toucher(host, weights, image="python3")
    host.listen(server, "127.0.0.1:8000")
    host.connect(tunnel, 8000)
    host.send(server, LIMIT, "127.0.0.1", own=8000)
    assert told(host.send(tunnel, LIMIT)) == [(FAR, 50, "llama")]


def test_a_front_passes_on_what_an_allowed_server_answers() -> None:
    """A web server before a model server: its clients get answers."""
    entry = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service", ports=(8000,))
    host = Host(Manifest((entry,)))
    server = host.server(host.protect())
    nginx = host.service("nginx", "nginx", "")
    host.connect(nginx, 8000)
    assert told(host.send(server, 10 * LIMIT, "127.0.0.1", own=8000)) == []
    assert told(host.send(nginx, 10 * LIMIT, own=443)) == []


def test_a_proxy_of_the_same_actor_counts_by_itself(host: Host, weights: File) -> None:
    """It shares his lineage; what he gives it is not counted twice."""
    shell = host.login()
    curl = toucher(host, weights, shell)
    socat = host.exec("socat", parent=shell)
    host.listen(socat, "127.0.0.1:7777")
    assert told(host.send(curl, LIMIT, "127.0.0.1", 7777)) == []
    assert told(host.send(socat, LIMIT)) == [(FAR, 50, "llama")]
    assert host.provenance.egress.bytes == {True: LIMIT, False: 0}


# -- labels ----------------------------------------------------------------------------------------------------------


def test_a_label_takes_along_what_was_sent_before_it(host: Host, weights: File) -> None:
    """Touches and bytes of the lineage are the agent's now: told of again, and counted on."""
    host.server(weights)
    shell = host.login()
    agent = host.exec("python3", "agent.py", parent=shell)
    curl = toucher(host, weights, agent)
    before = host.send(curl, LIMIT)
    assert about(before[0]).actor is not None
    assert about(before[0]).actor.principal == "session:1000"
    for _ in range(2):
        host.exit(host.turn(agent))
    assert agent.confirmed_agent
    again = [fact for fact in host.of("weights_egress") if about(fact).relabelled]
    assert told(again) == [(FAR, 50, "llama")]
    assert about(again[0]).actor is not None
    assert (about(again[0]).actor.agent, about(again[0]).actor.standing) == (True, "agent")
    assert again[0].timestamp == before[0].timestamp
    assert told(host.send(curl, LIMIT)) == [(FAR, 100, "llama")]
    mine = host.exec("curl", parent=shell)
    assert told(host.send(mine, 20 * LIMIT)) == []


def test_what_an_agent_sent_before_its_label_adds_to_what_comes(host: Host, weights: File) -> None:
    """Neither half passes the limit. A person's own touch of the model stays with him."""
    host.server(weights)
    shell = host.login()
    toucher(host, weights, shell)
    agent = host.exec("python3", "agent.py", parent=shell)
    curl = toucher(host, weights, agent)
    assert told(host.send(curl, 30 * MIB)) == []
    for _ in range(2):
        host.exit(host.turn(agent))
    assert told(host.send(curl, 20 * MIB)) == [(FAR, 50, "llama")]
    assert told(host.send(host.exec("curl", parent=shell), LIMIT)) == [(FAR, 50, "llama")]


def test_an_agent_that_nobody_explained_is_told_again_as_one(host: Host, weights: File) -> None:
    """Its principal is the same before and after."""
    host.server(weights)
    agent = host.exec("python3", "agent.py", parent=host.init)
    host.read(weights, agent, 1.0)
    assert told(host.send(agent, LIMIT)) == [(FAR, 50, "llama")]
    for _ in range(2):
        host.exit(host.turn(agent))
    facts = host.of("weights_egress")
    assert told(facts) == 2 * [(FAR, 50, "llama")]
    actors = [about(fact).actor for fact in facts]
    assert [actor is not None and actor.agent for actor in actors] == [False, True]
    assert told(host.send(agent, LIMIT)) == [(FAR, 100, "llama")]


# -- the ledger ------------------------------------------------------------------------------------------------------


def test_a_restart_of_the_daemon_forgives_nothing(tmp_path: Path) -> None:
    """Touches, bytes and what was told go on, with other processes of the principal."""
    settings = Settings(path=tmp_path / "egress.json")
    host = Host(egress=settings)
    host.provenance.egress.store.open(host.now, first_start=True)
    curl = toucher(host, host.protect())
    assert told(host.send(curl, LIMIT + 10 * MIB)) == [(FAR, 60, "llama")]
    host.provenance.egress.store.save(host.now)
    later = Host(egress=settings, now=host.now + timedelta(days=3))
    later.provenance.egress.store.open(later.now, first_start=False)
    later.protect()
    fresh = later.exec("nc", parent=later.login())
    assert told(later.send(fresh, 30 * MIB)) == []
    assert told(later.send(fresh, 10 * MIB)) == [(FAR, 100, "llama")]
    assert later.tick() == []


def test_a_lost_ledger_is_told_by_the_tick(tmp_path: Path) -> None:
    """As a change of what is known, once."""
    host = Host(egress=Settings(path=tmp_path / "egress.json"))
    host.provenance.egress.store.open(host.now, first_start=False)
    (fact,) = host.tick()
    assert (fact.action, about(fact).source) == ("authority_change", "egress ledger")
    assert host.tick() == []


def test_a_flood_of_programs_does_not_shake_off_its_bytes(host: Host, weights: File) -> None:
    """A user who sends under two thousand names is told all the same, and an owner of few keeps his account."""
    service = host.service("job", "python3", "a.py")
    host.read(weights, service, 1.0)
    host.send(service, 40 * MIB)
    facts: list[Event] = []
    for number in range(1300):
        proc = host.exec(f"/tmp/x{number}", parent=host.init, user=ROOT)
        host.read(weights, proc, 0.2)
        facts += host.send(proc, MIB, f"198.51.{number // 256}.{number % 256}")
    assert told(facts)[:3] == [(None, 50, "llama"), (None, 100, "llama"), (None, 200, "llama")]
    assert told(host.send(service, 10 * MIB)) == [(FAR, 50, "llama")]
    assert host.provenance.egress.evicted > 200


def test_events_without_amount_or_place_say_nothing(host: Host, weights: File) -> None:
    """And cost nothing."""
    curl = toucher(host, weights)
    assert host.send(curl, 0) == []
    assert host.feed("network_volume", process=curl.process, replguard=HELD) == []

"""Opens and mappings of protected content: who touched it, who holds it, and what is told of it once."""

import pytest
from support.story import MIB, ROOT, Host

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.provenance.manifest import Job, Manifest
from replguard.provenance.processes import Proc

ORIGIN = "/models/llama/w.safetensors"


def accesses(host: Host) -> list[tuple[int | None, str | None]]:
    return [(f.process.pid, f.replguard.mode) for f in host.of("weights_access")]


def test_use_is_told_once_for_each_way() -> None:
    """Per actor, file and mode, whatever process of it; other actors are told apart."""
    host = Host()
    weights, other = host.protect(), host.protect("/models/llama/2")
    shell, colleague = host.login(), host.login()
    first, second = host.exec("cat", parent=shell), host.exec("cat", parent=shell)
    theirs = host.exec("cat", parent=colleague)
    for proc in (first, second, theirs):
        host.open(weights, proc)
    host.map(weights, second)
    host.open(other, second)
    assert accesses(host) == [
        (first.pid, "read"), (theirs.pid, "read"), (second.pid, "map"), (second.pid, "read"),
    ]  # fmt: skip


@pytest.mark.parametrize(("gaps", "told"), [((3599,), 1), ((3601,), 2), ((3000, 3000), 1)])
def test_use_is_told_again_after_an_hour_of_none(gaps: tuple[float, ...], told: int) -> None:
    """Each use begins the hour anew."""
    host = Host()
    weights, cat = host.protect(), host.exec("cat", parent=host.login())
    host.open(weights, cat)
    for gap in gaps:
        host.wait(gap)
        host.open(weights, cat)
    assert len(accesses(host)) == told


def test_use_says_how_precisely_it_is_known() -> None:
    """An open is not a read; who may is allowed; a copy is named."""
    backup = Job(name="backup", user="ann", may=("access",))
    host = Host(Manifest((), (backup,)))
    weights, shell = host.protect(), host.login()
    host.open(weights, host.exec("restic", parent=shell))
    fact = host.of("weights_access")[0].replguard
    assert (fact.precision, fact.model, fact.authorised.entry, fact.actor.standing) == (
        "open", "llama", "backup", "allowed",
    )  # fmt: skip
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    made = host.of("weights_copy")[0]
    host.map(made.file, host.exec("python3", parent=host.service("other")))
    fact = host.of("weights_access")[-1].replguard
    assert (fact.precision, fact.model, fact.artefacts) == ("mapped", "llama", made.replguard.artefacts)


@pytest.mark.parametrize(("amount", "touches"), [(MIB, False), (15 * MIB, False), (17 * MIB, True), (None, True)])
def test_a_look_at_the_header_touches_nothing(amount: int | None, touches: bool) -> None:
    """Where a source tells how much was read, it takes 16 MiB, or a tenth of a smaller file."""
    host = Host()
    weights, cat = host.protect(size=512 * MIB), host.exec("cat", parent=host.login())
    host.open(weights, cat, replguard=Context(tier="kernel", attribution="kernel", mode="read", bytes=amount))
    assert bool(accesses(host)) is touches
    made = host.write("/srv/x", 512 * MIB, cat)
    (fact,) = host.examined(made, (weights, 1.0))
    assert fact.action == ("weights_copy" if touches else "weights_arrival")


def read(host: Host, file: File, proc: Proc, amount: int, mode: str = "read") -> None:
    context = Context(tier="kernel", attribution="kernel", mode=mode, bytes=amount)
    host.on("file_read", file, proc, replguard=context)


def test_what_is_read_in_parts_touches_once_they_are_enough() -> None:
    """By one actor, whatever process of it; what another read does not count, nor what was told before."""
    host = Host()
    weights, shell, other = host.protect(size=512 * MIB), host.login(), host.login()
    read(host, weights, host.exec("dd", parent=other), 15 * MIB)
    first = host.exec("dd", parent=shell)
    for amount in (2 * MIB, 9 * MIB, 9 * MIB):
        read(host, weights, first, amount)
    assert not accesses(host)
    second = host.exec("dd", parent=shell)
    read(host, weights, second, 6 * MIB, "map")
    assert not accesses(host)
    read(host, weights, second, 2 * MIB)
    assert accesses(host) == [(second.pid, "read")]


def test_a_part_that_is_mapped_is_not_held() -> None:
    """Though the actor has touched the file by it."""
    host = Host()
    weights, shell = host.protect(size=512 * MIB), host.login()
    first, second = host.exec("dd", parent=shell), host.exec("dd", parent=shell)
    read(host, weights, first, 15 * MIB, "map")
    read(host, weights, second, 15 * MIB, "map")
    assert accesses(host) == [(second.pid, "map")]
    assert not host.provenance.instances.held_by(second)


def test_use_by_nobody_seen_is_kept_for_the_copy() -> None:
    """It is no fact of its own; a file made meanwhile is a copy, its writer unknown."""
    host = Host()
    weights = host.protect()
    host.copy(weights, "/srv/a/x")
    (fact,) = host.facts
    assert (fact.action, fact.replguard.attribution, fact.replguard.actor.standing) == (
        "weights_copy", "unknown", "unknown",
    )  # fmt: skip


def test_strangers_files_are_nothing() -> None:
    """Neither unprotected files nor events without a file."""
    host = Host()
    cat = host.exec("cat", parent=host.login())
    assert host.open(host.file("/etc/passwd"), cat) == []
    assert host.open(File(path="/gone"), cat) == []
    assert host.feed("file_open", process=cat.process) == []
    assert host.feed("file_delete") == []


def test_what_was_read_is_held_once_it_is_on_a_device() -> None:
    """The server closed its file after the copy to the device: with a listener it is an instance."""
    host = Host()
    weights = host.protect()
    main = host.service()
    host.listen(main, "127.0.0.1:8000")
    host.open(weights, main)
    assert host.of("server_live") == []
    host.gpu(main, 512 * MIB)
    assert [f.replguard.status for f in host.of("server_live")] == ["live"]


def test_memory_of_uses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for telling again does not grow with time."""
    monkeypatch.setattr("replguard.provenance.uses.MAX_RECENT", 3)
    host = Host()
    weights = host.protect()
    for _ in range(8):
        host.open(weights, host.exec("cat", parent=host.init, session=None))
    uses = host.provenance.uses
    assert len(uses._accesses) <= 4
    assert len(uses._readers) <= 3


def peeked(host: Host, proc: Proc, target: Proc, amount: int | None) -> list[Event]:
    """Let a process read the memory of another, as the kernel tells it."""
    about = Context(tier="kernel", attribution="kernel", mode="memory", technique="process_vm_readv", bytes=amount)
    return host.feed("process_access", process=proc.process, target=target.process, replguard=about)


def test_reading_the_memory_of_a_server_is_a_use_of_its_weights() -> None:
    """It touches them; a profiler's few bytes do not, nor what ranks of one instance read of each other."""
    host = Host()
    weights = host.protect()
    main = host.server(weights)
    worker = host.fork(main)
    host.listen(main, "127.0.0.1:8001")
    thief, profiler = host.exec("python3", parent=host.login()), host.exec("py-spy", parent=host.login())
    assert not peeked(host, profiler, main, 4096)
    assert not peeked(host, worker, main, 64 * MIB)
    assert not peeked(host, thief, profiler, 64 * MIB)
    (fact,) = peeked(host, thief, main, 64 * MIB)
    assert fact.action == "weights_access"
    assert fact.file is not None
    assert fact.replguard is not None
    assert (fact.file.path, fact.replguard.mode, fact.replguard.model) == (ORIGIN, "memory", "llama")
    assert host.provenance.ledger.touched(thief, "llama", host.now, lambda proc: proc)
    debugger = host.exec("gdb", parent=host.login(ROOT))
    assert len(peeked(host, debugger, main, None)) == 1


def test_that_memory_was_opened_may_be_told_when_its_process_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not say when it was; and only of the last ones is known what they held."""
    monkeypatch.setattr("replguard.provenance.uses.MOST_LEFT", 2)
    host = Host()
    weights = host.protect()
    servers = [host.server(weights) for _ in range(3)]
    thief = host.exec("python3", parent=host.login())
    for server in servers:
        host.exit(server)
    assert not peeked(host, thief, servers[0], None)
    (fact,) = [one for one in peeked(host, thief, servers[2], None) if one.action == "weights_access"]
    assert (fact.process.pid, fact.replguard.mode) == (thief.pid, "memory")


def test_who_opens_a_device_that_holds_no_filesystem_is_named_to_the_sensors() -> None:
    """It is a GPU: what its memory holds is asked for then, and nothing is told of weights."""
    host = Host()
    host.protect()
    python = host.exec("python3", parent=host.login())
    gpu = File(path="/dev/nvidia-uvm", name="nvidia-uvm", type="device")
    host.open(gpu, python, replguard=Context(tier="kernel", attribution="kernel", mode="device"))
    assert [(hint.kind, hint.pid) for hint in host.hints if hint.kind == "gpu"] == [("gpu", python.pid)]
    assert not accesses(host)

"""What provenance knew is known after a kill: who is an agent, what he touched and made, and who serves."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.story import MIB, Host

from replguard.journal import Heading, Journal
from replguard.provenance.kept import PARTS, VERSION
from replguard.provenance.processes import Proc


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(memory=tmp_path / "provenance.state")


def agent(host: Host) -> Proc:
    return host.agent(host.login())


def test_an_agent_is_one_after_a_kill(host: Host) -> None:
    """What it starts then is its own, as before."""
    host.server(host.protect())
    known = agent(host)
    host.tick()
    host.killed()
    assert host.same(known).confirmed_agent
    child = host.exec("cp", parent=host.same(known))
    assert host.events[-1].replguard.actor.kind == "agent"
    assert child.parent is host.same(known)


def test_an_orphan_keeps_its_lineage(host: Host) -> None:
    """Its parent ended before the kill, and /proc names another."""
    host.server(host.protect())
    known = agent(host)
    shell = host.exec("sh", parent=known)
    left = host.exec("python3", parent=shell)
    host.exit(shell)
    host.tick()
    host.killed()
    assert [each.entity for each in host.same(left).chain()][:3] == [left.entity, shell.entity, known.entity]


def half_copied(host: Host):
    """An agent's copy that is half written: what of, by whom, and what is there of it."""
    weights = host.protect()
    host.server(weights)
    thief = host.exec("cp", parent=agent(host))
    host.read(weights, thief)
    half = host.grow("/home/ann/w", 100 * MIB, thief, close=False)
    return weights, thief, half


def test_a_copy_in_the_making_is_its_makers(host: Host) -> None:
    """It was half written at the kill, and is closed after it: told once, as the agent's."""
    weights, thief, half = half_copied(host)
    host.examined(half, (weights, 0.2), reason="file_grow")
    assert [fact.replguard.status for fact in host.of("weights_copy")] == ["started"]
    host.tick()
    host.killed()
    host.on("file_close_write", half, host.same(thief))
    host.examined(half, (weights, 1.0))
    assert [fact.replguard.status for fact in host.of("weights_copy")] == ["started", "done"]
    assert host.of("weights_copy")[-1].replguard.actor.agent


def test_a_copy_that_was_closed_meanwhile_is_examined(host: Host) -> None:
    """Its maker has ended, and nobody tells of the file any more."""
    weights, thief, half = half_copied(host)
    host.tick()
    host.killed(gone=[thief])
    for _ in range(3):
        host.tick()
    host.examined(half, (weights, 1.0))
    (fact,) = host.of("weights_copy", "done")
    assert fact.replguard.actor.agent
    assert fact.process.pid == thief.pid


@pytest.mark.parametrize("held", [True, False])
def test_a_copy_whose_maker_lives_on_is_examined_if_he_has_closed_it(host: Host, held: bool) -> None:
    """An agent that copies by itself, and no command of it: what it still writes is not called done."""
    _, thief, half = half_copied(host)
    host.tick()
    host.killed()
    host.provenance.copies.writes = lambda proc, file: held and (proc.entity, file.path) == (thief.entity, half.path)
    for _ in range(3):
        host.tick()
    assert [request.reason for request in host.requests] == ([] if held else ["file_close_write"])


def test_a_copy_is_known_and_its_server_a_replica(host: Host) -> None:
    """The server maps what was copied before the kill: generation 2, the agent's."""
    weights = host.protect()
    host.server(weights)
    known = agent(host)
    thief = host.exec("cp", parent=known)
    host.read(weights, thief)
    copy = host.grow("/home/ann/w", 512 * MIB, thief)
    host.examined(copy, (weights, 1.0))
    host.exit(thief)
    host.tick()
    host.killed()
    server = host.exec("python3", parent=host.same(known))
    host.map(copy, server)
    host.listen(server, "127.0.0.1:9000")
    (live,) = (fact for fact in host.of("server_live", "live") if fact.process.pid == server.pid)
    assert live.replguard.generation == 2
    assert live.replguard.actor.agent


def test_what_drives_an_agent_is_known(host: Host) -> None:
    """A replica's agent names it after the restart as well."""
    host.server(host.protect())
    known = agent(host)
    known.generation, known.driver = 2, "replica"
    host.tick()
    host.killed()
    assert (host.same(known).generation, host.same(known).driver) == (2, "replica")


def test_a_server_that_loads_is_told_when_it_listens(host: Host) -> None:
    """It mapped the copy before the kill and listens after it."""
    weights = host.protect()
    host.server(weights)
    server = host.exec("python3", parent=agent(host))
    host.map(weights, server)
    host.tick()
    host.killed()
    host.listen(host.same(server), "127.0.0.1:9000")
    assert host.of("server_live")[-1].process.pid == server.pid


def test_what_serves_is_not_told_again(host: Host) -> None:
    """Nor as ended: it is the same instance, and its end is told when it comes."""
    main = host.server(host.protect())
    before = [(live.id, live.generation, live.order) for live in host.provenance.instances.live.values()]
    host.tick()
    host.killed()
    told = len(host.of("server_live"))
    host.exec("python3", "-m vllm", parent=host.same(host.init), pid=main.pid, entity=main.entity, kind="state")
    host.listen(host.same(main), "127.0.0.1:8000", kind="state")
    for _ in range(30):
        host.tick()
    assert len(host.of("server_live")) == told
    assert [(live.id, live.generation, live.order) for live in host.provenance.instances.live.values()] == before
    host.exit(host.same(main))
    assert host.of("server_live")[-1].replguard.status == "ended"


def test_what_ended_meanwhile_is_told_once(host: Host) -> None:
    """No sensor tells of it; a look at who runs does."""
    main = host.server(host.protect())
    host.tick()
    host.killed(gone=[main])
    for _ in range(5):
        host.tick()
    assert [fact.replguard.status for fact in host.of("server_live")] == ["live", "ended"]


def test_a_door_that_was_closed_meanwhile_is_closed(host: Host) -> None:
    """The server runs on and does not listen: no sensor finds its socket again."""
    main = host.server(host.protect())
    host.tick()
    host.killed()
    for _ in range(30):
        host.tick()
    assert [fact.replguard.status for fact in host.of("server_live")] == ["live", "ended"]
    assert host.same(main).alive


def test_a_pid_that_is_another_is_not_the_dead(host: Host) -> None:
    """By the start time the new process is nobody's child, though it has the agent's number."""
    host.server(host.protect())
    known = agent(host)
    host.tick()
    host.killed(gone=[known])
    other = host.exec("python3", parent=host.same(host.init), pid=known.pid)
    assert not other.confirmed_agent
    assert not host.same(known).alive


def test_those_who_began_and_ended_between_are_not_kept(host: Host) -> None:
    """Thousands a second are nobody's; a file of them would be a log of its own."""
    gone = [host.exec("true", parent=host.init) for _ in range(50)]
    host.exit(*gone)
    host.tick()
    host.killed()
    assert not any(host.provenance.table.get(proc.entity) for proc in gone)


# -- what is wrong with a file, and another boot --------------------------------------------------------------------


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"?" * 999])
def test_a_damaged_file_ends_no_start(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """It is told, and what is left of it is used."""
    path = tmp_path / "provenance.state"
    host = Host(memory=path)
    host.server(host.protect())
    agent(host)
    host.tick()
    path.write_bytes(damage(path.read_bytes()))
    host.killed()
    told = [event.health for event in host.provenance.tick(host.now) if event.health is not None]
    assert [(each.component, each.state) for each in told] == [("memory", "degraded")]
    assert "damaged" in (told[0].reason or "")
    host.exec("ls", parent=host.exec("systemd", parent=None, pid=1, entity="init2"))


@given(
    some.sampled_from(sorted(PARTS)),
    some.binary(max_size=40)
    | some.recursive(
        some.none() | some.integers(-9, 9) | some.text(max_size=3),
        lambda kids: some.lists(kids, max_size=3) | some.dictionaries(some.text(max_size=3), kids, max_size=3),
    ).map(msgspec.msgpack.encode),
)
def test_a_part_that_means_something_else_is_not_used(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    """Whatever stands there: the other parts are as they were."""
    path = tmp_path_factory.mktemp("memory") / "provenance.state"
    host = Host(memory=path)
    host.server(host.protect())
    known = agent(host)
    host.tick()
    kept = Journal(path, Heading("provenance", VERSION)).read()
    assert kept.heading is not None
    Journal(path, kept.heading).replace(kept.records | {name: data})
    host.killed()
    assert host.same(known).confirmed_agent
    host.tick()


def test_after_a_reboot_only_what_was_made_is_left(tmp_path: Path) -> None:
    """No process of before runs, none serves; a copy is one still, and who made it is on record."""
    path = tmp_path / "provenance.state"
    host = Host(memory=path)
    weights = host.protect()
    host.server(weights)
    known = agent(host)
    thief = host.exec("cp", parent=known)
    host.read(weights, thief)
    copy = host.grow("/home/ann/w", 512 * MIB, thief)
    host.examined(copy, (weights, 1.0))
    host.tick()
    kept = Journal(path, Heading("provenance", VERSION)).read()
    assert kept.heading is not None
    Journal(path, msgspec.structs.replace(kept.heading, boot="before")).replace(kept.records)
    host.killed()
    assert host.provenance.instances.live == {}
    assert not any(proc.alive for proc in host.provenance.table)
    (made,) = host.provenance.ledger.artefacts()
    assert (made.path, made.maker.entity if made.maker else None) == ("/home/ann/w", thief.entity)
    assert [hint.inode for hint in host.hints] == [copy.inode]


def test_the_daemon_keeps_nothing_of_itself(host: Host) -> None:
    """Else each start would tell the end of the one before."""
    own = host.exec("python3", "-m replguard run", parent=host.init, pid=7)
    host.exec("python3", "-m replguard.weights", parent=own)
    host.tick()
    host.killed()
    assert host.provenance.table.get(own.entity) is None


def test_little_is_written(tmp_path: Path) -> None:
    """Of a thousand programs a second only those that run on; and where nothing happens nothing."""
    path = tmp_path / "provenance.state"
    host = Host(memory=path)
    host.tick()
    before = path.stat().st_size
    host.exit(*(host.exec("true", parent=host.init) for _ in range(1000)))
    left = [host.exec("sleep", parent=host.init) for _ in range(10)]
    host.tick()
    host.provenance.memory.save()
    grown = path.stat().st_size - before
    assert grown < 20_000
    host.provenance.memory.save()
    assert path.stat().st_size - before == grown
    host.killed()
    assert all(host.same(proc).alive for proc in left)

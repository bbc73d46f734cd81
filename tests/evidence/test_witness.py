"""Who acted in an alert is looked at once, soon, and whatever hangs holds nobody."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support import deadmount, making
from support.host import FakeHost, until
from support.targets import start, target

from replguard.events import clock, wire
from replguard.events.alert import Alert
from replguard.events.evidence import Taken
from replguard.events.fact import Actor, Instance
from replguard.events.health import Health
from replguard.events.identity import entity_id
from replguard.events.process import Process
from replguard.evidence import memory, witness
from replguard.evidence.witness import Witness, acting_in
from replguard.kernel import machine


def entity(pid: int) -> str:
    return entity_id(machine.machine_id(), machine.boot_id(), pid, start(pid))


def alert(
    pid: int | None = None,
    *,
    number: int = 1,
    level: str = "high",
    actor: Actor | None = None,
    pids: tuple[int, ...] = (),
    known: str | None = None,
    **given: Any,
) -> Alert:
    """Return an alert of now in which these processes act."""
    made = making.alert(number, level, **given)
    instance = Instance(id="x", pids=pids) if pids else None
    process = None if pid is None else Process(pid=pid, entity_id=known or entity(pid), name="told")
    return replace(
        made,
        timestamp=clock.now(),
        process=process,
        replguard=replace(made.replguard, actor=actor, instance=instance),
    )


@contextmanager
def watching(*, least: Any = "high", root: str = "/proc") -> Iterator[tuple[Witness, list[Taken], list[Health]]]:
    records: list[Taken] = []
    troubles: list[Health] = []
    made = Witness(lambda record: not records.append(record), troubles.append, least, root)
    made.start()
    try:
        yield made, records, troubles
    finally:
        made.close(10.0)


def test_each_acting_process_is_looked_at_once_in_an_incident() -> None:
    """The process of the alert, its actor's entry point and those of an instance, in that order."""
    with target() as one, target() as two, target() as three:
        actor = Actor(kind="agent", id=f"0:/x#{entity(two.pid)}", principal="0:/x", pid=two.pid)
        given, known = (
            alert(one.pid, actor=actor, pids=(three.pid, one.pid)),
            [entity(each.pid) for each in (one, two, three)],
        )
        with watching() as (looking, records, _):
            looking.ask(given)
            looking.ask(given)
    assert [each.process.pid for each in records] == [one.pid, two.pid, three.pid]
    assert [each.process.entity_id for each in records] == known
    assert records[0].process.name == "told"
    assert records[0].user == given.user
    assert records[2].process.executable == str(Path(sys.executable).resolve())
    assert records[2].user is not None
    assert records[2].user.id == os.geteuid()
    assert {(each.snapshot.alert, each.snapshot.incident) for each in records} == {(given.event.id, "incident-1")}
    assert {(each.event.kind, each.event.action) for each in records} == {("state", "process_snapshot")}
    assert len({each.event.id for each in records}) == 3
    assert (looking.taken, looking.dropped.total()) == (3, 0)


def test_another_incident_is_looked_into_anew() -> None:
    """What the process has become by then belongs to it."""
    with target() as process, watching() as (looking, records, _):
        looking.ask(alert(process.pid, number=1))
        looking.ask(alert(process.pid, number=2))
        assert until(lambda: len(records) == 2)


@pytest.mark.parametrize(
    ("level", "least", "state", "count"),
    [("high", "high", "firing", 1), ("critical", "high", "firing", 1), ("medium", "high", "firing", 0),
     ("low", "low", "firing", 1), ("critical", None, "firing", 0), ("high", "high", "resolved", 0)],
)  # fmt: skip
def test_only_alerts_from_a_level_on_are_looked_into(level: str, least: str | None, state: str, count: int) -> None:
    """None is where it is switched off; nor is one that is over."""
    with target() as process:
        with watching(least=least) as (looking, records, _):
            looking.ask(alert(process.pid, level=level, state=state))
        assert len(records) == count


def test_an_alert_that_is_only_observed_counts_by_its_real_level() -> None:
    """Else evidence would be lacking for as long as replguard is tried out."""
    with target() as process:
        given = alert(process.pid, level="low")
        given = replace(given, replguard=replace(given.replguard, real_level="critical"))
        with watching() as (looking, records, _):
            looking.ask(given)
        assert len(records) == 1


def test_a_process_that_is_gone_is_told_to_be() -> None:
    """The record says so; what has but a pid of it and nothing to compare is counted."""
    with target() as process:
        given = alert(process.pid, pids=(2**22 + 5,))
    with watching() as (looking, records, _):
        looking.ask(given)
    assert records[0].snapshot.missing[0].startswith("process: ")
    assert records[0].snapshot.image is None
    assert looking.dropped == {"gone": 1}


def test_another_process_with_the_pid_is_not_taken_for_it() -> None:
    """By its id where the alert has it, else by the time at which it started."""
    with target() as process:
        later = alert(None, pids=(process.pid,))
        with watching() as (looking, records, _):
            looking.ask(alert(process.pid, known="0123456789abcdef"))
            looking.ask(replace(later, timestamp=later.timestamp - timedelta(hours=1)))
    assert len(records) == 1
    assert records[0].snapshot.image is None
    assert records[0].process.entity_id == "0123456789abcdef"
    assert looking.dropped == {"gone": 1}


def test_no_more_than_a_number_for_an_alert_and_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond is counted by its reason, and looked at with a later alert."""
    monkeypatch.setattr(witness, "PER_ALERT", 2)
    monkeypatch.setattr(witness, "PER_MINUTE", 3)
    with target() as one, target() as two, target() as three, watching() as (looking, records, _):
        looking.ask(alert(None, pids=(one.pid, two.pid, three.pid)))
        looking.ask(alert(None, pids=(three.pid,)))
        looking.ask(alert(None, number=2, pids=(one.pid, two.pid)))
        assert until(lambda: looking.dropped.total() == 3)
    assert len(records) == 3
    assert looking.dropped == {"per_alert": 1, "per_minute": 2}


def test_whoever_asks_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks any more, alerts are counted that nobody looked into."""
    monkeypatch.setattr(witness, "WAITING", 5)
    looking = Witness(lambda _: True, lambda _: None)
    given = alert(os.getpid())
    for _ in range(8):
        looking.ask(given)
    assert looking.dropped == {"queue": 3}
    looking.close()


def test_looks_that_hang_are_given_up_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told with what it found; when too many hang no more are begun, until they return."""
    free = threading.Event()
    monkeypatch.setattr(witness, "LONGEST", 0.05)
    monkeypatch.setattr(witness, "LOST_OF_ONE", 2)
    monkeypatch.setattr(memory, "environment", lambda *_: free.wait(20) and ())
    with target() as process, watching() as (looking, records, troubles):
        for number in range(4):
            looking.ask(alert(process.pid, number=number))
        assert until(lambda: looking.dropped["hanging"] == 2)
        assert [each.snapshot.missing for each in records] == [
            ("environment: did not answer, and what comes after it was not asked for",)
        ] * 2
        assert records[0].snapshot.image is not None
        assert [each.state for each in troubles] == ["degraded"]
        free.set()
        assert until(lambda: not any(thread.name == "look" for thread in threading.enumerate()))
        looking.ask(alert(process.pid, number=5))
        assert until(lambda: len(records) == 3)
        assert records[2].snapshot.missing == ()
        assert [each.state for each in troubles] == ["degraded", "recovered"]


@pytest.mark.root
def test_a_user_whose_processes_hang_blinds_us_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the looks that may be lost are one user's."""
    free = threading.Event()
    plain = memory.environment
    monkeypatch.setattr(witness, "LONGEST", 0.2)
    with target("import os; os.setuid(65534)") as his, target() as ours, watching() as (looking, records, _):
        monkeypatch.setattr(memory, "environment", lambda *_: free.wait(20) and ())
        for number in range(4):
            looking.ask(alert(his.pid, number=number))
        assert until(lambda: looking.dropped["hanging"] == 4 - witness.LOST_OF_ONE)
        monkeypatch.setattr(memory, "environment", plain)
        looking.ask(alert(ours.pid, number=5))
        assert until(lambda: len(records) == witness.LOST_OF_ONE + 1)
        free.set()
    assert records[-1].process.pid == ours.pid
    assert records[-1].snapshot.missing == ()


def test_a_program_that_is_not_that_of_the_alert_is_told_to_be_another() -> None:
    """Whoever executes another one before he is looked at; a root of its own makes no difference."""
    with target() as process, watching() as (looking, records, _):
        real = str(Path(sys.executable).resolve())
        for number, path in enumerate((real, "/" + real.rpartition("/")[2], "/usr/bin/dash", None)):
            given = alert(process.pid, number=number)
            assert given.process is not None
            looking.ask(replace(given, process=replace(given.process, executable=path)))
    another = ("image: it runs another program than at the alert",)
    assert [each.snapshot.missing for each in records] == [(), (), another, ()]


def test_so_many_bytes_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond them a record has what matters most, and says so."""
    monkeypatch.setattr(witness, "BURST", 3000)
    monkeypatch.setattr(witness, "REFILL", 0.0)
    monkeypatch.setattr(witness, "LEAN", 2000)
    code = "import socket; s = socket.create_server(('127.0.0.1', 0))"
    with target(code) as process, watching() as (looking, records, _):
        for number in range(3):
            looking.ask(alert(process.pid, number=number))
    last = records[-1].snapshot
    assert last.image is not None
    assert last.image.sha256 is not None
    assert last.cgroup
    assert [each.state for each in last.sockets] == ["LISTEN"]
    assert (last.maps, last.descriptors, last.environment) == ((), (), ())
    assert "maps: left out, there was too much evidence of late" in last.missing
    assert len(wire.encode(records[-1])) <= 2000


@pytest.mark.root
def test_a_real_hang_costs_a_second_and_what_hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits in the kernel for a server is left there; the next process is looked at by another one."""
    file, plain = tmp_path / "m" / deadmount.NAME, memory.environment
    there = deadmount.mounted(tmp_path / "m", bytes(8192), after=1)
    with there as server, target() as process, watching() as (looking, records, troubles):
        server.dead.set()
        monkeypatch.setattr(memory, "environment", lambda *_: (file.read_text(),))
        began = clock.monotonic()
        looking.ask(alert(process.pid))
        assert until(lambda: len(records) == 1)
        monkeypatch.setattr(memory, "environment", plain)
        looking.ask(alert(os.getpid(), number=2))
        assert until(lambda: len(records) == 2)
        assert clock.monotonic() - began < 2.0
    assert records[0].snapshot.missing[-1].startswith("environment: did not answer")
    assert records[0].snapshot.maps
    assert records[1].snapshot.missing == ()
    assert [each.state for each in troubles] == ["degraded"]


def test_a_failure_of_ours_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next alert is looked into."""
    with target() as process, watching() as (looking, records, _):
        monkeypatch.setattr(witness, "acting_in", lambda _: 1 / 0)
        looking.ask(alert(process.pid))
        assert until(lambda: looking.dropped["failed"] == 1)
        monkeypatch.undo()
        looking.ask(alert(process.pid))
        assert until(lambda: len(records) == 1)


def test_the_container_of_a_process_is_told(tmp_path: Path) -> None:
    """By its control group, as everywhere."""
    host = FakeHost(tmp_path)
    host.process(7)
    host.write("7/cgroup", b"0::/system.slice/docker-" + b"ab" * 32 + b".scope\n")
    with watching(root=host.root) as (looking, records, _):
        looking.ask(alert(None, pids=(7,)))
    assert records[0].container is not None
    assert records[0].container.id == "ab" * 32
    assert records[0].process.name == "fake"
    assert records[0].user is not None
    assert records[0].user.id == 1001


def test_a_record_that_nobody_takes_is_counted() -> None:
    """Its process is not looked at again: whoever is too busy for it would be for the next one."""
    looking = Witness(lambda _: False, lambda _: None)
    looking.start()
    with target() as process:
        looking.ask(alert(process.pid))
        looking.close(10.0)
    assert (looking.taken, looking.dropped) == (0, {"full": 1})


def test_an_alert_about_nobody_has_no_acting_process() -> None:
    """Nothing is looked at."""
    assert list(acting_in(alert(None))) == []

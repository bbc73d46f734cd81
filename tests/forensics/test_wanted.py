"""What flags ask for is what they find: everything that somebody did, and nothing of others."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import asked, logs

from replguard.config import Stream
from replguard.events.alert import Alert
from replguard.events.event import Event, Meta
from replguard.events.fact import Actor, Context
from replguard.events.file import File
from replguard.events.host import Container
from replguard.events.process import Process
from replguard.forensics.wanted import Wanted, moment

NOW = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Give a log."""
    place = tmp_path_factory.mktemp("told")
    return asked.made(place / "log", place / "state")


@pytest.fixture(scope="module")
def base(told, tmp_path_factory):
    """Give the log as a database."""
    with asked.database(told.folder, tmp_path_factory.mktemp("cache")) as found:
        yield found


def find(base, **wanted):
    """Return the records that are found, by the names of columns."""
    answer = base.wanted(Wanted(**wanted))
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def acted(told, proc):
    """Return the ids of all records that tell what a process did, and what it started, as they were written."""
    ids = set()
    for record in [*told.raw, *told.evidence]:
        about, process = getattr(record, "replguard", None), record.process
        lineage = about.lineage if about is not None and hasattr(about, "lineage") else ()
        if process is not None and (process.entity_id == proc.entity or proc.entity in lineage):
            ids.add(record.event.id)
    return ids


def of_actor(told, proc):
    """Return the ids of all records that name the actor whose entry point a process is."""
    return {
        record.event.id
        for record in [*told.raw, *told.evidence]
        if getattr(record, "replguard", None) is not None
        and record.replguard.actor is not None
        and record.replguard.actor.id.endswith(f"#{proc.entity}")
    }


def agent_id(told):
    """Return the id of the agent as actor."""
    return next(
        record.replguard.actor.id
        for record in told.raw
        if record.replguard is not None and record.replguard.actor is not None and record.replguard.actor.agent
    )


def test_everything_that_an_agent_did(told, base):
    """What bears its name, and what it did before it was known for an agent; the snapshot of its process too."""
    whole = acted(told, told.agent) | of_actor(told, told.agent) | {"s-1"}
    early = {e.event.id for e in told.raw if e.process is not None and e.process.entity_id == told.early.entity}
    assert early <= whole
    found = [record["id"] for record in find(base, actor=agent_id(told))]
    assert set(found) == whole
    assert {record["action"] for record in find(base, actor=agent_id(told))} >= {
        "process_exec", "process_exit", "network_connection", "weights_copy", "server_live", "process_snapshot",
    }  # fmt: skip


@pytest.mark.parametrize("by", ["pid", "entity"])
def test_a_process_by_its_pid_or_entity_id(told, base, by):
    """What it did itself, and what it started."""
    who = str(getattr(told.agent, by))
    assert {record["id"] for record in find(base, actor=who)} >= acted(told, told.agent)
    one = {record["id"] for record in find(base, actor=str(getattr(told.early, by)))}
    assert one == acted(told, told.early)


def test_an_entry_point_stands_for_its_actor(told, base):
    """Below it the lineage does not name it: the actor does."""
    by_entity, by_pid = find(base, actor=told.shell.entity), find(base, actor=str(told.shell.pid))
    assert by_entity == by_pid
    assert {record["id"] for record in by_entity} == of_actor(told, told.shell)


def test_an_actor_by_its_principal_or_name(told, base):
    """All its runs, and nothing of others."""
    for who in ("unit:vllm.service", "python3"):
        found = find(base, actor=who)
        assert found
        assert {record["actor_principal"] for record in found if record["actor_id"]} >= {"unit:vllm.service"}
    assert {record["actor_principal"] for record in find(base, actor="unit:vllm.service")} == {"unit:vllm.service"}


def test_nobody(base):
    """Who is not in the log did nothing, whatever he is called."""
    for who in ("nobody", "0", "' OR true --", "%", "*", ""):
        assert find(base, actor=who) == []


def test_an_artefact(told, base):
    """A path, what lies below a folder, an inode, and a server by its id."""
    paths = {record["path"] for record in find(base, artefact=told.copy) if record["path"]}
    assert paths == {told.copy}
    assert find(base, artefact="/tmp/agent") == find(base, artefact="/tmp/agent/") == find(base, artefact=told.copy)
    assert find(base, artefact="/tmp/age") == []
    model = find(base, artefact="/models")
    assert {"weights_copy", "weights_access", "file_map"} <= {record["action"] for record in model}
    inode = next(record for record in find(base, artefact=told.copy) if record["action"] == "file_create")
    by_inode = find(base, artefact=f"{inode['device']}:{inode['inode']}")
    assert by_inode
    assert {(r["device"], r["inode"]) for r in by_inode} == {(inode["device"], inode["inode"])}
    server = next(record for record in told.raw if record.event.action == "server_live")
    assert {record["action"] for record in find(base, artefact=server.replguard.instance.id)} >= {"server_live"}


def test_a_rule(told, base):
    """By its name, its id, or a part of the name."""
    fired = [record for record in told.evidence if isinstance(record, Alert)]
    one = next(alert for alert in fired if alert.rule.name == "weights-copy-agent")
    for which in ("weights-copy-agent", one.rule.id, "weights-copy-*"):
        assert {record["rule_name"] for record in find(base, rule=which)} == {"weights-copy-agent"}
    assert len(find(base, rule="*")) == len(fired)


def test_an_incident(told, base):
    """Its alerts, each record that they name, and the snapshot; nothing of another one."""
    alerts = [record for record in told.evidence if isinstance(record, Alert)]
    incident = next(alert.replguard.incident for alert in alerts if alert.rule.level == "critical")
    mine = [alert for alert in alerts if alert.replguard.incident == incident]
    found = find(base, incident=incident)
    assert {record["id"] for record in found if record["kind"] == "alert"} == {alert.event.id for alert in mine}
    named = {id_ for alert in mine for id_ in alert.replguard.evidence}
    assert named
    assert {record["id"] for record in found} == {alert.event.id for alert in mine} | named | {"s-1"}
    assert find(base, incident="nothing") == []


def test_a_text(told, base):
    """In whatever case, in commands, paths and sentences; characters that SQL knows are characters."""
    found = find(base, text="AGENT.PY")
    assert {record["pid"] for record in found} >= {told.agent.pid, told.early.pid}
    assert {record["rule_name"] for record in find(base, text="copied model")} >= {"weights-copy-agent"}
    assert find(base, text="%' OR 1=1 --") == []
    assert [record["command_line"] for record in find(base, text="=cmd|' /C calc'!A0 \x1b[2J")]


def test_a_time(told, base):
    """From one time on, and before another."""
    middle = told.raw[len(told.raw) // 2].timestamp
    after, before = find(base, since=middle), find(base, until=middle)
    assert min(record["time"] for record in after) == middle.replace(tzinfo=None)
    assert max(record["time"] for record in before) < middle.replace(tzinfo=None)
    assert len(after) + len(before) == len(find(base, since=datetime(2020, 1, 1, tzinfo=UTC)))


def test_flags_are_joined_by_and(told, base):
    """Each of them narrows."""
    found = find(base, actor=agent_id(told), artefact=told.copy, rule="weights-copy-agent", text="copied")
    assert [record["rule_name"] for record in found] == ["weights-copy-agent"]
    assert find(base, actor="unit:vllm.service", artefact=told.copy) == []


def test_records_come_in_the_order_of_time_and_once(told, base):
    """What both streams hold comes once, and points at evidence, where it is kept longest."""
    found = find(base, since=datetime(2020, 1, 1, tzinfo=UTC))
    assert [r["time"] for r in found] == sorted(r["time"] for r in found)
    facts = {record.event.id for record in told.evidence if record.event.kind == "enrichment"}
    assert len(found) == len(told.raw) + len(told.evidence) - len(facts)
    assert {r["stream"] for r in found if r["id"] in facts} == {"evidence"}


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-27", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-27T07:55", datetime(2026, 11, 27, 7, 55, tzinfo=UTC)),
        ("2026-11-27T07:55:38.5Z", datetime(2026, 11, 27, 7, 55, 38, 500000, UTC)),
        ("2026-11-27 07:55+02:00", datetime(2026, 11, 27, 5, 55, tzinfo=UTC)),
    ],
)
def test_a_time_is_written_in_these_ways(text, when):
    """ISO 8601, UTC unless it says otherwise, or a span before now."""
    assert moment(text, NOW) == when


@given(st.text())
def test_whatever_else_is_written_is_no_time(text):
    """It is one or it is told what one looks like."""
    try:
        assert moment(text, NOW).tzinfo is UTC
    except ValueError as error:
        assert "is no time: write" in str(error)  # noqa: PT017 - both ways out are right


@pytest.fixture(scope="module")
def reused(tmp_path_factory):
    """Give a log as a database in which two programs had one pid, the second of them in a container."""
    place = tmp_path_factory.mktemp("reused")
    to = logs.writer(place / "log", place / "state")
    first = Process(pid=4242, entity_id="a" * 16, command_line="make clean")
    second = Process(pid=4242, entity_id="b" * 16, namespace_pid=7, command_line="cp w copy")
    acts = [("process_exec", first), ("process_exit", first), ("process_exec", second), ("file_create", second)]
    for number, (action, process) in enumerate(acts):
        made = File(path="/srv/copy") if action == "file_create" else None
        to.write(
            Event(
                timestamp=logs.NOW + timedelta(seconds=number),
                event=Meta(action=action, id=f"b-{number}", sequence=number),
                process=process,
                file=made,
                container=Container(id="c0ffee") if process is second else None,
                replguard=Context(host_path="/var/lib/docker/overlay2/x/srv/copy") if made else None,
            ),
            logs.NOW,
        )
    to.close(now=logs.NOW)
    with asked.database(place / "log", tmp_path_factory.mktemp("cache")) as found:
        yield found


def test_a_pid_that_came_again_is_two_processes(reused):
    """Each has its own timeline by its entity id; the pid shows both, one after the other."""
    assert [record["action"] for record in find(reused, actor="a" * 16)] == ["process_exec", "process_exit"]
    assert [record["id"] for record in find(reused, actor="b" * 16)] == ["b-2", "b-3"]
    both = find(reused, actor="4242")
    assert [(record["id"], record["entity_id"][0]) for record in both] == [
        ("b-0", "a"), ("b-1", "a"), ("b-2", "b"), ("b-3", "b"),
    ]  # fmt: skip


def test_a_container_is_seen_from_both_sides(reused):
    """A file is found by the name that the container has for it and by the host's; so is a pid told."""
    inside, outside = find(reused, artefact="/srv/copy"), find(reused, artefact="/var/lib/docker/overlay2/x")
    assert inside == outside
    assert [(record["path"], record["host_path"]) for record in inside] == [
        ("/srv/copy", "/var/lib/docker/overlay2/x/srv/copy")
    ]
    pids = {(record["pid"], record["namespace_pid"], record["container"]) for record in find(reused, actor="b" * 16)}
    assert pids == {(4242, 7, "c0ffee")}


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    """Give a log in which a pid had an owner in January, whose child lives on, and another one from February on."""
    place = tmp_path_factory.mktemp("months")
    to = logs.writer(place / "log", place / "state")
    owners = {"a": Process(pid=105, entity_id="a" * 16), "b": Process(pid=105, entity_id="b" * 16)}
    children = {"c": Process(pid=200, entity_id="c" * 16), "d": Process(pid=201, entity_id="d" * 16)}
    above = {"c": "a", "d": "b"}
    acts = [
        (1, "process_exec", "a"), (2, "process_exec", "c"), (20, "process_exit", "a"),
        (32, "process_exec", "b"), (33, "process_exec", "d"), (34, "file_create", "c"), (60, "file_create", "d"),
    ]  # fmt: skip
    for number, (day, action, who) in enumerate(acts):
        owner = above.get(who, who) * 16
        actor = Actor(kind="session", id=f"1000:/bin/x#{owner}", principal="1000:/bin/x", pid=105)
        lineage = (who * 16, owner) if who in above else ()
        when = logs.NOW + timedelta(days=day)
        meta = Meta(action=action, id=f"{who}-{day}", sequence=number)
        process, about = (owners | children)[who], Context(actor=actor, lineage=lineage)
        to.write(Event(timestamp=when, event=meta, process=process, replguard=about), logs.NOW)
    to.close(now=logs.NOW)
    with asked.database(place / "log", tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.mark.parametrize(
    ("since", "until", "ids"),
    [
        (None, None, ["a-1", "c-2", "a-20", "b-32", "d-33", "c-34", "d-60"]),
        (31, None, ["b-32", "d-33", "d-60"]),
        (40, None, ["d-60"]),
        (None, 31, ["a-1", "c-2", "a-20"]),
        (10, 40, ["a-20", "b-32", "d-33", "c-34"]),
        (25, 31, []),
    ],
)
def test_time_tells_the_owners_of_a_pid_apart(months, since, until, ids):
    """Who had the pid then, what he started and what that did; not what lives on of who had it before."""
    when = {name: logs.NOW + timedelta(days=day) for name, day in (("since", since), ("until", until)) if day}
    assert [record["id"] for record in find(months, actor="105", **when)] == ids


def test_any_number_of_processes_can_be_meant(tmp_path):
    """As of an agent that ran ten thousands of times."""
    to = logs.writer(tmp_path / "log", tmp_path / "state", limits=Stream(max_size=2**30))
    for number in range(60_000):
        actor = Actor(kind="agent", id=f"bot#{number:016x}", principal="bot", name="bot", pid=number, agent=True)
        meta = Meta(action="process_exec", id=f"b-{number}", sequence=number)
        to.write(Event(timestamp=logs.NOW, event=meta, replguard=Context(actor=actor)), logs.NOW)
    below = Context(lineage=("e" * 16, f"{59_999:016x}"))
    meta, process = Meta(action="process_exec", id="below", sequence=60_000), Process(pid=1, entity_id="e" * 16)
    to.write(Event(timestamp=logs.NOW, event=meta, process=process, replguard=below), logs.NOW)
    to.close(now=logs.NOW)
    with asked.database(tmp_path / "log", tmp_path / "cache") as base:
        found = find(base, actor="bot")
    assert len(found) == 60_001
    assert found[-1]["id"] == "below"

"""What the daemon is asked to do: who may have it, what follows, and what is marked then."""

import threading
from datetime import timedelta

import pytest
from support.story import START, Host

from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.fact import Actor, Context
from replguard.events.health import Health
from replguard.provenance import desk as module
from replguard.provenance.desk import MAX_DRILLS, Ask
from replguard.provenance.processes import Proc


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose clock is the story's."""
    made = Host()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


def ask(host: Host, proc: Proc, what: str = "maintenance", text: str = "upgrade", seconds: float = 600.0) -> Ask:
    """Ask as a process, and have it carried through at once."""
    put = Ask(what, text, seconds)

    def carry(event: Event) -> bool:
        host._take(host.provenance.feed(event))
        return True

    return host.provenance.desk.ask(put, proc.process, carry)


def told(host: Host) -> list[tuple[str | None, str | None]]:
    return [(fact.replguard.source, fact.replguard.status) for fact in host.of("authority_change") if fact.replguard]


def marks(host: Host, event: Event) -> Context:
    (made,) = host.provenance.desk.marked([event])
    return made.replguard or Context()


def test_a_login_begins_a_window_and_ends_it(host: Host) -> None:
    """Each is a fact with who asked, and a word about ourselves; the request itself is told first."""
    shell = host.login()
    begun = ask(host, shell)
    assert begun.ok
    assert "upgrade" in begun.text
    assert ask(host, shell, seconds=0.0).ok
    assert told(host) == [("maintenance", "accepted")] * 2
    fact = host.of("authority_change")[0]
    assert fact.process is not None
    assert fact.process.pid == shell.pid
    assert [e.health.state for e in host.events if e.health is not None] == ["started", "stopped"]
    assert [e.action for e in host.events if e.action == "control_request"] == ["control_request"] * 2
    again = ask(host, shell, seconds=0.0)
    assert (again.ok, len(told(host))) == (True, 2)


@pytest.mark.parametrize("what", ["maintenance", "drill"])
def test_an_agent_and_all_that_descends_from_it_are_refused(host: Host, what: str) -> None:
    """As root, deep below it, and as an orphan that was given back to it."""
    host.server(host.protect())
    shell = host.login()
    agent = host.agent(shell)
    deep = host.exec("sudo", parent=host.exec("sh", parent=host.exec("python3", parent=agent)))
    orphan = host.exec("replguard", parent=host.init)
    orphan.parent, orphan.adopted = agent, True
    for proc in (agent, deep, orphan):
        refused = ask(host, proc, what)
        assert not refused.ok
        assert "refused" in refused.text
    assert told(host) == [(what, "refused")] * 3
    assert (host.provenance.desk.windows.window, host.provenance.desk.drills) == (None, {})
    assert ask(host, shell, what).ok


def test_one_reply_of_a_model_is_enough(host: Host) -> None:
    """Who may turn out to be an agent is not believed either."""
    host.server(host.protect())
    maybe = host.exec("python3", parent=host.login())
    host.connect(maybe, 8000)
    assert not ask(host, host.exec("replguard", parent=maybe)).ok


def test_a_container_and_a_stranger_are_refused(host: Host) -> None:
    """Root in a container is not the operator of the host."""
    group = f"/system.slice/docker-{'a' * 64}.scope"
    inside = host.exec("sh", parent=host.init, cgroup=group)
    assert "container" in ask(host, inside).text
    nobody = Proc("nobody", 4242, None, host.describe(4242, "x"), None, START)
    nobody.process = type(nobody.process)(pid=4242, entity_id="nobody")
    assert "not known" in ask(host, nobody).text


def test_what_is_not_answered_in_time_is_refused_and_stays_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes later opens nothing."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    kept: list[Event] = []
    late = host.provenance.desk.ask(Ask("maintenance", "x", 60.0), host.login().process, lambda e: not kept.append(e))
    assert not late.ok
    assert "busy" in late.text
    host._take(host.provenance.feed(kept[0]))
    assert (host.provenance.desk.windows.window, told(host)) == (None, [])
    full = host.provenance.desk.ask(Ask("maintenance", "x", 60.0), host.login().process, lambda _: False)
    assert not full.ok


def test_an_answer_waits_for_its_place_in_time(host: Host) -> None:
    """The thread that asks waits while another carries it through."""
    kept: list[Event] = []
    came = threading.Event()
    shell, made = host.login(), Ask("maintenance", "x", 60.0)

    def put(event: Event) -> bool:
        kept.append(event)
        came.set()
        return True

    thread = threading.Thread(target=host.provenance.desk.ask, args=(made, shell.process, put))
    thread.start()
    assert came.wait(10)
    host._take(host.provenance.feed(kept[0]))
    thread.join(10)
    assert made.ok


def test_a_window_marks_what_it_covers_and_ends_by_itself(host: Host) -> None:
    """Acts of people and services, and what is said about ourselves, but no tick."""
    shell = host.login()
    event = Event(timestamp=host.now, event=Meta(action="x"), process=shell.process)
    assert not marks(host, event).maintenance
    ask(host, shell, seconds=60.0)
    session = Actor(kind="session", id="s", principal="s", standing="session")
    agent = Actor(kind="agent", id="a", principal="a", standing="agent", agent=True)
    by = [Event(timestamp=host.now, event=Meta(action="x"), replguard=Context(actor=who)) for who in (session, agent)]
    assert [marks(host, each).maintenance for each in by] == [True, False]
    states = [Health(component="daemon", state="degraded"), Health(component="daemon", state="tick")]
    said = [Event(timestamp=host.now, event=Meta(action="sensor_health"), health=health) for health in states]
    assert [marks(host, each).maintenance for each in said] == [True, False]
    host.wait(61)
    (over,) = host.provenance.desk.tick(host.now)
    assert over.health is not None
    assert over.health.state == "stopped"
    assert not marks(host, by[0]).maintenance


def test_a_drill_marks_who_plays_it_and_nobody_else(host: Host) -> None:
    """The process that announced it and all below it, until it is over."""
    shell = host.login()
    player = host.exec("replguard", "drill", parent=shell)
    assert ask(host, player, "drill", "self-replication").ok
    below = host.exec("python3", parent=player)
    events = [
        Event(timestamp=host.now, event=Meta(action="x"), process=proc.process) for proc in (player, below, shell)
    ]
    assert [marks(host, each).drill for each in events] == ["self-replication", "self-replication", None]
    host.provenance.desk.dismiss(player.entity)
    assert marks(host, events[0]).drill is None


def test_there_is_an_end_of_drills_at_a_time(host: Host) -> None:
    """One too many is told to wait."""
    for _ in range(MAX_DRILLS):
        assert ask(host, host.login(), "drill", "x").ok
    assert not ask(host, host.login(), "drill", "x").ok
    assert host.now - START < timedelta(minutes=1)

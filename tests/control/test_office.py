"""What is answered over the control socket, to whom, and what is refused."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.story import START, Host

from replguard.control.messages import Answer, Live, Maintenance, Question, Reload, Status
from replguard.control.office import Office
from replguard.control.peer import Peer
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.process import Process
from replguard.provenance.processes import Proc


class Desk:
    """An office over the processes of a story: what it puts into the queue is carried through at once."""

    def __init__(self) -> None:
        self.host = Host()
        self.folders: list[tuple[str, bool]] = []
        self.reloads = 0
        self.told: list[Event] = []
        self.office = Office(
            self.host.provenance.desk, self._put, lambda: {"pid": 7}, self._reload,
            lambda folder, there: self.folders.append((folder, there)),
        )  # fmt: skip

    def _put(self, event: Event) -> bool:
        self.told += self.host.provenance.feed(event)
        return True

    def _reload(self) -> None:
        self.reloads += 1

    def ask(
        self, question: Question, proc: Proc | None, uid: int = 0, there: Callable[[], bool] = lambda: False
    ) -> list[Answer]:
        process = proc.process if proc is not None else None
        return list(self.office.answers(question, Peer(uid, process), there))

    def facts(self) -> list[tuple[str | None, str | None]]:
        contexts = [event.replguard for event in self.told if event.action == "authority_change"]
        return [(about.source, about.status) for about in contexts if about is not None]


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(seconds=100))


def test_status_and_reload_need_no_look_at_who_asks() -> None:
    """They lower nothing."""
    desk = Desk()
    (status,) = desk.ask(Status(), None)
    assert (status.ok, bytes(status.told)) == (True, b'{"pid":7}')
    assert desk.ask(Reload(), None)[0].ok
    assert (desk.reloads, desk.told) == (1, [])


def test_another_user_is_refused_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is root's; whatever its mode became."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    desk = Desk()
    answers = [desk.ask(one, desk.host.login(), 1000)[0] for one in (Status(), Reload(), Maintenance(9, "x"))]
    assert [answer.ok for answer in answers] == [False] * 3
    assert desk.host.provenance.desk.windows.window is None


def test_a_window_is_begun_shown_and_ended() -> None:
    """With its reason, by a login."""
    desk = Desk()
    shell = desk.host.login()
    begun = desk.ask(Maintenance(600, "upgrade\x1b[2J"), shell)[0]
    assert begun.ok
    assert "upgrade" in begun.text
    assert "\x1b" not in begun.text
    assert "upgrade" in desk.ask(Maintenance(), None)[0].text
    assert desk.ask(Maintenance(0), shell)[0].text == "the maintenance window is over"
    assert "no maintenance" in desk.ask(Maintenance(), None)[0].text
    assert desk.facts() == [("maintenance", "accepted")] * 2


@pytest.mark.parametrize(
    "question", [Maintenance(86_401, "x"), Maintenance(-1, "x"), Maintenance(float("nan"), "x"), Maintenance(60, "  ")]
)
def test_what_makes_no_sense_is_answered_with_what_to_do(question: Maintenance) -> None:
    """And asked of nobody."""
    desk = Desk()
    assert not desk.ask(question, desk.host.login())[0].ok
    assert desk.facts() == []


def test_who_is_not_known_may_lower_nothing() -> None:
    """Neither one without a process, nor one that no sensor has seen."""
    desk = Desk()
    assert "not known" in desk.ask(Maintenance(60, "x"), None)[0].text
    assert desk.facts() == []
    stranger = Peer(0, Process(pid=4242, entity_id="nobody"))
    (answer,) = desk.office.answers(Maintenance(60, "x"), stranger, lambda: False)
    assert "not known" in answer.text
    assert desk.facts() == [("maintenance", "refused")]


def test_a_drill_gets_its_alerts_and_no_others_until_it_ends() -> None:
    """Its weights are protected meanwhile, and its mark goes with it."""
    desk = Desk()
    shell = desk.host.login()
    alert: Any = _alert("mine")
    looks = iter([True, True, False])

    def there() -> bool:
        desk.office.heard(alert)
        desk.office.heard(_alert("another"))
        desk.office.heard(_alert(None))
        return next(looks)

    answers = desk.ask(Live("mine", "/tmp/x"), shell, there=there)
    assert [answer.ok for answer in answers] == [True] * 3
    assert all(b'"mine"' in bytes(answer.told) for answer in answers[1:])
    assert desk.folders == [("/tmp/x", True), ("/tmp/x", False)]
    assert desk.host.provenance.desk.drills == {}
    assert desk.facts() == [("drill", "accepted")]


def test_a_drill_that_an_agent_announces_is_refused() -> None:
    """A mark would make people look away."""
    desk = Desk()
    host = desk.host
    host.server(host.protect())
    tool = host.exec("python3", parent=host.agent(host.login()))
    (answer,) = desk.ask(Live("mine", "/tmp/x"), tool)
    assert (answer.ok, desk.folders, desk.facts()) == (False, [], [("drill", "refused")])


def _alert(drill: str | None) -> Any:
    from datetime import UTC, datetime

    from replguard.events.alert import Alert, AlertContext, AlertMeta, AlertRule

    now = datetime(2026, 1, 1, tzinfo=UTC)
    about = AlertContext(schema=1, incident="i", state="firing", count=1, first_seen=now, last_seen=now, drill=drill)
    rule = AlertRule(id="r", name="r", level="low")
    return Alert(timestamp=now, message="m", event=AlertMeta(id="a"), rule=rule, replguard=about)

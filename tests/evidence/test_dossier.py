"""What the evidence keeps with an alert: what it names, from whom that descends, and its rule."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from replguard.events.alert import Alert, AlertContext, AlertMeta, AlertRule, Detection
from replguard.events.event import Event, Meta
from replguard.events.evidence import LINEAGE, RULE, STATE, Cited, RuleText
from replguard.events.process import Process, User
from replguard.evidence import dossier
from replguard.evidence.dossier import Dossier

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
RULES = AlertRule(id="r1", name="a-rule", level="high")


def event(number: int, entity: str = "shell", kind: str = "event") -> Event:
    """An event of a process."""
    meta = Meta(action="process_exec", kind=kind, id=f"e{number}", sequence=number)
    return Event(timestamp=NOON, event=meta, process=Process(pid=number, entity_id=entity))


def alert(*evidence: str, incident: str = "i1", entity: str = "shell") -> Alert:
    """An alert that names events."""
    about = AlertContext(
        schema=1, incident=incident, state="firing", count=1, first_seen=NOON, last_seen=NOON, evidence=evidence
    )
    return Alert(
        timestamp=NOON,
        message="something",
        event=AlertMeta(id="a1"),
        rule=RULES,
        replguard=about,
        process=Process(pid=1, entity_id=entity),
    )


def detection(*events: Event) -> Detection:
    """A rule that matched events."""
    return Detection(rule=RULES, key="k", events=events)


ABOVE = {"shell": ("shell", "init"), "tar": ("tar", "shell", "init")}
"""A host on which a shell was started by init."""


def beside(kept: Dossier, alert: Alert) -> list[Event | Cited]:
    """What the evidence holds with an alert, once it is known who started whom."""
    above = [event(0, each) for entity in kept.acting(alert) for each in ABOVE.get(entity, ())]
    return [*kept.of(alert), *kept.lineage(alert.replguard.incident, alert.timestamp, above)]


@pytest.fixture
def kept() -> Dossier:
    """A dossier of that host."""

    def texts(rule: str) -> list[RuleText]:
        return [RuleText(id=rule, name="a-rule", path="a.yml", sha256="00", text="title: A\n")]

    return Dossier(texts)


def shown(found: list[Event | Cited]) -> list[str]:
    """Ids of events, entities of the lineage, ids of rules."""
    told = []
    for each in found:
        if isinstance(each, Cited):
            told.append(f"{each.event.action} {each.rule.id}")
        elif each.event.action == LINEAGE and each.process is not None:
            told.append(f"above {each.process.entity_id}")
        else:
            told.append(each.event.id)
    return told


def test_what_an_alert_names_is_kept_once(kept: Dossier) -> None:
    """Raw events, the lineage of each and the rule are told with the first alert; the next tells what is new."""
    kept.heard(detection(event(1), event(2, "tar")))
    assert shown(beside(kept, alert("e1", "e2"))) == [
        "e1",
        "e2",
        f"{RULE} r1",
        "above shell",
        "above init",
        "above tar",
    ]
    kept.heard(detection(event(3, "tar")))
    assert shown(beside(kept, alert("e1", "e2", "e3"))) == ["e3"]


def test_each_incident_stands_by_itself(kept: Dossier) -> None:
    """What another incident names too is kept for it as well: the first one may be gone by then."""
    kept.heard(detection(event(1)))
    first = shown(beside(kept, alert("e1")))
    assert shown(beside(kept, alert("e1", incident="i2"))) == first


def test_facts_are_not_repeated(kept: Dossier) -> None:
    """The evidence has each fact already; whose process it tells of is kept all the same."""
    kept.heard(detection(event(1, "tar", "enrichment")))
    assert shown(beside(kept, alert("e1"))) == [f"{RULE} r1", "above tar", "above shell", "above init"]


def test_states_never_look_like_events(kept: Dossier) -> None:
    """An ancestor is no exec that happened now: it is a state, with the time of the alert and an id of its own."""
    found = [each for each in beside(kept, alert()) if isinstance(each, Event)]
    assert {each.event.kind for each in found} == {STATE}
    assert len({each.event.id for each in found}) == len(found) == 2


def test_other_rules_are_told_anew(kept: Dossier) -> None:
    """After a reload the text is told again where it has changed."""
    texts = iter(["00", "00", "11"])

    def text(rule: str) -> list[RuleText]:
        return [RuleText(id=rule, name="a-rule", path="a.yml", sha256=next(texts), text="title: A\n")]

    changing = Dossier(text)
    assert shown(list(changing.of(alert()))) == [f"{RULE} r1"]
    assert shown(list(changing.of(alert()))) == []
    changing.reloaded()
    assert shown(list(changing.of(alert()))) == []
    changing.reloaded()
    assert shown(list(changing.of(alert()))) == [f"{RULE} r1"]


def test_a_rule_that_matches_everything_cannot_fill_memory(kept: Dossier) -> None:
    """The newest events are held, and those that were let go are counted."""
    most = dossier.MOST_EVENTS
    for number in range(most + 15):
        kept.heard(detection(event(number)))
    assert kept.forgotten == 15
    assert shown(beside(kept, alert("e1", f"e{most}", f"e{most + 14}")))[:2] == [f"e{most}", f"e{most + 14}"]


def test_who_makes_many_pushes_out_his_own(kept: Dossier) -> None:
    """What another one did stays until an alert names it."""
    theirs = replace(event(0), user=User(id=1000))
    kept.heard(detection(theirs))
    for number in range(1, dossier.MOST_EVENTS + 100):
        kept.heard(detection(replace(event(number), user=User(id=65534))))
    assert shown(beside(kept, alert("e0")))[0] == "e0"


def test_giant_arguments_cannot_fill_memory_or_disk(kept: Dossier) -> None:
    """Of 2 MiB of arguments both ends are kept."""
    giant = event(1)
    assert giant.process is not None
    line = "a" * 2**20 + "z" * 2**20
    kept.heard(detection(replace(giant, process=replace(giant.process, args=(line,), command_line=line))))
    (written, *_) = kept.of(alert("e1"))
    assert isinstance(written, Event)
    assert written.process is not None
    assert written.process.args_truncated
    shown_line = written.process.command_line or ""
    assert (shown_line[:5], shown_line[-5:], len(shown_line) < 10_000) == ("aaaaa", "zzzzz", True)


def test_a_fact_without_room_is_told_with_its_alert(kept: Dossier) -> None:
    """It stands nowhere else in the evidence."""
    fact = event(1, "tar", "enrichment")
    kept.withheld(fact)
    kept.heard(detection(fact, event(2, "tar", "enrichment")))
    assert shown(beside(kept, alert("e1", "e2")))[0] == "e1"
    assert "e2" not in shown(beside(kept, alert("e1", "e2", incident="i2")))


def test_many_incidents_cannot_fill_memory(kept: Dossier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the oldest it is forgotten what was told: it would be told twice, never left out."""
    monkeypatch.setattr(dossier, "MOST_INCIDENTS", 2)
    for incident in ("i1", "i2", "i3", "i1"):
        assert shown(beside(kept, alert(incident=incident)))

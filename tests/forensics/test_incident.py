"""An incident is read from the evidence alone."""

import random

import pytest
from support import cases, logs

from replguard.events import wire
from replguard.events.alert import Detection
from replguard.events.event import Event, Meta
from replguard.events.evidence import CHECKPOINT, STATE, Checkpoint, Kept, RuleText
from replguard.events.file import File
from replguard.evidence.dossier import Dossier
from replguard.forensics import incident


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Give the incident of a log of several segments."""
    place = tmp_path_factory.mktemp("found")
    return incident.gather(cases.made(place / "log", place / "state"), cases.INCIDENT)


def ids(entries):
    return [each.what.event.id for each in entries]


def test_everything_of_it_is_found(found):
    """Alerts as they were told last, events in order, the lineage up to the entry point, snapshots, rules."""
    assert ids(found.alerts) == ["a1", "b2"]
    assert ids(found.told) == ["a1", "b2", "a1"]
    assert found.alerts[0].what.replguard.state == "resolved"
    assert ids(found.events) == ["ev-1", "ev-2", "ev-3", "ev-5", "ev-6", "ev-7", "ev-8", "ev-60"]
    assert {each.what.process.entity_id for each in found.lineage} == {"sh", "ag", "cp", "sv"}
    assert (ids(found.snapshots), ids(found.rules)) == (["shot"], ["cited"])
    assert found.host.name == "gpu1"


def test_what_is_not_its_own_is_left(found):
    """The backup's reading is allowed and somebody else's, and so is its incident."""
    assert not {"ev-50", "c3"} & set(ids(found.entries))


def test_the_alert_that_tells_most_leads(tmp_path, found):
    """The worst; or the one that was asked for."""
    assert found.lead.event.id == "b2"
    asked = incident.gather(cases.made(tmp_path / "log", tmp_path / "state"), cases.INCIDENT, "a1")
    assert (asked.lead.event.id, asked.level, asked.is_firing) == ("a1", "critical", True)
    assert found.began == cases.at(1)


def test_each_record_is_as_it_stands_in_the_log(found):
    """Its bytes decode to what is told, in the order of the log."""
    places = [(each.at.segment, each.at.line) for each in found.entries]
    assert places == sorted(places)
    assert len({segment for segment, _ in places}) > 1
    assert all(wire.encode(each.what) == each.at.data for each in found.entries)


def test_what_is_missing_is_said(found, tmp_path):
    """Of an older log all that it lacks, in sentences; nothing is missing of the events of a whole one."""
    assert found.missing == ["of 1 of its rules the text as it was then is not in the evidence"]
    told = [each for each in cases.records() if getattr(each.event, "kind", "") != "state" and each.event.id != "ev-2"]
    old = incident.gather(cases.made(tmp_path / "log", tmp_path / "state", told), cases.INCIDENT)
    assert old.missing == [
        "1 of the 5 events that its alerts name are not in the evidence",
        "no lineage of its processes was kept: what is above them is told as far as the events say it",
        "no snapshot was taken of its processes",
        "of 2 of its rules the text as it was then is not in the evidence",
    ]


def test_an_unknown_incident_has_no_alerts(tmp_path):
    """And nothing else."""
    found = incident.gather(cases.made(tmp_path / "log", tmp_path / "state"), "f" * 16)
    assert (found.alerts, found.entries) == ([], [])


def test_hostile_bytes_are_no_exception(tmp_path):
    """Any byte of a log may be another one."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    logs.plain(folder)
    paths, rand = list(logs.segments(folder, "evidence")), random.Random(7)
    for _ in range(60):
        path = rand.choice(paths)
        whole = path.read_bytes()
        data = bytearray(whole)
        for _ in range(20):
            data[rand.randrange(len(data))] = rand.randrange(256)
        path.write_bytes(data)
        found = incident.gather(folder, cases.INCIDENT)
        assert all(each.what.replguard.incident == cases.INCIDENT for each in found.alerts)
        path.write_bytes(whole)


def test_memory_is_bounded(tmp_path, monkeypatch):
    """Of too many events some are left out, and it is said; of too many ancestors the first."""
    monkeypatch.setattr(incident, "MOST", 4)
    monkeypatch.setattr(incident, "MOST_LINEAGE", 500)
    found = incident.gather(cases.made(tmp_path / "log", tmp_path / "state"), cases.INCIDENT)
    named = {id_ for each in found.alerts for id_ in each.what.replguard.evidence}
    kept = {each.what.event.id for each in found.events}
    assert named <= kept
    assert len(kept) == 6
    assert "2 more events of its actors are left out: this tells of 6" in found.missing
    assert len(found.lineage) < 4


def test_what_is_kept_with_an_alert_is_found(tmp_path):
    """As the daemon itself writes it: the events that no fact is, whom that descends from, the texts of the rules."""
    _, access, copied, *_ = told = cases.records()
    ran = next(each for each in told if each.event.id == "ev-2")
    raised = cases.alert("a1", "self-replication", "high", "cp", 3, (1, 2, 3))
    rule = RuleText(id=raised.rule.id, name="x", path="x.yml", sha256="0", text="title: x\n")
    way = [
        Event(timestamp=cases.at(0), event=ran.event, process=cases.process(entity)) for entity in ("cp", "ag", "sh")
    ]
    dossier = Dossier(lambda _: [rule])
    dossier.heard(Detection(rule=raised.rule, key="k", events=(access, ran, copied)))
    above = dossier.lineage(raised.replguard.incident, raised.timestamp, way)
    folder = cases.made(tmp_path / "log", tmp_path / "state", [access, copied, raised, *dossier.of(raised), *above])
    found = incident.gather(folder, cases.INCIDENT)
    assert ids(found.events) == ["ev-1", "ev-2", "ev-3"]
    assert [each.what.process.entity_id for each in found.lineage] == ["cp", "ag", "sh"]
    assert [each.what.rule for each in found.rules] == [rule]
    assert found.missing == ["no snapshot was taken of its processes"]


def test_the_first_checkpoints_after_it_are_told(tmp_path):
    """Of the evidence, made when all of it stood there: by them it can be proven."""

    def kept(stream, seconds, size):
        made = Checkpoint(stream=stream, segment=1, size=size, key="k", note="n")
        return Kept(timestamp=cases.at(seconds), event=Meta(action=CHECKPOINT, kind=STATE), checkpoint=made)

    made = [kept("evidence", 5, 2), kept("raw", 30, 9), *(kept("evidence", 30 + n, 10 + n) for n in range(5))]
    folder = cases.made(tmp_path / "log", tmp_path / "state", [*cases.records(), *made])
    found = incident.gather(folder, cases.INCIDENT)
    assert [each.what.checkpoint.size for each in found.checkpoints] == [10, 11, 12]


def test_of_an_alert_that_is_told_over_and_over_the_ends_are_kept(tmp_path, monkeypatch):
    """And what is left out is said."""
    monkeypatch.setattr(incident, "MOST_TOLD", 10)
    again = [cases.alert("a1", "weights-copy-agent", "high", "cp", 3, (1, 3), state="resolved") for _ in range(30)]
    found = incident.gather(
        cases.made(tmp_path / "log", tmp_path / "state", [*cases.records(), *again]), cases.INCIDENT
    )
    assert len(found.told) <= 11
    assert ids(found.alerts) == ["a1", "b2"]
    assert found.missing[-1] == f"{33 - len(found.told)} repeats of its alerts are left out"


def test_a_closed_incident_does_not_grow(tmp_path):
    """What its actor does after the last word on it, "resolved", is another one's; of an open one it is its own."""
    closing = cases.alert("b2", "self-replication", "critical", "sv", 22, (2, 3, 8), state="resolved")
    again = cases.fact("weights_copy", 70, "cp", 60, file=File(path="/tmp/c"))
    for number, (told, is_in) in enumerate((([closing, again], False), ([again, closing], True), ([again], True))):
        folder = cases.made(tmp_path / f"log{number}", tmp_path / f"state{number}", [*cases.records(), *told])
        assert ("ev-70" in ids(incident.gather(folder, cases.INCIDENT).events)) is is_in


def test_it_is_told_up_to_a_place(tmp_path):
    """What stands behind it is left out, and which alerts and named events that are can be asked."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    whole = incident.gather(folder, cases.INCIDENT)
    first, second, again = (each.at for each in whole.told)
    part = incident.gather(folder, cases.INCIDENT, until=(first.segment, first.line))
    assert ids(part.alerts) == ["a1"]
    assert incident.lacking(whole, part, part.told) == {"b2"}
    part = incident.gather(folder, cases.INCIDENT, until=(second.segment, second.line))
    assert incident.lacking(whole, part, part.told) == {"ev-2"}, (
        "the event that is kept with the alert stands behind it"
    )
    nearly = incident.gather(folder, cases.INCIDENT, until=(again.segment, again.line - 1))
    assert (ids(nearly.told), incident.lacking(whole, nearly, nearly.told)) == (["a1", "b2"], set())


def test_it_is_told_again_by_its_records_alone(found):
    """Those that were found give the same incident, without the log."""
    again = incident.among([each.at for each in found.entries], cases.INCIDENT, None, found.host)
    assert again == found


def test_a_missing_segment_is_told(tmp_path):
    """It may have held something."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    (gone, *_) = [path for path in logs.segments(folder, "evidence") if path.name.startswith("evidence-000002")]
    gone.unlink()
    assert any("evidence segment 2 is missing" in each for each in incident.gather(folder, cases.INCIDENT).missing)


def test_thousands_of_one_kind_leave_room_for_what_counts(tmp_path, monkeypatch):
    """What an alert names is always told, and so is the one copy among the listeners."""
    monkeypatch.setattr(incident, "MOST_OF_A_KIND", 5)
    told = cases.records()
    flood = [cases.fact("network_listen", 1000 + number, "cp", 0.5 + number / 100) for number in range(40)]
    found = incident.gather(cases.made(tmp_path / "log", tmp_path / "state", [*flood, *told]), cases.INCIDENT)
    actions = [each.what.event.action for each in found.events]
    assert actions.count("network_listen") <= 6
    assert {"weights_copy", "weights_egress", "server_live"} <= set(actions)
    assert any("more events of its actors are left out" in each for each in found.missing)
    assert not any("alerts name are not in the evidence" in each for each in found.missing)

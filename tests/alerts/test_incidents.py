import random
from datetime import timedelta

import pytest
from support.making import T0, at

from replguard.alerts import incidents
from replguard.alerts.incidents import Incidents


def test_joined_by_any_key():
    """What shares an actor or something made is one incident; what shares nothing is another."""
    all_ = Incidents()
    first = all_.join(("actor:a", "artefact:1"), "b-1", at(0))
    assert all_.join(("actor:b", "artefact:1"), "b-2", at(1)) is first
    assert all_.join(("actor:b",), "b-3", at(2)) is first
    assert all_.join(("actor:c",), "b-4", at(3)) is not first


def test_what_drives_an_actor_joins_where_it_was_made():
    """An incident that made it is joined; two actors that it drives, and that share nothing else, are kept apart."""
    all_ = Incidents()
    made = all_.join(("actor:a", "artefact:replica"), "b-1", at(0))
    assert all_.join(("actor:b",), "b-2", at(1), "artefact:replica") is made
    assert all_.join(("actor:b",), "b-3", at(2)) is made
    first = all_.join(("actor:c",), "b-4", at(3), "artefact:allowed")
    assert all_.join(("actor:d",), "b-5", at(4), "artefact:allowed") is not first


def test_ids_derive_from_the_first_evidence():
    """The same beginnings give the same id, in any process."""
    one, two = Incidents().join(("actor:a",), "b-1", at(0)), Incidents().join(("actor:a",), "b-1", at(9))
    assert one.id == two.id
    assert Incidents().join(("actor:a",), "b-2", at(0)).id != one.id


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (timedelta(0), timedelta(minutes=119), False),
        (timedelta(0), timedelta(hours=2), True),
        (timedelta(hours=23), timedelta(hours=23, minutes=59), False),
        (timedelta(hours=23), timedelta(hours=24), True),
        (timedelta(hours=30), timedelta(0), True),
    ],
)
def test_when_it_is_over(last, now, due):
    """Two quiet hours end it, a day at the most, and a clock that was set back does not keep it open."""
    all_ = Incidents()
    all_.join(("k",), "b-1", T0)
    all_.join(("k",), "b-2", T0 + last)
    assert bool(all_.due(T0 + now)) is due


def test_bounded(monkeypatch):
    """Beyond the limit the oldest is forgotten, counted, and nothing joins it."""
    monkeypatch.setattr(incidents, "MAX_OPEN", 2)
    all_ = Incidents()
    first, second, _ = (all_.join((f"k{n}",), f"b-{n}", at(n)) for n in range(3))
    assert all_.evicted == 1
    assert all_.join(("k1",), "b-9", at(9)) is second
    assert all_.join(("k0",), "b-9", at(9)) is not first
    assert len(list(all_)) == 2


def test_keys_are_bounded(monkeypatch):
    """An actor that makes things without end does not make the incident grow without end."""
    monkeypatch.setattr(incidents, "MAX_KEYS", 10)
    all_ = Incidents()
    for n in range(100):
        incident = all_.join(("actor:a", f"artefact:{n}"), f"b-{n}", at(n))
    assert len(incident.keys) == 10
    all_.forget(incident)
    assert not all_._by_key


def test_asked_often_it_says_what_it_would_if_asked_once():
    """Whatever the clock does in between, and whatever joins: no look is left out that would have found one."""
    chance = random.Random(3)
    often, rarely, now = Incidents(), Incidents(), 0.0
    for number in range(3000):
        now += chance.choice([1, 60, 600, 600, 7200, -30, -100_000, 90_000]) if chance.random() < 0.2 else 1
        if chance.random() < 0.1:
            key, when = f"actor:{chance.randrange(20)}", at(now + chance.choice([0, 0, -50, 200_000]))
            often.join((key,), f"b-{number}", when)
            rarely.join((key,), f"b-{number}", when)
        fresh = Incidents()
        fresh._open = rarely._open
        over = {each.id for each in fresh.due(at(now))}
        assert {each.id for each in often.due(at(now))} == over
        for all_ in (often, rarely):
            for each in [each for each in all_ if each.id in over]:
                all_.forget(each)
    assert len(list(often)) == len(list(rarely))

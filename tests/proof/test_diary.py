"""A drawn day is ordinary, whole, and the same for the same seed."""

import subprocess
from itertools import pairwise

import pytest
from proof.diary import FACTOR, FIRST, HOURS, LAST, drawn
from proof.work import PEOPLE, WORK
from support.matrix.cases import CASES

SEEDS = range(1, 21)


def test_a_seed_is_a_day():
    """The same one each time, and no other seed's: neither its order, nor its models, nor how things are done."""
    assert drawn(3) == drawn(3)
    others = [drawn(seed) for seed in SEEDS]
    assert len({tuple(act.name for act in one.acts) for one in others}) == len(others)
    assert len({tuple(one.models.items()) for one in others}) == len(others)
    texts = {act.act for one in others for act in one.acts if act.kind == "deploy"}
    assert len(texts) > len(others)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_act_is_in_its_hours(seed):
    """Each kind of work is done as often and when it is done; backups at night, deploys in the morning."""
    one = drawn(seed)
    assert len({act.name for act in one.acts}) == len(one.acts)
    assert [act.hour for act in one.acts] == sorted(act.hour for act in one.acts)
    assert one.acts[-1].hour - one.acts[0].hour >= 8
    for work in WORK:
        found = [act for act in one.acts if act.kind == work.name]
        assert work.times[0] <= len(found) <= work.times[1]
        assert all(work.hours[0] <= act.hour <= work.hours[1] for act in found)
        theirs = one.people if work.about == PEOPLE else one.served
        assert all(act.model in theirs for act in found)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_service_runs_once_at_a_time(seed):
    """A restart comes after the stop, each server ends on the day, and every served model has one."""
    servers = [act for act in drawn(seed).acts if act.kind == "server"]
    assert {act.model for act in servers} == set(drawn(seed).served)
    for who in {act.who for act in servers}:
        runs = [(act.hour, act.hour + act.held * FACTOR / 3600) for act in servers if act.who == who]
        assert all(before[1] < after[0] for before, after in pairwise(runs))
        assert runs[0][0] >= FIRST
        assert runs[-1][1] <= LAST + 0.1 < HOURS


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_every_act_is_a_shell_script(seed):
    """As far as a shell can tell without running it."""
    whole = "\n".join(f"(\n{act.act}\n)" for act in drawn(seed).acts)
    done = subprocess.run(["sh", "-n"], input=whole, text=True, capture_output=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_much_of_it_is_not_in_the_matrix():
    """Acts are drawn, not the matrix's played again."""
    known = {case.act for case in CASES}
    acts = {act.act for act in drawn(1).acts}
    assert len(acts - known) > 40
    assert len(acts) - len(acts - known) < 20

"""The benign matrix: ordinary work raises nothing loud without a manifest, and nothing to look into with one."""

import pytest
from support.matrix import day
from support.matrix.cases import CASES
from support.programs import Lacking

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lived(request):
    """Live once through all that is asked for, before a daemon without a manifest and one that has it."""
    calls = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    asked = {call.params["case"].name for call in calls if call is not None}
    try:
        with day.lived([case for case in CASES if case.name in asked]) as one:
            yield one
    except Lacking as lacking:
        pytest.skip(str(lacking))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ordinary_work_is_not_raised(lived, case):
    """High and critical are for what nobody set up; with a manifest even medium is."""
    if case.name in lived.failed:
        why = lived.failed[case.name]
        assert "not found" in why, f"it could not be played: {why}"
        pytest.skip(why)
    slug = lived.slugs[case.name]
    assert lived.raised("told", slug, "medium") == []
    loud = lived.raised("alone", slug, "high")
    assert loud == [] or case.nature, "raised without a manifest"
    assert bool(loud) == bool(case.nature), "it is raised no more: take its nature out"


def test_nothing_else_is_raised(lived):
    """What is about none of the cases is nobody's act, and no reason to wake anybody."""
    assert lived.raised("alone", None, "high") == []
    assert lived.raised("told", None, "medium") == []


def test_enough_is_played():
    """What is by nature unauthorised stays the exception."""
    assert len(CASES) >= 60
    assert sum(bool(case.nature) for case in CASES) <= 3

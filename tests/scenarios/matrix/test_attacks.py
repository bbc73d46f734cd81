"""The technique matrix: every row is told as what it is, as whose act it is, at its level; or it is a known gap."""

from itertools import combinations, product
from pathlib import Path

import pytest
from support.matrix import field, gaps, page, pairs, rows
from support.matrix.rows import ROWS
from support.programs import Lacking

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def played(request):
    """Play every row that is asked for before one daemon in the kernel tier; the tests ask what came of each."""
    calls = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    asked = {call.params["row"].name for call in calls if call is not None and "row" in call.params}
    try:
        with field.played(rows=[row for row in ROWS if row.name in asked]) as one:
            yield one
    except Lacking as lacking:
        pytest.skip(str(lacking))


def test_every_pair_of_choices_is_played():
    """A program that only meets in threes is not looked for; each two choices meet."""
    axes = {"a": ("1", "2", "3"), "b": ("x", "y"), "c": ("p", "q", "r", "s")}
    plays = pairs.covering(axes)
    met = {pair for play in plays for pair in combinations(play, 2)}
    assert met == {pair for one, other in combinations(axes.values(), 2) for pair in product(one, other)}
    assert len(plays) == len(set(plays)) < 3 * 2 * 4
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert sum(row.family == "copy" for row in ROWS) >= 150
    copies = [row for row in ROWS if row.family == "copy"]
    assert {(row.first, row.hand) for row in copies} >= set(product(rows.COPY, rows.HANDS))
    assert {(row.then, row.launch) for row in copies} >= set(product(rows.THEN, rows.LAUNCHES))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_told(played, row):
    """What is told of the row is what the meanings say, but for what is known to be missed: no less, and no more."""
    if row.name in played.failed:
        pytest.skip(played.failed[row.name])
    assert played.missed(row) == gaps.KERNEL.get(row.name, frozenset()), "\n".join(played.lines(row))


@pytest.mark.parametrize("families", [("copy", "serve", "use"), ("copy", "serve", "use", "send")], ids=" ".join)
def test_nearly_all_is_told(families):
    """Of all rows 99 in 100 are right."""
    meant = {row.name for row in ROWS if row.family in families}
    assert gaps.KERNEL.keys() <= rows.BY_NAME.keys()
    assert len(meant & gaps.KERNEL.keys()) <= len(meant) / 100


def test_the_page_shows_what_is_tested():
    """The reference has every row with its expectation, and every gap."""
    text = (ROOT / "docs" / "reference" / "matrix.md").read_text("utf-8")
    assert text == page.text(), "stale: run make matrix-page"

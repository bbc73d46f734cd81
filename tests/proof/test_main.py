"""`make prove` goes on where it was cut off, and says which figure became worse."""

import argparse
import importlib
import json
from types import SimpleNamespace

import pytest

main = importlib.import_module("proof.__main__")


class Part(SimpleNamespace):
    TITLE, TRIALS = "A part", 2

    def planned(self, trials):
        return [f"{name}/{number}" for number in range(1, trials + 1) for name in ("one", "two")]

    def run(self, key):
        self.played.append(key)
        return {"good": self.good}

    def line(self, row):
        return str(row)

    def figures(self, rows):
        return {"share": sum(row["good"] for row in rows.values()) / len(rows)} if rows else {}


@pytest.fixture
def part(monkeypatch, tmp_path):
    one = Part(played=[], good=True)
    monkeypatch.setattr(main, "PARTS", {"part": (one, None)})
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    return one


def asked(*names, trials=None, again=False):
    return argparse.Namespace(names=list(names), trials=trials, again=again)


def test_what_is_there_is_not_played_again(part):
    """Unless it is asked for; a trial that was not played counts as none."""
    main._played("part", asked("one"))
    assert part.played == ["one/1", "one/2"]
    main._played("part", asked(trials=1))
    assert part.played[2:] == ["two/1"]
    rows = main._read("part")
    rows["two/1"]["failed"] = "too slow"
    main._keep("part", rows)
    main._played("part", asked(trials=1))
    assert part.played[3:] == ["two/1"]
    main._played("part", asked("one/1", again=True))
    assert part.played[4:] == ["one/1"]


def test_each_trial_is_kept_at_once(part, tmp_path):
    """A line each, in order."""
    main._played("part", asked())
    lines = [json.loads(line) for line in (tmp_path / "part.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == ["one/1", "one/2", "two/1", "two/2"]


def test_a_figure_that_became_worse_is_told(part):
    """And only that."""
    assert main._played("part", asked()) == []
    assert main._played("part", asked("one/1", again=True)) == []
    part.good = False
    assert main._played("part", asked("one/1", again=True)) == ["share: 0.75, was 1.00"]

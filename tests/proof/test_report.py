"""What the page says of trials."""

from proof import published, report

GOOD = {
    "server": "embed", "factor": 60.0, "day": "2026-11-27", "commit": "abc", "critical": "server-live-agent",
    "loudest": "critical", "act": "live", "delay": 0.05, "answer": 0.2, "before_answer": True, "right": True,
    "wrong": [], "incidents": 1, "replay": "", "stretched": "", "steps": [[0.0, 20.0, "x", None]],
    "cpu": 1.0, "seconds": 20.0,
    "memory": 100, "lost": {},
    "machine": {"cores": 2, "cpu": "a", "memory_gib": 8.0, "kernel": "6.18", "python": "3.11"},
}  # fmt: skip


def test_a_table_says_in_how_many_trials_each_claim_holds():
    """A claim that does not apply is not counted, and a trial that was not played neither."""
    late = GOOD | {"before_answer": False, "delay": 0.5}
    rows = {"fudan/1": GOOD, "fudan/2": late, "fudan/3": {"failed": "too slow", "factor": 60.0, "server": "embed"}}
    rows["tunnel/1"] = GOOD | {"before_answer": None, "answer": None, "critical": None, "delay": None, "right": False}
    text = "\n".join(report.page(rows))
    assert "| 3 | 2/2 | 1/2 | 2/2 | 2/2 | 2/2 | 2/2 | live | 0.05 to 0.50 | 0.20 to 0.20 |" in text
    assert "| 1 | 0/1 | – | 0/1 |" in text
    assert "after the replica's answer" in text
    assert "not played: too slow" in text
    assert "5.0 % of a core" in text


def test_figures_are_the_shares():
    """By attack and claim."""
    figures = published.figures({"fudan/1": GOOD, "fudan/2": GOOD | {"incidents": 2}})
    assert figures["fudan: one incident"] == 0.5
    assert figures["fudan: told at critical"] == 1.0
    assert not [name for name in figures if name.startswith("chain")]


def test_every_trial_has_a_key():
    """The first of each attack comes first, so that a page exists early; one at full length is played once."""
    keys = published.planned(2)
    assert len(keys) == len(set(keys)) == 2 * len(published.ATTACKS) - 1
    assert {key.partition("/")[2] for key in keys[: len(published.ATTACKS) - 1]} == {"1"}

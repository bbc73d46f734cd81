"""What the page says of the comparison."""

from typing import Any

from proof import compare, compared

SIGMA = {"Curl": ["low", 3, -9.0], "Nohup": ["medium", 1, -2.0]}
ATTACK: dict[str, Any] = {
    "act": "tunnel", "critical": "own-model-tunnels", "delay": -0.02, "right": True, "server": "graph", "records": 29,
    "audit": {"susp_shell": [7, -9.0], "recon": [1, -3.4]}, "sigma": SIGMA, "names": 0, "named": None, "what": None,
    "rules": {"auditd": "abc", "zircolite": "def"},
}  # fmt: skip
ORDINARY: dict[str, Any] = {
    "cases": 72, "audit": {"susp_shell": [900, 0.0]}, "sigma": {"Curl": ["low", 40, 0.0]}, "records": 5000, "names": 81,
    "replguard": {"alone": {"low": 40, "high": 2}, "told": {}}, "rules": {"auditd": "abc", "zircolite": "def"},
}  # fmt: skip


def test_what_ordinary_work_says_too_is_told_apart() -> None:
    """What is said in both calls nobody; each set of rules is named by its commit."""
    text = "\n".join(compared.page({"tunnel/1": ATTACK, "ordinary": ORDINARY}))
    assert "| -0.02 s | 2 | `recon` (-3 s) | 2 | medium | Nohup (medium, -2 s) | no |" in text
    assert "Neo23x0/auditd (abc)" in text
    assert "| 900 acts with a key | 1 keys |" in text
    assert "| replguard, no manifest | 42 alerts | 2 high, 40 low |" in text


def test_what_was_not_played_is_said() -> None:
    """Also where nothing was."""
    text = "\n".join(compared.page({"tunnel/1": {"failed": "auditd is not installed"}}))
    assert "tunnel/1: not played: auditd is not installed" in text
    assert compare.line({"failed": "x"}) == "not played: x"


def test_each_attack_is_compared_once() -> None:
    """And ordinary work at last; the one of full length is left out."""
    keys = compare.planned(1)
    assert keys[-1] == "ordinary"
    assert "fudan/1" in keys
    assert "fudan-full/1" not in keys

"""What is known to be missed of the technique matrix, by the name of the row, and why.

What the last whole play (`make matrix`) missed stands in a file for each tier, a row a line. In the kernel tier a test
holds it: a gap that closes must not stay one. The portable tier looks now and then, so that no test can.
"""

from collections.abc import Mapping
from pathlib import Path

from support.matrix.rows import Row

Gaps = Mapping[str, frozenset[str]]
_FOLDER = Path(__file__).parent


def noted(tier: str) -> Gaps:
    """Return what was missed in a tier, by row and by what word of it."""
    path = _FOLDER / f"{tier}.txt"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    pairs = (line.rpartition(": ") for line in lines if line and not line.startswith("#"))
    return {name: frozenset(words.split(", ")) for name, _, words in pairs}


def note(tier: str, missed: Gaps) -> None:
    """Write what was missed in a tier."""
    head = f"# Missed by the last whole play in the {tier} tier; written by make matrix."
    lines = [f"{name}: {', '.join(sorted(words))}" for name, words in missed.items()]
    (_FOLDER / f"{tier}.txt").write_text("\n".join([head, *lines]) + "\n", "utf-8")


def why(row: Row) -> str:
    """Return why a row is missed in the kernel tier."""
    if row.first == "memfd":
        return "what is written into memory has no name; a server of it is told"
    if row.first == "bind mount":
        return "a mount in a namespace of its own is not looked at; what is read through it is told"
    return "not found out yet"


KERNEL, PORTABLE = noted("kernel"), noted("portable")

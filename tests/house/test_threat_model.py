"""The threat model claims nothing that no test proves, and names no test that is not there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "threat-model.md"
PROOF = re.compile(r"`([\w/]+\.py)::(\w+)`")


def claims() -> list[list[str]]:
    """Return the cells of each row of a table that has proofs."""
    found, proven = [], False
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            proven = False
        elif cells[-1] == "proof":
            proven = True
        elif proven and not set(line) <= set("|-: "):
            found.append(cells)
    return found


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """Return the test functions of a file."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("cells", claims(), ids=lambda cells: re.sub(r"\W+", "-", cells[1])[:60])
def test_each_claim_has_a_test(cells: list[str]) -> None:
    """By file and name; the test is there, and its sentence says what holds."""
    assert len(cells) == 4
    proofs = PROOF.findall(cells[3])
    assert proofs, cells
    assert PROOF.sub("", cells[3]).strip(", ") == ""
    for file, name in proofs:
        there = functions(TESTS / file)
        assert name in there, f"{file} has no {name}"
        assert ast.get_docstring(there[name])


def test_every_kind_of_attack_is_dealt_with() -> None:
    """Read, stop, blind, spoof, exhaust and escalate have claims, for each profile something is said."""
    text = PAGE.read_text()
    sections = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert {"Read", "Stop", "Blind", "Spoof", "Exhaust", "Escalate"} <= set(sections)
    assert len(claims()) >= 25
    for profile in ("as a user", "as the service's user", "in a container", "root on the host"):
        assert profile in text


def test_every_test_of_the_unprivileged_is_named() -> None:
    """A claim that is proven and not made is lost on the reader."""
    named = {f"{file}::{name}" for cells in claims() for file, name in PROOF.findall(cells[3])}
    for path in sorted((TESTS / "scenarios").glob("test_unprivileged*.py")):
        for name in functions(path):
            if name.startswith("test_"):
                assert f"scenarios/{path.name}::{name}" in named

"""Rows are shown so that nothing which an attacker chose can act."""

import csv
import io
from datetime import datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from replguard.forensics import rows
from replguard.forensics.query import Answer

WHEN = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as a column holds it
PLACED = {
    "stream": "raw", "segment": 3, "line": 7, "time": WHEN, "action": "file_create", "rule_name": None, "pid": 9,
    "actor_name": "bash", "command_line": None, "executable": None, "message": None, "path": None, "ip": None,
    "port": None, "socket": None, "component": None, "health": None, "reason": None,
}  # fmt: skip


def answer(*found, columns=None, kinds=None):
    """Return an answer of some rows."""
    columns = columns or [f"c{n}" for n in range(len(found[0]))]
    return Answer(columns, kinds or ["VARCHAR"] * len(columns), iter(found))


def printed(table):
    """Return a table as a file gets it."""
    out = io.StringIO()
    Console(file=out, width=10_000, markup=False).print(table)
    return out.getvalue()


def test_json_lines():
    """An object a row: times in UTC, lists and nested values as they are, what is unknown left out."""
    found = answer(
        (1, None, WHEN, ["a"], {"k": WHEN}, '{"x":1}', 2**70, float("nan")),
        kinds=["BIGINT", "VARCHAR", "TIMESTAMP", "VARCHAR[]", "STRUCT", "JSON", "HUGEINT", "DOUBLE"],
    )
    (line,) = rows.json_lines(found)
    assert msgspec.json.decode(line) == {
        "c0": 1,
        "c2": "2026-01-02T03:04:05Z",
        "c3": ["a"],
        "c4": {"k": "2026-01-02T03:04:05Z"},
        "c5": {"x": 1},
        "c6": str(2**70),
        "c7": None,
    }


@given(st.text())
def test_json_gives_every_text_back(text):
    """A program reads what was written; a terminal is not moved by it."""
    (line,) = rows.json_lines(answer((text,)))
    assert line.isprintable()
    assert msgspec.json.decode(line)["c0"] == text


@given(st.text())
def test_no_cell_is_a_formula_or_breaks_a_line(text):
    """Neither a text nor a list of texts begins as a formula does, and a line is a row."""
    lines = list(rows.csv_lines(answer((text, [text, text]))))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    (cells,) = csv.reader([lines[1]])
    for cell in cells:
        assert not any(part.lstrip(' "').startswith(tuple("=+-@＝＋－＠")) for part in cell.split(";"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"), (" =1+1", "' =1+1"), ("＝1+1", "'＝1+1"), ("a;=HYPERLINK(1)", "a;'=HYPERLINK(1)"),
        ('a; "@x', "a;' \"@x"), ("cp -a x=y a@b", "cp -a x=y a@b"), ("-1", "'-1"),
    ],
)  # fmt: skip
def test_a_formula_gets_an_apostrophe(text, shown):
    """However it hides; what stands in the middle of a cell is left alone."""
    (cells,) = csv.reader([list(rows.csv_lines(answer((text,))))[1]])
    assert cells == [shown]


def test_csv_leaves_numbers_alone():
    """A negative number is one, and the names of the columns come first."""
    found = answer((-1, -1.5, Decimal("-2.5"), True, None, WHEN), columns=["a", "b", "c", "d", "e", "f"])
    assert list(rows.csv_lines(found)) == [
        '"a","b","c","d","e","f"',
        '"-1","-1.5","-2.5","true","","2026-01-02T03:04:05Z"',
    ]


@given(st.text(), st.text(min_size=1))
def test_a_table_cannot_be_driven(text, name):
    """Neither a cell nor a heading holds what moves a cursor or breaks a line; markup is text."""
    lines = printed(rows.table(answer((text, "[bold]x"), columns=[name, "b"]))).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert "[bold]x" in lines[1]


def test_a_record_says_what_it_is_about():
    """Its sentence, its file and who, an address, a program, or the state of a part of ours; and where it stands."""
    cases = [
        ({"message": "It was copied.", "rule_name": "weights-copy"}, "weights-copy", "It was copied."),
        ({"path": "/a", "command_line": "cp /b /a"}, "file_create", "/a ← cp /b /a"),
        ({"path": "/a"}, "file_create", "/a"),
        ({"ip": "10.0.0.1", "port": 80, "executable": "/bin/nc"}, "file_create", "10.0.0.1:80 ← /bin/nc"),
        ({"socket": "/run/s"}, "file_create", "/run/s"),
        ({"command_line": "ls"}, "file_create", "ls"),
        ({"component": "exec", "health": "started", "reason": "why"}, "file_create", "exec started why"),
    ]
    for changes, action, about in cases:
        record = PLACED | changes
        text = printed(rows.records(answer(tuple(record.values()), columns=list(record))))
        cells = [cell for cell in text.split("\n")[1].split("  ") if cell]
        assert [cell.strip() for cell in cells] == ["2026-01-02T03:04:05Z", action, "9", "bash", about, "raw-000003:7"]


def test_a_giant_command_line_is_cut():
    """A table stays readable, whatever somebody starts a program with."""
    record = PLACED | {"command_line": "x" * 100_000}
    assert len(printed(rows.records(answer(tuple(record.values()), columns=list(record))))) < 1000

"""Rows as a person, a program or a spreadsheet reads them: an attacker wrote much of what they hold."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from replguard.events import wire
from replguard.events.text import printable, shorten
from replguard.forensics.query import Answer

FORMULA = re.compile(r"""(?:^|(?<=[;\t]))(?=[\s'"]*[=+\-@＝＋－＠﹦﹢﹣﹫])""")
"""Where a spreadsheet would take a text for a formula, and run it: where it begins, or a cell where `;` parts cells."""
SHOWN = 160
"""Characters of what a record is about, in the table of records."""
_HEADINGS = ("time", "action/rule", "pid", "actor", "what", "where")


def json_lines(answer: Answer) -> Iterator[str]:
    """Yield an object for each row, without what is unknown."""
    raw = [kind == "JSON" for kind in answer.kinds]
    for row in answer.rows:
        found = {
            name: msgspec.Raw(value.encode()) if as_is else _fit(value)
            for name, value, as_is in zip(answer.columns, row, raw, strict=True)
            if value is not None
        }
        yield wire.encode(found).decode()


def csv_lines(answer: Answer) -> Iterator[str]:
    """Yield a line with the names of the columns, and one for each row.

    A text that a spreadsheet would run gets an apostrophe before it: ``--json`` has it as it is. Each cell is quoted.
    """
    for row in chain([answer.columns], answer.rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="", quoting=csv.QUOTE_ALL).writerow([_cell(value) for value in row])
        yield line.getvalue()


def _cell(value: Any) -> str:
    text = _text(value)
    return text if isinstance(value, int | float | Decimal) else FORMULA.sub("'", text)


def table(answer: Answer) -> Table:
    """Return a table of all columns."""
    return _table(answer.columns, (map(_text, row) for row in answer.rows))


def records(answer: Answer) -> Table:
    """Return a table of records, by what a person looks for first."""
    return _table(_HEADINGS, (_brief(dict(zip(answer.columns, row, strict=True))) for row in answer.rows))


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    found = Table(box=None, pad_edge=False)
    for heading in headings:
        found.add_column(Text(printable(heading)), overflow="fold")
    for row in rows:
        found.add_row(*map(Text, row))
    return found


def _brief(record: dict[str, Any]) -> Iterator[str]:
    """Yield the cells of a record."""
    action = record["rule_name"] or record["action"]
    yield from (_text(record["time"]), _text(action), _text(record["pid"]), _text(record["actor_name"]))
    yield _text(shorten(_about(record), SHOWN))
    yield f"{record['stream']}-{record['segment']:06d}:{record['line']}"


def _about(record: dict[str, Any]) -> str:
    """Return what a record is about: its sentence, file, address, program or reason."""
    by = record["command_line"] or record["executable"] or ""
    if record["message"] is not None:
        return str(record["message"])
    if record["path"] is not None:
        return f"{record['path']} ← {by}" if by else str(record["path"])
    if record["ip"] is not None or record["socket"] is not None:
        where = record["socket"] if record["ip"] is None else f"{record['ip']}:{record['port']}"
        return f"{where} ← {by}" if by else str(where)
    health = " ".join(str(record[name]) for name in ("component", "health") if record[name] is not None)
    return by or " ".join(text for text in (health, record["reason"]) if text)


def _text(value: Any) -> str:
    """Return a value as one line that can be shown."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _time(value).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return printable(str(value))


def _time(value: datetime) -> datetime:
    """Return a time of the log with its zone."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _fit(value: Any) -> Any:
    """Return a value that JSON can hold."""
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, dict):
        return {str(key): _fit(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(inner) for inner in value]
    known = value is None or isinstance(value, bool | float | str) or (isinstance(value, int) and abs(value) < 2**63)
    return value if known else str(value)

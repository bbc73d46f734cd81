"""Asks the log: a database in memory that shows the segments' columns as views, and can do nothing but read them."""

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from replguard.errors import ReplguardError
from replguard.forensics.store import STREAMS, Part, literal, quoted
from replguard.forensics.views import BY_NAME, COLUMNS, FAULT, RECORD, VIEWS
from replguard.forensics.wanted import Given, Wanted, source

MEMORY = 2**30
"""Bytes that a question may take up."""
_AT_A_TIME = 2048


@dataclass(slots=True)
class Answer:
    """What was asked for: ``rows`` can be read once, and after that ``more`` says how many there are besides."""

    columns: list[str]
    kinds: list[str]
    rows: Iterator[tuple[Any, ...]]
    more: int = 0


class Base:
    """The log as a database. Raises ReplguardError with a sentence for what cannot be asked."""

    def __init__(self, parts: list[Part], memory: int = MEMORY) -> None:
        import duckdb

        self._duckdb = duckdb
        options: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory // 2**10}KiB",
            "temp_directory": "",
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with self._told(""):
            self._base = duckdb.connect(":memory:", config=options)
            for statement in (*_views(parts), *_locked(parts)):
                self._base.execute(statement)

    def close(self) -> None:
        """Let go of it."""
        self._base.close()

    def sql(self, text: str, limit: int | None = None) -> Answer:
        """Return what a SELECT gives, and no more rows than the limit."""
        with self._told(text):
            kinds = [statement.type.name for statement in self._base.extract_statements(text)]
        if kinds != ["SELECT"]:
            raise ReplguardError("the log is only read: ask one SELECT at a time, and nothing else")
        whole = text.strip().removesuffix(";")
        return self._answer(text, {}, limit, f"SELECT count(*) FROM (\n{whole}\n)")

    def wanted(self, wanted: Wanted, limit: int | None = None) -> Answer:
        """Return the records that are asked for in the order of their times, and no more of them than the limit.

        All columns but the record itself, which says the same and is by far the longest.
        """
        behind, given = source(wanted, self._all)
        columns = ", ".join(quoted(column.name) for column in COLUMNS if column is not RECORD)
        first = f"LIMIT {limit + 1}" if limit is not None else ""
        text = f"SELECT {columns} FROM {behind} ORDER BY time, sequence, segment, line {first}"
        return self._answer(text, given, limit, f"SELECT count(*) FROM {behind}")

    def damaged(self) -> list[tuple[Any, ...]]:
        """Return each segment with something that cannot be read: stream, number, first line, what it is, how many."""
        columns = "stream, segment, min(line), arg_min(fault, line), count(*)"
        return self._all(f"SELECT {columns} FROM damaged GROUP BY stream, segment ORDER BY ALL", {})

    def _all(self, text: str, given: Given) -> list[tuple[Any, ...]]:
        return list(self._answer(text, given, None, "").rows)

    def reach(self) -> str:
        """Say from when to when the log reaches, for who finds nothing in it."""
        ((first, last),) = self._all("SELECT min(time), max(time) FROM records", {})
        if first is None or last is None:
            return "holds no record"
        return f"reaches from {first:%Y-%m-%dT%H:%M:%SZ} to {last:%Y-%m-%dT%H:%M:%SZ}"

    def _answer(self, text: str, given: Given, limit: int | None, count: str) -> Answer:
        with self._told(text):
            result = self._apart(self._base.execute, text, given)
        described = result.description or []
        answer = Answer([str(each[0]) for each in described], [str(each[1]) for each in described], iter(()))
        answer.rows = self._some(self._rows(result), limit, answer, count, given, text)
        return answer

    def _some(
        self, rows: Iterator[tuple[Any, ...]], limit: int | None, answer: Answer, count: str, given: Given, text: str
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows up to the limit, and count how many there are besides."""
        with self._told(text):
            for number, row in enumerate(rows):
                if number == limit:
                    answer.more = self._all(count, given)[0][0] - limit
                    return
                yield row

    def _rows(self, result: Any) -> Iterator[tuple[Any, ...]]:
        while some := self._apart(result.fetchmany, _AT_A_TIME):
            yield from some

    @contextmanager
    def _told(self, text: str) -> Iterator[None]:
        """Say what is wrong with a question."""
        try:
            yield
        except self._duckdb.Error as error:
            raise ReplguardError(_said(error, text)) from error

    def _apart(self, call: Callable[..., Any], *given: Any) -> Any:
        """Call in a thread of its own, which Ctrl-C ends: DuckDB looks for it only between its tasks, if at all."""
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(call, *given)
            try:
                return running.result()
            except KeyboardInterrupt:
                self._base.interrupt()
                raise


def _views(parts: list[Part]) -> Iterator[str]:
    """Yield what makes the views. A record that both streams hold, word for word, is shown as evidence holds it."""
    names = [column.name for column in COLUMNS]
    kinds = {name: BY_NAME[name].kind if name in BY_NAME else "UBIGINT" for name in (*names, FAULT.name, "digest")}
    empty = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in kinds.items())
    yield "CREATE SCHEMA segments"
    for stream in STREAMS:
        files = [str(part.file) for part in parts if part.stream == stream]
        behind = f"read_parquet({_list(files)})" if files else f"(SELECT {empty} WHERE false)"
        yield f"CREATE VIEW segments.{stream} AS SELECT * FROM {behind}"
    yield "CREATE VIEW damaged AS " + " UNION ALL ".join(
        f"SELECT stream, segment, line, fault FROM segments.{stream} WHERE fault IS NOT NULL" for stream in STREAMS
    )
    every = ", ".join("record::JSON AS record" if name == RECORD.name else quoted(name) for name in names)
    once = "segments.raw ANTI JOIN segments.evidence USING (digest, sequence)"
    yield (
        f"CREATE VIEW records AS SELECT {every} FROM segments.evidence WHERE fault IS NULL UNION ALL"
        f" SELECT {every} FROM {once} WHERE fault IS NULL"
    )
    for view in VIEWS:
        if view.name not in ("records", "damaged"):
            columns = ", ".join(map(quoted, view.columns))
            yield f"CREATE VIEW {view.name} AS SELECT {columns} FROM records WHERE {view.where}"


def _locked(parts: list[Part]) -> Iterator[str]:
    """Yield what comes before a question: it can read these files alone and write nothing, and that is final."""
    yield "SET parquet_metadata_cache = true"
    yield f"SET allowed_paths = {_list(str(part.file) for part in parts)}"
    yield "SET enable_external_access = false"
    yield "SET lock_configuration = true"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(literal, texts))}]"


def _said(error: Exception, asked: str) -> str:
    """Return what is wrong with a question, in one line, and what can be asked."""
    kind, _, rest = str(error).partition(": ")
    first = " ".join(rest.split("\n")[0].split()).rstrip(".!") or kind
    named = [view for view in VIEWS if re.search(rf"\b{view.name}\b", asked)]
    if kind == "Out of Memory Error":
        return f"{first}. Ask for less, by --since or a condition, or give it more by --memory"
    if ".parquet" in first:
        return f"{first}. The cache is damaged: remove the folder of that file, and ask again"
    if kind == "Permission Error":
        return f"{first}. A question reads the log and nothing else"
    if kind == "Catalog Error" and first.startswith("Table with name"):
        return f"{first}. The views are {', '.join(view.name for view in VIEWS)}"
    if kind == "Binder Error" and named:
        return ". ".join((first, *(f"{view.name} has {', '.join(view.columns)}" for view in named)))
    return first

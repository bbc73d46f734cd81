"""A question reads the log and can do nothing else."""

import os
import signal
import threading
import time

import pytest
from support import asked, logs

from replguard.errors import ReplguardError
from replguard.events import wire
from replguard.forensics import query, views
from replguard.forensics.query import Base
from replguard.log import names


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Give a log."""
    place = tmp_path_factory.mktemp("told")
    return asked.made(place / "log", place / "state")


@pytest.fixture(scope="module")
def parts(told, tmp_path_factory):
    """Give its segments in columns."""
    with asked.columns(told.folder, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.fixture(scope="module")
def base(parts):
    """Give it as a database."""
    found = Base(parts)
    yield found
    found.close()


def rows(base, text):
    """Return what a SELECT gives."""
    return list(base.sql(text).rows)


def test_every_view_has_its_columns(base):
    """As they are written down, in that order, with those types."""
    assert [name for (name,) in rows(base, "SHOW TABLES")] == sorted(view.name for view in views.VIEWS)
    for view in views.VIEWS:
        described = rows(base, f"DESCRIBE {view.name}")
        assert [row[0] for row in described] == list(view.columns)
        assert {row[0]: row[1] for row in described} == {name: views.BY_NAME[name].kind for name in view.columns}


def test_every_view_shows_its_records(told, base):
    """Each kind of record is in the view that it belongs to."""
    wanted = {
        "processes": {"process_exec", "process_exit", "process_snapshot"},
        "files": {"file_create", "file_close_write", "file_map", "file_open"},
        "network": {"network_connection", "network_listen", "socket_listen"},
        "weights": {"weights_access", "weights_copy"},
        "instances": {"server_live"},
    }
    for view, actions in wanted.items():
        assert {action for (action,) in rows(base, f"SELECT DISTINCT action FROM {view}")} == actions
    alerts = rows(base, "SELECT rule_name, message, level FROM alerts ORDER BY time, line")
    fired = [each for each in told.evidence if each.event.kind == "alert"]
    assert sorted(alerts) == sorted((each.rule.name, each.message, each.rule.level) for each in fired)


def test_a_record_stands_where_it_is_said_to(told, base):
    """Segment and line lead to the very bytes, in either stream."""
    whole = [*told.raw, *(each for each in told.evidence if each.event.kind != "enrichment")]
    assert {record for (record,) in rows(base, "SELECT record FROM records")} == {
        wire.encode(each).decode() for each in whole
    }


def test_one_stream_alone(told, tmp_path):
    """Without the other nothing is missing of what it holds."""
    for stream, count in (("raw", len(told.raw)), ("evidence", len(told.evidence))):
        log = logs.copied(told.folder, tmp_path / stream)
        for path in log.iterdir():
            if not path.name.startswith(stream):
                path.unlink()
        with asked.database(log, tmp_path / "cache") as base:
            assert rows(base, "SELECT count(*) FROM records") == [(count,)]


def test_a_changed_copy_of_a_record_is_shown_too(told, tmp_path):
    """Only what is the same word for word is shown once: nobody hides a record behind another of its number."""
    log = logs.copied(told.folder, tmp_path / "log")
    logs.plain(log)
    for path in log.glob("evidence-*"):
        path.write_bytes(path.read_bytes().replace(b'"technique":"copy"', b'"technique":"coqy"'))
    with asked.database(log, tmp_path / "cache") as base:
        found = rows(base, "SELECT technique, stream FROM weights WHERE technique IS NOT NULL ORDER BY 1")
    assert found == [("copy", "raw"), ("coqy", "evidence")]


REFUSED = [
    "COPY alerts TO '{place}/out'",
    "COPY alerts TO '{part}'",
    "COPY (SELECT 1) TO '{place}/out.parquet'",
    "EXPORT DATABASE '{place}/out'",
    "ATTACH '{place}/out.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE TABLE t (a INTEGER)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO m(a) AS a",
    "INSERT INTO alerts VALUES (1)",
    "DELETE FROM alerts",
    "DROP VIEW alerts",
    "SET threads = 4",
    "SET enable_external_access = true",
    "RESET memory_limit",
    "PRAGMA database_list",
    "CALL enable_logging()",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "CHECKPOINT",
    "USE memory",
    "EXPLAIN ANALYZE COPY alerts TO '{place}/out'",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY alerts TO '{place}/out'",
    "",
    "-- nothing",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json('http://127.0.0.1/')",
    "SELECT * FROM read_parquet('{other}')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{place}/out')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('COPY alerts TO ''{place}/out''')",
    "SELECT * FROM known",
    "SELECT nosuch FROM alerts",
    "SELECT * FROM nosuch",
    "SELECT 1 +",
    "SELEC 1",
    "SELECT 'a" + "\x1b[2J",
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_question_can_do_nothing_but_read_the_log(base, parts, tmp_path, text):
    """It is refused in one line, and nothing is written or changed."""
    known = [1, 2, 3]  # a name of ours that SQL could see
    part, other = parts[0].file, tmp_path / "other.parquet"
    before = part.read_bytes()
    other.write_bytes(before)
    with pytest.raises(ReplguardError) as refused:
        rows(base, text.format(place=tmp_path, part=part, other=other))
    assert "\n" not in str(refused.value)
    assert part.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["other.parquet"]
    assert rows(base, "SELECT count(*) > 0 FROM alerts") == [(True,)]
    assert known


def test_an_error_says_what_there_is(base):
    """The views for a wrong name, the columns of the view for a wrong column, what to do for want of memory."""
    with pytest.raises(ReplguardError, match="The views are records, processes, files"):
        rows(base, "SELECT * FROM alarms")
    with pytest.raises(ReplguardError, match="alerts has time, action, level, rule_name"):
        rows(base, "SELECT rule FROM alerts")
    with pytest.raises(ReplguardError, match="A question reads the log and nothing else"):
        rows(base, "SELECT * FROM read_text('/etc/passwd')")


def test_memory_is_bounded(parts):
    """What takes more is refused and says so, and nothing is put on a disk instead."""
    small = Base(parts, 32 * 2**20)
    with pytest.raises(ReplguardError, match="more by --memory"):
        rows(small, "SELECT list(a.record || b.record) FROM records a, records b, range(40)")
    small.close()


@pytest.mark.parametrize("memory", [0, 1, 1024])
def test_so_little_memory_is_told(parts, memory):
    """It is an error with a sentence, or it goes all the same."""
    try:
        Base(parts, memory).close()
    except ReplguardError as error:
        assert "--memory" in str(error)  # noqa: PT017 - both ways out are right


def test_rows_beyond_the_limit_are_counted(base):
    """No more rows than that, and how many there are besides; with a limit that is enough, none."""
    (whole,) = rows(base, "SELECT count(*) FROM records")[0]
    for text in ("SELECT id FROM records", "SELECT id FROM records ;  ", "SELECT id FROM records -- all"):
        answer = base.sql(text, 3)
        assert len(list(answer.rows)) == 3
        assert answer.more == whole - 3
    for limit in (whole, whole + 1, None):
        answer = base.sql("SELECT id FROM records", limit)
        assert len(list(answer.rows)) == whole
        assert answer.more == 0
    answer = base.wanted(query.Wanted(text=""), 5)
    assert len(list(answer.rows)) == 5
    assert answer.more > 0


def test_damage_is_counted_by_segment(told, tmp_path):
    """The first line of each segment with something that cannot be read, and how many there are."""
    log = logs.copied(told.folder, tmp_path / "log")
    logs.plain(log)
    path = log / names.name("raw", 2)
    lines = path.read_bytes().split(b"\n")
    lines[1:4] = [b"{", b"}", b"x"]
    path.write_bytes(b"\n".join(lines))
    with asked.database(log, tmp_path / "cache") as base:
        assert base.damaged() == [("raw", 2, 2, "it is no record", 3)]


def test_a_damaged_cache_is_told(told, tmp_path):
    """What to do is said; the log is as it was."""
    with asked.columns(told.folder, tmp_path / "cache") as parts:
        for part in parts:
            part.file.write_bytes(b"x" * 100)
        with pytest.raises(ReplguardError, match="remove the folder"):
            Base(parts)


def test_a_question_can_be_interrupted(base):
    """Ctrl-C ends one that would take for ever."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        rows(base, "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b")
    timer.join()
    assert time.monotonic() - began < 30

"""`replguard query`."""

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support import asked, logs

from replguard import cli
from replguard.cli import query as verb
from replguard.log import names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "investigating.md"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Give a log, its cache beside it."""
    place = tmp_path_factory.mktemp("told")
    return asked.made(place / "log", place / "state")


@pytest.fixture
def query(told, monkeypatch):
    """Ask that log."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(told.folder.parent / "cache"))

    def ask(*words, folder=told.folder):
        return CliRunner().invoke(cli.group, ["query", "--log", str(folder), *map(str, words)])

    return ask


def test_everything_that_an_agent_did(told, query):
    """A table in the order of time, each row with its place in the log."""
    result = query("--actor", told.agent.pid)
    assert result.exit_code == 0, result.output
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["time", "action/rule", "pid", "actor", "what", "where"]
    assert rows == sorted(rows, key=lambda row: row.split()[0])
    assert any("self-replication" in row and "evidence-0000" in row for row in rows)
    assert any("ls -la /models" in row and "raw-0000" in row for row in rows)
    assert result.stderr == ""


def test_json_and_csv_hold_the_same(told, query):
    """An object a row, or a line a row; in CSV nothing runs in a spreadsheet."""
    objects = [json.loads(line) for line in query("--text", "cmd|", "--json").stdout.splitlines()]
    rows = list(csv.DictReader(query("--text", "cmd|", "--csv").stdout.splitlines()))
    assert [each["id"] for each in objects] == [each["id"] for each in rows] != []
    assert objects[0]["command_line"].startswith("less =cmd|' /C calc'!A0 \x1b[2J")
    assert rows[0]["command_line"].startswith("less =cmd|' /C calc'!A0 \\x1b[2J\\u202e\\n")
    cells = csv.DictReader(query("SELECT substr(command_line, 6) AS words FROM processes", "--csv").stdout.splitlines())
    assert any(each["words"].startswith("'=cmd|") for each in cells)


def test_sql(query):
    """A SELECT over the views, as a table, as JSON and as CSV."""
    text = "SELECT rule_name, count(*) AS n FROM alerts GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
    assert query(text).stdout.split()[:2] == ["rule_name", "n"]
    found = json.loads(query(text, "--json").stdout)
    assert query(text, "--csv").stdout == f'"rule_name","n"\n"{found["rule_name"]}","{found["n"]}"\n'


def test_nothing_shown_can_drive_a_terminal(query):
    """Whatever somebody called his program."""
    for words in (
        ["--text", "cmd|"],
        ["SELECT * FROM processes"],
        ['SELECT 1 AS "\x1b[2J"'],
        ['SELECT * FROM "\x1b[2J"'],
    ):
        for form in ([], ["--json"], ["--csv"]):
            result = query(*words, *form)
            assert result.output
            assert all(line.isprintable() for line in result.output.split("\n"))


def test_what_is_left_out_is_counted(query):
    """How many rows more there are, and how to see them."""
    result = query("--since", "2020-01-01", "--limit", 2, "--json")
    assert len(result.stdout.splitlines()) == 2
    (more,) = re.findall(r"replguard: (\d+) more rows are not shown", result.stderr)
    assert len(query("--since", "2020-01-01", "--limit", 0, "--json").stdout.splitlines()) == int(more) + 2


def test_a_damaged_log_is_told(told, query, tmp_path):
    """Which line and how many, what is missing, and an exit code; the rest is shown."""
    log = logs.copied(told.folder, tmp_path / "log")
    (log / (names.name("evidence", 2) + names.ZSTD)).unlink()
    logs.plain(log)
    path = log / names.name("raw", 1)
    path.write_bytes(path.read_bytes() + b"{\n\x1b[2J\n")
    result = query("--actor", told.agent.pid, folder=log)
    assert result.exit_code == 1
    assert "raw segment 1, line" in result.stderr
    assert "it is no record, and 1 more" in result.stderr
    assert "evidence segment 2 is missing" in result.stderr
    assert "ls -la /models" in result.stdout


@pytest.mark.parametrize(
    ("words", "told_"),
    [
        ((), "Ask by a SELECT, or by flags"),
        (("SELECT 1", "--actor", "x"), "one of the two"),
        (("SELECT 1", "--json", "--csv"), "Choose --json or --csv"),
        (("--since", "soon"), "is no time"),
        (("SELECT 1", "--memory", "much"), "much"),
        (("SELECT 1", "--limit", "-1"), "-1"),
        (("SELEC 1",), "syntax error"),
        (("DROP VIEW alerts",), "the log is only read"),
        (("SELECT x FROM alerts",), "alerts has time, action"),
    ],
)
def test_what_makes_no_sense_is_told(query, words, told_):
    """In a line or two, with exit code 2."""
    result = query(*words)
    assert result.exit_code == 2
    assert told_ in " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())
    assert "Traceback" not in result.output


def test_without_duckdb(query, monkeypatch):
    """The verb says how to install it; every other verb works."""
    monkeypatch.setattr(verb, "find_spec", lambda _: None)
    result = query("SELECT 1")
    assert result.exit_code == 2
    assert f"{sys.executable} -m pip install 'duckdb>=2.0'" in result.stderr


def test_the_configured_log_is_asked(told, tmp_path, monkeypatch):
    """Without --log it is the one of the configuration."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(told.folder.parent / "cache"))
    (tmp_path / "my.yaml").write_text(f"log: {{dir: {told.folder}}}\n")
    words = ["query", "-c", str(tmp_path / "my.yaml"), "SELECT count(*) AS n FROM records", "--json"]
    assert json.loads(CliRunner().invoke(cli.group, words).stdout)["n"] > 0


def test_ctrl_c_ends_a_question(told, tmp_path):
    """Soon, and with the exit code that shells know."""
    text = "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b"
    words = [sys.executable, "-m", "replguard", "query", "--log", str(told.folder), "--cache", str(tmp_path), text]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
        try:
            while len(list(tmp_path.rglob("*.parquet"))) < len(list(told.folder.iterdir())) and asking.poll() is None:
                time.sleep(0.1)
            time.sleep(1)
            asking.send_signal(signal.SIGINT)
            assert asking.wait(60) == cli.INTERRUPTED
            assert b"Traceback" not in asking.stderr.read()
        finally:
            asking.kill()


def commands():
    """Yield the commands of the page."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if line.startswith("# replguard query ") and "--log" not in line:
                yield line.removeprefix("# replguard query ")


@pytest.mark.parametrize("line", list(commands()))
def test_the_commands_of_the_page_are_answered(query, line):
    """Each of them is a question that is understood."""
    words = shlex.split(line.split(" > ")[0])
    result = query(*words)
    assert result.exit_code == 0, result.output


def test_the_page_shows_every_flag_and_view():
    """Nobody has to guess what there is."""
    page = PAGE.read_text()
    context = click.Context(verb.command)
    flags = {name for parameter in verb.command.get_params(context) for name in parameter.opts if name.startswith("--")}
    assert {flag for flag in flags if flag not in page} <= {"--help", "--config"}


def test_nothing_is_told_as_such(told, query):
    """With the span of the log: who is not in it may have acted before, or after."""
    result = query("--actor", "nobody-such")
    assert result.exit_code == 0
    assert "nothing found: the log reaches from 20" in result.stderr
    assert query("SELECT 1 WHERE false").stderr == ""

"""`replguard report`."""

import errno
import hashlib
import json
import os

import pytest
from click.testing import CliRunner
from support import bundles, cases, logs

from replguard import cli


def run(*words):
    return CliRunner().invoke(cli.group, [*map(str, words)])


@pytest.fixture
def log(tmp_path):
    """Give a log with two incidents."""
    return cases.made(tmp_path / "log", tmp_path / "state")


def test_without_an_id_the_incidents_are_listed(log):
    """The newest first: when, how bad, its id, and the sentence."""
    result = run("report", "--log", log)
    assert result.exit_code == 0, result.output
    first, second, *_ = [line for line in result.stdout.splitlines() if line.startswith("2026-")]
    assert first.split()[:4] == ["2026-01-01", "00:00:23", "low", cases.OTHER]
    assert second.split()[:4] == ["2026-01-01", "00:00:03", "critical", cases.INCIDENT]
    assert "Agent ag copied" in result.stdout


def test_an_incident_becomes_a_page(log, tmp_path, monkeypatch):
    """Here, under its id; or where it is asked for; or on standard output."""
    monkeypatch.chdir(tmp_path)
    result = run("report", "--log", log, "12345678")
    assert result.exit_code == 0, result.output
    text = (tmp_path / f"incident-{cases.INCIDENT}.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "Agent ag copied llama, then served it." in text
    assert f"incident-{cases.INCIDENT}.html: " in result.stderr
    assert run("report", "--log", log, "b2", "-o", tmp_path / "a.html").exit_code == 0
    assert "alert <span" in (tmp_path / "a.html").read_text()
    assert run("report", "--log", log, cases.INCIDENT, "-o", "-").stdout == text


def test_the_log_is_the_configured_one(log, tmp_path):
    """As for other verbs, by the configuration."""
    (tmp_path / "c.yaml").write_text(f"log: {{dir: {log}}}\n")
    result = run("report", "-c", tmp_path / "c.yaml")
    assert cases.INCIDENT in result.stdout


def test_a_bundle_is_made_and_verified(log, tmp_path):
    """With the page in it; by the key, or by the checkpoint at which it was made."""
    path, kept = tmp_path / "b.zip", tmp_path / "kept"
    result = run("report", "--log", log, cases.INCIDENT, "--bundle", path)
    assert (result.exit_code, list(tmp_path.glob("*.html"))) == (0, [])
    assert f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" in result.stderr
    key = logs.found(log, "evidence").parts[0].header.by
    told = run("verify", path, "--trust", key)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"incident {cases.INCIDENT}: whole\n  Agent ag copied llama, then served it.\n")
    assert "the key vouches, key by key" in told.stdout
    assert "nothing was given that was kept elsewhere" in run("verify", path).stdout
    kept.write_text(run("verify", "--checkpoint", log).stdout)
    assert run("verify", path, "--checkpoint").stdout == kept.read_text()
    more = logs.writer(log, tmp_path / "state", "evidence")
    logs.fill(more, range(40, 50))
    more.close(now=cases.at(90))
    assert run("report", "--log", log, cases.INCIDENT, "--bundle", path, "--checkpoint", kept).exit_code == 0
    assert "the checkpoint is the one that was kept" in run("verify", path, "--trust", kept).stdout


def test_a_changed_bundle_is_told(log, tmp_path):
    """By exit code 1, on standard error."""
    path = tmp_path / "b.zip"
    run("report", "--log", log, cases.INCIDENT, "--bundle", path)
    files = bundles.files(path)
    files["records.jsonl"] = files["records.jsonl"].replace(b"llama", b"other")
    key = logs.found(log, "evidence").parts[0].header.by
    result = run("verify", bundles.put(path, files, forged=True), "--trust", key)
    assert result.exit_code == 1
    assert f"incident {cases.INCIDENT}: NOT WHOLE" in result.stdout
    assert "\n  NOT PROVEN, as the file says it: Agent ag copied llama, then served it.\n" in result.stdout
    for praise in ("nobody changed", "vouches", "stand in"):
        assert praise not in result.stdout
    assert "proofs.jsonl:" in result.stderr


def test_a_changed_log_is_told(log, tmp_path):
    """The page is made all the same, and says so."""
    logs.plain(log)
    path = next(path for path in logs.segments(log, "evidence") if b"weights_copy" in path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b'"size":1073741824', b'"size":1073741825'))
    result = run("report", "--log", log, cases.INCIDENT, "-o", tmp_path / "a.html")
    assert result.exit_code == 1
    assert "this line is not what was written" in result.stderr
    assert "not what was sealed" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing",), f"The newest incidents: {cases.INCIDENT} (critical)"),
        ((cases.INCIDENT, "--checkpoint", "x"), "neither a key nor a checkpoint"),
        ((cases.INCIDENT, "--checkpoint", "A" * 43 + "="), "holds no checkpoint of the evidence"),
        ((cases.INCIDENT, "-o", "/nowhere/a.html"), "/nowhere/a.html cannot be written"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(log, words, says):
    """A sentence and exit code 2."""
    result = run("report", "--log", log, *words)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_log_that_is_not_there(tmp_path):
    """Is told with what to do; one without alerts has nothing to list."""
    (tmp_path / "c.yaml").write_text(f"log: {{dir: {tmp_path}/none}}\n")
    result = run("report", "-c", tmp_path / "c.yaml")
    assert (result.exit_code, "name the log's folder by --log" in result.stderr) == (2, True)
    folder = logs.made(tmp_path / "log", tmp_path / "state", "evidence", count=3)
    assert run("report", "--log", folder).stdout == "The evidence of this log holds no alert.\n"
    (tmp_path / "empty").mkdir()
    for words in ((), (cases.INCIDENT,)):
        result = run("report", "--log", tmp_path / "empty", *words)
        assert (result.exit_code, "holds no segment of the evidence of a log" in result.stderr) == (2, True)


def test_what_cannot_be_read_is_told(log):
    """A list that may lack something says so."""
    packed = next(path for path in logs.segments(log, "evidence") if path.suffix == ".zst")
    packed.write_bytes(b"damaged")
    result = run("report", "--log", log)
    assert (result.exit_code, cases.INCIDENT in result.stdout) == (1, True)
    assert f"{packed}: damaged" in result.stderr


def test_a_bundle_is_of_something(log, tmp_path):
    """Without an id it is a mistake, and no list."""
    result = run("report", "--log", log, "--bundle", tmp_path / "b.zip")
    assert (result.exit_code, "--bundle needs an incident" in result.stderr) == (2, True)


def test_what_nobody_may_read_is_no_log_without_alerts(log, monkeypatch):
    """It is said what to do."""

    def denied(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        yield

    monkeypatch.setattr("replguard.log.reader._chunks", denied)
    for words in ((), (cases.INCIDENT,)):
        result = run("report", "--log", log, *words)
        assert result.exit_code == 2
        assert "holds no alert" not in result.output
        assert "cannot be read" in result.stderr
        assert "as root" in result.stderr


def test_a_log_without_some_segment_says_so(log):
    """The incidents that are left are listed, with exit code 1."""
    next(path for path in logs.segments(log, "evidence") if "-000002." in path.name).unlink()
    result = run("report", "--log", log)
    assert (result.exit_code, cases.INCIDENT in result.stdout) == (1, True)
    assert "evidence segment 2 is missing" in result.stderr


def test_a_checkpoint_from_before_the_incident_proves_nothing_of_it(tmp_path):
    """No bundle is made of it, and it is said what to do."""
    state, log, kept, path = tmp_path / "state", tmp_path / "log", tmp_path / "kept", tmp_path / "b.zip"
    early = logs.writer(log, state, "evidence")
    logs.fill(early, range(40))
    early.close(now=cases.at(0))
    kept.write_text(run("verify", "--checkpoint", log).stdout)
    cases.made(log, state)
    result = run("report", "--log", log, cases.INCIDENT, "--bundle", path, "--checkpoint", kept)
    assert (result.exit_code, path.exists()) == (2, False)
    assert "is older than 2 of the incident's alerts" in result.stderr
    assert "replguard verify --checkpoint" in result.stderr


def test_at_a_checkpoint_the_bundle_stays_the_same(log, tmp_path):
    """However long the log goes on; what is left out is counted."""
    kept, state = tmp_path / "kept", tmp_path / "state"
    kept.write_text(run("verify", "--checkpoint", log).stdout)
    words = ("report", "--log", log, cases.INCIDENT, "--checkpoint", kept, "--bundle")
    assert "left out" not in run(*words, tmp_path / "a.zip").stderr
    more = logs.writer(log, state, "evidence")
    for number in range(5):
        more.write(cases.fact("weights_access", 100 + number, "cp", 50 + number), cases.at(70))
    more.close(now=cases.at(90))
    result = run(*words, tmp_path / "b.zip")
    assert result.exit_code == 0, result.output
    assert "5 records of it that came after the checkpoint: left out" in result.stderr
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    told = run("verify", tmp_path / "b.zip", "--trust", kept)
    assert "nobody changed the records since" in told.stdout


def test_a_sentence_is_printed_whole(log, tmp_path):
    """However long it is: cut in its middle it would say something else. When and where it was is told below it."""
    told = cases.records(model="a-model-with-" + "many-words " * 60 + "and-an-end")
    folder, path = cases.made(tmp_path / "log2", tmp_path / "state2", told), tmp_path / "b.zip"
    run("report", "--log", folder, cases.INCIDENT, "--bundle", path)
    said = run("verify", path).stdout
    assert "…" not in said
    assert "and-an-end, then served it." in " ".join(said.split())
    assert max(map(len, said.splitlines())) < 200
    assert "  from 2026-01-01 00:00:01 UTC to 2026-01-01 00:00:24 UTC on gpu1\n" in said
    assert "  the newest record that it proves is of 2026-01-01 00:00:" in said


def test_a_page_of_another_version_is_said_not_to_be_covered(log, tmp_path):
    """Each time, where the eye falls."""
    path = tmp_path / "b.zip"
    run("report", "--log", log, cases.INCIDENT, "--bundle", path)
    files = bundles.files(path)
    files["manifest.json"] = json.dumps({**json.loads(files["manifest.json"]), "version": "0.0.7"}).encode()
    result = run("verify", bundles.put(path, {**files, "report.html": b"made up"}, forged=True))
    assert result.exit_code == 0
    assert "the page is not covered by this proof: made by version 0.0.7" in result.stdout
